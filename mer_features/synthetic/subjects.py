"""Neutral face of one subject: texture, landmarks, and masks of face and head."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from mer_features.synthetic import complexion, identities, portrait, portrait_parts
from mer_features.synthetic.bending import Bend
from mer_features.synthetic.identities import Identity
from mer_features.synthetic.presets import Preset, Style, stream
from mer_features.synthetic.resample import enlarge, grid, polygon_mask, sample

#: Height from brow to chin in the photograph, pixels; ``Preset.face_px`` is the same height in the rendered frame.
FACE_HEIGHT = 91.1
_STEP = 8  # canvas pixels between the points at which the smooth map is computed
_PAD = 64  # photograph pixels beyond its border that may be visible


@dataclass(frozen=True)
class Subject:
    """A neutral face on a canvas, which is the frame plus a margin. Coordinates are canvas pixels (x, y).

    Attributes
    ----------
    texture : ndarray, shape (C, k * h, k * w), float32
        Grey levels of R, G, B or of one grey channel, with k = ``Style.oversample`` samples per canvas pixel; canvas
        pixel (x, y) is sample (k x, k y).
    landmarks : ndarray, shape (68, 2), float64
        Landmarks of the neutral face.
    face : ndarray, shape (h, w), float32
        1 on the skin of the face, 0 elsewhere.
    head : ndarray, shape (h, w), float32
        Weight of the head motion: 1 on the head and close to it, falling to 0 over neck and backdrop.
    margin : int
        Canvas pixels beyond the frame on each side.
    """

    texture: np.ndarray
    landmarks: np.ndarray
    face: np.ndarray
    head: np.ndarray
    margin: int


@lru_cache(maxsize=1)
def subject(preset: Preset, seed: int, name: str) -> Subject:
    """The neutral face of one subject of a preset; the last result is cached."""
    person = identities.identity(preset, seed, name)
    shaped = identities.shaped_landmarks(person)
    margin = canvas_margin(preset)
    shape = (preset.size[0] + 2 * margin, preset.size[1] + 2 * margin)
    centre, middle = _middles(preset, shaped)
    scale = preset.face_px / FACE_HEIGHT
    landmarks = (shaped - centre) * scale + middle
    x, y = _photo_positions(Bend(person, shaped), shape, centre - middle / scale, 1 / scale)
    parts = portrait.load()
    skin = sample(parts.skin * (1 - parts.eyes), x, y, cv2.BORDER_REPLICATE)
    random = stream(preset.name, seed, "skin", name)
    detail = complexion.skin_detail(person, skin, preset.style.pores, preset.face_px, random)
    return Subject(
        texture=_texture(person, preset.style, x, y, detail, scale),
        landmarks=landmarks,
        face=_face(landmarks, shape),
        head=sample(_head(parts), x, y, cv2.BORDER_REPLICATE),
        margin=margin,
    )


def neutral_landmarks(preset: Preset, seed: int, name: str) -> np.ndarray:
    """Landmarks of :func:`subject`, (68, 2) float64, without making its texture."""
    shaped = identities.shaped_landmarks(identities.identity(preset, seed, name))
    centre, middle = _middles(preset, shaped)
    return (shaped - centre) * (preset.face_px / FACE_HEIGHT) + middle


def canvas_margin(preset: Preset) -> int:
    """Canvas pixels beyond the frame on each side."""
    return int(np.ceil(0.04 * max(preset.size))) + 8


def _middles(preset: Preset, shaped: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The middle of the face in the photograph and on the canvas, x and y."""
    centre = np.array([shaped[27, 0], (shaped[17:27, 1].min() + shaped[8, 1]) / 2])
    margin = canvas_margin(preset)
    return centre, np.array([preset.size[1] / 2 + margin, margin + 0.56 * preset.size[0]])


def _photo_positions(
    bend: Bend, shape: tuple[int, int], corner: np.ndarray, step: float
) -> tuple[np.ndarray, np.ndarray]:
    """Position of each canvas pixel in the photograph with closed mouth.

    ``corner`` is the position of the first canvas pixel in the image of the subject, ``step`` the pixel distance.
    """
    x, y = grid(shape[0] // _STEP + 2, shape[1] // _STEP + 2, _STEP * step)
    x, y = bend(x + corner[0], y + corner[1])
    return enlarge(x, _STEP)[: shape[0], : shape[1]], enlarge(y, _STEP)[: shape[0], : shape[1]]


def _texture(
    person: Identity, style: Style, x: np.ndarray, y: np.ndarray, detail: np.ndarray, scale: float
) -> np.ndarray:
    k = style.oversample
    picture = complexion.recolour(person)
    tint = np.array([1 + 0.12 * style.warmth, 1.0, 1 - 0.12 * style.warmth], np.float32) * style.brightness
    picture = ((picture - 0.5) * style.contrast + 0.5) * tint.astype(np.float32)
    if style.gamma != 1:
        picture = np.maximum(picture, 0) ** np.float32(style.gamma)
    if not style.colour:
        picture = (picture @ complexion.LUMA)[..., None]
    planes = _sample_photo(picture, x, y, max(1, round(k * scale)), k)
    planes *= enlarge(255 * complexion.shading(person, x, y), k)
    planes += enlarge(detail, k)
    if style.blur_px > 0:
        planes = np.stack([cv2.GaussianBlur(plane, (0, 0), style.blur_px * k) for plane in planes])
    return planes


def _sample_photo(picture: np.ndarray, x: np.ndarray, y: np.ndarray, factor: int, k: int) -> np.ndarray:
    """Sample the photograph at x, y, k times per canvas pixel, after spline enlargement by ``factor``."""
    padded = cv2.copyMakeBorder(picture, _PAD, _PAD, _PAD, _PAD, cv2.BORDER_REPLICATE)
    padded = padded if padded.ndim == 3 else padded[..., None]
    left, top = (max(0, int(p.min()) - 4 + _PAD) for p in (x, y))
    right, bottom = (int(p.max()) + 6 + _PAD for p in (x, y))
    visible = np.ascontiguousarray(np.moveaxis(padded[top:bottom, left:right], -1, 0))
    fine_x, fine_y = enlarge(x, k), enlarge(y, k)
    portrait_parts.open_up(fine_x, fine_y)
    at_x, at_y = (fine_x + (_PAD - left)) * factor, (fine_y + (_PAD - top)) * factor
    return sample(enlarge(visible, factor), at_x, at_y)


def _face(landmarks: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Mask of the face: the area within jaw line and brows, and a small part of the forehead."""
    jaw, brows = landmarks[:17], landmarks[17:27]
    forehead = brows[::-1] - [0, 0.06 * (jaw[8, 1] - brows[:, 1].mean())]
    return polygon_mask(np.vstack([jaw, forehead]), shape, 0)


def _head(parts: portrait.Portrait) -> np.ndarray:
    """Weight of the head motion in the photograph: 1 on hair and face, a raised cosine over 18 pixels around them."""
    solid = np.clip(parts.hair + parts.skin, 0, 1)
    solid[184:] = 0  # the neck does not move with the head
    solid = cv2.dilate((solid > 0.3).astype(np.uint8), np.ones((9, 9)))
    distance = cv2.distanceTransform(1 - solid, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return (0.5 + 0.5 * np.cos(np.pi * np.clip(distance / 18, 0, 1))).astype(np.float32)
