"""What the papers print, and when it may stand beside a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mer_features.protocols import PRESETS, metrics
from mer_features.systems import printed, registry
from mer_features.systems.fr.printed import CDE_TABLE
from mer_features.systems.ma2mi.printed import TABLES
from mer_features.systems.map_mer.printed import TABLE_3, TABLE_4


def setting(system: str, ablation: str | None = None, **keys: Any) -> dict[str, Any]:
    """A run without pre-training, of which only the recipe is known."""
    recipe = printed.effective(registry.recipe(system, keys, ablation))
    return {"recipe": recipe, "pretraining": None, "stages": {}, "options": {}}


@pytest.mark.parametrize(
    ("ablation", "confusion"),
    [
        # The paper's Figure 3 in clips: its percentages times the clips of each class.
        (None, [[209, 34, 7], [27, 77, 5], [10, 6, 67]]),
        ("Basic Inception", [[201, 37, 12], [31, 70, 8], [12, 7, 64]]),
    ],
)
def test_printed_scores_agree_with_the_printed_confusion_matrix(ablation: str | None, confusion: list[list[int]]):
    row = next(row for row in printed.ROWS["fr"] if row.ablation == ablation)
    assert round(float(metrics.uf1(np.array(confusion))), 4) == row.uf1
    assert round(float(metrics.uar(np.array(confusion))), 4) == row.uar


#: What each paper prints of its own system: presets, and values that were looked up in it again.
PRINTED = {
    ("fr", None): {
        "megc2019": "UF1 0.7838, UAR 0.7832", "smic-hs-3": "accuracy 0.5790", "casme2-5-benchmark": "accuracy 0.6285",
        "casme2-4": "accuracy 0.6838", "samm-4": "accuracy 0.6013", "cdmer-1": "UF1 0.7065, accuracy 0.7149",
        "cdmer-2": "UF1 0.5971, accuracy 0.5968", "cdmer-3": "UF1 0.5335, accuracy 0.5673",
        "cdmer-4": "UF1 0.5137, accuracy 0.5200", "cdmer-5": "UF1 0.7934, accuracy 0.7910",
        "cdmer-6": "UF1 0.7921, accuracy 0.7921", "cdmer-7": "UF1 0.4670, accuracy 0.4905",
        "cdmer-8": "UF1 0.4883, accuracy 0.5380", "cdmer-9": "UF1 0.5678, accuracy 0.6101",
        "cdmer-10": "UF1 0.5929, accuracy 0.6019", "cdmer-11": "UF1 0.4399, accuracy 0.4823",
        "cdmer-12": "UF1 0.5963, accuracy 0.6081",
    },
    ("fr", "Basic Inception"): {
        "megc2019": "UF1 0.7360, UAR 0.7391", "smic-hs-3": "accuracy 0.5612", "casme2-4": "accuracy 0.6601",
        "samm-4": "accuracy 0.5783",
    },
    ("fr", "FR-concat"): {"megc2019": "UF1 0.7632, UAR 0.7727"},
    ("fr", "FR-fc"): {"megc2019": "UF1 0.7377, UAR 0.7443"},
    ("sa_at", "SA-AT"): {"megc2019": "UF1 0.5936, UAR 0.5958"},
    ("sa_at", "ResNet&SA"): {"megc2019": "UF1 0.5611, UAR 0.5503"},
    ("eidnet", "Phase I + Phase II"): {
        "megc2019": "UF1 0.8647, UAR 0.8559", "casme2-5-2019": "UF1 0.6640, accuracy 0.7309",
        "smic-hs-3": "UF1 0.7249, accuracy 0.7317",
    },
    ("eidnet", "Phase I"): {
        "megc2019": "UF1 0.6768, UAR 0.6809", "casme2-5-2019": "UF1 0.5501, accuracy 0.6506",
        "smic-hs-3": "UF1 0.6465, accuracy 0.6524",
    },
    ("ma2mi", "no L_pos"): {
        "casme2-5-2019": "UF1 0.8795, accuracy 0.8876", "samm-5": "UF1 0.7549, accuracy 0.8162",
        "mmew-6": "accuracy 0.7435",
    },
    ("map_mer", "db + all"): {
        "casme2-5-dual-branch": "UF1 0.827, UAR 0.850, accuracy 0.833",
        "samm-5": "UF1 0.758, UAR 0.751, accuracy 0.794",
        "casme2-3": "UF1 0.925, UAR 0.924, accuracy 0.932", "samm-3": "UF1 0.816, UAR 0.805, accuracy 0.865",
    },
    ("map_mer", "db + AWM"): {
        "casme2-5-dual-branch": "UF1 0.7957, accuracy 0.8252", "samm-5": "UF1 0.7347, accuracy 0.7721",
    },
    ("off_apexnet", None): {"megc2019": "UF1 0.7196, UAR 0.7096"},
    ("ststnet", None): {"megc2019": "UF1 0.7353, UAR 0.7605"},
    ("dual_inception", None): {"megc2019": "UF1 0.7322, UAR 0.7278"},
}  # fmt: skip


@pytest.mark.parametrize(("system", "ablation"), PRINTED)
def test_a_row_stands_beside_the_run_that_it_describes_and_only_under_its_protocol(system: str, ablation: str | None):
    expected = PRINTED[system, ablation]
    rows = [row for row in printed.ROWS[system] if row.ablation == ablation]
    assert {row.protocol: row.text for row in rows} == expected
    for row in rows:
        made = printed.of_row(row, system)
        for preset in (*PRESETS, None):
            found = printed.beside(system, made, preset)
            assert found.foreign == (preset not in {row.protocol for row in printed.ROWS[system]})
            if preset == row.protocol:
                assert (found.printed, found.differences, found.comparable) == (row, (), True)


def test_the_nearest_row_is_shown_and_every_difference_is_named():
    found = printed.beside("fr", setting("fr", fusion="concat", epochs=7, source="flow"), "megc2019")
    assert found.printed.ablation == "FR-concat"
    assert [str(item) for item in found.differences] == [
        "initialisation is torch (paper: keras)",
        "attention_scale is d (paper: 1)",
        "epochs is 7 (ours for this row: 20)",
    ]
    assert not found.comparable
    assert not found.foreign


def test_nothing_is_printed_for_our_own_yardstick():
    assert printed.beside("linear", setting("linear"), "megc2019") is None


def test_published_maps_are_ststnet_s_own_input_and_another_for_the_others():
    own = printed.beside("ststnet", setting("ststnet", source="flow_maps"), "megc2019")
    assert own.comparable
    other = printed.beside("off_apexnet", setting("off_apexnet", source="flow_maps"), "megc2019")
    assert [str(item) for item in other.differences] == [
        "flow from the published maps of the real clips, not computed as in the paper"
    ]


def test_a_part_that_was_processed_in_another_way_is_named():
    row = next(row for row in printed.ROWS["fr"] if row.protocol == "megc2019")
    made = printed.of_row(row, "fr", parts=("casme2", "smic", "samm"))
    made["stages"]["smic"]["apex.policy"] = "midpoint"
    found = printed.differences(row, "fr", made)
    assert [str(item) for item in found] == ["apex.policy is midpoint on smic (paper: annotated)"]
    for stages in made["stages"].values():
        stages["apex.policy"] = "midpoint"
    assert [str(item) for item in printed.differences(row, "fr", made)] == [
        "apex.policy is midpoint (paper: annotated)"
    ]


def test_options_without_effect_make_no_difference():
    row = printed.ROWS["fr"][0]
    made = printed.of_row(row, "fr", parts=("casme2",))
    assert made["stages"]["casme2"]["apex.fallback"] == "interframe_diff"
    made["stages"]["casme2"] |= {"apex.lbp_radius_px": 3}  # no LBP spotter
    assert printed.differences(row, "fr", made) == ()


def test_every_row_of_every_ablation_table_has_a_recipe():
    for system, rows in printed.ROWS.items():
        for row in rows:
            assert row.text, row
            assert printed.of_row(row, system)["recipe"]


def test_the_tables_are_whole():
    rows = {row.name: row.composite for row in CDE_TABLE}
    assert rows["FR"] == (0.7838, 0.7832)
    assert {row.name for row in TABLES} == registry.RECIPES["ma2mi"].ablations.keys()
    assert {row.model for row in TABLE_4} == registry.RECIPES["map_mer"].ablations.keys() - {"literal"}
    assert {row.protocol for row in TABLE_3} >= {row.protocol for row in TABLE_4}
