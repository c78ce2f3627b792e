"""Style aggregation by statistics, without weights or training and without changing the phase of the image.

A face is converted to the mean of k reference styles. This sets three kinds of statistics to those of the style:

- the channel means and standard deviations in a colour space that separates lightness from colour (Reinhard,
  Ashikhmin, Gooch and Shirley, "Color transfer between images", 2001; here CIELAB instead of lαβ);
- the amplitudes of the lowest frequencies, with the phase of the image (Yang and Soatto, "FDA: Fourier domain
  adaptation", 2020);
- the shape of the spectrum of L in four radial bands, by a zero-phase filter. This step is our own; it is needed
  because the other two do not describe blur and noise.

Applied one after the other, these steps would affect each other: the amplitudes change the standard deviation that was
set first. They are therefore applied together. The lowest frequencies are set by the amplitudes, and the standard
deviation is set on the remaining frequencies, so that a second aggregation changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mer_features.stages.style import lab, statistics
from mer_features.stages.style.statistics import Statistics

#: Largest change of the amplitude of one band relative to the mean of all bands, as a natural logarithm; with larger
#: changes, noise would dominate the image.
MAX_BAND_GAIN = float(np.log(2))
#: Contrast in Lab units below which a channel has no detail to scale.
_FLAT = 1e-6
#: Largest number of rounds in which the change is corrected for colours outside sRGB, and the clipping in Lab units
#: that is tolerated.
_ROUNDS, _CUT = 4, 0.2


@dataclass(frozen=True)
class Transform:
    """A change of style, the same for every frame of a clip: each Lab plane is filtered, then a field is added.

    Attributes
    ----------
    lightness : ndarray, shape (H, W)
        Gain of every coefficient of the cosine spectrum of L.
    chroma : ndarray, shape (2,)
        Gains of a and b; empty for a grey clip.
    field : ndarray, shape (C, H, W)
        Smooth planes that change the means and the lowest frequencies.
    """

    lightness: np.ndarray
    chroma: np.ndarray
    field: np.ndarray

    def __call__(self, planes: np.ndarray) -> np.ndarray:
        """Lab planes (C, H, W) of a frame in the new style; colours outside sRGB are not clipped."""
        scaled = [_filter(planes[0], self.lightness), *(self.chroma[:, None, None] * planes[1:])]
        result: np.ndarray = np.stack(scaled) + self.field
        return result

    def then(self, later: Transform) -> Transform:
        """A single change equal to this change followed by another."""
        field = np.stack([_filter(self.field[0], later.lightness), *(later.chroma[:, None, None] * self.field[1:])])
        return Transform(self.lightness * later.lightness, self.chroma * later.chroma, field + later.field)


def transform(onset: np.ndarray, references: Sequence[Statistics]) -> Transform:
    """The change of style from a clip to the mean of the reference styles.

    For given parameters, a change is linear in the image. The mean of the k renderings of an image is therefore a
    single rendering with the mean parameters, which is what this function computes.

    Parameters
    ----------
    onset : ndarray, shape (H, W, 1) or (H, W, 3), uint8
        The clip's onset crop, which alone determines the change. If the change were fitted to each frame, it would add
        or remove differences between frames.
    references
        Reference styles, at least one. Chroma is set to the mean of the colour references; without any, it is not
        changed.

    Raises
    ------
    ValueError
        If there are no references, or one was measured on crops of another size.
    """
    planes = lab.planes(onset)
    target = _mean(references, planes.shape)
    change, clipped = None, planes
    for _ in range(_ROUNDS):
        step = _towards(clipped, target)
        change = step if change is None else change.then(step)
        rendered = change(planes)
        clipped = lab.shown(rendered)
        if np.abs(clipped - rendered).max() <= _CUT:
            break
    assert change is not None
    return change


def apply(image: np.ndarray, change: Transform) -> np.ndarray:
    """A frame of the clip in its new style, uint8, of the same shape.

    A grey frame remains grey, unless the clip is in colour and only this frame has no colour.
    """
    planes = lab.planes(image)
    missing = len(change.field) - len(planes)
    planes = np.pad(planes, ((0, max(missing, 0)), (0, 0), (0, 0)))
    return lab.image(change(planes), image.shape[2])


def render(image: np.ndarray, reference: Statistics) -> np.ndarray:
    """An image in one reference style, uint8, of the same shape."""
    return apply(image, transform(image, [reference]))


def _mean(references: Sequence[Statistics], shape: tuple[int, ...]) -> Statistics:
    """Mean of the references; its chroma is the mean of the colour references."""
    side = 2 * statistics.half_side(shape) + 1
    if not references or any(reference.low.shape[-1] != side for reference in references):
        problem = "found none" if not references else "some were measured on crops of another size"
        raise ValueError(f"reference styles: {problem}; expected at least one, measured on crops of {shape[-2:]} px")
    coloured = [reference for reference in references if reference.channels == 3]
    return statistics.combine(coloured or references, np.mean, lightness_of=references)


def _towards(planes: np.ndarray, target: Statistics) -> Transform:
    """The change that gives planes the target's mean, contrast, lowest amplitudes and, for L, spectral shape."""
    lightness = _lightness_gain(planes[0], target)
    fields = [_field(planes[0], _filter(planes[0], lightness), target, 0)]
    chroma = np.ones(len(planes) - 1)
    for channel in range(1, len(planes)):
        if channel >= target.channels:  # grey styles do not define colour
            fields.append(np.zeros_like(planes[channel]))
            continue
        chroma[channel - 1] = _contrast_gain(planes[channel], target.detail[channel])
        fields.append(_field(planes[channel], chroma[channel - 1] * planes[channel], target, channel))
    return Transform(lightness, chroma, np.stack(fields))


def _lightness_gain(plane: np.ndarray, target: Statistics) -> np.ndarray:
    """Gain (H, W) of the cosine spectrum of L that gives it the target's spectral shape and contrast."""
    spectrum = statistics.cosine_spectrum(plane - plane.mean())
    levels = statistics.band_levels(spectrum)
    change = target.form - (levels - levels.mean())
    weights = np.linalg.solve(statistics.band_response(plane.shape), change)
    weights = np.clip(weights - weights.mean(), -MAX_BAND_GAIN, MAX_BAND_GAIN)
    form = np.exp(np.tensordot(weights, statistics.hats(plane.shape), axes=1))
    return form * _contrast_gain(statistics.from_cosine_spectrum(form * spectrum), target.detail[0])


def _contrast_gain(plane: np.ndarray, detail: float) -> float:
    """Factor that gives the detail of a plane this standard deviation; 1 for a plane without detail."""
    deviation = statistics.detail_of(plane).std()
    return float(detail / deviation) if deviation > _FLAT else 1.0


def _filter(plane: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Multiply the cosine spectrum of a plane by a gain (H, W)."""
    return statistics.from_cosine_spectrum(gain * statistics.cosine_spectrum(plane))


def _field(plane: np.ndarray, scaled: np.ndarray, target: Statistics, channel: int) -> np.ndarray:
    """Field to add to the scaled plane to reach the target's mean and lowest amplitudes, with the plane's phase."""
    low = statistics.low_coefficients(plane[None])[0]
    amplitude = np.abs(low)
    phase = np.divide(low, amplitude, out=np.zeros_like(low), where=amplitude > 0)
    change = target.low[channel] * phase - statistics.low_coefficients(scaled[None])[0]
    result: np.ndarray = target.mean[channel] - scaled.mean() + statistics.low_field(change[None], plane.shape)[0]
    return result
