"""Seeds of the parts of a run."""

from __future__ import annotations

import hashlib
from functools import partial

from mer_features.protocols.table import FoldTable
from mer_features.stages.style.fitted import Fitted
from mer_features.training.data import Clips, Inputs, Sources, load_clips
from mer_features.training.style import folds as fold_style


def derived_seed(seed: int, fold: str) -> int:
    """Seed of one fold, 0 .. 2³² - 1: the same whatever other folds run in the job or in which order."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{fold}".encode(), digest_size=4).digest(), "big")


# The clips of a protocol as each fold sees them: in one style for all, or in the style of its training subjects.


class FoldClips:
    """Clips of a protocol, fold by fold.

    Parameters
    ----------
    sources
        Caches, and the style aggregation if it is fitted separately in every fold.
    table
        The protocol.
    inputs
        What the system reads; style is fitted only for a system that reads it.
    seed
        Of the run.

    Raises
    ------
    ValueError
        As :func:`mer_features.training.load_clips`.
    """

    def __init__(self, sources: Sources, table: FoldTable, inputs: Inputs, seed: int) -> None:
        self._sources, self._table, self._inputs, self._seed = sources, table, inputs, seed
        self._style = sources.style if set(inputs.variables) & set(fold_style.VARIABLES) else None
        #: All clips; where style is fitted in every fold, in no style at all.
        self.plain = self._load(None)

    def of(self, fold: str, fitted: Fitted | None = None) -> Clips:
        """All clips, trained on or held out, as the fold sees them; ``fitted`` is :meth:`style`, if at hand."""
        return self.plain if self._style is None else self._load(fitted or self.style(fold))

    def style(self, fold: str) -> Fitted | None:
        """What the fold's training subjects say of style; None where style is not fitted in every fold."""
        if self._style is None:
            return None
        seed = derived_seed(self._seed, fold)
        return fold_style.fit_fold(self._sources.caches, self._table.rows, fold, self._style, seed=seed)

    def _load(self, fitted: Fitted | None) -> Clips:
        restyle = None if self._style is None else partial(fold_style.render, fitted=fitted)
        return load_clips(self._sources.caches, self._table, self._inputs, restyle)
