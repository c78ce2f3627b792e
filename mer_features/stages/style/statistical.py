"""Style aggregation by statistics: no weights, no training, the image's own phase throughout.

A face is brought to the mean of k reference styles. Reaching a style takes its channel means and standard deviations
in a colour space that separates lightness from colour (Reinhard, Ashikhmin, Gooch and Shirley, "Color transfer
between images", 2001; CIELAB for their lαβ) and the amplitudes of its lowest frequencies under the image's own phase
(Yang and Soatto, "FDA: Fourier domain adaptation", 2020). Ours: the form of L's spectrum in four radial bands is
brought to the style's by a zero-phase filter, because the first two say nothing about blur and noise.

Taken one after the other these steps undo each other: the amplitudes change the deviation that was set first. They
are satisfied together instead: the lowest frequencies, which the amplitudes fix, and the rest, whose deviation is
then free, are treated apart, so that a second aggregation finds nothing left to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mer_features.stages.style import lab, statistics
from mer_features.stages.style.statistics import Statistics

#: Largest change of one band's amplitude against the mean of all, as a logarithm: beyond, noise is all one sees.
MAX_BAND_GAIN = float(np.log(2))
#: Contrast below which a channel holds no detail to scale, units of Lab.
_FLAT = 1e-6
#: Rounds in which the change is corrected for colours that sRGB cuts off, and the cut in Lab units that is let pass.
_ROUNDS, _CUT = 4, 0.2


@dataclass(frozen=True)
class Transform:
    """One change of style, the same for every frame of a clip: each Lab plane is filtered, then a field added.

    Attributes
    ----------
    lightness : ndarray, shape (H, W)
        Gain of every coefficient of L's cosine spectrum.
    chroma : ndarray, shape (2,)
        Gains of a and b; empty for a grey clip.
    field : ndarray, shape (C, H, W)
        Smooth planes: changes of the means and of the lowest frequencies.
    """

    lightness: np.ndarray
    chroma: np.ndarray
    field: np.ndarray

    def __call__(self, planes: np.ndarray) -> np.ndarray:
        """Lab planes (C, H, W) of a frame in the new style, not yet cut off at what sRGB can show."""
        changed = [_filtered(planes[0], self.lightness), *(self.chroma[:, None, None] * planes[1:])]
        result: np.ndarray = np.stack(changed) + self.field
        return result

    def then(self, later: Transform) -> Transform:
        """The change that is this one followed by another."""
        field = np.stack([_filtered(self.field[0], later.lightness), *(later.chroma[:, None, None] * self.field[1:])])
        return Transform(self.lightness * later.lightness, self.chroma * later.chroma, field + later.field)


def transform(onset: np.ndarray, references: Sequence[Statistics]) -> Transform:
    """The change of style that takes a clip to the mean of the reference styles.

    A change is linear in the image once its parameters are known, so that the mean of the k renderings of an image is
    one rendering with their mean parameters, which is what is computed.

    Parameters
    ----------
    onset : ndarray, shape (H, W, 1) or (H, W, 3), uint8
        The clip's onset crop, which alone decides: fitted to each frame, the change would add or remove difference
        between them.
    references
        Reference styles, at least one. Chroma follows those of colour; without any it stays as it is.

    Raises
    ------
    ValueError
        If there is no reference, or one was measured on crops of another size.
    """
    planes = lab.planes(onset)
    target = _mean(references, planes.shape)
    change, seen = None, planes
    for _ in range(_ROUNDS):
        step = _towards(seen, target)
        change = step if change is None else change.then(step)
        made = change(planes)
        seen = lab.shown(made)
        if np.abs(seen - made).max() <= _CUT:
            break
    assert change is not None
    return change


def apply(image: np.ndarray, change: Transform) -> np.ndarray:
    """A frame of the clip in its new style, uint8 of the same shape.

    A grey frame stays grey, unless its clip is one of colour and the frame only happens to have none.
    """
    planes = lab.planes(image)
    missing = len(change.field) - len(planes)
    planes = np.pad(planes, ((0, max(missing, 0)), (0, 0), (0, 0)))
    return lab.image(change(planes), image.shape[2])


def render(image: np.ndarray, reference: Statistics) -> np.ndarray:
    """An image in one reference style, uint8 of the same shape."""
    return apply(image, transform(image, [reference]))


def _mean(references: Sequence[Statistics], shape: tuple[int, ...]) -> Statistics:
    """Mean of the references; its chroma is that of those of colour."""
    side = 2 * statistics.half_side(shape) + 1
    if not references or any(reference.low.shape[-1] != side for reference in references):
        found = "none" if not references else "some measured on crops of another size"
        raise ValueError(f"reference styles: found {found}, expected at least one measured at {shape[-2:]}")
    coloured = [reference for reference in references if reference.channels == 3]
    return statistics.combine(coloured or references, np.mean, lightness_of=references)


def _towards(planes: np.ndarray, target: Statistics) -> Transform:
    """The change that gives planes the target's mean, contrast, lowest amplitudes and, in L, form of the spectrum."""
    lightness = _lightness_gain(planes[0], target)
    fields = [_field(planes[0], _filtered(planes[0], lightness), target, 0)]
    chroma = np.ones(len(planes) - 1)
    for channel in range(1, len(planes)):
        if channel >= target.channels:  # grey styles say nothing about colour
            fields.append(np.zeros_like(planes[channel]))
            continue
        chroma[channel - 1] = _contrast_gain(planes[channel], target.detail[channel])
        fields.append(_field(planes[channel], chroma[channel - 1] * planes[channel], target, channel))
    return Transform(lightness, chroma, np.stack(fields))


def _lightness_gain(plane: np.ndarray, target: Statistics) -> np.ndarray:
    """Gain (H, W) of L's cosine spectrum that gives it the target's spectral form and contrast."""
    spectrum = statistics.cosine_spectrum(plane - plane.mean())
    levels = statistics.band_levels(spectrum)
    wanted = target.form - (levels - levels.mean())
    weights = np.linalg.solve(statistics.band_response(plane.shape), wanted)
    weights = np.clip(weights - weights.mean(), -MAX_BAND_GAIN, MAX_BAND_GAIN)
    form = np.exp(np.tensordot(weights, statistics.hats(plane.shape), axes=1))
    return form * _contrast_gain(statistics.from_cosine_spectrum(form * spectrum), target.detail[0])


def _contrast_gain(plane: np.ndarray, detail: float) -> float:
    """What a plane's detail is multiplied by to have this deviation; 1 for a plane that has none."""
    found = statistics.detail_of(plane).std()
    return float(detail / found) if found > _FLAT else 1.0


def _filtered(plane: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """A plane under a gain (H, W) of its cosine spectrum."""
    return statistics.from_cosine_spectrum(gain * statistics.cosine_spectrum(plane))


def _field(plane: np.ndarray, scaled: np.ndarray, target: Statistics, channel: int) -> np.ndarray:
    """What the scaled plane lacks of the target's mean and, under the plane's own phase, its lowest amplitudes."""
    own = statistics.low_coefficients(plane[None])[0]
    strength = np.abs(own)
    phase = np.divide(own, strength, out=np.zeros_like(own), where=strength > 0)
    change = target.low[channel] * phase - statistics.low_coefficients(scaled[None])[0]
    result: np.ndarray = target.mean[channel] - scaled.mean() + statistics.low_field(change[None], plane.shape)[0]
    return result
