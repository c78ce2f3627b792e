"""Clips of a protocol with their inputs, and their parting into what trains and what is held out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mer_features.features import ClipRow, Features, open_features
from mer_features.protocols.table import TRAIN_ONLY, FoldRow, FoldTable
from mer_features.stages.options import Style
from mer_features.systems.common.contract import Arrays, Examples
from mer_features.training.style import folds as fold_style

#: What identifies a recording, whatever its name: no training clip may share one of these with a held-out clip.
_IDENTITY = ("faces/onset", "faces/apex")


class LeakError(ValueError):
    """A held-out subject or recording stands among the training clips."""


@dataclass(frozen=True)
class Sources:
    """The files a training reads.

    Attributes
    ----------
    caches
        Cache file of every database.
    protocol_tsv
        Table of the protocol (:func:`mer_features.protocols.read`).
    pretrained
        File of the pre-training, for a recipe that needs one.
    style
        Style aggregation that is fitted separately in every fold; None where the caches hold what the system reads.
    """

    caches: Mapping[str, Path]
    protocol_tsv: Path
    pretrained: Path | None = None
    style: Style | None = None


@dataclass(frozen=True)
class Inputs:
    """What a system reads of a clip and how it makes its inputs of that."""

    variables: tuple[str, ...]
    prepare: Callable[[Arrays], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Clips:
    """Clips of a protocol with their inputs, row by row."""

    rows: tuple[FoldRow, ...]
    features: Arrays  # name -> (N, ...)
    labels: np.ndarray  # (N,) int64, positions in the classes
    identities: tuple[frozenset[str], ...]  # digests of the source frames and of the crops

    def take(self, chosen: Sequence[int]) -> Clips:
        """These rows alone, in memory of their own."""
        index = np.asarray(chosen, dtype=np.int64)
        rows, identities = zip(*((self.rows[i], self.identities[i]) for i in index), strict=True)
        features = {name: values[index] for name, values in self.features.items()}
        return Clips(rows, features, self.labels[index], identities)

    def examples(self) -> Examples:
        """The clips as a system sees them: without names, subjects as numbers."""
        numbers = {owner: number for number, owner in enumerate(dict.fromkeys(row.owner for row in self.rows))}
        subjects = np.array([numbers[row.owner] for row in self.rows], dtype=np.int64)
        return Examples(self.features, self.labels, subjects)


#: Style-aggregated faces of a clip from its crops.
Restyle = Callable[[Arrays], Arrays]


def load_clips(caches: Mapping[str, Path], table: FoldTable, inputs: Inputs, restyle: Restyle | None = None) -> Clips:
    """Inputs of all clips of a protocol.

    Parameters
    ----------
    caches
        Cache file of every database.
    table
        The protocol.
    inputs
        What to read and how to prepare it.
    restyle
        Makes the variables of `/style` out of ``faces/onset`` and ``faces/apex``; None reads them.

    Raises
    ------
    ValueError
        If a database has no cache or a cache lacks a clip: the protocol was built from other files.
    """
    columns: dict[str, list[np.ndarray]] = {}
    identities = []
    made = fold_style.VARIABLES if restyle else ()
    stored = [name for name in inputs.variables if name not in made]
    for clip, read in _read(caches, table.rows, (*stored, *_IDENTITY)):
        arrays = {**read, **restyle(read)} if restyle else read
        prepared = inputs.prepare({name: arrays[name] for name in inputs.variables})
        for name, value in prepared.items():
            columns.setdefault(name, []).append(value)
        pixels = {hashlib.sha256(arrays[name].tobytes()).hexdigest() for name in _IDENTITY}
        identities.append(frozenset(pixels | ({clip.source_sha256} - {""})))
    features = {name: np.stack(columns.pop(name)) for name in list(columns)}
    labels = np.array([table.classes.index(row.label) for row in table.rows], dtype=np.int64)
    return Clips(table.rows, features, labels, tuple(identities))


def _read(
    caches: Mapping[str, Path], rows: Sequence[FoldRow], variables: Sequence[str]
) -> Iterator[tuple[ClipRow, dict[str, np.ndarray]]]:
    """Each row's clip and variables, read one clip at a time."""
    opened: dict[str, Features] = {}
    try:
        for row in rows:
            if row.database not in opened:
                if row.database not in caches:
                    raise ValueError(f"no cache for database {row.database!r}; given: {', '.join(caches) or 'none'}")
                opened[row.database] = open_features(caches[row.database])
            file = opened[row.database]
            try:
                index = file.index(row.clip_id)
            except KeyError:
                raise ValueError(f"{file.path}: no clip {row.clip_id!r}, which the protocol lists") from None
            yield file.clips[index], {name: np.asarray(file[name][index]) for name in variables}
    finally:
        for file in opened.values():
            file.close()


def split(clips: Clips, fold: str) -> tuple[Clips, Clips]:
    """Training and held-out clips of a fold, which share no memory, subject or recording.

    Raises
    ------
    LeakError
        If a person or a recording, by whatever name, stands on both sides.
    ValueError
        If the fold does not exist or leaves nothing to train with.
    """
    inside = [i for i, row in enumerate(clips.rows) if row.fold == fold != TRAIN_ONLY]
    outside = [i for i, row in enumerate(clips.rows) if row.fold != fold]
    if not inside or not outside:
        raise ValueError(f"fold {fold!r} holds {len(inside)} of {len(clips.rows)} clips; nothing to train or to test")
    train, test = clips.take(outside), clips.take(inside)
    _refuse_leaks(fold, train, test)
    return train, test


def _refuse_leaks(fold: str, train: Clips, test: Clips) -> None:
    owners = {row.owner for row in test.rows}
    if shared := [row for row in train.rows if row.owner in owners]:
        names = ", ".join(f"{row.database}/{row.clip_id}" for row in shared)
        raise LeakError(f"fold {fold!r}: clips of a held-out subject would train it: {names}")
    held_out = {digest: row for row, digests in zip(test.rows, test.identities, strict=True) for digest in digests}
    for row, digests in zip(train.rows, train.identities, strict=True):
        for digest in digests & held_out.keys():
            twin = held_out[digest]
            raise LeakError(
                f"fold {fold!r}: {row.database}/{row.clip_id} would train it and shows the same frames as the "
                f"held-out {twin.database}/{twin.clip_id}"
            )
