"""Pairs of face images with known flow, for the TV-L1 benchmarks.

The second image is a face; the first is sampled from it by a spline of order 5 at the true flow, so that the truth is
exact. White noise is added to both, and both are rounded to 8 bits. Faces: scikit-image's portrait, and subjects of the
embedded database that differ in tone, contrast and size.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage
from skimage import color, data

from mer_features.synthetic.presets import PRESETS, Style
from mer_features.synthetic.subjects import subject

#: Pixels around a crop that a shifted picture may show.
MARGIN = 12


@dataclass(frozen=True)
class Face:
    """A face crop (S + 2 MARGIN) square, grey levels as float64, its name, and the pixels the head is wide."""

    name: str
    image: np.ndarray
    width: float

    @property
    def side(self):
        """Side of the crop."""
        return len(self.image) - 2 * MARGIN


@dataclass(frozen=True)
class Pair:
    """Two (S, S) uint8 images with moved(x + flow(x)) = reference(x), the flow (2, S, S), and where it is inside."""

    reference: np.ndarray
    moved: np.ndarray
    flow: np.ndarray
    inside: np.ndarray


def _portrait(name, first_row, first_column, width, side):
    """A square of the portrait, ``width`` of its pixels enlarged to ``side``."""
    grey = color.rgb2gray(data.astronaut()) * 255
    step = width / side
    rows, columns = (
        first + (np.arange(-MARGIN, side + MARGIN) + 0.5) * step - 0.5 for first in (first_row, first_column)
    )
    grid = np.meshgrid(rows, columns, indexing="ij")
    return Face(name, ndimage.map_coordinates(grey, grid, order=5, mode="nearest"), 140 * side / width)


def _subject(number, side, *, contrast, brightness=1.0):
    """The face of a subject of the demo database, brow to chin two thirds of the crop's side."""
    style = Style(colour=False, contrast=contrast, brightness=brightness, pores=2.5)
    wide = side + 2 * MARGIN
    preset = replace(PRESETS["demo"], size=(2 * wide, 2 * wide), face_px=0.66 * side, style=style)
    name = preset.subjects[number]
    found = subject(preset, 0, name)
    grey = np.clip(found.texture[0, :: style.oversample, :: style.oversample], 0, 255).astype(np.float64)
    top, left = np.rint(found.landmarks.mean(axis=0)[::-1] - wide / 2 - [0.08 * side, 0]).astype(int)
    image = grey[top : top + wide, left : left + wide]
    middle = image[side // 4 : -side // 4, side // 4 : -side // 4]
    return Face(f"{name} {side} px, mean {middle.mean():.0f}, sd {middle.std():.0f}", image, side)


def faces():
    """Two crops of the portrait, the face filling the frame and not, and five virtual subjects."""
    return [
        _portrait("portrait, fills 224 px", 55, 155, 140, 224),
        _portrait("portrait, native 224 px", 10, 112, 224, 224),
        _subject(0, 224, contrast=1.0),
        _subject(1, 128, contrast=1.0),
        _subject(2, 224, contrast=0.6, brightness=0.75),
        _subject(3, 256, contrast=1.0, brightness=1.1),
        _subject(4, 180, contrast=1.2),
    ]


def bumps(rng, face, peak):
    """Two to five Gaussian displacements, (2, S + margins), the longest vector ``peak`` pixels long."""
    side, scale = face.side, face.width / 224
    y, x = np.mgrid[-MARGIN : side + MARGIN, -MARGIN : side + MARGIN].astype(float)
    flow = np.zeros((2, *x.shape))
    for _ in range(rng.integers(2, 6)):
        across, down = rng.uniform(0.22 * side, 0.78 * side, 2)
        width, angle = rng.uniform(9, 29) * scale, rng.uniform(0, 2 * np.pi)
        bump = np.exp(-((x - across) ** 2 + (y - down) ** 2) / (2 * width**2))
        flow += np.array([np.cos(angle), np.sin(angle)])[:, None, None] * bump
    return flow * peak / np.hypot(*flow).max()


def pair(face, seed, *, noise=1.0, peak=None, shift=0.0):
    """One pair; ``peak`` is drawn from 0.2..1.5 px if not given, ``shift`` px go in a random direction."""
    rng = np.random.default_rng(seed)
    peak = rng.uniform(0.2, 1.5) if peak is None else peak
    flow = bumps(rng, face, peak)
    angle = rng.uniform(0, 2 * np.pi)
    flow += shift * np.array([np.cos(angle), np.sin(angle)])[:, None, None]
    y, x = np.mgrid[: len(face.image), : len(face.image)].astype(float)
    reference = ndimage.map_coordinates(face.image, [y + flow[1], x + flow[0]], order=5, mode="nearest")
    noisy = (image + rng.normal(0, noise, image.shape) for image in (reference, face.image))
    crop = np.s_[MARGIN:-MARGIN, MARGIN:-MARGIN]
    images = [np.clip(np.rint(image), 0, 255).astype(np.uint8)[crop] for image in noisy]
    flow = flow[(slice(None), *crop)]
    y, x = np.mgrid[: face.side, : face.side] + flow[::-1]
    inside = (x >= 0) & (x <= face.side - 1) & (y >= 0) & (y <= face.side - 1)
    return Pair(*map(np.ascontiguousarray, images), flow, inside)
