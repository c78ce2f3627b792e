"""Protocols: which clips take part, in which class, and in whose test fold.

A protocol is a rule over clip tables (:func:`build`); the published ones have names and frozen counts
(:data:`PRESETS`, :data:`EXPECTED_COUNTS`). Its outcome is a :class:`FoldTable`, stored as a TSV in which every clip
appears once, with the name of the fold that tests it; all clips of the other folds train that fold, and so do the
clips that no fold tests (:data:`TRAIN_ONLY`).
"""

from mer_features.protocols.counts import EXPECTED_COUNTS, CountsError, Difference, compare, published
from mer_features.protocols.folds import TRANSFER, balanced_folds
from mer_features.protocols.labels import LABEL_MAPS, LabelMap
from mer_features.protocols.presets import PRESETS, Preset, Remark
from mer_features.protocols.rules import build
from mer_features.protocols.table import TRAIN_ONLY, FoldRow, FoldTable, Subject, fold_names, read, write

__all__ = [
    "EXPECTED_COUNTS",
    "LABEL_MAPS",
    "PRESETS",
    "TRAIN_ONLY",
    "TRANSFER",
    "CountsError",
    "Difference",
    "FoldRow",
    "FoldTable",
    "LabelMap",
    "Preset",
    "Remark",
    "Subject",
    "balanced_folds",
    "build",
    "compare",
    "fold_names",
    "published",
    "read",
    "write",
]
