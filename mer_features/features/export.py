"""Exports of a cache for tools that read no HDF5: a table (CSV), arrays (NPZ), pictures (PNG)."""

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
from mer_features.features import CacheError, ClipRow, Features, open_features

#: How a field becomes 8 bits; see :func:`to_png`.
View = Literal["fixed", "minmax"]
#: Range of the `fixed` view by variable, shown as 0..255.
FIXED_RANGE = {"u": (-4.0, 4.0), "v": (-4.0, 4.0), "strain": (0.0, 0.5)}


#: Variables that are pictures already, and their file names.
_PICTURES = {f"faces/{name}": name for name in ("onset", "apex", "offset")}
_PICTURES["magnified/apex"] = "amplified"
_PICTURES |= {f"style/{name}": f"{name}_style" for name in ("onset", "apex")}


def to_csv(path: Path | str, out: Path | str) -> None:
    """Write one line per clip: its row of the root, its action units and its descriptors.

    Columns are those of :class:`mer_features.features.ClipRow`, ``au_<number>`` (``left``, ``right`` ..., empty:
    absent),
    ``flow_ratio`` where the file has amplified frames, and ``<descriptor>_<index>``. Rejected clips follow with the
    status ``rejected`` and empty cells.
    """
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


def _action_units(features: Features, row: int) -> list[str]:
    words = {value: word for word, value in FLAGS.items()} | {FLAGS["absent"]: ""}
    return [words[int(value)] for value in features["action_units"][row]]


def _ratios(features: Features) -> list[str]:
    """The variable with each clip's magnification as the flow sees it; a file may have none."""
    return [name for name in features.variables() if name == "magnified/flow_ratio"]


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.6g}"


def _descriptor_names(features: Features) -> list[str]:
    """Feature vectors, which later stages may add to the group ``descriptors``."""
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
    """Write one ``<out_dir>/<clip_id>.npz`` a clip and say which.

    Keys are the variables' paths with ``_`` for ``/`` (``flow_u``), decoded as :class:`Features` decodes them, and
    the labels of their dimensions (``flow_pair``). Texts are numpy strings: nothing needs ``allow_pickle``.
    """
    with open_features(path) as features:
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


def _key(name: str) -> str:
    return name.replace("/", "_")


def _plain(value: Any) -> np.ndarray:
    return np.array(value, dtype=np.str_) if isinstance(value, str) else np.asarray(value)


def to_png(path: Path | str, out_dir: Path | str, view: View = "fixed") -> tuple[Path, ...]:
    """Write each clip's faces and flow as pictures under ``<out_dir>/<clip_id>/`` and say which.

    Faces are ``onset.png``, ``apex.png``, ``offset.png`` as stored, and, where the file has them, ``amplified.png``,
    ``onset_style.png`` and ``apex_style.png``. Fields are ``<variable>_<pair>.<view>.png``, grey,
    with 0..255 standing for the range low..high of the view: ``fixed`` takes :data:`FIXED_RANGE` and clips beyond it,
    so that clips compare (zero flow is 128); ``minmax`` takes the field's own range. ``<out_dir>/views.json`` holds
    low and high of every picture: value = low + grey / 255 x (high - low).

    Raises
    ------
    ValueError
        For an unknown view.
    """
    if view not in get_args(View):
        raise ValueError(f"unknown view {view!r}; known: {', '.join(get_args(View))}")
    ranges: dict[str, dict[str, float]] = {}
    written = []
    with open_features(path) as features:
        for row, clip in enumerate(features.clips):
            for variable, name in _PICTURES.items():
                if variable in features.variables():
                    target = _inside(out_dir, f"{clip.clip_id}/{name}.png")
                    written.append(write_png(target, features[variable][row]))
            for name, variable, field in _fields(features, row):
                low, high = FIXED_RANGE[variable] if view == "fixed" else (float(field.min()), float(field.max()))
                relative = f"{clip.clip_id}/{name}.{view}.png"
                ranges[relative] = {"low": low, "high": high}
                written.append(write_png(_inside(out_dir, relative), _grey(field, low, high)))
    write_text(Path(out_dir) / "views.json", json.dumps({"view": view, "range": ranges}, indent=1) + "\n")
    return tuple(written)


def _fields(features: Features, row: int) -> Iterator[tuple[str, str, np.ndarray]]:
    """File name, variable and field of every flow component and strain of one clip."""
    for variable in FIXED_RANGE:
        for pair, field in zip(features.labels("flow/pair"), features[f"flow/{variable}"][row], strict=True):
            yield f"{variable}_{pair}", variable, field


def _grey(field: np.ndarray, low: float, high: float) -> np.ndarray:
    """8-bit picture (H, W) of a field; a constant field in its own range is black."""
    span = high - low if high > low else 1.0
    return np.floor(np.clip((field - low) / span, 0, 1) * 255 + 0.5).astype(np.uint8)


def _inside(folder: Path | str, relative: str) -> Path:
    """A path below a folder; names come from files and must not lead out of it."""
    path = Path(folder) / relative
    if not path.resolve().is_relative_to(Path(folder).resolve()):
        raise CacheError(f"clip identifier leads out of {folder}: {relative!r}")
    return path
