"""Face crops of a whole clip (:func:`crop_clip`), and the face stage (:func:`process`)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mer_features.core.clips import Clip, KeyFrames, key_frames
from mer_features.core.quality import ClipRejectedError, Issue
from mer_features.frames import Frame, FrameBuffer, FrameSequence, open_frames
from mer_features.stages.faces import align
from mer_features.stages.faces.layout import Layout, lay_out
from mer_features.stages.faces.register import Motion, Registrar
from mer_features.stages.faces.warp import warp
from mer_features.stages.options import Faces
from mer_features.stages.store import ClipRecord, ClipView

#: Largest head motion between onset and apex without a warning, as a fraction of the side of the crop. Flow methods can
#: follow about this much if registration has not removed it, and larger head motion is not well described by a
#: similarity of the image.
MAX_MOTION_SHARE = 0.04

#: Largest motion in crop pixels (median over the face) that may remain after registration without a warning.
MAX_RESIDUAL_PX = 1.0


@dataclass(frozen=True)
class FaceClip:
    """The crops of one clip, and the transforms that produced them.

    Attributes
    ----------
    crops : ndarray, shape (T, S, S, C), uint8
        RGB for C = 3, grey for C = 1.
    landmarks : ndarray, shape (68, 2), float32
        x, y in crop pixels on the onset frame; NaN if the detector finds no face in a precropped frame.
    transform : ndarray, shape (2, 3), float64
        Maps source pixels to crop pixels on the onset frame.
    motion : ndarray, shape (T, 2, 3), float64
        Maps source pixels of the onset frame to those of frame t:
        ``crop_t(p) = frame_t(motion_t(transform⁻¹(p)))``.
    residual : ndarray, shape (T,), float32
        Motion that remains after registration: the median distance of tracked points, in source pixels. NaN for
        frames that were not registered.
    box : ndarray, shape (4,), float64
        Left, top, width, height of the detector's box on the onset frame, in source pixels.
    score : float
        Score of the detection, 0..1; NaN without a detection.
    frame_size : tuple of int
        Height and width of the source.
    issues : tuple of Issue
    """

    crops: np.ndarray
    landmarks: np.ndarray
    transform: np.ndarray
    motion: np.ndarray
    residual: np.ndarray
    box: np.ndarray
    score: float
    frame_size: tuple[int, int]
    issues: tuple[Issue, ...]


def crop_clip(images: Iterable[np.ndarray], onset: np.ndarray, options: Faces | None = None) -> FaceClip:
    """Crop the face from every frame of a clip.

    The position of the crop is determined on the onset frame. Head motion is measured between the onset frame and each
    other frame, as set in ``options``. Crop and motion are applied to the source in a single resampling.

    Parameters
    ----------
    images : iterable of ndarray, shape (H, W, C), uint8
        All frames in temporal order, C = 3 for RGB or 1 for grey. They are read once and not held in memory.
    onset : ndarray, shape (H, W, C), uint8
        The onset frame; it need not be one of ``images``.
    options : Faces, optional
        By default the defaults of the section ``faces``.

    Raises
    ------
    ClipRejectedError
        With code ``no_face`` if no face is detected on the onset frame.
    FileNotFoundError, ValueError
        If the landmark model cannot be used.
    """
    options = options or Faces()
    layout = lay_out(onset, options)
    measure = _motion_measure(onset, layout, options)
    to_onset = align.invert(layout.transform)
    crops, motions = FrameBuffer(), []
    for image in images:
        motion = measure(image)
        crops.append(warp(image, align.compose(motion.matrix, to_onset), options.size))
        motions.append(motion)
    return FaceClip(
        crops=crops.stack(),
        landmarks=align.apply(layout.transform, layout.landmarks).astype(np.float32),
        transform=layout.transform,
        motion=np.stack([motion.matrix for motion in motions]),
        residual=np.array([motion.residual_px for motion in motions], dtype=np.float32),
        box=layout.box,
        score=layout.score,
        frame_size=(onset.shape[0], onset.shape[1]),
        issues=layout.issues + _registration_issues(motions),
    )


def _motion_measure(onset: np.ndarray, layout: Layout, options: Faces) -> Callable[[np.ndarray], Motion]:
    """The function that measures the head motion from the onset frame to another frame."""
    if options.mode == "precropped" or options.stills:
        return lambda _: Motion(align.identity(), float("nan"), reliable=True)
    if options.per_frame:
        return _motion_per_frame(layout, options)
    if options.register_method == "none":
        return lambda _: Motion(align.identity(), float("nan"), reliable=True)
    return Registrar(onset, layout.landmarks, options.register_method).register


def _motion_per_frame(layout: Layout, options: Faces) -> Callable[[np.ndarray], Motion]:
    """Measure the motion by a separate layout of every frame; a frame without a face gets the motion before it."""
    last = align.identity()

    def measure(image: np.ndarray) -> Motion:
        nonlocal last
        try:
            current = lay_out(image, options)
        except ClipRejectedError:
            return Motion(last, float("nan"), reliable=False)
        last = align.compose(align.invert(current.transform), layout.transform)
        return Motion(last, float("nan"), reliable=True)

    return measure


def _registration_issues(motions: Sequence[Motion]) -> tuple[Issue, ...]:
    failed = [str(place) for place, motion in enumerate(motions) if not motion.reliable]
    if not failed:
        return ()
    shown = ", ".join(failed[:10]) + (", ..." if len(failed) > 10 else "")
    return (Issue("registration_failed", f"{len(failed)} of {len(motions)} frames, at positions {shown}"),)


def process(clip: Clip, inputs: Mapping[str, ClipView], options: Faces) -> ClipRecord:  # noqa: ARG001
    """The face stage for one clip.

    Parameters
    ----------
    clip : Clip
    inputs : mapping
        Not used, because this is the first stage.
    options : Faces

    Returns
    -------
    ClipRecord
        Arrays ``crops``, ``numbers``, ``times``, ``landmarks``, ``transform``, ``motion``, ``residual``; attributes
        ``onset``, ``offset``, ``annotated_apex`` (-1 for none), ``score``, ``box``, ``frame_size``, ``fps``,
        ``source_sha256``.

    Raises
    ------
    ClipRejectedError
        If the frames cannot be read or no face is detected; ``few_frames`` for a clip of one frame and, with
        ``options.stills``, ``several_frames`` for a source of more than one.
    FileNotFoundError, ValueError
        If the landmark model cannot be used.
    """
    sequence = open_frames(clip.source, clip.first, clip.last)
    frames = iter(sequence)
    first = next(frames)
    stamps: list[tuple[int, float]] = []
    images = _images(itertools.chain([first], frames), stamps)
    face = crop_clip(images, _onset_image(clip, sequence, first), options)
    if options.stills and len(stamps) > 1:
        raise ClipRejectedError("several_frames", f"{len(stamps)} frames")
    if not options.stills and len(stamps) < 2:
        raise ClipRejectedError("few_frames", f"{len(stamps)} frame")
    numbers = np.array([number for number, _ in stamps], dtype=np.int64)
    keys = KeyFrames(0, 0, 0, ()) if options.stills else key_frames(clip, numbers.tolist())
    arrays = {name: getattr(face, name) for name in ("crops", "landmarks", "transform", "motion", "residual")}
    arrays |= {"numbers": numbers, "times": _times(clip, sequence, stamps)}
    issues = (*sequence.issues, *keys.issues, *face.issues, *motion_issues(face, keys))
    return ClipRecord(clip.clip_id, arrays, _attributes(clip, sequence, face, keys), issues)


def _attributes(clip: Clip, sequence: FrameSequence, face: FaceClip, keys: KeyFrames) -> dict[str, object]:
    return {
        "onset": keys.onset,
        "offset": keys.offset,
        "annotated_apex": -1 if keys.apex is None else keys.apex,
        "score": face.score,
        "box": face.box,
        "frame_size": np.array(face.frame_size),
        "fps": clip.fps or sequence.fps or float("nan"),
        "source_sha256": sequence.sha256(),
    }


def _onset_image(clip: Clip, sequence: FrameSequence, first: Frame) -> np.ndarray:
    """The onset frame; it is read in advance only if it is not the first frame."""
    if clip.onset is None or clip.onset <= first.number:
        return first.image
    return sequence.nearest(clip.onset).image


def _images(frames: Iterable[Frame], stamps: list[tuple[int, float]]) -> Iterator[np.ndarray]:
    """Yield the images of frames, and append the number and time of each frame to ``stamps``."""
    for frame in frames:
        stamps.append((frame.number, frame.time_s))
        yield frame.image


def _times(clip: Clip, sequence: FrameSequence, stamps: Sequence[tuple[int, float]]) -> np.ndarray:
    """Times of the frames in seconds, shape (T,), float64.

    These are the time stamps of the file, unless the annotation sheet gives another frame rate: high-speed recordings
    are often stored for slow playback. In that case, and for image folders, times are frame numbers divided by the
    rate in the sheet.
    """
    numbers, times = np.array(stamps, dtype=np.float64).T
    slow_motion = clip.fps and sequence.fps and abs(sequence.fps / clip.fps - 1) > 0.05
    if clip.fps and (slow_motion or np.isnan(times).all()):
        times = (numbers - numbers[0]) / clip.fps
    result: np.ndarray = times
    return result


def motion_issues(face: FaceClip, keys: KeyFrames) -> tuple[Issue, ...]:
    """Issues if the head motion between onset and apex is too large (up to the offset without an apex)."""
    low, high = sorted((keys.onset, keys.offset if keys.apex is None else keys.apex))
    size = face.crops.shape[1]
    steps = (np.arange(8) + 0.5) * size / 8
    grid = align.apply(align.invert(face.transform), np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2))
    scale = np.sqrt(abs(np.linalg.det(face.transform[:, :2])))
    distances = [np.hypot(*(align.apply(motion, grid) - grid).T).mean() for motion in face.motion[low : high + 1]]
    motion_px = scale * float(max(distances))
    issues = []
    if motion_px > MAX_MOTION_SHARE * size:
        issues.append(Issue("head_motion", f"{motion_px:.1f} px in the crop, limit {MAX_MOTION_SHARE * size:.1f}"))
    residual_px = scale * float(np.nan_to_num(face.residual[low : high + 1]).max())
    if residual_px > MAX_RESIDUAL_PX:
        issues.append(
            Issue("head_motion", f"{residual_px:.1f} px in the crop after registration, limit {MAX_RESIDUAL_PX}")
        )
    return tuple(issues)
