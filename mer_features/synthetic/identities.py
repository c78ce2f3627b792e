"""Virtual subjects: shape, colours and lighting that turn one portrait into many persons."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from mer_features.synthetic import portrait, portrait_parts
from mer_features.synthetic.presets import Preset, stream

#: R, G, B of hair at mean brightness.
HAIR_COLOURS = (
    (0.16, 0.13, 0.12),
    (0.30, 0.20, 0.14),
    (0.42, 0.33, 0.22),
    (0.38, 0.21, 0.13),
    (0.46, 0.45, 0.44),
    (0.22, 0.17, 0.14),
    (0.50, 0.42, 0.28),
)
SUIT_COLOURS = ((0.9, 0.4, 0.3), (0.35, 0.45, 0.65), (0.45, 0.6, 0.45), (0.6, 0.6, 0.62), (0.5, 0.4, 0.6))
BACKDROPS = ((1.0, 1.0, 1.0), (0.75, 0.85, 1.0), (0.62, 0.62, 0.62), (0.85, 0.95, 0.85), (1.1, 1.1, 1.12))


@dataclass(frozen=True)
class Identity:
    """Parameters of one subject. Shape parameters are in -1..1; 0 is the person in the photograph."""

    mirror: bool
    hair_volume: float
    face_width: float
    jaw_width: float
    face_length: float
    chin: float
    eye_distance: float
    eye_size: float
    eye_tilt: float
    brow_height: float
    brow_arch: float
    nose_length: float
    nose_width: float
    mouth_width: float
    mouth_height: float
    lip_fullness: float
    brow_tone: float  # -1 hardly visible .. 1 dark and thick
    lip_tone: float  # -1 pale .. 1 dark red
    skin: float  # 0 lightest .. 1 darkest
    ruddiness: float
    hair: tuple[float, float, float]
    suit: tuple[float, float, float]
    backdrop: tuple[float, float, float]
    light_degrees: float  # direction of the light source, 0 = right, 90 = above
    light: float  # 0..1, strength of the shading
    moles: int
    pores: float  # 0..1


_UNIFORM = tuple(field.name for field in fields(Identity))[1:18]


def identity(preset: Preset, seed: int, subject: str) -> Identity:
    """Parameters of the subject with this name.

    Each parameter is stratified: its values over the subjects of a preset fill its range evenly, in a random order per
    parameter. So no two subjects are similar by chance.
    """
    index = preset.subjects.index(subject)
    count = len(preset.subjects)

    def draw(name: str, low: float = -1.0, high: float = 1.0) -> float:
        order = stream(preset.name, seed, "identity", name).permutation(count)
        jitter = stream(preset.name, seed, "identity", name, subject).uniform()
        return float(low + (high - low) * (order[index] + jitter) / count)

    def pick(name: str, choices: tuple[tuple[float, float, float], ...]) -> tuple[float, float, float]:
        return choices[int(draw(name, 0, len(choices)))]

    return Identity(
        mirror=draw("mirror") > 0,
        **{name: draw(name) for name in _UNIFORM},
        skin=draw("skin", 0, 1),
        ruddiness=draw("ruddiness"),
        hair=pick("hair", HAIR_COLOURS),
        suit=pick("suit", SUIT_COLOURS),
        backdrop=pick("backdrop", BACKDROPS),
        light_degrees=draw("light_degrees", 10, 170),
        light=draw("light", 0, 1),
        moles=int(draw("moles", 0, 6)),
        pores=draw("pores", 0, 1),
    )


_JAW, _BROWS, _NOSE, _EYES, _MOUTH = (
    slice(0, 17),
    slice(17, 27),
    slice(27, 36),
    slice(36, 48),
    slice(48, 68),
)


def shaped_landmarks(person: Identity) -> np.ndarray:
    """Landmarks of a subject at rest; mirrored if the subject is mirrored.

    Returns
    -------
    ndarray, shape (68, 2), float64
        Pixels of the photograph. The landmarks are ordered as in the image: 0-16 run from left to right for every
        subject.
    """
    points = portrait.relaxed_landmarks()
    centre = points[27].copy()  # between the eyes
    points = points - centre
    _shape_outline(points, person)
    _shape_eyes(points, person)
    _shape_nose_and_mouth(points, person)
    points += centre
    return mirror(points) if person.mirror else points


def mirror(points: np.ndarray, width: float = 512.0) -> np.ndarray:
    """Landmarks of the mirrored image, renumbered so that they run from left to right."""
    return points[portrait_parts.MIRRORED] * [-1, 1] + [width - 1, 0]


def _shape_outline(points: np.ndarray, person: Identity) -> None:
    points[:, 0] *= 1 + 0.07 * person.face_width
    below = np.clip(points[:, 1] / 76.0, 0, 1)  # 0 at the eyes, 1 at the chin
    points[_JAW, 0] *= 1 + 0.09 * person.jaw_width * below[_JAW]
    points[:, 1] += 4.0 * person.face_length * below
    points[_JAW, 1] += 4.0 * person.chin * below[_JAW] ** 2


def _shape_eyes(points: np.ndarray, person: Identity) -> None:
    for side, eye, brow in ((-1, slice(36, 42), slice(17, 22)), (1, slice(42, 48), slice(22, 27))):
        centre = points[eye].mean(axis=0)
        tilt = np.deg2rad(6.0 * person.eye_tilt) * -side  # outer corner up
        turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
        size = 1 + np.array([0.08, 0.16]) * person.eye_size
        points[eye] = (points[eye] - centre) @ turn.T * size + centre
        shift = side * 2.4 * person.eye_distance
        points[eye, 0] += shift
        points[brow, 0] += shift
        points[brow, 1] -= 2.2 * person.brow_height
        points[brow, 1] -= 1.6 * person.brow_arch * np.array([-0.8, 0.4, 1.0, 0.4, -0.8])


def _shape_nose_and_mouth(points: np.ndarray, person: Identity) -> None:
    nose = points[_NOSE]
    nose[:, 1] += 3.0 * person.nose_length * np.clip(nose[:, 1] / 30.0, 0, 1)
    nose[4:, 0] *= 1 + 0.16 * person.nose_width
    mouth = points[_MOUTH]
    line = mouth[[0, 6]].mean(axis=0)
    fullness = 1 + 0.3 * person.lip_fullness
    outer = mouth[:12, 1] - line[1]
    mouth[:12, 1] = line[1] + outer * np.where(np.abs(outer) > 1, fullness, 1.0)
    mouth[:, 0] = line[0] + (mouth[:, 0] - line[0]) * (1 + 0.12 * person.mouth_width)
    mouth[:, 1] += 2.0 * person.mouth_height + 1.5 * person.nose_length
