"""HOG-TOP and HIGO-TOP: histograms of gradient orientation on three orthogonal planes of a clip.

Li, Hong, Moilanen, Huang, Pfister, Zhao and Pietikäinen 2018, "Towards reading hidden emotions: a comparative study of
spontaneous micro-expression spotting and recognition methods" (doi:10.1109/TAFFC.2017.2667642). The gradient is the
difference of the two neighbours of a voxel along each axis. In each of the planes XY, XT and YT, the orientation of
the gradient votes into a histogram for each block of the frame, with the magnitude of the gradient (HOG) or with 1
(HIGO, which ignores contrast).

Our choices: orientations run over the full circle in bins centred on 0°, so that a pixel that does not change in time
is not at a border between bins; a vote goes to one bin; 5 x 5 blocks; each histogram is divided by its sum.
"""

from __future__ import annotations

import numpy as np

from mer_features.stages.descriptors.bi_woof import BLOCKS, blocks

#: Planes by the axes of a volume (T, H, W), the first axis of the plane first: XY, XT, YT.
_PLANES = ((2, 1), (2, 0), (1, 0))
#: Gradients below this number of grey levels are rounding errors and have no orientation.
_LEAST = 1e-6


def length(bins: int) -> int:
    """Length of the descriptor."""
    return BLOCKS * BLOCKS * len(_PLANES) * bins


def describe(volume: np.ndarray, bins: int, *, weighted: bool) -> np.ndarray:
    """HOG-TOP or HIGO-TOP descriptor of a clip.

    Parameters
    ----------
    volume : ndarray, shape (T, H, W)
        Grey levels, any real dtype; T >= 3, H and W >= 15, so that no block lies on the border alone.
    bins
        Number p of orientations. Bin b is centred on 360° b / p, counted from the first axis of the plane to the
        second.
    weighted
        Whether a gradient votes with its magnitude (HOG) or with 1 (HIGO).

    Returns
    -------
    ndarray, shape (75 p,), float64
        Histograms ordered by block (row by row), then by plane (XY, XT, YT); the sum of each is 1, or 0 where nothing
        has a gradient.

    Raises
    ------
    ValueError
        If the volume is too small or has another number of dimensions.
    """
    if volume.ndim != 3 or len(volume) < 3 or min(volume.shape[1:]) < 3 * BLOCKS:
        raise ValueError(f"found a volume of shape {volume.shape}, expected (T, H, W), at least (3, 15, 15)")
    gradients = [_difference(volume, axis) for axis in range(3)]
    block = blocks(volume.shape[1:])[1:-1, 1:-1]
    histograms = np.zeros((BLOCKS * BLOCKS, len(_PLANES), bins))
    for plane, (first, second) in enumerate(_PLANES):
        along, across = gradients[first], gradients[second]
        votes = np.hypot(along, across)
        votes[votes < _LEAST] = 0
        bin_ = np.rint(np.arctan2(across, along) * (bins / (2 * np.pi))).astype(np.int64) % bins
        weights = votes if weighted else (votes > 0).astype(np.float64)
        counts = np.bincount((block * bins + bin_).ravel(), weights.ravel(), BLOCKS * BLOCKS * bins)
        histograms[:, plane] = counts.reshape(-1, bins)
    sums = histograms.sum(axis=-1, keepdims=True)
    result: np.ndarray = np.divide(histograms, sums, out=np.zeros_like(histograms), where=sums > 0).ravel()
    return result


def _difference(volume: np.ndarray, axis: int) -> np.ndarray:
    """Difference of the next and the previous voxel along an axis, for voxels inside all borders."""
    later, earlier = [slice(1, -1)] * 3, [slice(1, -1)] * 3
    later[axis], earlier[axis] = slice(2, None), slice(None, -2)
    difference: np.ndarray = volume[tuple(later)].astype(np.float64) - volume[tuple(earlier)]
    return difference
