"""Checks a file against the schema and describes each violation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mer_features.features.access import (
    check_link,
    check_storage,
    dimension_names,
    format_version,
    has_recordings,
    is_bare_dimension,
    listed_groups,
    open_file,
    open_object,
    scalar,
)
from mer_features.features.recording_schema import RECORDING_FILE
from mer_features.features.recording_validation import check_recordings, first_few
from mer_features.features.schema import (
    ATTRIBUTE_SINCE,
    CLIP_ID,
    GROUPS,
    REQUIRED_IN_1,
    VARIABLE_ATTRIBUTES,
    CacheError,
    Group,
    Variable,
)
from mer_features.frames import flow_map


def validate(path: Path | str) -> list[str]:
    """Violations of the format in a feature file.

    Parameters
    ----------
    path
        Any file. The function does not raise, and it follows no links to other files.

    Returns
    -------
    list of str
        One text per violation, which starts with its location in the file; empty for a valid feature file.
    """
    try:
        with open_file(Path(path)) as file:
            return _violations(file)
    except CacheError as error:
        return [str(error)]
    except Exception as error:  # h5py raises many kinds of errors for damaged files
        return [f"{path}: cannot be read as a feature file ({error!r})"]


def _violations(file: h5py.File) -> list[str]:
    # Links are checked first: an object is only opened by name if it is known to be in this file.
    if outside := list(_walk(file, "", set())):
        return outside
    version = format_version(file)
    required = REQUIRED_IN_1 if version == 1 else ("", *listed_groups(file))
    of_recordings = has_recordings(file)
    groups = RECORDING_FILE if of_recordings else GROUPS
    expected = [group for name, group in groups.items() if name in required or name in file]
    violations = [text for group in expected for text in _check_group(file, group, version)]
    if version > 1:
        violations += _check_list(file, groups)
    return violations or list(check_recordings(file) if of_recordings else _check_values(file))


def _check_list(file: h5py.File, groups: Mapping[str, Group]) -> Iterator[str]:
    """Groups that are in the file and not in its list, or the other way round."""
    names = listed_groups(file)
    if not isinstance(scalar(file, "groups"), str | None):
        yield "/: attribute groups is not a text with the names of groups"
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"/{name}: the attribute groups lists it twice"
    listed, found = set(names), {name for name in file if file.get(name, getclass=True) is h5py.Group}
    for name in sorted(listed - found - groups.keys()):  # a missing group of the schema has been reported
        yield f"/{name}: the group is missing, and the attribute groups lists it"
    for name in sorted(found - listed):
        yield f"/{name}: the group is not in the attribute groups"


def _walk(group: h5py.Group, where: str, addresses: set[int]) -> Iterator[str]:
    """Links, data outside the file and variables without a description, in all groups, known or unknown."""
    for name in group:
        place = f"{where}/{name}"
        try:
            check_link(group, name, place)
            item = group[name]
            if isinstance(item, h5py.Dataset):
                check_storage(item, place)
        except CacheError as error:
            yield str(error)
            continue
        if isinstance(item, h5py.Dataset):
            yield from _check_described(item, place)
        elif isinstance(item, h5py.Group):
            address = h5py.h5o.get_info(item.id).addr
            if address in addresses:
                yield f"{place}: the group is in the file twice"
            else:
                addresses.add(address)
                yield from _walk(item, place, addresses)
        else:
            yield f"{place}: neither a group nor a variable"


def _check_described(dataset: h5py.Dataset, where: str) -> Iterator[str]:
    if is_bare_dimension(dataset):
        return
    for name in VARIABLE_ATTRIBUTES:
        if name not in dataset.attrs:
            yield f"{where}: attribute {name} is missing"


def _check_group(file: h5py.File, group: Group, version: int) -> Iterator[str]:
    where = f"/{group.name}"
    try:
        node = open_object(file, group.name)
    except KeyError:
        yield f"{where}: the group is missing"
        return
    if not isinstance(node, h5py.Group):
        yield f"{where}: not a group"
        return
    coordinates = ("coordinates",) if group.coordinates else ()
    for name in (*group.attributes, *coordinates):
        if name not in node.attrs and ATTRIBUTE_SINCE.get(name, 1) <= version:
            yield f"{where}: attribute {name} is missing"
    if coordinates and version > 1 and (found := node.attrs.get("coordinates", group.coordinates)) != group.coordinates:
        yield f"{where}: attribute coordinates is {found!r}, expected {group.coordinates!r}"
    if (schema := node.attrs.get("schema")) != group.schema:
        yield f"{where}: attribute schema is {schema!r}, expected {group.schema!r}"
    if (found := np.ravel(node.attrs.get("schema_version", 0))[0]) != version:
        yield f"{where}: attribute schema_version is {found}, expected {version}"
    for variable in group.stored:
        if variable.name not in node and (variable.optional or variable.since > version):
            continue
        yield from _check_variable(file, f"{where.rstrip('/')}/{variable.name}", variable)


def _check_variable(file: h5py.File, where: str, variable: Variable) -> Iterator[str]:
    try:
        dataset = open_object(file, where)
    except KeyError:
        yield f"{where}: the variable is missing"
        return
    if not isinstance(dataset, h5py.Dataset):
        yield f"{where}: not a variable"
        return
    if (kind := _type_name(dataset)) != variable.dtype:
        yield f"{where}: type {kind}, expected {variable.dtype}"
    if (dims := dimension_names(dataset)) != variable.dims:
        yield f"{where}: dimensions ({', '.join(dims)}), expected ({', '.join(variable.dims)})"
        return
    for axis, name in enumerate(variable.dims):
        scale = dataset.dims[axis][0] if len(dataset.dims[axis]) else dataset
        if scale.shape[0] != dataset.shape[axis]:
            yield f"{where}: {dataset.shape[axis]} entries along {name}, whose length is {scale.shape[0]}"
    for name, value in variable.attributes().items():
        if name not in {"long_name", "comment", "source"}:
            yield from _check_attribute(dataset, where, name, value)
    if variable.fill is not None and "_FillValue" not in dataset.attrs:
        yield f"{where}: attribute _FillValue is missing"


def _check_attribute(dataset: h5py.Dataset, where: str, name: str, expected: Any) -> Iterator[str]:
    if name not in dataset.attrs:
        if name not in VARIABLE_ATTRIBUTES:  # these have been checked already
            yield f"{where}: attribute {name} is missing"
        return
    actual, wanted = _items(dataset.attrs[name]), _items(expected)
    if name.startswith("flag_"):
        # Flags are only appended to the list: an older file has fewer of them, a newer file has more.
        actual, wanted = actual[: len(wanted)], wanted[: len(actual)]
    for place, (old, new) in enumerate(zip_longest(actual, wanted)):
        if old != new:
            entry = f" entry {place}" if place else ""
            yield f"{where}: attribute {name}{entry} is {old}, expected {new}"
            return


def _items(value: Any) -> list[Any]:
    return value.split() if isinstance(value, str) else np.ravel(value).tolist()


def _type_name(dataset: h5py.Dataset) -> str:
    return "str" if h5py.check_string_dtype(dataset.dtype) else dataset.dtype.name


def _check_values(file: h5py.File) -> Iterator[str]:
    """Violations that types and shapes do not show, in small variables only; images and fields are not read."""
    root = {name: file[name][()] for name in ("onset", "apex", "offset", "quality")}
    texts = {name: file[name].asstr()[()].tolist() for name in ("clip_id", "status")}
    if len(set(texts["clip_id"])) < len(texts["clip_id"]):
        yield "/clip_id: an identifier occurs twice"
    if unknown := set(texts["status"]) - {"ok", "warned"}:
        yield f"/status: {sorted(unknown)}, expected ok or warned"
    if out := first_few(texts["clip_id"], (root["apex"] < root["onset"]) | (root["apex"] > root["offset"])):
        yield f"/apex: outside onset..offset in {out}"
    known = np.bitwise_or.reduce(np.ravel(file["quality"].attrs["flag_masks"]))
    if out := first_few(texts["clip_id"], (root["quality"] & ~known) != 0):
        yield f"/quality: flags without a meaning in {out}"
    if out := first_few(texts["clip_id"], (root["quality"] == 0) != (np.array(texts["status"]) == "ok")):
        yield f"/status: contradicts quality in {out}"
    yield from _check_groups(file, texts["clip_id"], root["apex"])


def _check_groups(file: h5py.File, clip_ids: list[str], apex: np.ndarray) -> Iterator[str]:
    """Contradictions between the groups that the file has and its root."""
    if "faces" in file:
        numbers = file["faces/keyframe_number"][()]
        if out := first_few(clip_ids, ~(numbers == apex[:, None]).any(axis=1)):
            yield f"/faces/keyframe_number: lacks the apex in {out}"
    if "rejected" in file:
        codes = set(file["rejected/code"].asstr()[()].tolist()) - set(file["quality"].attrs["flag_meanings"].split())
        if codes:
            yield f"/rejected/code: {sorted(codes)} are not among the flag_meanings of quality"
    if "flow_maps" in file:
        channels = file["flow_maps/channel"].asstr()[()].tolist()
        if channels != list(flow_map.CHANNELS):
            yield f"/flow_maps/channel: found {', '.join(channels)}, expected {', '.join(flow_map.CHANNELS)}"
    if format_version(file) > 1:
        for name in listed_groups(file):
            yield from _check_copy(file[name], clip_ids)


def _check_copy(group: h5py.Group, clip_ids: list[str]) -> Iterator[str]:
    """Missing or wrong copy of the identifiers in a group, known or unknown, with a row per clip."""
    variables = [item for item in group.values() if isinstance(item, h5py.Dataset)]
    if not any(dimension_names(item)[:1] == CLIP_ID.dims for item in variables):
        return
    copies = [item for item in variables if item.name.rpartition("/")[2] == CLIP_ID.name]
    if not copies:
        yield f"{group.name}/{CLIP_ID.name}: the variable is missing"
    elif _type_name(copies[0]) != CLIP_ID.dtype or copies[0].asstr()[()].tolist() != clip_ids:
        yield f"{group.name}/{CLIP_ID.name}: differs from /{CLIP_ID.name}"
