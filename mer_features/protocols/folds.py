"""Assignment of subjects to folds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mer_features.protocols.table import TRAIN_ONLY, Subject, train_only_except

if TYPE_CHECKING:  # the configuration checks itself against the presets of this package
    from mer_features.protocols.options import Protocol

#: The only fold of a protocol that trains once on whole databases and tests on other databases.
TRANSFER = "transfer"


def assign(owners: Sequence[Subject], labels: Sequence[str], protocol: Protocol, seed: int) -> dict[Subject, str]:
    """Fold of every subject.

    Parameters
    ----------
    owners, labels
        Subject and class of every clip.
    protocol
        Kind of folds.
    seed
        Seed of the order of subjects with equally many clips, for numbered folds.

    Raises
    ------
    ValueError
        If there are fewer subjects than numbered folds.
    """
    subjects = dict.fromkeys(owners)
    if protocol.folds == "loso":
        return {owner: of_subject(*owner) for owner in subjects}
    if protocol.folds != "transfer":
        return _numbered(owners, labels, protocol.folds, seed)
    if protocol.transfer_folds is None:
        return {owner: TRANSFER if owner[0] in protocol.test else TRAIN_ONLY for owner in subjects}
    source, target = (
        _numbered(*_of(owners, labels, protocol, tested=tested), protocol.transfer_folds, seed)
        for tested in (False, True)
    )
    return {owner: train_only_except(fold) for owner, fold in source.items()} | target


def of_subject(database: str, subject: str) -> str:
    """Fold that holds out this subject alone."""
    return f"{database}/{subject}"


def _of(
    owners: Sequence[Subject], labels: Sequence[str], protocol: Protocol, *, tested: bool
) -> tuple[list[Subject], list[str]]:
    """Subject and class of the clips of the tested databases, or of the other ones."""
    chosen = [place for place, owner in enumerate(owners) if (owner[0] in protocol.test) == tested]
    return [owners[place] for place in chosen], [labels[place] for place in chosen]


def _numbered(owners: Sequence[Subject], labels: Sequence[str], count: int, seed: int) -> dict[Subject, str]:
    """Folds `fold1`, `fold2` … of whole subjects."""
    if len(set(owners)) < count:
        raise ValueError(f"{count} folds of only {len(set(owners))} subjects")
    width = len(str(count))
    numbers = balanced_folds(owners, labels, count, seed)
    return {owner: f"fold{number + 1:0{width}d}" for owner, number in numbers.items()}


def balanced_folds(owners: Sequence[Subject], labels: Sequence[str], folds: int, seed: int) -> dict[Subject, int]:
    """Distribute whole subjects over folds so that clips and classes are balanced.

    The algorithm is greedy. Subjects are processed in descending order of their number of clips; the order of subjects
    with equally many clips is drawn from ``seed``. Each subject goes to the fold where the sum over the classes of
    (clips in the fold)² / (clips of the class), plus the same term for all clips, increases least. The result depends
    only on the arguments, so a stored table can be rebuilt with any library version.

    Parameters
    ----------
    owners, labels
        Subject and class of every clip, n each.
    folds
        Number of folds; at most the number of subjects.
    seed
        Seed of the order of subjects with equally many clips.

    Returns
    -------
    dict
        Subject -> fold, 0 to ``folds`` - 1; no fold is empty.
    """
    subjects = sorted(set(owners))
    classes = sorted(set(labels))
    counts = np.zeros((len(subjects), len(classes)), dtype=np.int64)
    np.add.at(counts, ([subjects.index(owner) for owner in owners], [classes.index(label) for label in labels]), 1)
    counts = np.column_stack([counts, counts.sum(axis=1)])  # (subjects, classes + 1), the last for all clips
    shuffled = np.random.default_rng(seed).permutation(len(subjects))
    order = shuffled[np.argsort(-counts[shuffled, -1], kind="stable")]
    weight = 1.0 / counts.sum(axis=0)
    totals = np.zeros((folds, counts.shape[1]), dtype=np.int64)
    result: dict[Subject, int] = {}
    for index in order:
        growth = ((totals + counts[index]) ** 2 - totals**2) @ weight
        fold = int(np.argmin(growth))
        totals[fold] += counts[index]
        result[subjects[index]] = fold
    return result
