"""Paired differences against loops, closed forms and simulated pairs; comparisons from files of predictions."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from mer_features import protocols
from mer_features.protocols import comparison, metrics
from mer_features.protocols.comparison import PairedDifference
from mer_features.protocols.metrics import Prediction
from mer_features.training.comparison import SAMPLES, compare
from mer_features.workflow.plan import Plan

CLASSES = ("negative", "positive", "surprise")


def run(skill: float | np.ndarray, seed: int, *, clips: int = 120, per_subject: int = 5) -> list[Prediction]:
    """Clips of two databases with the same names of subjects; a share ``skill`` of the predictions is right."""
    truth = np.random.default_rng(0).integers(0, 3, clips)
    rng = np.random.default_rng([1, seed])
    said = np.where(rng.random(clips) < skill, truth, (truth + rng.integers(1, 3, clips)) % 3)
    return [
        Prediction(
            f"{i}", "ab"[i % 2], f"s{i // per_subject}", f"f{i % 7}", seed, CLASSES[truth[i]], CLASSES[said[i]], ()
        )
        for i in range(clips)
    ]


GOOD, POOR = [run(0.8, seed) for seed in (1, 2, 3)], [run(0.5, seed) for seed in (4, 5)]


def by_hand(first: list, second: list, seed: int, samples: int) -> dict[str, tuple[float, float, float]]:
    """The same numbers with scikit-learn, clip by clip and draw by draw."""
    scorers = {
        "uf1": lambda t, p: f1_score(t, p, average="macro", labels=CLASSES, zero_division=0),
        "uar": balanced_accuracy_score,
        "accuracy": accuracy_score,
    }
    owners = sorted({(row.database, row.subject) for row in first[0]})
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(len(owners), [1 / len(owners)] * len(owners), size=samples)
    found = {}
    for name, scorer in scorers.items():

        def mean(rows_of_seeds: list, times: dict, scorer=scorer) -> float:
            scores = []
            for rows in rows_of_seeds:
                chosen = [row for row in rows for _ in range(times[row.database, row.subject])]
                scores.append(scorer([row.truth for row in chosen], [row.prediction for row in chosen]))
            return sum(scores) / len(scores)

        once = dict.fromkeys(owners, 1)
        gaps = []
        for draw in draws:
            times = dict(zip(owners, draw, strict=True))
            gaps.append(mean(first, times) - mean(second, times))
        found[name] = (mean(first, once) - mean(second, once), *np.percentile(gaps, [2.5, 97.5]))
    return found


def test_equal_to_explicit_loops():
    first, second = ([rows[:60] for rows in runs] for runs in (GOOD, POOR))
    found = comparison.difference(first, second, CLASSES, seed=9, samples=40)
    for name, expected in by_hand(first, second, seed=9, samples=40).items():
        assert (found[name].value, found[name].low, found[name].high) == pytest.approx(expected, abs=1e-12)


def test_two_subjects_in_closed_form():
    """Subject a: 3 of 4 against 1 of 4 right; subject b: 1 of 2 against 2 of 2. A draw is aa, ab, ba or bb."""

    def rows(right: str) -> list[Prediction]:
        return [
            Prediction(str(i), "d", "a" if i < 4 else "b", "f", 0, "x", "x" if ok == "1" else "y", ())
            for i, ok in enumerate(right)
        ]

    args = {"seed": 0, "samples": 4000}
    found = comparison.difference([rows("111010")], [rows("100011")], ("x", "y"), **args)["accuracy"]
    assert found.value == pytest.approx(4 / 6 - 3 / 6)
    assert (found.low, found.high) == pytest.approx((1 / 2 - 1, 3 / 4 - 1 / 4))


def test_a_system_does_not_differ_from_itself():
    nothing = PairedDifference(0.0, 0.0, 0.0)
    assert comparison.difference(GOOD, GOOD, CLASSES, seed=1) == dict.fromkeys(metrics.METRICS, nothing)
    thrice = comparison.difference([POOR[0]] * 3, [POOR[0]], CLASSES, seed=1)
    assert not any(found.excludes_zero for found in thrice.values())


def test_swapping_negates():
    there = comparison.difference(GOOD, POOR, CLASSES, seed=3)
    back = comparison.difference(POOR, GOOD, CLASSES, seed=3)
    for name, found in there.items():
        assert (back[name].value, -back[name].high) == (-found.value, pytest.approx(found.low, abs=1e-12))


def test_a_clearly_better_system_is_above_zero_and_the_value_is_that_of_the_summaries():
    found = comparison.difference(GOOD, POOR, CLASSES, seed=0)
    first, second = (metrics.summarise(dict(enumerate(runs)), CLASSES, seed=0) for runs in (GOOD, POOR))
    for name in metrics.METRICS:
        assert 0 < found[name].low < found[name].value < found[name].high
        assert found[name].excludes_zero
        assert found[name].value == pytest.approx(first[name]["mean"] - second[name]["mean"], abs=1e-12)


def test_pairing_takes_out_what_both_systems_share():
    """The same subjects are hard for both: the difference is known better than either score."""
    hard = np.repeat(np.random.default_rng(8).uniform(0.1, 0.9, 24), 5)
    first, second = run(hard + 0.1, 1), run(hard, 1)  # the same random numbers: the second is right where it is
    found = comparison.difference([first], [second], CLASSES, seed=0)["accuracy"]
    low, high = metrics.bootstrap([first], CLASSES, seed=0)["accuracy"]
    assert found.high - found.low < 0.8 * (high - low)


def test_intervals_of_systems_that_are_equally_good_hold_zero_about_95_times_in_100():
    inside = dict.fromkeys(metrics.METRICS, 0)
    for trial in range(200):
        skill = np.repeat(np.random.default_rng(trial).uniform(0.4, 0.9, 30), 5)
        first, second = (run(skill, 2 * trial + which, clips=150) for which in (0, 1))
        found = comparison.difference([first], [second], CLASSES, seed=trial, samples=300)
        for name in inside:
            inside[name] += not found[name].excludes_zero
    assert all(0.88 <= count / 200 <= 0.99 for count in inside.values()), inside


def test_the_order_of_predictions_does_not_matter():
    mixed = [random.Random(number).sample(rows, len(rows)) for number, rows in enumerate(GOOD)]
    assert comparison.difference(mixed, POOR, CLASSES, seed=2) == comparison.difference(GOOD, POOR, CLASSES, seed=2)


def test_every_pair_is_what_it_is_alone():
    systems = {"good": GOOD, "poor": POOR, "one": [run(0.6, 9)]}
    found = comparison.differences(systems, CLASSES, seed=4)
    assert list(found) == [("good", "poor"), ("good", "one"), ("poor", "one")]
    for (first, second), pair in found.items():
        assert pair == comparison.difference(systems[first], systems[second], CLASSES, seed=4)


def test_confusions_of_subjects_add_up():
    by_subject = metrics.pool_subjects(GOOD, CLASSES)
    owners = sorted({(row.database, row.subject) for row in GOOD[0]})
    assert by_subject.shape == (3, len(owners), 3, 3)
    for number, owner in enumerate(owners):
        rows = [row for row in GOOD[1] if (row.database, row.subject) == owner]
        np.testing.assert_array_equal(by_subject[1, number], metrics.pool(rows, CLASSES))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:-2], r"second: not the clips of first; 2 are only in one of them, e\.g\. a/118"),
        (lambda rows: [replace(rows[0], clip_id="new"), *rows[1:]], "2 are only in one of them"),
        (lambda rows: [replace(rows[0], database="c"), *rows[1:]], "2 are only in one of them"),
        (lambda rows: [replace(rows[0], subject="s9"), *rows[1:]], r"clip a/0 has subject and class \('s9', '\w+'\)"),
        (lambda rows: [replace(rows[0], truth="joy"), *rows[1:]], r"class \('s0', 'joy'\), but \('s0', "),
        (lambda rows: [replace(rows[0], prediction="joy"), *rows[1:]], "'joy' is not a class; classes: negative, "),
        (lambda rows: [*rows, rows[0]], "second: 121 predictions of 120 clips with one seed"),
        (lambda rows: rows[:0], "second: no predictions"),
    ],
)  # fmt: skip
def test_runs_that_cannot_be_compared_are_refused(change, message: str):
    with pytest.raises(ValueError, match=message):
        comparison.difference(GOOD, [POOR[0], change(POOR[1])], CLASSES, seed=0)


# ---------------------------------------------------------------- from files


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = [
        protocols.FoldRow(row.clip_id, row.database, row.subject, row.truth, row.truth, row.fold) for row in GOOD[0]
    ]
    path = tmp_path / "three.tsv"
    protocols.write(path, protocols.FoldTable(tuple(rows)))
    return path


def written(folder: Path, runs: list[list[Prediction]]) -> list[Path]:
    """Two batches of folds per seed."""
    folder.mkdir()
    paths = []
    for number, rows in enumerate(runs):
        for batch in (0, 1):
            path = folder / f"{number}-{batch}.tsv"
            part = [replace(row, probabilities=(0.2, 0.3, 0.5)) for row in rows if (row.fold < "f3") == bool(batch)]
            metrics.write_predictions(path, part, CLASSES)
            paths.append(path)
    return paths


def compared(paths: dict[str, list[Path]], table: Path) -> dict:
    return compare(paths, table, name="three", measured_on="mine", seed=5)


def test_a_comparison_holds_every_pair(table: Path, tmp_path: Path):
    systems = {"good": GOOD, "poor": POOR, "one": [run(0.6, 9)]}
    tree = compared({name: written(tmp_path / name, runs) for name, runs in systems.items()}, table)
    assert json.loads(json.dumps(tree)) == tree
    assert (tree["protocol"], tree["measured_on"], tree["runs"]) == ("three", "mine", list(systems))
    assert (tree["clips"], tree["subjects"]) == (120, 48)
    assert (tree["samples"], tree["level"]) == (SAMPLES, 0.95)
    expected = comparison.differences(systems, CLASSES, seed=5, samples=SAMPLES)
    assert [(pair["first"], pair["second"]) for pair in tree["pairs"]] == list(expected)
    for pair in tree["pairs"]:
        for name, found in expected[pair["first"], pair["second"]].items():
            assert pair[name] == {"difference": found.value, "interval": [found.low, found.high]}


def test_incomplete_predictions_and_single_runs_are_refused(table: Path, tmp_path: Path):
    good, poor = written(tmp_path / "good", GOOD), written(tmp_path / "poor", POOR)
    with pytest.raises(ValueError, match=r"poor: seed 5: \d+ clips without a prediction"):
        compared({"good": good, "poor": poor[:-1]}, table)
    with pytest.raises(ValueError, match=r"poor: .*predicted twice"):
        compared({"good": good, "poor": [*poor, poor[0]]}, table)
    with pytest.raises(ValueError, match="poor: no predictions"):
        compared({"good": good, "poor": []}, table)
    with pytest.raises(ValueError, match="three: a comparison needs at least two runs, not 1"):
        compared({"good": good}, table)


def test_only_protocols_with_two_runs_are_compared():
    named = {"one": ["a"], "two": ["a", "b"], "none": []}
    systems = {
        system: {"system": "linear", "protocols": [name for name, runs in named.items() if system in runs]}
        for system in ("a", "b")
    }
    tree = {
        "databases": {"d": {"adapter": "synthetic"}},
        "protocols": {name: {"databases": ["d"]} for name in named},
        "systems": systems,
    }
    assert Plan(tree, refresh=False).compared_protocols == ["two"]


def test_the_documented_lines_compare(capsys: pytest.CaptureFixture[str]):
    page = (Path(__file__).parents[1] / "docs" / "protocols.md").read_text(encoding="utf-8")
    (lines,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "comparison" in block)
    exec(lines, {"first": GOOD, "second": POOR, "classes": CLASSES})  # the page's own lines
    value, low, high, excludes_zero = capsys.readouterr().out.split()
    assert float(low) < float(value) < float(high)
    assert excludes_zero == "True"
