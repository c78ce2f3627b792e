"""Checks the values of a feature file of recordings, one recording after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import h5py
import numpy as np

from mer_features.core.quality import Status
from mer_features.core.recordings import KINDS
from mer_features.features.access import column, scalar
from mer_features.features.recording_schema import ANNOTATED, LABELS

#: Finite in every reliable frame. Of the regions and lids, single ones may not have been measured.
_FINITE = ("head", "residual", "brightness")


def check_recordings(file: h5py.File) -> Iterator[str]:
    """Violations of the format that types and shapes do not show.

    Parameters
    ----------
    file
        A file of recordings whose groups, variables and dimensions are those of the schema.

    Returns
    -------
    iterator of str
        One text per violation, which starts with its location in the file.
    """
    names = column(file["recording_id"])
    if len(set(names)) < len(names):
        yield "/recording_id: an identifier occurs twice"
    yield from _check_table(file, names)
    for name, labels in LABELS.items():
        if (found := column(file[f"signals/{name}"])) != list(labels):
            yield f"/signals/{name}: found {', '.join(found)}, expected {', '.join(labels)}"
    if column(file["signals/recording_id"]) != names:
        yield "/signals/recording_id: differs from /recording_id"
    sizes, total = column(file["signals/row_size"]), len(file["signals/number"])
    if min(sizes, default=0) < 0 or sum(sizes) != total:
        yield f"/signals/row_size: adds up to {sum(sizes)}, expected {total}, the number of frames"
    else:
        yield from _check_signals(file, names, sizes)
    yield from _check_events(file, names)


def _check_table(file: h5py.File, names: Sequence[str]) -> Iterator[str]:
    status, flags = column(file["status"]), file["quality"][()]
    if unknown := set(status) - set(Status):
        yield f"/status: {sorted(unknown)}, expected {', '.join(Status)}"
    known = np.bitwise_or.reduce(np.ravel(file["quality"].attrs["flag_masks"]))
    if out := first_few(names, (flags & ~known) != 0):
        yield f"/quality: flags without a meaning in {out}"
    if out := first_few(names, (flags == 0) != (np.array(status) == Status.OK)):
        yield f"/status: contradicts quality in {out}"
    first, last = file["first"][()], file["last"][()]
    if out := first_few(names, (first >= 0) & (last >= 0) & (last < first)):
        yield f"/last: before first in {out}"
    rejected = np.array(status) == Status.REJECTED
    if out := first_few(names, rejected != (file["signals/row_size"][()] == 0)):
        yield f"/signals/row_size: contradicts status in {out}"


def _check_signals(file: h5py.File, names: Sequence[str], sizes: Sequence[int]) -> Iterator[str]:
    """Frames of all recordings; at most one line per variable and recording."""
    group = file["signals"]
    first, last = file["first"][()], file["last"][()]
    for row, end in enumerate(np.cumsum(sizes).tolist()):
        if not sizes[row]:
            continue
        rows = slice(end - sizes[row], end)
        if (group["recording_index"][rows] != row).any():
            yield f"/signals/recording_index: not {row} in all frames of {names[row]}"
        number = group["number"][rows]
        if number[0] < first[row] or (last[row] >= 0 and number[-1] > last[row]):
            found = f"{number[0]} to {number[-1]}"
            yield f"/signals/number: {found} in {names[row]}, expected {first[row]} to {last[row]}"
        if not (group["fps"][row] > 0 and group["eye_px"][row] > 0):
            yield f"/signals/fps, /signals/eye_px: not above 0 in {names[row]}"
        yield from _check_frames(group, rows, names[row])


def _check_frames(group: h5py.Group, rows: slice, name: str) -> Iterator[str]:
    """Frames of one recording."""
    number, time_s, reliable = (group[variable][rows] for variable in ("number", "time_s", "reliable"))
    if (np.diff(number) <= 0).any():
        yield f"/signals/number: does not ascend in {name}"
    if not np.isfinite(time_s).all() or (np.diff(time_s) < 0).any():
        yield f"/signals/time_s: not a time, or descends, in {name}"
    for variable in ("reliable", "repeated"):
        if not np.isin(group[variable][rows], (0, 1)).all():
            yield f"/signals/{variable}: neither 0 nor 1 in {name}"
    for variable in _FINITE:
        if not np.isfinite(group[variable][rows][reliable == 1]).all():
            yield f"/signals/{variable}: not finite in a reliable frame of {name}"


def _check_events(file: h5py.File, names: Sequence[str]) -> Iterator[str]:
    group = file["events"]
    of, kind, source = (column(group[name]) for name in ("recording_id", "kind", "source"))
    if not of:
        return
    if unknown := sorted(set(of) - set(names)):
        yield f"/events/recording_id: {unknown[0]} is not in the table of recordings"
        return
    if wrong := sorted(set(kind) - set(KINDS)):
        yield f"/events/kind: {', '.join(wrong)}, expected {' or '.join(KINDS)}"
    known = {ANNOTATED, *str(scalar(group, "spotters")).split()}
    if wrong := sorted(set(source) - known):
        yield f"/events/source: {', '.join(wrong)}, expected {', '.join(sorted(known))}"
    places = {name: row for row, name in enumerate(names)}
    rows = [places[name] for name in of]
    onset, offset = group["onset"][()], group["offset"][()]
    first, last = file["first"][()][rows], file["last"][()][rows]
    labels = [f"{name} ({start} to {end})" for name, start, end in zip(of, onset, offset, strict=True)]
    if out := first_few(labels, offset < onset):
        yield f"/events/offset: before the onset in {out}"
    if out := first_few(labels, (onset < np.maximum(first, 0)) | ((last >= 0) & (offset > last))):
        yield f"/events/onset, /events/offset: outside the film in {out}"
    if out := first_few(labels, group["end_s"][()] < group["start_s"][()]):
        yield f"/events/end_s: before start_s in {out}"
    annotated = np.array(source) == ANNOTATED
    if out := first_few(labels, annotated & ~np.isnan(group["score"][()])):
        yield f"/events/score: an annotated event has one in {out}"


def first_few(names: Sequence[str], wrong: np.ndarray) -> str:
    """Names of those that are wrong, the first few of them."""
    chosen = [name for name, bad in zip(names, wrong, strict=True) if bad]
    return ", ".join(chosen[:3]) + (f" and {len(chosen) - 3} more" if len(chosen) > 3 else "")
