"""Training pairs for the learned magnifier, generated on demand with their ground truth.

The recipe follows Oh et al. 2018, section 3.3: textured objects over a background, each moved by its own sub-pixel
translation; low-contrast, background-only and static samples; noise, and dither before quantisation; other colours and
lighting in the moved frame. Half of the samples are faces of the embedded database, whose skin is moved by action units
(ours). The paper renders large images and averages them; here images are splines that can be evaluated at any position
(:mod:`mer_features.training.magnifier.textures`).

Sample i depends only on (seed, i), so processes and interruptions do not change the training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from mer_features.synthetic import action_units, emotions
from mer_features.synthetic.complexion import LUMA
from mer_features.synthetic.presets import Preset, Style, stream
from mer_features.synthetic.resample import grid, sample
from mer_features.synthetic.subjects import subject
from mer_features.training.magnifier import textures

#: Iterations that invert a displacement field. With a slope of at most 0.6, 0.6 % of the motion is left.
_ITERATIONS = 10
_STEP = 2  # canvas pixels between the points of a displacement field; linear in between
_FACES_SEED = 0  # seed of the virtual subjects, which are in no preset of the embedded database


@dataclass(frozen=True)
class Recipe:
    """Settings of the random samples. Shares are probabilities; pairs of values are ranges."""

    size: int = 64  # side of the square samples, pixels
    seed: int = 0
    folder: Path | None = None  # photographs; None: those of scikit-image
    motion_px: tuple[float, float] = (0.05, 3.0)  # input motion
    factor: tuple[float, float] = (1.0, 20.0)
    reach_px: float = 7.0  # largest magnified motion
    objects: tuple[int, int] = (7, 15)
    object_radius: tuple[float, float] = (0.06, 0.3)  # over the side
    face: float = 0.5
    low_contrast: float = 0.1
    background_only: float = 0.1
    static: float = 0.05
    static_background: float = 0.15
    grey: float = 0.2
    recoloured: float = 0.3  # share of samples with other colours and lighting in the moved frame
    lamp: float = 0.0  # lighting: largest change of brightness across such a frame
    noise: tuple[float, float] = (0.0, 0.2)  # standard deviation over the root of the grey level
    quantised: bool = True


@dataclass(frozen=True)
class Pair:
    """One sample; images (3, H, W) float32 in grey levels 0..255.

    Attributes
    ----------
    first, second, second_plain, target
        A, B, C and Y of the paper: the reference; the moved frame in other colours; the moved frame in the colours of
        the reference; the magnified frame in the colours of B, without noise.
    still
        Y for a factor of 1, which is B without noise.
    factor
        m, the magnified motion divided by the motion.
    motion : ndarray, shape (2, H, W), float32
        x, y displacement from A to C at each pixel of A, for the topmost layer there.
    """

    first: np.ndarray
    second: np.ndarray
    second_plain: np.ndarray
    target: np.ndarray
    still: np.ndarray
    factor: float
    motion: np.ndarray


@dataclass(frozen=True)
class _Scene:
    """Noise-free frames in the colours of A (A, C and Y for a sample), and the motion from A to C."""

    frames: list[np.ndarray]
    motion: np.ndarray


def make(recipe: Recipe, index: int) -> Pair:
    """Generate sample ``index`` of a recipe; the same arguments give the same arrays."""
    random = stream("magnifier", recipe.seed, index)
    factor = _factor(recipe, random)
    scene = _scene(recipe, factor, random, (0.0, 1.0, factor))
    if random.uniform() < recipe.grey:
        scene = _Scene([_grey(frame) for frame in scene.frames], scene.motion)
    first, plain, magnified = scene.frames
    recolour = _Recolouring.draw(random, recipe.lamp) if random.uniform() < recipe.recoloured else _Recolouring()
    strength = random.uniform(*recipe.noise)
    target, still = (np.clip(recolour(frame), 0, 255) for frame in (magnified, plain))
    first, second, plain = (_recorded(frame, strength, recipe, random) for frame in (first, still, plain))
    return Pair(first, second, plain, target, still, factor, scene.motion)


@dataclass(frozen=True)
class Series:
    """A pair, and frames with different magnified motion; images (3, H, W) float32 in grey levels 0..255.

    Attributes
    ----------
    first, second
        A and B, with noise and quantisation.
    factor
        m.
    possible : ndarray, shape (N, 3, H, W)
        Frames without noise, with the given shares of m times the motion.
    """

    first: np.ndarray
    second: np.ndarray
    factor: float
    possible: np.ndarray


def series(recipe: Recipe, index: int, shares: Sequence[float]) -> Series:
    """Pair ``index`` of a recipe without recolouring, and frames with the motion times each of ``shares`` times m."""
    random = stream("magnifier-series", recipe.seed, index)
    factor = _factor(recipe, random)
    scene = _scene(recipe, factor, random, (0.0, 1.0, *(share * factor for share in shares)))
    strength = random.uniform(*recipe.noise)
    first, second = (_recorded(frame, strength, recipe, random) for frame in scene.frames[:2])
    return Series(first, second, factor, np.clip(np.stack(scene.frames[2:]), 0, 255))


def local_slope(image: np.ndarray) -> np.ndarray:
    """Local gradient of an image.

    Parameters
    ----------
    image : ndarray, shape (3, H, W), float32
        Grey levels.

    Returns
    -------
    ndarray, shape (H, W), float32
        Root mean square of the gradient of the luma within about 3 px, grey levels per pixel.
    """
    luma = np.tensordot(LUMA, image, axes=1).astype(np.float32)
    across, down = (cv2.Sobel(luma, cv2.CV_32F, *way, scale=1 / 8) for way in ((1, 0), (0, 1)))
    return np.sqrt(cv2.GaussianBlur(across**2 + down**2, (0, 0), 3))


def _scene(recipe: Recipe, factor: float, random: np.random.Generator, times: Sequence[float]) -> _Scene:
    """A scene whose motion times ``factor`` is within the recipe's bounds; one frame per multiple of the motion."""
    draw = _face_scene if random.uniform() < recipe.face else _object_scene
    return draw(recipe, factor, random, times)


def _factor(recipe: Recipe, random: np.random.Generator) -> float:
    """m, from a uniform or a log-uniform distribution with equal probability, because small factors are common."""
    low, high = recipe.factor
    if random.uniform() < 0.5:
        return float(random.uniform(low, high))
    return float(np.exp(random.uniform(np.log(low), np.log(high))))


def _magnified_px(recipe: Recipe, factor: float, random: np.random.Generator) -> float:
    """Length of a magnified motion within the bounds of recipe and factor; large lengths are rarer."""
    least = recipe.motion_px[0] * factor
    most = max(least, min(recipe.reach_px, recipe.motion_px[1] * factor))
    even, log_even = random.uniform(least, most), np.exp(random.uniform(np.log(least), np.log(most)))
    return float(even if random.uniform() < 0.5 else log_even)


def _translation(recipe: Recipe, factor: float, random: np.random.Generator) -> np.ndarray:
    """Input motion (x, y) in any direction."""
    angle = random.uniform(0, 2 * np.pi)
    return np.array([np.cos(angle), np.sin(angle)]) * (_magnified_px(recipe, factor, random) / factor)


# ---------------------------------------------------------------- objects over a background


@dataclass(frozen=True)
class _Layer:
    texture: np.ndarray  # (3, side, side) spline coefficients
    cover: np.ndarray | None  # (side, side) spline coefficients; None: covers everything
    shift: np.ndarray  # (x, y) from A to C


def _object_scene(recipe: Recipe, factor: float, random: np.random.Generator, times: Sequence[float]) -> _Scene:
    margin = int(np.ceil(recipe.reach_px)) + 3
    side = recipe.size + 2 * margin
    names = _sources(recipe.folder)
    kind = random.uniform()
    faint = kind < recipe.low_contrast
    lone = not faint and kind < recipe.low_contrast + recipe.background_only
    static = random.uniform() < recipe.static
    still_background = not lone and random.uniform() < recipe.static_background
    count = 0 if lone else int(random.integers(recipe.objects[0], recipe.objects[1] + 1))
    layers = []
    for number in range(count + 1):
        texture = textures.draw(names, side, random)
        texture = _faint(texture, random) if faint else texture
        radius = recipe.size * float(np.exp(random.uniform(*np.log(recipe.object_radius))))
        cover = textures.outline(side, radius, random) if number else None
        still = static or (number == 0 and still_background)
        shift = np.zeros(2) if still else _translation(recipe, factor, random)
        layers.append(_Layer(texture, cover, shift))
    frames = [_composed(layers, each, margin) for each in times]
    return _Scene(frames, _visible_motion(layers, margin))


@lru_cache(maxsize=4)
def _sources(folder: Path | None) -> tuple[str, ...]:
    return textures.sources(folder)


def _faint(texture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Blur a texture and reduce its contrast."""
    sigma = random.uniform(1, 4)
    soft = np.stack([cv2.GaussianBlur(plane, (0, 0), sigma) for plane in texture])
    mean = soft.mean(axis=(1, 2), keepdims=True)
    return mean + np.float32(random.uniform(0.15, 0.6)) * (soft - mean)


def _composed(layers: list[_Layer], times: float, margin: int) -> np.ndarray:
    """Image of all layers, each moved by ``times`` its shift."""
    image = textures.moved(layers[0].texture, times * layers[0].shift, margin)
    for layer in layers[1:]:
        assert layer.cover is not None
        cover = textures.moved(layer.cover, times * layer.shift, margin)
        image += cover * (textures.moved(layer.texture, times * layer.shift, margin) - image)
    return image


def _visible_motion(layers: list[_Layer], margin: int) -> np.ndarray:
    size = layers[0].texture.shape[1] - 2 * margin
    motion = np.broadcast_to(layers[0].shift.astype(np.float32)[:, None, None], (2, size, size)).copy()
    for layer in layers[1:]:
        assert layer.cover is not None
        visible = layer.cover[margin:-margin, margin:-margin] > 0.5
        motion[:, visible] = layer.shift.astype(np.float32)[:, None]
    return motion


# ---------------------------------------------------------------- faces


def _cast(name: str, face_px: float, style: Style) -> Preset:
    """Eight virtual subjects with one face size."""
    side = int(1.3 * face_px)
    return Preset(name, (1,) * 8, {"happiness": 8}, 100.0, (side, side), face_px, (24, 36), style=style)


#: Virtual subjects with the face sizes of crops. Different styles keep the network from adapting to one camera.
_CASTS = (
    _cast("magnifier-small", 110.0, Style(blur_px=0.3, pores=2.0)),
    _cast("magnifier-middle", 160.0, Style(blur_px=0.5)),
    _cast("magnifier-large", 215.0, Style(blur_px=0.8, pores=3.0, contrast=0.95)),
)


@dataclass(frozen=True)
class _Face:
    texture: np.ndarray  # (3, k h, k w) float32
    landmarks: np.ndarray
    oversample: int


@lru_cache(maxsize=32)
def _face(cast: int, number: int) -> _Face:
    preset = _CASTS[cast]
    person = subject(preset, _FACES_SEED, preset.subjects[number])
    return _Face(person.texture, person.landmarks, preset.style.oversample)


def _face_scene(recipe: Recipe, factor: float, random: np.random.Generator, times: Sequence[float]) -> _Scene:
    face = _face(int(random.integers(len(_CASTS))), int(random.integers(8)))
    static = random.uniform() < recipe.static
    field = _expression(recipe, face, factor, random)
    corner = _corner(recipe.size, face, field, random)
    drift = np.zeros(2)
    if random.uniform() < 0.3:  # the whole head also moves
        drift = _translation(recipe, factor, random) / 2
    if static:
        field, drift = _Field(np.zeros_like(field.magnified), field.left, field.top), np.zeros(2)
    x, y = grid(recipe.size, recipe.size)
    x, y = x + np.float32(corner[0]), y + np.float32(corner[1])
    frames = [_face_frame(face, field, each / factor, each * drift, (x, y)) for each in times]
    return _Scene(frames, field.at(x, y) / np.float32(factor) + drift.astype(np.float32)[:, None, None])


@dataclass(frozen=True)
class _Field:
    """Magnified displacement of the skin in a rectangle of the canvas; zero outside."""

    magnified: np.ndarray  # (2, h, w) float32, canvas pixels, one value every _STEP canvas pixels
    left: int  # of the rectangle, in steps
    top: int

    def at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Displacement (2, ...) at canvas positions."""
        step = np.float32(_STEP)
        x, y = x / step - np.float32(self.left), y / step - np.float32(self.top)
        return sample(self.magnified, x, y, cv2.BORDER_CONSTANT)


def _expression(recipe: Recipe, face: _Face, factor: float, random: np.random.Generator) -> _Field:
    """Action units of a random emotion; the magnified peak is within the recipe's bounds and the skin does not fold."""
    peak_px = _magnified_px(recipe, factor, random)
    emotion = str(random.choice(sorted(emotions.PROTOTYPES)))
    actions = emotions.draw(emotion, (peak_px / _STEP, peak_px / _STEP), 0.5, random)
    magnified, _ = action_units.displacement(actions, face.landmarks / _STEP)
    slope, peak = action_units.slope(magnified), _STEP * float(np.linalg.norm(magnified, axis=0).max())
    shrink = min(1.0, action_units.MAX_SLOPE / max(slope, 1e-9), recipe.reach_px / max(peak, 1e-9))
    area = action_units.window(face.landmarks / _STEP)
    return _Field(magnified * np.float32(_STEP * shrink), area.left, area.top)


def _corner(size: int, face: _Face, field: _Field, random: np.random.Generator) -> np.ndarray:
    """Top left canvas pixel (x, y) of a sample, usually near moving skin."""
    strength = np.linalg.norm(field.magnified[:, ::4, ::4], axis=0)
    moving = np.argwhere(strength > 0.3 * strength.max())
    centre = (moving[random.integers(len(moving))][::-1] * 4 + [field.left, field.top]) * _STEP
    corner = centre - size / 2 + random.uniform(-size / 3, size / 3, 2)
    limit = np.array(face.texture.shape[:0:-1]) / face.oversample - size - 1
    return np.clip(corner, 0, np.maximum(limit, 0))


def _face_frame(
    face: _Face, field: _Field, strength: float, drift: np.ndarray, at: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """The face at canvas positions with ``strength`` times the magnified motion; (3, H, W)."""
    x, y = at[0] - np.float32(drift[0]), at[1] - np.float32(drift[1])
    from_x, from_y = x, y
    for _ in range(_ITERATIONS if strength else 0):
        moved_x, moved_y = np.float32(strength) * field.at(from_x, from_y)
        from_x, from_y = x - moved_x, y - moved_y
    scale = np.float32(face.oversample)
    return sample(face.texture, from_x * scale, from_y * scale)


# ---------------------------------------------------------------- light and camera


@dataclass(frozen=True)
class _Recolouring:
    """Gain, offset and gamma per channel, for values in 0..1, and slopes and curvatures of the lighting."""

    gain: np.ndarray = field(default_factory=lambda: np.ones(3))
    offset: np.ndarray = field(default_factory=lambda: np.zeros(3))
    gamma: np.ndarray = field(default_factory=lambda: np.ones(3))
    lamp: np.ndarray = field(
        default_factory=lambda: np.zeros(5)
    )  # factors of x, y, x², xy and y², which run from -1 to 1 over the image

    @classmethod
    def draw(cls, random: np.random.Generator, lamp: float) -> _Recolouring:
        """Draw values that are partly common to the channels, so that brightness changes as well as colour."""
        strength = random.uniform()

        def around(spread: float) -> np.ndarray:
            return strength * spread * (random.uniform(-1, 1) + random.uniform(-1, 1, 3)) / 2

        colours = 1 + around(0.25), around(0.12), np.exp(around(0.3))
        return cls(*colours, random.uniform(-lamp, lamp, 5)) if lamp else cls(*colours)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        gain, offset, gamma = (
            value.astype(np.float32)[:, None, None] for value in (self.gain, self.offset, self.gamma)
        )
        recoloured = 255 * (gain * (np.clip(image, 0, 255) / 255) ** gamma + offset)
        return recoloured * self._light(image.shape[-1]) if self.lamp.any() else recoloured

    def _light(self, side: int) -> np.ndarray:
        """Brightness across the image, (side, side) float32, about 1."""
        x = np.linspace(-1, 1, side)
        y = x[:, None]
        along_x, along_y, bend_x, twist, bend_y = self.lamp
        light = 1 + along_x * x + along_y * y + bend_x * x**2 + twist * x * y + bend_y * y**2
        return np.maximum(light, 0).astype(np.float32)


def _grey(image: np.ndarray) -> np.ndarray:
    return np.broadcast_to(np.tensordot(LUMA, image, axes=1), image.shape)


def _recorded(image: np.ndarray, strength: float, recipe: Recipe, random: np.random.Generator) -> np.ndarray:
    """The frame as a camera stores it: noise that grows with brightness, one grey level of dither, quantisation."""
    image = np.clip(image, 0, 255)
    noise = random.standard_normal(image.shape, dtype=np.float32)
    dither = random.random(image.shape, dtype=np.float32) - np.float32(0.5)
    image = image + np.float32(strength) * np.sqrt(image) * noise
    return np.clip(np.round(image + dither), 0, 255) if recipe.quantised else np.clip(image, 0, 255)
