"""Settings of the rendered recordings, and the named presets ``long`` and ``tiny-long``."""

from __future__ import annotations

from dataclasses import dataclass, field

from mer_features.synthetic.presets import Nuisance, Preset, Style


@dataclass(frozen=True)
class EventSettings:
    """How many events of which kind all recordings of a preset have; every count is exact.

    Peaks are those of the strongest action unit, in pixels of the rendered frame. Durations are those that an annotator
    sees, see :attr:`~mer_features.synthetic.recordings.movements.Movement.visible`.
    """

    micro: int
    macro: int
    micro_px: tuple[float, float]
    macro_px: tuple[float, float]
    weak_px: tuple[float, float]  # of the weak macro-expressions, which are weaker than the strongest micro-expressions
    weak: int  # weak macro-expressions
    slow_micros: int  # micro-expressions longer than 0.5 s: the kind depends on the rise
    brief_macros: int  # macro-expressions shorter than 0.5 s
    short_macros: int  # further macro-expressions of at most 0.7 s
    one_sided: int  # micro-expressions of one half of the face
    inside: int  # micro-expressions within the plateau of a macro-expression
    near: int  # pairs of events less than 0.3 s apart
    overlapping: int  # pairs of one kind that overlap with an IoU below 0.3
    cut: tuple[int, int]  # macro-expressions cut by the start and by the end of the film


@dataclass(frozen=True)
class Disturbances:
    """What else moves or changes in recordings. A range is one from which each recording draws a value.

    Lengths are in pixels of a frame in which the face is 165 px high, and scale with the face.
    """

    blinks_per_minute: tuple[float, float] = (10.0, 25.0)
    many_blinks_per_minute: tuple[float, float] = (35.0, 50.0)  # of the event-less recording with many blinks
    blinks_inside: int = 4  # blinks within micro-expressions
    half_blinks: int = 2
    winks: int = 1
    speech: int = 5  # recordings with speech
    speech_px: tuple[float, float] = (0.5, 3.0)
    swallows: int = 2
    residuals_per_minute: tuple[float, float] = (3.0, 6.0)  # slow smile-like movements, at least one per recording
    residual_px: tuple[float, float] = (0.1, 0.2)
    fast_px: tuple[float, float] = (0.2, 0.8)  # rms of the head motion within 0.15 s
    slow_px: tuple[float, float] = (3.0, 15.0)  # largest excursion of the head within 1 to 3 s
    nods_per_minute: tuple[float, float] = (1.0, 5.0)
    postures_per_minute: tuple[float, float] = (0.0, 1.5)
    many_postures_per_minute: tuple[float, float] = (8.0, 12.0)  # of the event-less recording with posture changes
    lean: tuple[float, float] = (0.01, 0.02)  # largest change of scale
    turn_deg: tuple[float, float] = (0.5, 1.5)  # largest in-plane rotation
    yaw: tuple[float, float] = (0.3, 1.0)  # largest turn to the side; 1 moves the nose by 1.5 % of the eye distance
    gaze_px: float = 2.0  # largest displacement of the pupils
    ripple: tuple[float, float] = (0.005, 0.02)  # amplitude of the mains ripple, fraction
    slow_lamp: tuple[float, float] = (0.01, 0.03)  # rms change of brightness within seconds, fraction
    beats: int = 2  # recordings at 29.97 frames/s under lamps with 120 Hz; the others have lamps with 100 Hz
    exposure_steps: int = 1  # recordings in which brightness changes by 8 % at once
    dropped: int = 2  # recordings without 0.5 % of their frames
    repeated: int = 1  # recordings in which frames are shown again, as after re-encoding
    hidden: int = 1  # recordings in which a hand hides the face for 0.7 s
    coarse: int = 2  # recordings with JPEG quality 75


@dataclass(frozen=True)
class RecordingPreset:
    """Contents and difficulty of one set of rendered recordings."""

    camera: Preset  # frame size, face, style and noise; its clips name the subjects
    films: tuple[tuple[float, float], ...]  # frames per second and seconds of each recording
    quiet: tuple[str, ...]  # what happens in the recordings without events: "speech", "blinks", "postures"
    macro_only: int  # recordings with events, but without micro-expressions
    codecs: tuple[str, ...]  # of the recordings that are video files: "ffv1", "mjpeg"
    events: EventSettings
    disturbances: Disturbances = field(default_factory=Disturbances)

    @property
    def name(self) -> str:
        """Name of the preset."""
        return self.camera.name

    @property
    def scale(self) -> float:
        """Size of the face relative to that for which lengths in pixels are given."""
        return self.camera.face_px / 165.0


def _camera(name: str, subjects: int, side: int, face_px: float, nuisance: Nuisance, style: Style) -> Preset:
    return Preset(
        name=name,
        clips=(0,) * subjects,
        emotions={},
        fps=30.0,
        size=(side, side),
        face_px=face_px,
        frames=(5, 5),
        nuisance=nuisance,
        style=style,
    )


_LONG = RecordingPreset(
    camera=_camera("long", 6, 320, 165.0, Nuisance(), Style()),
    films=tuple((30.0, seconds) for seconds in (20.0, 30.0, 40.0, 60.0) * 2)
    + tuple((200.0, seconds) for seconds in (20.0, 20.0, 25.0, 30.0)),
    quiet=("speech", "blinks", "postures"),
    macro_only=3,
    codecs=("ffv1", "mjpeg"),
    events=EventSettings(
        micro=24,
        macro=24,
        micro_px=(0.3, 2.5),
        macro_px=(1.0, 8.0),
        weak_px=(1.0, 2.0),
        weak=6,
        slow_micros=4,
        brief_macros=2,
        short_macros=3,
        one_sided=8,
        inside=3,
        near=4,
        overlapping=2,
        cut=(1, 1),
    ),
)

_TINY_LONG = RecordingPreset(
    camera=_camera("tiny-long", 3, 192, 100.0, Nuisance(read_noise=0.7), Style(blur_px=0.0, pores=2.0)),
    films=((30.0, 20.0),) * 6,
    quiet=("speech", "blinks"),
    macro_only=1,
    codecs=("mjpeg",),
    events=EventSettings(
        micro=10,
        macro=8,
        micro_px=(0.4, 2.0),
        macro_px=(1.0, 5.0),
        weak_px=(0.8, 1.6),
        weak=2,
        slow_micros=1,
        brief_macros=1,
        short_macros=1,
        one_sided=3,
        inside=1,
        near=1,
        overlapping=1,
        cut=(1, 1),
    ),
    disturbances=Disturbances(
        blinks_inside=2,
        half_blinks=1,
        speech=2,
        swallows=1,
        beats=1,
        exposure_steps=1,
        dropped=1,
        hidden=0,
        coarse=1,
    ),
)

#: The presets by name.
PRESETS: dict[str, RecordingPreset] = {preset.name: preset for preset in (_LONG, _TINY_LONG)}


def recording_preset(name: str) -> RecordingPreset:
    """The preset with this name.

    Raises
    ------
    ValueError
        If the name is unknown; the message lists the known names.
    """
    if name not in PRESETS:
        raise ValueError(f"unknown preset of recordings {name!r}; known: {', '.join(PRESETS)}")
    return PRESETS[name]
