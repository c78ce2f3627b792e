"""Signals of a recording: what is stored for each analysed frame, and what every spotter reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Signals:
    """One row for each of the T analysed frames of a recording.

    Attributes
    ----------
    number : ndarray, shape (T,), int64
        Frame numbers of the recording, ascending. Frames that are missing in the source have a row, too, with NaN.
    time_s : ndarray, shape (T,), float64
        Seconds since the first frame.
    motion : ndarray, shape (T, 17, 2), float32
        Displacement (x to the right of the picture, y down) of each of
        :data:`~mer_features.stages.signals.regions.REGIONS` without the motion of the head, in distances between the
        centres of the eyes; relative to a key frame, so that only its changes within a segment have a meaning. NaN
        where it was not measured.
    lids : ndarray, shape (T, 2), float32
        Opening of the right and left lids (lower minus upper lid, vertical) relative to the key frame, in distances
        between the eyes: negative while an eye is closed. NaN as above.
    head : ndarray, shape (T, 4), float32
        Similarity from the first frame of the segment to this one: scale - 1, rotation in degrees, and the shift in x
        and y in distances between the eyes. NaN as above.
    residual : ndarray, shape (T,), float32
        Error of the registration of the head, in distances between the eyes; NaN where the face was not found.
    reliable : ndarray, shape (T,), bool
        Whether the head was registered well enough to use the row.
    segment : ndarray, shape (T,), int32
        A number that changes where the face was lost and found again. Signals of two segments are not comparable.
    brightness : ndarray, shape (T,), float32
        Mean grey level of the face, 0..255; NaN where no face was found.
    repeated : ndarray, shape (T,), bool
        Whether the frame is a copy of the one before, as in recordings that were encoded again.
    fps : float
        Analysed frames per second.
    eye_px : float
        Distance between the centres of the eyes, in pixels of the recording.
    """

    number: np.ndarray
    time_s: np.ndarray
    motion: np.ndarray
    lids: np.ndarray
    head: np.ndarray
    residual: np.ndarray
    reliable: np.ndarray
    segment: np.ndarray
    brightness: np.ndarray
    repeated: np.ndarray
    fps: float
    eye_px: float
