"""Exports of a feature file for tools that cannot read HDF5: a table (CSV), arrays (NPZ), images (PNG)."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from mer_features.core.action_units import FLAGS
from mer_features.core.files import atomic_path, write_png, write_text
from mer_features.features import CacheError, ClipRow, EventRow, Features, open_features, open_recordings

#: How a field is converted to 8 bits; see :func:`to_png`.
View = Literal["fixed", "minmax"]
#: Variable -> range of the `fixed` view, which becomes 0..255.
FIXED_RANGE = {"u": (-4.0, 4.0), "v": (-4.0, 4.0), "strain": (0.0, 0.5)}

#: Variable that holds images -> name of the PNG file.
_PICTURES = {f"faces/{name}": name for name in ("onset", "apex", "offset")}
_PICTURES["magnified/apex"] = "amplified"
_PICTURES |= {f"style/{name}": f"{name}_style" for name in ("onset", "apex")}


def to_csv(path: Path | str, out: Path | str) -> None:
    """Write a CSV with one line per clip: the values of its row, its action units and its descriptors.

    The columns are those of :class:`mer_features.features.ClipRow`, ``au_<number>`` (``left``, ``right``, ...; empty if
    absent), ``flow_ratio`` if the file has amplified frames, and ``<descriptor>_<index>``. Rejected clips follow with
    the status ``rejected`` and otherwise empty cells.

    A file of recordings gives one line per event and spot, with the columns of
    :class:`mer_features.features.EventRow`.
    """
    with open_features(path) as features:
        write = _events_to_csv if features.of_recordings else _clips_to_csv
    write(path, out)


def _clips_to_csv(path: Path | str, out: Path | str) -> None:
    with (
        open_features(path) as features,
        atomic_path(out) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as handle,
    ):
        names = [field.name for field in fields(ClipRow)]
        extra = [f"au_{number}" for number in features.labels("au")]
        extra += [name.rpartition("/")[2] for name in _ratios(features)] + _descriptor_columns(features)
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(names + extra)
        for row, clip in enumerate(features.clips):
            ratios = [_number(features[name][row]) for name in _ratios(features)]
            cells = [*asdict(clip).values(), *_action_units(features, row), *ratios, *_descriptors(features, row)]
            writer.writerow(cells)
        for item in features.rejected:
            known = asdict(item) | {"status": "rejected"}
            writer.writerow([known.get(name, "") for name in names] + [""] * len(extra))


def _events_to_csv(path: Path | str, out: Path | str) -> None:
    with (
        open_recordings(path) as file,
        atomic_path(out) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as handle,
    ):
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow([field.name for field in fields(EventRow)])
        writer.writerows(asdict(row).values() for row in file.events)


def _action_units(features: Features, row: int) -> list[str]:
    words = {value: word for word, value in FLAGS.items()} | {FLAGS["absent"]: ""}
    return [words[int(value)] for value in features["action_units"][row]]


def _ratios(features: Features) -> list[str]:
    """Name of the variable with the measured magnification of each clip; empty if the file does not have it."""
    return [name for name in features.variables() if name == "magnified/flow_ratio"]


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.6g}"


def _descriptor_names(features: Features) -> list[str]:
    """Names of the variables in the group ``descriptors``."""
    return [name for name in features.variables() if name.startswith("descriptors/")]


def _descriptor_columns(features: Features) -> list[str]:
    return [
        f"{name.partition('/')[2]}_{index}"
        for name in _descriptor_names(features)
        for index in range(features[name].shape[1])
    ]


def _descriptors(features: Features, row: int) -> list[str]:
    return [f"{value:.9g}" for name in _descriptor_names(features) for value in features[name][row]]


def to_npz(path: Path | str, out_dir: Path | str) -> tuple[Path, ...]:
    """Write ``<out_dir>/<clip_id>.npz`` for each clip and return the paths.

    Keys are the paths of the variables with ``_`` for ``/`` (``flow_u``) and of the labels of their dimensions
    (``flow_pair``). Values are decoded as by :class:`Features`. Texts are numpy strings, so ``allow_pickle`` is not
    needed.

    A file of recordings gives one file per recording with the arrays of
    :class:`mer_features.stages.signals.series.Signals`, ``fps``, ``eye_px``, and the names of the regions (``region``).
    """
    with open_features(path) as features:
        if features.of_recordings:
            return _signals_to_npz(path, out_dir)
        labels = {_key(name): np.array(features.labels(name), dtype=np.str_) for name in features.coordinates()}
        written = []
        for row, clip in enumerate(features.clips):
            arrays = {_key(name): _plain(features[name][row]) for name in features.variables()}
            target = _inside(out_dir, f"{clip.clip_id}.npz")
            with atomic_path(target) as temporary, temporary.open("wb") as handle:
                everything: dict[str, Any] = {**labels, **arrays}
                np.savez_compressed(handle, allow_pickle=False, **everything)
            written.append(target)
    return tuple(written)


def _signals_to_npz(path: Path | str, out_dir: Path | str) -> tuple[Path, ...]:
    written = []
    with open_recordings(path) as file:
        regions = np.array(file.labels("signals/region"), dtype=np.str_)
        for film in file.recordings:
            signals = file.signals(film.recording_id)
            arrays: dict[str, Any] = {field.name: getattr(signals, field.name) for field in fields(signals)}
            target = _inside(out_dir, f"{film.recording_id}.npz")
            with atomic_path(target) as temporary, temporary.open("wb") as handle:
                np.savez_compressed(handle, allow_pickle=False, region=regions, **arrays)
            written.append(target)
    return tuple(written)


def _key(name: str) -> str:
    return name.replace("/", "_")


def _plain(value: Any) -> np.ndarray:
    return np.array(value, dtype=np.str_) if isinstance(value, str) else np.asarray(value)


def to_png(path: Path | str, out_dir: Path | str, view: View = "fixed") -> tuple[Path, ...]:
    """Write the faces and the flow of each clip as PNG files in ``<out_dir>/<clip_id>/`` and return the paths.

    Faces are ``onset.png``, ``apex.png`` and ``offset.png`` as stored and, if the file has them, ``amplified.png``,
    ``onset_style.png`` and ``apex_style.png``; a published flow map is ``flow_map.png``, as it was published. Fields
    are grey images ``<variable>_<pair>.<view>.png``, in which 0..255 represents the range low..high of the view.
    ``fixed`` uses :data:`FIXED_RANGE` and clips values outside it, so that clips can be compared (zero flow is 128);
    ``minmax`` uses the range of the field. ``<out_dir>/views.json`` holds low and high of each image: value = low +
    grey / 255 x (high - low).

    Raises
    ------
    ValueError
        For an unknown view. :class:`CacheError` for a file of recordings, which has no images.
    """
    if view not in get_args(View):
        raise ValueError(f"unknown view {view!r}; known: {', '.join(get_args(View))}")
    ranges: dict[str, dict[str, float]] = {}
    written = []
    with open_features(path) as features:
        if features.of_recordings:
            features.require("faces", purpose="images")
        for row, clip in enumerate(features.clips):
            for variable, name in _PICTURES.items():
                if variable in features.variables():
                    target = _inside(out_dir, f"{clip.clip_id}/{name}.png")
                    written.append(write_png(target, features[variable][row]))
            if "flow_maps" in features.groups:
                picture = np.moveaxis(features["flow_maps/maps"][row], 0, -1)
                written.append(write_png(_inside(out_dir, f"{clip.clip_id}/flow_map.png"), picture))
            for name, variable, field in _fields(features, row):
                low, high = FIXED_RANGE[variable] if view == "fixed" else (float(field.min()), float(field.max()))
                relative = f"{clip.clip_id}/{name}.{view}.png"
                ranges[relative] = {"low": low, "high": high}
                written.append(write_png(_inside(out_dir, relative), _grey(field, low, high)))
    write_text(Path(out_dir) / "views.json", json.dumps({"view": view, "range": ranges}, indent=1) + "\n")
    return tuple(written)


def _fields(features: Features, row: int) -> Iterator[tuple[str, str, np.ndarray]]:
    """Name of the image, variable and field, for each flow component and strain of one clip; none without flow."""
    for variable in FIXED_RANGE if "flow" in features.groups else ():
        for pair, field in zip(features.labels("flow/pair"), features[f"flow/{variable}"][row], strict=True):
            yield f"{variable}_{pair}", variable, field


def _grey(field: np.ndarray, low: float, high: float) -> np.ndarray:
    """8-bit image (H, W) of a field; with ``low`` equal to ``high`` it is black."""
    span = high - low if high > low else 1.0
    return np.floor(np.clip((field - low) / span, 0, 1) * 255 + 0.5).astype(np.uint8)


def _inside(folder: Path | str, relative: str) -> Path:
    """A path below a folder; names come from the feature file and must not lead out of the folder."""
    path = Path(folder) / relative
    if not path.resolve().is_relative_to(Path(folder).resolve()):
        raise CacheError(f"identifier leads out of {folder}: {relative!r}")
    return path
