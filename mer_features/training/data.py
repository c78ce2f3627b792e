"""Clips of a protocol with their inputs, and their split into training and held-out clips."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mer_features.features import ClipRow, Features, open_features
from mer_features.features.schema import REJECTED
from mer_features.protocols.table import FoldRow, FoldTable, trains
from mer_features.stages.options import Style
from mer_features.systems.common import recipe
from mer_features.systems.common.contract import Arrays, Examples
from mer_features.training.style import folds as fold_style

#: Group -> variables that identify a recording. No training clip may have the same values as a held-out clip.
_IDENTITY = {"faces": ("faces/onset", "faces/apex"), "flow_maps": ("flow_maps/maps",)}


class LeakError(ValueError):
    """A held-out subject or recording is among the training clips."""


@dataclass(frozen=True)
class Sources:
    """The files that a training reads.

    Attributes
    ----------
    caches
        Feature file of each database.
    protocol_tsv
        Table of the protocol (:func:`mer_features.protocols.read`).
    pretrained
        File of the pre-training, if the recipe needs one.
    style
        Style aggregation that is fitted separately in each fold; None if the feature files hold all inputs.
    """

    caches: Mapping[str, Path]
    protocol_tsv: Path
    pretrained: Path | None = None
    style: Style | None = None


@dataclass(frozen=True)
class Inputs:
    """Variables that a system reads from a clip, and the function that prepares its inputs from them."""

    variables: tuple[str, ...]
    prepare: Callable[[Arrays], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Clips:
    """Clips of a protocol with their inputs; all attributes have one entry per clip."""

    rows: tuple[FoldRow, ...]
    features: Arrays  # name -> (N, ...)
    labels: np.ndarray  # (N,) int64, position of the class in the list of classes; -1 for a spot
    identities: tuple[frozenset[str], ...]  # digests of the source frames and of the crops or maps

    def take(self, chosen: Sequence[int]) -> Clips:
        """Copy these rows."""
        index = np.asarray(chosen, dtype=np.int64)
        rows, identities = zip(*((self.rows[i], self.identities[i]) for i in index), strict=True)
        features = {name: values[index] for name, values in self.features.items()}
        return Clips(rows, features, self.labels[index], identities)

    def examples(self) -> Examples:
        """The clips as a system receives them: without names, and with numbers for subjects."""
        numbers = {owner: number for number, owner in enumerate(dict.fromkeys(row.owner for row in self.rows))}
        subjects = np.array([numbers[row.owner] for row in self.rows], dtype=np.int64)
        return Examples(self.features, self.labels, subjects)


#: Function from the crops of a clip to its style-aggregated faces.
Restyle = Callable[[Arrays], Arrays]


def load_clips(caches: Mapping[str, Path], table: FoldTable, inputs: Inputs, restyle: Restyle | None = None) -> Clips:
    """Inputs of all clips of a protocol.

    Parameters
    ----------
    caches
        Feature file of each database.
    table
        The protocol.
    inputs
        Variables to read, and how to prepare them.
    restyle
        Computes the variables of `/style` from ``faces/onset`` and ``faces/apex``; None: they are read.

    Raises
    ------
    ValueError
        If a database has no feature file, or a feature file lacks a group that is read, or a clip, because the protocol
        was built from other files.
    """
    columns: dict[str, list[np.ndarray]] = {}
    identities = []
    computed = fold_style.VARIABLES if restyle else ()
    stored = [name for name in inputs.variables if name not in computed]
    for clip, read, identity in _read(caches, table.rows, stored):
        arrays = {**read, **restyle(read)} if restyle else read
        prepared = inputs.prepare({name: arrays[name] for name in inputs.variables})
        for name, value in prepared.items():
            columns.setdefault(name, []).append(value)
        pixels = {hashlib.sha256(read[name].tobytes()).hexdigest() for name in identity}
        identities.append(frozenset(pixels | ({clip.source_sha256} - {""})))
    features = {name: np.stack(columns.pop(name)) for name in list(columns)}
    number = {"": -1} | {name: place for place, name in enumerate(table.classes)}
    labels = np.array([number[row.label] for row in table.rows], dtype=np.int64)
    return Clips(table.rows, features, labels, tuple(identities))


def _read(
    caches: Mapping[str, Path], rows: Sequence[FoldRow], variables: Sequence[str]
) -> Iterator[tuple[ClipRow, dict[str, np.ndarray], tuple[str, ...]]]:
    """Clip, variables and names of the variables that identify the recording, of one row at a time."""
    files: dict[str, Features] = {}
    identity: dict[str, tuple[str, ...]] = {}
    try:
        for row in rows:
            if row.database not in files:
                if row.database not in caches:
                    known = ", ".join(caches) or "none"
                    raise ValueError(f"no feature file for database {row.database!r}; known: {known}")
                file = files[row.database] = open_features(caches[row.database])
                file.require(*_groups(variables), purpose="the recipe")
                identity[row.database] = tuple(
                    name for group, names in _IDENTITY.items() if group in file.groups for name in names
                )
            file, identifying = files[row.database], identity[row.database]
            try:
                index = file.index(row.clip_id)
            except KeyError:
                raise ValueError(f"{file.path}: no clip {row.clip_id!r}, but the protocol lists it") from None
            names = dict.fromkeys((*variables, *identifying))
            yield file.clips[index], {name: np.asarray(file[name][index]) for name in names}, identifying
    finally:
        for file in files.values():
            file.close()


def _groups(variables: Iterable[str]) -> list[str]:
    """Groups of variables, without the root."""
    return list(dict.fromkeys(name.partition("/")[0] for name in variables if "/" in name))


def common_groups(sources: Sources) -> frozenset[str]:
    """Groups that all feature files have; with `style` if it is fitted in each fold and the files have faces.

    Raises ``ValueError`` if they have none in common.
    """
    groups = {}
    for path in sources.caches.values():
        with open_features(path) as features:
            groups[str(path)] = set(features.groups) - {REJECTED.name}
    shared = recipe.common_groups(groups)
    return shared | {"style"} if sources.style is not None and "faces" in shared else shared


def split(clips: Clips, fold: str) -> tuple[Clips, Clips]:
    """Training and held-out clips of a fold. They share no memory, no subject and no recording.

    Raises
    ------
    LeakError
        If a person or a recording is on both sides, under any name.
    ValueError
        If the fold does not exist, or leaves no clips to train or to test.
    """
    inside = [i for i, row in enumerate(clips.rows) if row.fold == fold and not row.train_only]
    outside = [i for i, used in enumerate(trains(clips.rows, fold)) if used]
    if not inside or not outside:
        raise ValueError(
            f"fold {fold!r} holds {len(inside)} of {len(clips.rows)} clips; there must be clips to train and to test"
        )
    train, test = clips.take(outside), clips.take(inside)
    _check_leaks(fold, train, test)
    return train, test


def _check_leaks(fold: str, train: Clips, test: Clips) -> None:
    owners = {row.owner for row in test.rows}
    if shared := [row for row in train.rows if row.owner in owners]:
        names = ", ".join(f"{row.database}/{row.clip_id}" for row in shared)
        raise LeakError(f"fold {fold!r}: clips of a held-out subject are among the training clips: {names}")
    held_out = {digest: row for row, digests in zip(test.rows, test.identities, strict=True) for digest in digests}
    for row, digests in zip(train.rows, train.identities, strict=True):
        for digest in digests & held_out.keys():
            twin = held_out[digest]
            raise LeakError(
                f"fold {fold!r}: the training clip {row.database}/{row.clip_id} has the same frames, or the "
                f"same map, as the held-out clip {twin.database}/{twin.clip_id}; leave one of them out"
            )
