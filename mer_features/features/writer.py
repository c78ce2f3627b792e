"""Builds the feature file of one database from its stage files, or from published flow maps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np

from mer_features.core import action_units, quality
from mer_features.core.action_units import ActionUnits
from mer_features.core.clips import Clip
from mer_features.core.files import atomic_file
from mer_features.core.jobs import track
from mer_features.core.quality import ClipRejectedError, Issue, Status
from mer_features.features.layout import Target, json_text, origin, text
from mer_features.features.options import Cache, Provenance
from mer_features.features.parts import FlowMapsPart, Part, all_parts
from mer_features.features.schema import CLIP_ID, REJECTED, ROOT, STAGE_GROUPS, CacheError
from mer_features.features.sources import StageFiles, Views
from mer_features.frames import flow_map
from mer_features.stages.options import STAGES
from mer_features.stages.store import ClipRecord

#: Stage -> option keys that describe its method, for the attribute ``method`` of the group.
_METHOD_KEYS = {
    "faces": ("mode", "detector", "register"),
    "apex": ("policy", "fallback"),
    "magnify": ("method", "factor"),
    "flow": ("method",),
    "style": ("method", "fit_on"),
    "descriptors": ("methods",),
}


@dataclass(frozen=True)
class Summary:
    """Clip identifiers by the final status of the clips."""

    ok: tuple[str, ...]
    warned: tuple[str, ...]
    rejected: tuple[str, ...]

    def __str__(self) -> str:
        return f"{len(self.ok)} ok, {len(self.warned)} warned, {len(self.rejected)} rejected"


@dataclass
class _Entry:
    """One clip, its issues and its values in the columns of the root."""

    clip: Clip
    issues: list[Issue]
    views: Callable[[], Views]  # the clip's records, valid until those of another clip are asked for
    columns: dict[str, Any] = field(default_factory=dict)


def build(
    output: Path,
    clips: Sequence[Clip],
    shard_files: Mapping[str, Sequence[Path]],
    options: Cache,
    provenance: Provenance,
) -> Summary:
    """Write the feature file of one database, from its stage files or, if no stage ran, from its published flow maps.

    The file gets its name only when it is complete. The same input gives the same bytes, with the same versions of
    h5netcdf, h5py, HDF5 and zlib.

    Parameters
    ----------
    output
        The file to write.
    clips
        The full clip table with labels, in the order of the rows.
    shard_files
        Stage files of all shards, for the stages ``faces`` and ``apex`` and for the other stages that ran.
        Empty for published flow maps: the source of each clip is then the picture of its map.
    options
        Number of keyframes and compression.
    provenance
        Written into the attributes.

    Returns
    -------
    Summary
        Which clips are ok, warned or rejected; a map that cannot be read rejects its clip.

    Raises
    ------
    CacheError
        If a stage has no record of a clip, clips do not match each other (size of crops or maps, flow pairs, spotters),
        an identifier occurs twice, or no clip can be used.
    """
    if not shard_files:
        entries = [_map_entry(clip) for clip in clips]
        return _write(output, entries, [FlowMapsPart()], _attributes({}, provenance), options.gzip_level)
    with StageFiles({stage: shard_files[stage] for stage in STAGES if stage in shard_files}) as stages:
        attributes = _attributes(stages.options, provenance)
        stills = bool(stages.options["faces"].get("stills"))
        # The apex of a still image is its only frame: nothing was spotted, so no group says so.
        parts = all_parts(options, [stage for stage in shard_files if not (stills and stage == "apex")])
        entries = [_Entry(clip, _issues(clip, stages), partial(_require_all, clip, stages)) for clip in clips]
        return _write(output, entries, parts, attributes, options.gzip_level)


def _map_entry(clip: Clip) -> _Entry:
    """A clip with its map, or with the reason why there is none."""
    issues = list(clip.issues)
    if quality.status(issues) is Status.REJECTED:
        return _Entry(clip, issues, dict)
    try:
        _map_views(clip)
    except ClipRejectedError as error:
        return _Entry(clip, [*issues, error.issue], dict)
    except OSError as error:
        code = "source_missing" if isinstance(error, FileNotFoundError) else "bad_map"
        issue = Issue(code, f"{Path(clip.source).name}: cannot be read ({error.strerror})")
        return _Entry(clip, [*issues, issue], dict)
    return _Entry(clip, issues, partial(_map_views, clip))


def _map_views(clip: Clip) -> Views:
    """The map of a clip, read from its file each time, so that memory does not grow with the database."""
    maps, digest = flow_map.read(Path(clip.source))
    return {"flow_maps": ClipRecord(clip.clip_id, {"maps": maps}, {"source_sha256": digest})}


def _write(
    output: Path,
    entries: Sequence[_Entry],
    parts: Sequence[Part],
    attributes: Mapping[str, Mapping[str, Any]],
    gzip_level: int,
) -> Summary:
    """Write the file and give it its name when it is complete."""
    used, rejected = _sort(entries)
    for entry in used:
        views = entry.views()
        with _naming(entry.clip):
            for part in parts:
                part.scan(views)
    units = [action_units.parse(entry.clip.action_units) for entry in used]
    with atomic_file(output) as handle:
        # h5netcdf creates the layout and h5py fills it, which takes much less time per row.
        with h5netcdf.File(handle, "w") as file:
            _lay_out(Target(file, attributes, gzip_level), parts, units, len(rejected))
        handle.check()
        with h5py.File(handle, "r+") as file:
            _fill_clips(file, used, parts)
            _fill_action_units(file, units)
            _fill_columns(file, [entry.columns for entry in used])
            for part in parts:
                file[part.group.name][CLIP_ID.name][...] = text([entry.clip.clip_id for entry in used])
            _fill_columns(file["rejected"], [_rejection(entry) for entry in rejected])
            file.attrs["complete"] = np.array([1], np.int32)
    return _summary(used, rejected)


def _sort(entries: Sequence[_Entry]) -> tuple[list[_Entry], list[_Entry]]:
    """Clips that are used and clips that are rejected."""
    used: dict[str, _Entry] = {}
    rejected: list[_Entry] = []
    for entry in entries:
        if quality.status(entry.issues) is Status.REJECTED:
            rejected.append(entry)
        elif entry.clip.clip_id in used:
            raise CacheError(f"clip {entry.clip.clip_id} is in the clip table twice")
        else:
            used[entry.clip.clip_id] = entry
    if not used:
        reasons = sorted({_reason(entry).code for entry in rejected})
        raise CacheError(f"none of {len(rejected)} clips can be used: {', '.join(reasons) or 'the table is empty'}")
    return list(used.values()), rejected


def _require_all(clip: Clip, stages: StageFiles) -> Views:
    """Records of a clip; every stage must have one."""
    if missing := stages.missing(clip.clip_id):
        raise CacheError(f"clip {clip.clip_id} is not in the stage files of {', '.join(missing)}")
    return stages.views(clip.clip_id)


def _issues(clip: Clip, stages: StageFiles) -> list[Issue]:
    if quality.status(clip.issues) is Status.REJECTED:
        # The stage files are not read, because a clip that is listed twice has the identifier of a clip that is used.
        return list(clip.issues)
    stage_issues = [issue for view in stages.views(clip.clip_id).values() for issue in view.issues]
    return list(dict.fromkeys((*clip.issues, *stage_issues)))


def _reason(entry: _Entry) -> Issue:
    return next(issue for issue in entry.issues if issue.severity is Status.REJECTED)


@contextmanager
def _naming(clip: Clip) -> Iterator[None]:
    """Add the name of the clip to an error in its data."""
    try:
        yield
    except ValueError as error:
        raise CacheError(f"clip {clip.clip_id}: {error}") from error


def _attributes(options: Mapping[str, Mapping[str, Any]], provenance: Provenance) -> dict[str, dict[str, Any]]:
    """Attributes of the root and of the groups of the stages."""
    groups = {
        STAGE_GROUPS[stage]: {
            "method": ", ".join(
                f"{key} {_shown(options[stage][key])}" for key in _METHOD_KEYS[stage] if key in options[stage]
            ),
            "options": json_text(options[stage]),
            "fingerprint": provenance["fingerprints"].get(stage, ""),
        }
        for stage in options
    }
    return {"": origin(provenance)} | groups


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _lay_out(target: Target, parts: Sequence[Part], units: Sequence[ActionUnits], rejected: int) -> None:
    numbers, _ = action_units.table(units)
    groups = [part.group.name for part in parts] + [REJECTED.name]
    target.create(ROOT, {"clip": len(units), "au": len(numbers)}, {"groups": " ".join(groups)})
    for part in parts:
        target.create(part.group, part.sizes(), part.attributes())
    target.create(REJECTED, {"rejected": rejected})


def _fill_clips(file: h5py.File, used: Sequence[_Entry], parts: Sequence[Part]) -> None:
    for part in parts:
        for name, labels in part.labels().items():
            file[part.group.name][name][...] = labels
    for row, entry in enumerate(track(used, len(used), "cache")):
        views = entry.views()
        with _naming(entry.clip):
            for part in parts:
                entry.issues += part.write(file[part.group.name], row, views)
        entry.columns = _frames(views) | _texts(entry)


def _fill_action_units(file: h5py.File, units: Sequence[ActionUnits]) -> None:
    numbers, flags = action_units.table(units)
    if len(numbers):
        file["au"][...] = numbers
        file["action_units"][...] = flags
    file["action_units_unread"][...] = text([" | ".join(item.unread) for item in units])


def _fill_columns(group: h5py.Group, rows: Sequence[Mapping[str, Any]]) -> None:
    for name in rows[0] if rows else ():
        values = [row[name] for row in rows]
        group[name][...] = text(values) if isinstance(values[0], str) else values


def _frames(views: Views) -> dict[str, Any]:
    """Frame numbers and source of one clip, for the columns of the root; a published flow map has no frames."""
    if "faces" not in views:
        unknown = dict.fromkeys(("onset", "apex", "offset", "first_frame"), -1) | {"n_frames": 0, "fps": np.nan}
        return unknown | {"apex_source": "", "source_sha256": str(views["flow_maps"].attrs["source_sha256"])}
    faces, apex = views["faces"], views["apex"]
    numbers = faces["numbers"][()]
    return {
        "onset": numbers[int(faces.attrs["onset"])],
        "apex": numbers[int(apex.attrs["apex"])],
        "offset": numbers[int(faces.attrs["offset"])],
        "first_frame": numbers[0],
        "n_frames": len(numbers),
        "fps": float(faces.attrs["fps"]),
        "apex_source": str(apex.attrs["apex_source"]),
        "source_sha256": str(faces.attrs["source_sha256"]),
    }


def _texts(entry: _Entry) -> dict[str, Any]:
    """Labels and status of one clip, for the columns of the root."""
    clip = entry.clip
    return {
        "clip_id": clip.clip_id,
        "subject": clip.subject,
        "database": clip.database,
        "emotion": clip.emotion,
        "action_units_text": clip.action_units,
        "quality": quality.flags(entry.issues),
        "quality_text": quality.dumps(entry.issues),
        "status": str(quality.status(entry.issues)),
    }


def _rejection(entry: _Entry) -> dict[str, str]:
    reason = _reason(entry)
    return {
        "clip_id": entry.clip.clip_id,
        "subject": entry.clip.subject,
        "code": reason.code,
        "detail": reason.detail,
        "quality_text": quality.dumps(entry.issues),
    }


def _summary(used: list[_Entry], rejected: list[_Entry]) -> Summary:
    def ids(entries: Iterable[_Entry], status: Status) -> tuple[str, ...]:
        return tuple(entry.clip.clip_id for entry in entries if quality.status(entry.issues) is status)

    return Summary(ids(used, Status.OK), ids(used, Status.WARNED), ids(rejected, Status.REJECTED))
