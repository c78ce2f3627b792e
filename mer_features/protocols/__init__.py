"""Protocols: which clips are used, their classes, and the fold that tests each clip.

A protocol is a rule that :func:`build` applies to clip tables. The published protocols have names and fixed counts
(:data:`PRESETS`, :data:`EXPECTED_COUNTS`). The result is a :class:`FoldTable`, stored as a TSV in which each clip
appears once, with the name of the fold that tests it. The training set of a fold is all clips of the other folds and
the clips that no fold tests (:data:`TRAIN_ONLY`).
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
