"""Training and evaluation of all systems under all protocols. Importing this package does not import torch."""

from mer_features.systems.common.contract import Execution, Setup
from mer_features.training.data import Clips, Inputs, LeakError, Sources, load_clips, split
from mer_features.training.evaluation import evaluate
from mer_features.training.folds import FoldClips, derived_seed
from mer_features.training.loop import build, inputs_of, module_of, train_fold, train_folds, write_embeddings
from mer_features.training.pretraining import pretrain

__all__ = [
    "Clips",
    "Execution",
    "FoldClips",
    "Inputs",
    "LeakError",
    "Setup",
    "Sources",
    "build",
    "derived_seed",
    "evaluate",
    "inputs_of",
    "load_clips",
    "module_of",
    "pretrain",
    "split",
    "train_fold",
    "train_folds",
    "write_embeddings",
]
