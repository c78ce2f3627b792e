"""Seeds of the folds of a run, and the clips of a protocol fold by fold."""

from __future__ import annotations

import hashlib
from functools import partial

from mer_features.protocols.table import FoldTable
from mer_features.stages.style.fitted import Fitted
from mer_features.training.data import Clips, Inputs, Sources, load_clips
from mer_features.training.style import folds as fold_style


def derived_seed(seed: int, fold: str) -> int:
    """Seed of one fold; it does not depend on the other folds of the job or on their order.

    Parameters
    ----------
    seed
        Seed of the run.
    fold
        Name of the fold.

    Returns
    -------
    int
        0 to 2³² - 1.
    """
    return int.from_bytes(hashlib.blake2b(f"{seed}/{fold}".encode(), digest_size=4).digest(), "big")


class FoldClips:
    """Clips of a protocol, fold by fold, either in one style for all folds or in the style of the training subjects.

    Parameters
    ----------
    sources
        Feature files, and the style aggregation if it is fitted separately in each fold.
    table
        The protocol.
    inputs
        Variables that the system reads. Style is fitted only if the system reads it.
    seed
        Seed of the run.

    Raises
    ------
    ValueError
        For the same reasons as in :func:`mer_features.training.load_clips`.
    """

    def __init__(self, sources: Sources, table: FoldTable, inputs: Inputs, seed: int) -> None:
        self._sources, self._table, self._inputs, self._seed = sources, table, inputs, seed
        self._style = sources.style if set(inputs.variables) & set(fold_style.VARIABLES) else None
        #: All clips; without style aggregation if style is fitted in each fold.
        self.plain = self._load(None)

    def of(self, fold: str, fitted: Fitted | None = None) -> Clips:
        """All clips, for training and held out, in the style of the fold; ``fitted`` is :meth:`style`, if known."""
        return self.plain if self._style is None else self._load(fitted or self.style(fold))

    def style(self, fold: str) -> Fitted | None:
        """Style fitted on the training subjects of the fold; None if style is not fitted in each fold."""
        if self._style is None:
            return None
        seed = derived_seed(self._seed, fold)
        return fold_style.fit_fold(self._sources.caches, self._table.rows, fold, self._style, seed=seed)

    def _load(self, fitted: Fitted | None) -> Clips:
        style = self._style
        restyle = None if style is None else partial(fold_style.render, fitted=fitted, colour=style.colour)
        return load_clips(self._sources.caches, self._table, self._inputs, restyle)
