"""Style aggregation per fold: the style is fitted on the training subjects, and all clips are rendered in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from mer_features.features import Features, open_features
from mer_features.protocols.table import FoldRow, trains
from mer_features.stages.options import Style
from mer_features.stages.style import aggregate_pair
from mer_features.stages.style.fitted import Fitted, Source, fit

#: Variables of a feature file that :func:`render` replaces.
VARIABLES = ("style/onset", "style/apex")

#: Reads one crop (S, S, C) of a clip; ``name`` is ``onset`` or ``apex``.
Reader = Callable[[Features, str, str], np.ndarray]


def read_crop(features: Features, clip_id: str, name: str) -> np.ndarray:
    """Read a crop of an open feature file."""
    return features[f"faces/{name}"][features.index(clip_id)]


def fit_fold(
    caches: Mapping[str, Path],
    rows: Sequence[FoldRow],
    fold: str,
    options: Style,
    *,
    seed: int,
    read: Reader = read_crop,
) -> Fitted:
    """Fit a style to the training subjects of a fold.

    Parameters
    ----------
    caches
        Feature file of each database.
    rows
        All clips of the protocol.
    fold
        The fold; its clips are held out.
    options
        ``method`` (``statistical`` or ``histogram``) and ``clusters``.
    seed
        Seed of k-means.
    read
        Function that reads a crop. It is never called for a held-out person.

    Raises
    ------
    ValueError
        If the method is another one, or if there are no training subjects.
    """
    if options.method not in ("statistical", "histogram"):
        raise ValueError(f"style method {options.method!r} is not fitted per fold")
    held_out = {row.owner for row in rows if row.fold == fold}
    used = zip(rows, trains(rows, fold), strict=True)
    training = [row for row, is_used in used if is_used and row.owner not in held_out]
    databases = tuple(dict.fromkeys(row.database for row in training))
    crops = _crops(caches, training, read)
    source = Source("fold", databases)
    return fit(crops, method=options.method, clusters=options.clusters, seed=seed, source=source)


def render(crops: Mapping[str, np.ndarray], fitted: Fitted | None, colour: str = "keep") -> dict[str, np.ndarray]:
    """Onset and apex of a clip, as the style stage would store them.

    Parameters
    ----------
    crops
        ``faces/onset`` and ``faces/apex`` of one clip, (S, S, C) uint8.
    fitted
        The fitted style; None: the crops are not changed.
    colour
        Option of the section ``style``.

    Returns
    -------
    dict
        Each name in :data:`VARIABLES` -> (S, S, C) uint8. Held-out and training clips are rendered in the same way,
        with the parameters of their own onset and the references of the fit.
    """
    onset, apex = (crops[f"faces/{name}"] for name in ("onset", "apex"))
    pair = (onset, apex) if fitted is None else aggregate_pair(onset, apex, fitted.method, fitted, colour)
    return dict(zip(VARIABLES, pair, strict=True))


def _crops(caches: Mapping[str, Path], rows: Sequence[FoldRow], read: Reader) -> Iterator[np.ndarray]:
    with _FeatureFiles(caches) as files:
        for row in rows:
            yield read(files[row.database], row.clip_id, "onset")


class _FeatureFiles:
    """Feature files by database, opened on first use."""

    def __init__(self, caches: Mapping[str, Path]) -> None:
        self._caches = caches
        self._files: dict[str, Features] = {}

    def __enter__(self) -> _FeatureFiles:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def __getitem__(self, database: str) -> Features:
        if database not in self._files:
            if database not in self._caches:
                raise ValueError(f"no feature file for database {database!r}; known: {', '.join(self._caches)}")
            self._files[database] = open_features(self._caches[database])
        return self._files[database]
