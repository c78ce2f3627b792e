"""Metrics against printed tables, scikit-learn, torchmetrics and slow counting."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, f1_score

from mer_features.protocols import metrics
from mer_features.protocols.metrics import Prediction

CLASSES = ("negative", "positive", "surprise")
#: Figure 3 of the FR paper, percentages times row totals, and the figures of its Table 6.
FR = np.array([[209, 34, 7], [27, 77, 5], [10, 6, 67]])
BASIC = np.array([[201, 37, 12], [31, 70, 8], [12, 7, 64]])


def run(truth: list[int], prediction: list[int], seed: int = 0, per_subject: int = 5) -> list[Prediction]:
    rows = []
    for i, (t, p) in enumerate(zip(truth, prediction, strict=True)):
        subject = f"s{i // per_subject}"
        database = "a" if i % 2 == 0 else "b"
        rows.append(
            Prediction(
                f"{subject}/{i}", database, subject, f"{database}/{subject}", seed, CLASSES[t], CLASSES[p], (1 / 3,) * 3
            )
        )
    return rows


def random_run(seed: int, n: int = 120, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, n)
    return truth, np.where(rng.random(n) < 0.5, truth, rng.integers(0, classes, n))


@pytest.mark.parametrize(("confusion", "uf1", "uar"), [(FR, 0.7838, 0.7832), (BASIC, 0.7360, 0.7391)])
def test_printed_tables(confusion: np.ndarray, uf1: float, uar: float):
    assert round(float(metrics.uf1(confusion)), 4) == uf1
    assert round(float(metrics.uar(confusion)), 4) == uar


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_scikit_learn_on_concatenated_predictions(seed: int):
    truth, prediction = random_run(seed)
    confusion = metrics.pool(run(truth, prediction), CLASSES)
    assert confusion.dtype == np.int64
    np.testing.assert_array_equal(confusion, confusion_matrix(truth, prediction, labels=[0, 1, 2]))
    assert metrics.uf1(confusion) == pytest.approx(f1_score(truth, prediction, average="macro", labels=[0, 1, 2]))
    assert metrics.uar(confusion) == pytest.approx(balanced_accuracy_score(truth, prediction))
    assert metrics.accuracy(confusion) == pytest.approx(accuracy_score(truth, prediction))


#: (database, subject, truth, prediction) of every clip, any number of folds, classes absent now and then.
SAID = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 6), st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=60
)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.filterwarnings("ignore:A single label was found")
@settings(max_examples=150, deadline=None)
@given(SAID, st.randoms(use_true_random=False))
def test_pooled_figures_equal_scikit_learn_whatever_the_folds(said: list[tuple[str, int, int, int]], random):
    rows = [
        Prediction(str(i), database, f"s{who}", f"{database}/s{who}", 0, CLASSES[t], CLASSES[p], ())
        for i, (database, who, t, p) in enumerate(said)
    ]
    folds = sorted({row.fold for row in rows})
    pooled = sum(metrics.pool([row for row in rows if row.fold == fold], CLASSES) for fold in folds)
    shuffled = random.sample(rows, len(rows))
    np.testing.assert_array_equal(pooled, metrics.pool(shuffled, CLASSES))
    parts = metrics.per_database(rows, CLASSES)
    for name, part in {"all": rows, **{name: [r for r in rows if r.database == name] for name in parts}}.items():
        truth, prediction = [row.truth for row in part], [row.prediction for row in part]
        found = metrics.scores(pooled) if name == "all" else parts[name]
        assert found["confusion"] == confusion_matrix(truth, prediction, labels=CLASSES).tolist()
        expected = f1_score(truth, prediction, average="macro", labels=CLASSES, zero_division=0)
        assert found["uf1"] == pytest.approx(expected)
        assert found["uar"] == pytest.approx(balanced_accuracy_score(truth, prediction))
        assert found["accuracy"] == pytest.approx(accuracy_score(truth, prediction))
    table = metrics.per_class(pooled, CLASSES)
    expected = f1_score(
        [r.truth for r in rows], [r.prediction for r in rows], average=None, labels=CLASSES, zero_division=0
    )
    assert [entry["f1"] for entry in table.values()] == pytest.approx(list(expected))


def test_equal_to_torchmetrics():
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchmetrics.functional.classification")
    truth, prediction = random_run(11)
    confusion = metrics.pool(run(truth, prediction), CLASSES)
    p, t = torch.from_numpy(prediction), torch.from_numpy(truth)
    assert metrics.uf1(confusion) == pytest.approx(float(functional.multiclass_f1_score(p, t, 3, average="macro")))
    assert metrics.uar(confusion) == pytest.approx(float(functional.multiclass_recall(p, t, 3, average="macro")))
    assert metrics.accuracy(confusion) == pytest.approx(float(functional.multiclass_accuracy(p, t, 3, average="micro")))


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("prediction", [[0, 1, 1, 0], [0, 2, 1, 2]])
def test_class_without_truth(prediction: list[int]):
    truth = [0, 1, 1, 0]
    confusion = metrics.pool(run(truth, prediction), CLASSES)
    assert metrics.uf1(confusion) == pytest.approx(
        f1_score(truth, prediction, average="macro", labels=[0, 1, 2], zero_division=0)
    )
    assert metrics.uar(confusion) == pytest.approx(balanced_accuracy_score(truth, prediction))


def test_pooling_is_not_averaging_over_folds():
    truth, prediction = random_run(2)
    rows = run(truth, prediction)
    folds = sorted({row.fold for row in rows})
    averaged = np.mean([metrics.uf1(metrics.pool([r for r in rows if r.fold == fold], CLASSES)) for fold in folds])
    assert abs(averaged - metrics.uf1(metrics.pool(rows, CLASSES))) > 0.02


def test_many_matrices_at_once():
    stack = np.stack([FR, BASIC])
    for of in metrics.METRICS.values():
        np.testing.assert_allclose(of(stack), [of(FR), of(BASIC)])


def test_nothing_at_all_is_zero():
    empty = np.zeros((3, 3), dtype=np.int64)
    assert [float(of(empty)) for of in metrics.METRICS.values()] == [0, 0, 0]


def test_unknown_class_is_refused():
    with pytest.raises(ValueError, match="'surprise' is not a class"):
        metrics.pool(run([2], [0]), CLASSES[:2])


def test_per_class():
    table = metrics.per_class(FR, CLASSES)
    assert table["negative"]["n"] == 250
    assert table["positive"]["tp"] == 77
    assert table["surprise"]["recall"] == pytest.approx(67 / 83)
    assert table["surprise"]["precision"] == pytest.approx(67 / 79)
    assert np.mean([entry["f1"] for entry in table.values()]) == pytest.approx(float(metrics.uf1(FR)))


def test_per_database_and_fold_parts_add_up():
    truth, prediction = random_run(4)
    rows = run(truth, prediction)
    parts = metrics.per_database(rows, CLASSES)
    total = np.sum([part["confusion"] for part in parts.values()], axis=0)
    np.testing.assert_array_equal(total, metrics.pool(rows, CLASSES))
    folds = metrics.per_fold(rows)
    assert sum(fold["n"] for fold in folds) == len(rows)
    right = sum(fold["n"] * fold["accuracy"] for fold in folds)
    assert right == pytest.approx(float(np.sum(truth == prediction)))


def test_each_database_is_summarised_as_if_it_were_alone():
    runs = {seed: run(*random_run(seed), seed=seed) for seed in (3, 4)}
    whole = metrics.summarise(runs, CLASSES, seed=2)
    names = {row.database for row in runs[3]}
    assert whole["by_database"].keys() == names
    assert len(names) > 1
    for name in names:
        own = {seed: [row for row in rows if row.database == name] for seed, rows in runs.items()}
        alone = metrics.summarise(own, CLASSES, seed=2)
        assert whole["by_database"][name] == {metric: alone[metric] for metric in metrics.METRICS}


def test_bootstrap_equals_slow_resampling():
    """The same draws, written out clip by clip."""
    runs = [run(*random_run(seed), seed=seed) for seed in (5, 6)]
    fast = metrics.bootstrap(runs, CLASSES, seed=9, samples=50)
    owners = sorted({(row.database, row.subject) for row in runs[0]})
    draws = np.random.default_rng(9).multinomial(len(owners), [1 / len(owners)] * len(owners), size=50)
    values = []
    for draw in draws:
        each = []
        for rows in runs:
            weight = dict(zip(owners, draw, strict=True))
            clips = [row for row in rows for _ in range(weight[row.database, row.subject])]
            each.append(
                f1_score(
                    [c.truth for c in clips],
                    [c.prediction for c in clips],
                    average="macro",
                    labels=CLASSES,
                    zero_division=0,
                )
            )
        values.append(np.mean(each))
    np.testing.assert_allclose(fast["uf1"], np.percentile(values, [2.5, 97.5]))


def test_bootstrap_covers_the_truth():
    """Subjects whose accuracies are drawn around 0.7: intervals of 95 % must hold 0.7 about 95 % of the time."""
    inside = 0
    for trial in range(200):
        rng = np.random.default_rng(trial)
        skill = rng.uniform(0.5, 0.9, 40)
        truth = rng.integers(0, 3, 400)
        right = rng.random(400) < np.repeat(skill, 10)
        prediction = np.where(right, truth, (truth + 1) % 3)
        low, high = metrics.bootstrap([run(truth, prediction, per_subject=10)], CLASSES, seed=trial, samples=200)[
            "accuracy"
        ]
        inside += low <= 0.7 <= high
    assert 0.88 <= inside / 200 <= 0.99


def test_bootstrap_is_wider_where_clips_depend_on_the_subject():
    """One subject in two all right, the other all wrong: ten clips of one person are not ten clips."""
    truth = np.arange(200) % 3
    clustered = np.where((np.arange(200) // 10) % 2 == 0, truth, (truth + 1) % 3)
    spread = np.where(np.arange(200) % 2 == 0, truth, (truth + 1) % 3)

    def width(prediction: np.ndarray) -> float:
        rows = [
            Prediction(str(i), "d", f"s{i // 10}", "f", 0, CLASSES[t], CLASSES[p], (1.0, 0.0, 0.0))
            for i, (t, p) in enumerate(zip(truth, prediction, strict=True))
        ]
        low, high = metrics.bootstrap([rows], CLASSES, seed=0, samples=500)["accuracy"]
        return high - low

    assert width(spread) == 0
    assert width(clustered) > 0.3


def test_summary():
    runs = {seed: run(*random_run(seed), seed=seed) for seed in (3, 4, 5)}
    summary = metrics.summarise(runs, CLASSES, seed=0)
    values = [float(metrics.uf1(metrics.pool(rows, CLASSES))) for rows in runs.values()]
    assert summary["uf1"]["mean"] == pytest.approx(np.mean(values))
    assert summary["uf1"]["std"] == pytest.approx(np.std(values, ddof=1))
    low, high = summary["uf1"]["interval"]
    assert low < summary["uf1"]["mean"] < high
    assert [entry["seed"] for entry in summary["seeds"]] == [3, 4, 5]
    assert summary == metrics.summarise(runs, CLASSES, seed=0)
    one = metrics.summarise({3: runs[3]}, CLASSES, seed=0)
    assert one["uf1"]["std"] == 0


def test_each_seed_has_its_own_interval():
    runs = {seed: run(*random_run(seed), seed=seed) for seed in (3, 4)}
    summary = metrics.summarise(runs, CLASSES, seed=0)
    for entry in summary["seeds"]:
        own = metrics.bootstrap([runs[entry["seed"]]], CLASSES, seed=0)
        assert entry["intervals"] == {name: list(edges) for name, edges in own.items()}
    assert summary["seeds"][0]["intervals"] != summary["seeds"][1]["intervals"]


def test_errors_are_counted_by_person():
    def said(database: str, subject: str, truth: int, prediction: int) -> Prediction:
        return Prediction("c", database, subject, "f", 0, CLASSES[truth], CLASSES[prediction], ())

    rows = [said("a", "s1", 0, 0), said("b", "s1", 0, 1), said("a", "s2", 2, 2), said("a", "s1", 1, 2)]
    assert metrics.per_subject(rows) == [
        {"database": "a", "subject": "s1", "n": 2, "wrong": 1},
        {"database": "b", "subject": "s1", "n": 1, "wrong": 1},
        {"database": "a", "subject": "s2", "n": 1, "wrong": 0},
    ]
    counted = metrics.summarise({0: rows}, CLASSES, seed=0)["seeds"][0]
    assert counted["per_subject"] == metrics.per_subject(rows)


def test_predictions_survive_the_file(tmp_path: Path):
    rows = run([0, 1, 2], [0, 0, 2])
    metrics.write_predictions(tmp_path / "p.tsv", rows, CLASSES)
    header = (tmp_path / "p.tsv").read_text().split("\n")[0]
    assert header == "clip_id\tdatabase\tsubject\tfold\tseed\ttruth\tprediction\tp_negative\tp_positive\tp_surprise"
    back, classes = metrics.read_predictions(tmp_path / "p.tsv")
    assert classes == CLASSES
    assert [row.probabilities for row in back] == [pytest.approx((1 / 3,) * 3, rel=1e-5)] * 3
    assert [(r.clip_id, r.subject, r.seed, r.truth, r.prediction) for r in back] == [
        (r.clip_id, r.subject, r.seed, r.truth, r.prediction) for r in rows
    ]


@pytest.mark.parametrize("change", ["clip", "p_negative", "\t0\t"])
def test_spoilt_predictions_are_refused(tmp_path: Path, change: str):
    path = tmp_path / "p.tsv"
    metrics.write_predictions(path, run([0, 1, 2], [0, 0, 2]), CLASSES)
    path.write_text(path.read_text().replace(change, "?\tx"))
    with pytest.raises(ValueError, match=r"p\.tsv"):
        metrics.read_predictions(path)
