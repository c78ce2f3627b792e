"""Results printed in the MA2MI paper. They are quoted, not computed.

They were read from a text copy of the paper that has gaps. Values that are not legible in it are None.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mer_features.systems.common.printed import Printed


@dataclass(frozen=True)
class Row:
    """One row of Tables 1 to 4: accuracies in percent, and UF1 (the paper gives none for MMEW)."""

    name: str  # name of the ablation in the recipe
    table: str
    casme2: float | None
    casme2_uf1: float | None
    samm: float | None
    samm_uf1: float | None
    mmew: float | None


#: Pre-training on DFEW.
TABLES = (
    Row("MA2MI", "Tables 1 to 4", 89.16, 0.8882, 83.82, 0.7893, 75.21),
    Row("without pre-training", "Table 1", 83.94, 0.8073, 77.21, 0.6740, 68.80),
    Row("macro recognition", "Table 1", 83.53, 0.8166, 78.68, 0.7214, 72.22),
    Row("pixel space", "Table 1", None, 0.8732, None, 0.7481, 74.36),
    Row("reconstruction kept, position", "Table 2", 83.94, 0.8073, 80.88, 0.7304, 72.65),
    Row("reconstruction kept, action", "Table 2", 85.54, 0.7941, 80.88, 0.7637, 73.08),
    Row("reconstruction kept, both", "Table 2", None, 0.8795, 81.62, 0.7384, 73.93),
    Row("position", "Table 2", 84.34, 0.8311, 81.62, 0.7411, 73.93),
    Row("action", "Table 2", 87.95, 0.8486, 82.35, 0.7640, 74.78),
    Row("no position encoder", "Table 4", 84.74, 0.8372, 77.94, 0.7279, 70.94),
    Row("no L_pos", "Table 4", 88.76, 0.8795, 81.62, 0.7549, 74.35),
)
#: Keys whose values the paper prints.
STATED = frozenset(
    {
        "recipe.backbone", "recipe.size", "recipe.learning_rate", "recipe.weight_decay", "recipe.batch_size",
        "recipe.epochs", "recipe.pretrain", "recipe.tuned", "recipe.reconstruction", "recipe.position",
        "recipe.reconstruction_form", "pretraining.recipe.equivariance", "pretraining.recipe.reconstruction_form",
        "pretraining.databases", "pretraining.source", "pretraining.recipe.delta", "pretraining.recipe.space",
        "pretraining.recipe.batch_size", "pretraining.recipe.epochs", "pretraining.recipe.learning_rate",
        "pretraining.recipe.dit_width", "pretraining.recipe.dit_depth", "pretraining.recipe.dit_heads", "apex.policy",
    }
)  # fmt: skip

#: Macro-expression videos: face crops of their owners, all clips of DFEW and AFEW, whether labelled or not.
_VIDEOS = {
    "faces.mode": "precropped",
    "apex.policy": "interframe_diff",
    "database.unlabelled@dfew": True,
    "database.unlabelled@afew": True,
}
#: The frozen autoencoder of the latents.
_CODEC = {
    "pretraining.pretraining.task": "autoencoder",
    "pretraining.pretraining.recipe.kind": "stable_diffusion",
    "pretraining.pretraining.recipe.weights": "a file",
    "pretraining.pretraining.databases": ["dfew"],
    **{f"pretraining.pretraining.{key}": value for key, value in _VIDEOS.items()},
}
#: The paper names ResNet-18 and not how it starts: ImageNet weights are ours.
_START = {"recipe.imagenet_weights": "a file"}
_TASK_START = {"pretraining.recipe.imagenet_weights": "a file"}
_MACRO = {
    "pretraining.task": "ma2mi",
    "pretraining.databases": ["dfew"],
    **{f"pretraining.{key}": value for key, value in _VIDEOS.items()},
    **_TASK_START,
}
#: Classes of the pre-training by recognition: all of DFEW.
_CLASSES = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]
#: Eq. 5 prints a norm.
_EQ_5 = {"pretraining.recipe.equivariance": "norm"}
#: Eq. 9 prints a norm; it matters where the reconstruction is added to the class loss.
_EQ_9 = {"recipe.reconstruction_form": "norm"}
_LATENT = _MACRO | _CODEC | _EQ_5
#: Pre-training of each row; of the others, prediction of future frames in the latent space.
_PRETRAINING: dict[str, dict[str, Any]] = {
    "without pre-training": {},
    "macro recognition": _MACRO | {"pretraining.task": "ma2mi_recognition", "pretraining.labels": _CLASSES},
    "pixel space": _MACRO | _EQ_5 | {"pretraining.recipe.space": "pixel"},
    "no position encoder": _LATENT | {"pretraining.recipe.position": "none"},
    "no L_pos": _LATENT | {"pretraining.recipe.position": "reconstruction"},
}


#: Rows of Table 3 with another macro-expression database, as far as they are legible.
_OTHER_DATABASES = {
    "afew": Row("MA2MI", "Table 3", 85.14, 0.8362, 80.15, 0.7146, 72.22),
    "ferv39k": Row("MA2MI", "Table 3", None, None, 81.62, None, None),
}


def _printed(row: Row, database: str = "dfew") -> tuple[Printed, ...]:
    """One row on CASME II, SAMM and MMEW; without those of which no value is legible."""
    pretraining = _PRETRAINING.get(row.name, _LATENT)
    if pretraining:
        pretraining = pretraining | {"pretraining.databases": [database]}
    setting = _START | pretraining | (_EQ_9 if row.name.startswith("reconstruction kept") else {})
    where = f"Li, Niu, Zhao (MA2MI), {row.table}, {row.name if database == 'dfew' else ADAPTERS[database]}"
    remark = f"pre-training on {ADAPTERS[database]}" if pretraining else ""
    given: dict[str, Any] = {"remark": remark, "ablation": row.name, "setting": setting}
    rows = (
        Printed("casme2-5-2019", where, row.casme2_uf1, accuracy=_share(row.casme2), **given),
        Printed("samm-5", where, row.samm_uf1, accuracy=_share(row.samm), **given),
        Printed("mmew-6", where, accuracy=_share(row.mmew), **given),
    )
    return tuple(printed for printed in rows if printed.text)


def _share(percent: float | None) -> float | None:
    return None if percent is None else round(percent / 100, 4)


#: Names of the macro-expression databases, by adapter.
ADAPTERS = {"dfew": "DFEW", "afew": "AFEW", "ferv39k": "FERV39k"}

ROWS = (
    *(printed for row in TABLES for printed in _printed(row)),
    *(printed for database, row in _OTHER_DATABASES.items() for printed in _printed(row, database)),
)
