"""Settings of the embedded database, the named presets, and random streams by name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

#: Emotion words by class of the MEGC 2019 map; "others" belongs to none.
CLASSES: dict[str, tuple[str, ...]] = {
    "negative": ("disgust", "repression", "anger", "contempt", "fear", "sadness"),
    "positive": ("happiness",),
    "surprise": ("surprise",),
    "others": ("others",),
}


@dataclass(frozen=True)
class Nuisance:
    """Disturbances of a recording. A value is drawn uniformly from each range, once per clip.

    Larger values make recognition harder. Lengths are in pixels of the rendered frame.
    """

    drift_px: tuple[float, float] = (1.0, 4.0)  # rms translation of the head over the clip
    turn_deg: tuple[float, float] = (0.2, 0.9)  # rms in-plane rotation
    zoom: tuple[float, float] = (0.001, 0.005)  # rms change of scale (leaning)
    tremor_px: float = 0.03  # frame-to-frame jitter of the head
    flicker: tuple[float, float] = (0.005, 0.03)  # rms change of brightness, fraction
    gradient: tuple[float, float] = (0.005, 0.02)  # rms change of the brightness gradient across the frame, fraction
    uneven: tuple[float, float] = (0.01, 0.05)  # rms change of the curvature of brightness across the frame, fraction
    offset_levels: tuple[float, float] = (0.0, 2.0)  # rms change of the black level, grey levels
    read_noise: float = 1.2  # sensor noise that does not depend on the signal, grey levels
    shot_noise: float = 0.016  # sensor noise variance per grey level of signal, levels²/level
    blink_rate: float = 0.25  # fraction of clips with a blink
    rest_px: float = 0.4  # largest AU displacement of the resting face in a clip
    distractor_rate: float = 0.5  # fraction of clips with one action unit that does not belong to the emotion
    pose_deg: float = 2.0  # largest head tilt of a clip
    pose_px: float = 6.0  # largest displacement of the head in the frame of a clip


@dataclass(frozen=True)
class Style:
    """Image style of a database: properties of the camera, the same for all clips."""

    colour: bool = True
    contrast: float = 1.0  # slope around mid-grey
    warmth: float = 0.0  # -1 blue .. 1 red
    brightness: float = 1.0
    gamma: float = 1.0  # exponent of the tone curve; values above 1 give darker mid-tones
    blur_px: float = 0.5  # standard deviation of the lens blur
    pores: float = 2.5  # rms of the fine skin texture, grey levels
    oversample: int = 4  # texture samples per frame pixel


@dataclass(frozen=True)
class Preset:
    """Size, frame rate and difficulty of one rendered database.

    ``emotions`` holds the exact totals by emotion word, ``clips`` the number of clips of each subject; their sums are
    equal. ``intensity_px`` is the peak displacement of the main action unit of a clip in pixels of the rendered frame:
    0.3 to 2 for micro-expressions, 6 to 10 times as much for macro-expressions. ``face_px`` is the height from brow to
    chin.
    """

    name: str
    clips: tuple[int, ...]
    emotions: Mapping[str, int] = field(hash=False)
    fps: float
    size: tuple[int, int]  # height, width
    face_px: float
    frames: tuple[int, int]  # smallest and largest number of frames from onset to offset, both included
    intensity_px: tuple[float, float] = (0.3, 1.6)
    image_format: Literal["jpg", "png", "bmp"] = "jpg"
    jpeg_quality: int = 95
    annotated_apex: bool = True  # False: the sheet has no apex, as in SMIC
    nuisance: Nuisance = field(default_factory=Nuisance)
    style: Style = field(default_factory=Style)

    def __post_init__(self) -> None:
        if sum(self.clips) != sum(self.emotions.values()):
            raise ValueError(f"preset {self.name}: {sum(self.clips)} clips but {sum(self.emotions.values())} emotions")
        if self.frames[0] < 5:
            raise ValueError(f"preset {self.name}: a clip needs at least 5 frames, found {self.frames[0]}")

    @property
    def subjects(self) -> tuple[str, ...]:
        """Subject names."""
        return tuple(f"sub{index:02d}" for index in range(1, len(self.clips) + 1))


_TINY = Preset(
    name="tiny",
    clips=(3, 3, 3),
    emotions={"disgust": 1, "sadness": 1, "anger": 1, "happiness": 3, "surprise": 3},
    fps=30.0,
    size=(192, 192),
    face_px=100.0,
    frames=(9, 12),
    intensity_px=(0.8, 2.0),
    nuisance=Nuisance(drift_px=(0.5, 1.5), read_noise=0.7),
    style=Style(blur_px=0.0, pores=2.0),
)

_DEMO = Preset(
    name="demo",
    clips=(9,) * 9,
    emotions={
        "disgust": 12,
        "repression": 7,
        "anger": 9,
        "sadness": 5,
        "fear": 4,
        "contempt": 4,
        "happiness": 19,
        "surprise": 16,
        "others": 5,
    },
    fps=100.0,
    size=(320, 320),
    face_px=165.0,
    frames=(24, 36),
)

_SMIC = Preset(
    name="cde-smic",
    clips=(39, 22, 19, 13, 10, 10, 9, 7, 7, 6, 6, 4, 4, 4, 2, 2),
    emotions={"disgust": 24, "sadness": 16, "fear": 16, "anger": 14, "happiness": 51, "surprise": 43},
    fps=100.0,
    size=(480, 640),
    face_px=190.0,
    frames=(20, 48),
    annotated_apex=False,
    nuisance=Nuisance(read_noise=1.6, shot_noise=0.02),
    style=Style(contrast=0.9, warmth=0.25, brightness=0.95, blur_px=0.9),
)

_CASME2 = Preset(
    name="cde-casme2",
    clips=(31, 11, 11, 11, 10, 9, 8, 6, 5, 5, 5, 4, 4, 3, 3, 3, 3, 3, 2, 2, 2, 2, 1, 1),
    emotions={"disgust": 61, "repression": 27, "happiness": 32, "surprise": 25},
    fps=200.0,
    size=(480, 640),
    face_px=240.0,
    frames=(40, 94),
    style=Style(contrast=1.05, warmth=-0.2, brightness=1.05, blur_px=0.6),
)

_SAMM = Preset(
    name="cde-samm",
    clips=(20, 11, 10, 9, 8, 8, 6, 5, 5, 5, 4, 4, 4, 4, 3, 3, 3, 3, 3, 3, 3, 2, 2, 1, 1, 1, 1, 1),
    emotions={
        "anger": 57,
        "contempt": 12,
        "disgust": 9,
        "fear": 8,
        "sadness": 6,
        "happiness": 26,
        "surprise": 15,
    },
    fps=200.0,
    size=(1088, 2040),
    face_px=370.0,
    frames=(45, 103),
    intensity_px=(0.8, 3.5),
    nuisance=Nuisance(drift_px=(1.5, 6.0), rest_px=0.8, read_noise=1.2),
    style=Style(colour=False, contrast=1.1, blur_px=1.0, oversample=2),
)

_SMALL = Preset(
    name="small",
    clips=(4,) * 12,
    emotions={"disgust": 8, "sadness": 4, "anger": 4, "happiness": 16, "surprise": 16},
    fps=30.0,
    size=(240, 240),
    face_px=128.0,
    frames=(9, 12),
    intensity_px=(0.8, 2.0),
    nuisance=Nuisance(drift_px=(0.5, 1.5), read_noise=0.7),
)

#: The presets by name. ``macro`` is ``demo`` with larger movements and longer clips.
PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        _TINY,
        _SMALL,
        _DEMO,
        _SMIC,
        _CASME2,
        _SAMM,
        replace(_DEMO, name="macro", frames=(60, 120), intensity_px=(4.0, 16.0)),
    )
}


def preset(name: str) -> Preset:
    """The preset with this name.

    Raises
    ------
    ValueError
        If the name is unknown; the message lists the known names.
    """
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}; known: {', '.join(PRESETS)}")
    return PRESETS[name]


def with_style(name: str, look: Mapping[str, Any]) -> Preset:
    """The preset with this name, with keys of its :class:`Style` changed; ``ValueError`` for an unknown name."""
    named = preset(name)
    return replace(named, style=replace(named.style, **look)) if look else named


def stream(*keys: str | int) -> np.random.Generator:
    """Random generator that depends only on the keys, so that draws do not depend on order or processes."""
    digest = hashlib.blake2b("\x1f".join(map(str, keys)).encode(), digest_size=16).digest()
    return np.random.default_rng(np.random.SeedSequence(int.from_bytes(digest, "big")))
