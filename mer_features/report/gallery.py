"""Overview of one database: counts, and face crops, flow, strain and apex curves or published maps of some clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from mer_features import features as feature_file
from mer_features.core.jobs import counted
from mer_features.features import ClipRow, Features
from mer_features.report import contact, plots
from mer_features.report.data import Database
from mer_features.report.inline import Picture, jpeg, png, svg
from mer_features.stages.options import Spotter

#: Numbers of clips shown as face crops, with flow and strain, and with apex curves.
MOSAIC, ROWS, CURVES = 60, 8, 6
_SIDE = 128  # pixels


@dataclass(frozen=True)
class Row:
    """Images of one clip."""

    clip: ClipRow
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Gallery:
    """Counts and images of one database."""

    database: str
    facts: Sequence[tuple[str, str]]
    emotions: Sequence[str]
    subjects: Sequence[tuple[str, Sequence[int]]]  # subject, number of clips per emotion
    totals: Sequence[int]  # number of clips per emotion, over all subjects
    most: int  # largest number of clips of one subject and one emotion
    faces: Faces | None
    maps: Maps | None


@dataclass(frozen=True)
class Faces:
    """Face crops, flow and strain of some clips, and their apex curves."""

    mosaic: Picture
    shown: int
    columns: Sequence[str]
    rows: Sequence[Row]
    wheel: Picture
    heat: Picture
    max_px: float
    max_strain: float
    curves: Picture | None


@dataclass(frozen=True)
class Maps:
    """Published flow maps of some clips."""

    columns: Sequence[str]
    rows: Sequence[Row]


def build(database: Database) -> Gallery | None:
    """Counts and images of one database; ``None`` if it has no usable clips."""
    if not database.used:
        return None
    emotions, subjects = _crosstab(database.used)
    with feature_file.open_features(database.cache) as features:
        return Gallery(
            database=database.name,
            facts=_facts(database.used, features),
            emotions=emotions,
            subjects=subjects,
            totals=[sum(column) for column in zip(*(counts for _, counts in subjects), strict=True)],
            most=max(count for _, counts in subjects for count in counts),
            faces=_faces(database, features) if "faces" in features.groups else None,
            maps=_maps(database, features) if "flow_maps" in features.groups else None,
        )


def _faces(database: Database, features: Features) -> Faces:
    chosen = chosen_clips(database.used, ROWS)
    max_px, max_strain = contact.scales(features, chosen)
    mosaic_rows = contact.spread(len(database.used), MOSAIC)
    return Faces(
        mosaic=_mosaic(features, mosaic_rows),
        shown=len(mosaic_rows),
        columns=contact.COLUMNS,
        rows=[_row(features, row, max_px, max_strain) for row in chosen],
        wheel=png(contact.flow_wheel(90), "Colour wheel of flow: red right, yellow-green down, cyan left, violet up"),
        heat=png(_heat_bar(), "Colour scale of strain from black (0) through red to pale yellow"),
        max_px=max_px,
        max_strain=max_strain,
        curves=_curves(database, features) if "spotting" in features.groups else None,
    )


def _maps(database: Database, features: Features) -> Maps:
    names = features.labels("flow_maps/channel")
    rows = [
        Row(
            features.clips[row],
            [
                png(contact.enlarged(plane, _SIDE), f"{features.clips[row].clip_id}: {name} as published")
                for name, plane in zip(names, features["flow_maps/maps"][row], strict=True)
            ],
        )
        for row in chosen_clips(database.used, ROWS)
    ]
    return Maps(names, rows)


def _crosstab(clips: Sequence[ClipRow]) -> tuple[list[str], list[tuple[str, list[int]]]]:
    """Emotions, the most frequent first, and each subject's number of clips per emotion."""
    emotions = [word for word, _ in Counter(clip.emotion for clip in clips).most_common()]
    counts = Counter((clip.subject, clip.emotion) for clip in clips)
    subjects = sorted({clip.subject for clip in clips})
    return emotions, [(subject, [counts[subject, word] for word in emotions]) for subject in subjects]


def _facts(clips: Sequence[ClipRow], features: Features) -> list[tuple[str, str]]:
    """Basic properties of the recordings, as (name, value)."""
    if "faces" not in features.groups:
        height, width = features["flow_maps/maps"].shape[2:]
        return [("published flow maps", f"{width} × {height} px, 8 bits; recordings and frame numbers are not known")]
    frames = [clip.n_frames for clip in clips]
    span = [clip.offset - clip.onset + 1 for clip in clips]
    rates = sorted({clip.fps for clip in clips if np.isfinite(clip.fps)})
    sources = Counter(clip.apex_source for clip in clips)
    side = features["faces/onset"].shape[1]
    return [
        ("frames per clip", f"{min(frames)} to {max(frames)}, median {np.median(frames):.0f}"),
        ("onset to offset", f"median {np.median(span):.0f} frames"),
        ("frame rate", " / ".join(f"{rate:g}" for rate in rates) + " Hz" if rates else "unknown"),
        ("face crop", f"{side} × {side} px, {'grey' if features['faces/onset'].shape[3] == 1 else 'colour'}"),
        ("apex used", ", ".join(f"{name} {count}" for name, count in sources.most_common())),
    ]


def chosen_clips(clips: Sequence[ClipRow], wanted: int) -> list[int]:
    """Rows of clips spread over emotions and subjects: repeatedly a clip of the least chosen emotion and subject."""
    counts: Counter[str | tuple[str, str]] = Counter()
    chosen: list[int] = []
    remaining = list(range(len(clips)))

    def rank(row: int) -> tuple[int, ...]:
        clip = clips[row]
        both = (clip.subject, clip.emotion)
        return counts[f"emotion {clip.emotion}"], counts[both], counts[f"subject {clip.subject}"], row

    while remaining and len(chosen) < wanted:
        row = min(remaining, key=rank)
        remaining.remove(row)
        chosen.append(row)
        clip = clips[row]
        counts.update([f"emotion {clip.emotion}", (clip.subject, clip.emotion), f"subject {clip.subject}"])
    return sorted(chosen)


def _mosaic(features: Features, rows: Sequence[int]) -> Picture:
    images = [features["faces/onset"][row] for row in rows]
    return jpeg(contact.mosaic(images, 80, 12), f"Onset face crops of {counted(len(rows), 'clip')}", quality=80)


def _row(features: Features, row: int, max_px: float, max_strain: float) -> Row:
    clip = features.clips[row]
    panels = contact.panels(contact.picture_of(features, row), max_px, max_strain)
    names = ("onset crop", "apex crop", "amplified difference of apex and onset", "flow in colour", "strain in colour")
    pictures = [
        jpeg(contact.thumbnail(panel, _SIDE), f"{clip.clip_id}: {name}")
        for name, panel in zip(names, panels, strict=False)
    ]
    return Row(clip, pictures)


def _heat_bar() -> np.ndarray:
    return contact.strain_to_rgb(np.linspace(0, 1, 180)[None].repeat(14, axis=0), 1.0)


def _curves(database: Database, features: Features) -> Picture | None:
    """Apex curves of a few clips; ``None`` if the file has no curves."""
    annotated = {clip.clip_id: clip.apex for clip in database.listed}
    clips = [
        _clip_curves(features, row, annotated.get(database.used[row].clip_id))
        for row in chosen_clips(database.used, CURVES)
    ]
    if not any(clip.curves for clip in clips):
        return None
    spotters = ", ".join(curve.spotter for curve in clips[0].curves)
    return svg(plots.apex_curves(clips), f"Apex curves of {counted(len(clips), 'clip')} by the spotters {spotters}")


def _clip_curves(features: Features, row: int, annotated: int | None) -> plots.ClipCurves:
    clip = features.clips[row]
    numbers = features["spotting/frame_number"][row]
    inside = numbers >= 0
    curves = []
    for spotter in get_args(Spotter):
        try:
            values = features[f"spotting/curve[{spotter}]"][row][inside]
        except KeyError:  # the configuration decides which spotters run
            continue
        curves.append(plots.Curve(spotter, values, int(features[f"spotting/spotted[{spotter}]"][row])))
    title = " · ".join(filter(None, [clip.clip_id, clip.emotion]))
    return plots.ClipCurves(title, numbers[inside], curves, annotated, clip.apex)
