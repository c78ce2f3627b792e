"""Dense optical flow between two frames of a face with one of several methods, and the flow stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import cv2
import numpy as np
from skimage.registration import optical_flow_tvl1

from mer_features.core.clips import Clip
from mer_features.core.grey import levels
from mer_features.core.quality import Issue
from mer_features.stages.flow import light, strain, tvl1
from mer_features.stages.options import Flow, FlowMethod, FlowPair
from mer_features.stages.store import ClipRecord, ClipView

#: Smallest side in pixels for which every method can build its image pyramid.
SMALLEST = 16
#: Largest residual motion of the head, in pixels, that ``tvl1_aligned`` accepts.
ALIGNED_PX = 1.0


class NotAlignedError(ValueError):
    """The content of the two images is shifted by more than ``tvl1_aligned`` can follow."""


def estimate(reference: np.ndarray, moved: np.ndarray, method: FlowMethod = "tvl1_fast") -> np.ndarray:
    """Estimate the flow from one image to another.

    Parameters
    ----------
    reference, moved : ndarray, shape (H, W), (H, W, 1) or (H, W, 3)
        uint8, or floating point in [0, 1]; colour (RGB) is reduced to luma. Sides of at least 16 pixels.
    method
        ``tvl1``: TV-L1 (Zach, Pock and Bischof 2007) with OpenCV's defaults, see :mod:`mer_features.stages.flow.tvl1`.
        ``tvl1_fast``: the same method with settings that are more accurate on faces, are faster, and follow larger
        shifts. ``tvl1_aligned``: full resolution only, for registered faces. ``opencv_tvl1``: OpenCV's own TV-L1 with
        its defaults, as a reference. ``skimage_tvl1``: scikit-image's TV-L1 with its defaults. ``farneback``:
        polynomial expansion, window of 15 px. ``dis``: dense inverse search down to full resolution, patches of 8 px
        every 2 px, 20 variational refinements.

    Returns
    -------
    ndarray, shape (2, H, W), float32
        u (right) and v (down) in pixels with ``moved(x + flow(x)) = reference(x)``. Exactly 0 for equal
        images.

    Raises
    ------
    ValueError
        For an unknown method, images of different or too small size, a wrong dtype or shape, NaN, or floating point
        values outside [0, 1].
    NotAlignedError
        For ``tvl1_aligned`` on images whose content is shifted by more than a pixel.

    Notes
    -----
    OpenCV's methods always run on the CPU. Its OpenCL code samples differently, and results would depend on the
    machine.
    """
    if method not in _METHODS:
        raise ValueError(f"found method {method!r}, expected one of {', '.join(_METHODS)}")
    first, second = levels(reference, "reference"), levels(moved, "moved")
    if first.shape != second.shape or min(first.shape) < SMALLEST:
        raise ValueError(f"found {first.shape} and {second.shape}; expected equal shapes, sides >= {SMALLEST}")
    if np.array_equal(first, second):
        return np.zeros((2, *first.shape), np.float32)
    if first.dtype != second.dtype:
        first, second = first.astype(np.float32), second.astype(np.float32)
    return _METHODS[method](first, second)


def estimate_batch(
    references: Sequence[np.ndarray] | np.ndarray,
    moveds: Sequence[np.ndarray] | np.ndarray,
    method: FlowMethod = "tvl1_fast",
    *,
    threads: int = 1,
) -> np.ndarray:
    """Estimate the flow of many pairs of equal size.

    Parameters
    ----------
    references, moveds
        N images each, as for :func:`estimate`.
    method
        Method, as for :func:`estimate`.
    threads
        Number of pairs to process in parallel. The result is identical to the last bit for any number of threads and
        for any division of the pairs into batches.

    Returns
    -------
    ndarray, shape (N, 2, H, W), float32

    Raises
    ------
    ValueError
        As for :func:`estimate`, and if the numbers of images differ or are 0.
    """
    if len(references) != len(moveds) or not len(references):
        raise ValueError(
            f"found {len(references)} references and {len(moveds)} moved images; expected equal numbers of at least 1"
        )
    estimate_pair = partial(estimate, method=method)
    if threads == 1:
        return np.stack(list(map(estimate_pair, references, moveds)))
    with ThreadPoolExecutor(threads) as pool:
        return np.stack(list(pool.map(estimate_pair, references, moveds)))


def process(clip: Clip, inputs: Mapping[str, ClipView], options: Flow) -> ClipRecord:
    """Compute flow and strain between the key frames of one clip.

    Returns
    -------
    ClipRecord
        Arrays ``flow``, shape (P, 2, S, S), float32, in pixels, and ``strain``, shape (P, S, S), float32; attributes
        ``pairs`` (P names joined by commas), ``method`` and, if it is known, ``magnified_by`` (see
        :func:`magnified_by`). If the faces move too much for ``tvl1_aligned``, ``tvl1_fast`` is used instead and the
        record has the issue ``head_motion``.
    """
    issues: list[Issue] = []
    flows = np.stack([_between(*_frames(inputs, pair), options, issues) for pair in options.pairs])
    strains = np.stack([strain.magnitude(u, v) for u, v in flows])
    attrs: dict[str, Any] = {"pairs": ",".join(options.pairs), "method": options.method}
    gain = magnified_by(dict(zip(options.pairs, flows, strict=True)))
    if gain is not None:
        attrs["magnified_by"] = gain
    return ClipRecord(clip.clip_id, {"flow": flows, "strain": strains}, attrs, tuple(issues))


def magnified_by(flows: Mapping[FlowPair, np.ndarray]) -> float | None:
    """Ratio of the measured motion from onset to amplified apex to that from onset to apex.

    Parameters
    ----------
    flows
        Flow (2, H, W) by pair.

    Returns
    -------
    float or None
        Ratio of the mean flow lengths; ``None`` if one of the pairs is missing or the apex does not move.
    """
    pairs: tuple[FlowPair, ...] = ("onset_amplified", "onset_apex")
    if not flows.keys() >= set(pairs):
        return None
    amplified, apex = (float(np.hypot(*flows[pair]).mean(dtype=np.float64)) for pair in pairs)
    return amplified / apex if apex > 0 else None


def _between(reference: np.ndarray, moved: np.ndarray, options: Flow, issues: list[Issue]) -> np.ndarray:
    if options.light == "matched":
        moved = light.match(reference, moved)
    try:
        return estimate(reference, moved, options.method)
    except NotAlignedError as error:
        issues.append(Issue("head_motion", str(error)))
        return estimate(reference, moved, "tvl1_fast")


def _frames(inputs: Mapping[str, ClipView], pair: FlowPair) -> tuple[np.ndarray, np.ndarray]:
    """Crops of a pair, the reference first."""
    reference, moved = pair.split("_")
    crops, position = inputs["faces"]["crops"], inputs["apex"].attrs
    target = inputs["magnify"]["apex"][0] if moved == "amplified" else crops[int(position[moved])]
    return crops[int(position[reference])], target


def _components(flow: np.ndarray) -> np.ndarray:
    """OpenCV's (H, W, 2) as (2, H, W)."""
    return np.ascontiguousarray(flow.transpose(2, 0, 1))


def _own(preset: str, reference: np.ndarray, moved: np.ndarray) -> np.ndarray:
    return tvl1.estimate(reference, moved, tvl1.PRESETS[preset])[0]


def _aligned(reference: np.ndarray, moved: np.ndarray) -> np.ndarray:
    motion = tvl1.residual_motion(reference, moved)
    if motion > ALIGNED_PX:
        raise NotAlignedError(
            f"found a shift of {motion:.1f} px between the images, expected at most {ALIGNED_PX:g} px for "
            "tvl1_aligned; register the faces or use tvl1_fast"
        )
    return _own("tvl1_aligned", reference, moved)


def _opencv_tvl1(reference: np.ndarray, moved: np.ndarray) -> np.ndarray:
    images = [image if image.dtype == np.uint8 else image / 255 for image in (reference, moved)]
    method = cv2.optflow.DualTVL1OpticalFlow_create()  # type: ignore[attr-defined]  # not in OpenCV's stubs
    return _components(method.calc(*images, None))


def _skimage_tvl1(reference: np.ndarray, moved: np.ndarray) -> np.ndarray:
    images = [image.astype(np.float32) / 255 for image in (reference, moved)]
    down_right = optical_flow_tvl1(*images)
    return np.ascontiguousarray(down_right[::-1])


def _farneback(reference: np.ndarray, moved: np.ndarray) -> np.ndarray:
    options: dict[str, Any] = {"pyr_scale": 0.5, "levels": 3, "winsize": 15, "iterations": 3}
    options |= {"poly_n": 5, "poly_sigma": 1.2, "flags": 0}
    return _components(cv2.calcOpticalFlowFarneback(reference, moved, None, **options))


def _dis(reference: np.ndarray, moved: np.ndarray) -> np.ndarray:
    medium = cv2.DISOPTICAL_FLOW_PRESET_MEDIUM
    method = cv2.DISOpticalFlow_create(medium)  # type: ignore[attr-defined]  # not in OpenCV's stubs
    method.setFinestScale(0)
    method.setPatchStride(2)
    method.setVariationalRefinementIterations(20)
    images = [np.rint(image).astype(np.uint8) for image in (reference, moved)]  # the method accepts only 8 bits
    return _components(method.calc(*images, None))


_METHODS: dict[FlowMethod, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "tvl1": partial(_own, "tvl1"),
    "tvl1_fast": partial(_own, "tvl1_fast"),
    "tvl1_aligned": _aligned,
    "opencv_tvl1": _opencv_tvl1,
    "skimage_tvl1": _skimage_tvl1,
    "farneback": _farneback,
    "dis": _dis,
}
