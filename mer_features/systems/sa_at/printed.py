"""Results printed in the SA-AT paper for the composite protocol (MEGC 2019, CDE). They are quoted, not computed."""

from __future__ import annotations

from mer_features.systems.common.printed import Printed

_WHERE = "Zhou, Mao, Xue 2019 (SA-AT), Table 3, {}"
#: The apex of Algorithm 1, the learned aggregation, and the teacher of Table 2 that Table 3 is based on.
_SETTING = {
    "faces.mode": "box",
    "faces.register": "none",
    "apex.policy": "lbp_roi",
    "style.method": "cyclegan",
    "style.fit_on": "external",
    "style.databases": ["bu3dfe"],
    "pretraining.task": "sa_at",
    "pretraining.databases": ["bu3dfe"],
    "pretraining.labels": "bu3dfe-3",
    "pretraining.faces.mode": "box",
    "pretraining.faces.register": "none",
    "pretraining.apex.policy": "lbp_roi",
}

#: Keys whose values the paper prints.
STATED = frozenset(
    {
        "recipe.images", "recipe.micro_training", "recipe.at_form", "recipe.at_p", "recipe.init_std",
        "recipe.learning_rate", "recipe.batch_size", "recipe.size", "apex.policy", "style.method",
        "pretraining.databases", "pretraining.labels", "pretraining.recipe.network", "pretraining.recipe.batch_size",
        "pretraining.recipe.learning_rate", "pretraining.recipe.init_std",
    }
)  # fmt: skip


#: UF1 and UAR of SA-AT by part (Table 4).
_PARTS = {"smic": (0.5512, 0.5463), "casme2": (0.7607, 0.7552), "samm": (0.4476, 0.4868)}


def _row(name: str, uf1: float, uar: float) -> Printed:
    remark = "teacher trained on BU-3DFE"
    parts = _PARTS if name == "SA-AT" else {}
    where = _WHERE.format(name)
    return Printed("megc2019", where, uf1, uar, remark=remark, parts=parts, ablation=name, setting=_SETTING)


ROWS = (
    _row("SA-AT", 0.5936, 0.5958),
    _row("ResNet&AT", 0.5782, 0.5794),
    _row("ResNet&SA", 0.5611, 0.5503),
    _row("ResNet", 0.5415, 0.5348),
)
