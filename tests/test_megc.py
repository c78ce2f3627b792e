"""The challenge's result log: written as it wants it, read back, and one published log's figures."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score

from mer_features.protocols import megc, metrics
from mer_features.protocols.metrics import Prediction
from tests.shared import shared

NAMES = {"c2": "casme2", "mine-samm": "samm", "hs": "smic"}


def said(database: str, subject: str, clip: str, truth: int, prediction: int, seed: int = 0) -> Prediction:
    labels = megc.CLASSES[truth], megc.CLASSES[prediction]
    return Prediction(f"{subject}/{clip}", database, subject, f"{database}/{subject}", seed, *labels, (0.2, 0.3, 0.5))


RUN = [
    said("c2", "sub01", "EP02_01f", 1, 1),
    said("c2", "sub01", "EP19_05f", 0, 2),
    said("hs", "s1", "s1_ne_01", 0, 0),
    said("hs", "s20", "s20_sur_02", 2, 0),
    said("mine-samm", "006", "006_1_2", 0, 1),
]
TEXT = """casme2 sub01
EP02_01f 1 1
EP19_05f 0 2
smic s01
s01_ne_01 0 0
smic s20
s20_sur_02 2 0
samm 006
006_1_2 0 1
"""


def test_log_as_the_challenge_writes_it(tmp_path: Path):
    megc.write_log(tmp_path / "log.txt", RUN, NAMES)
    assert (tmp_path / "log.txt").read_text() == TEXT


def test_log_reads_back_and_gives_the_same_figures(tmp_path: Path):
    megc.write_log(tmp_path / "log.txt", RUN, NAMES)
    back = megc.read_log(tmp_path / "log.txt")
    assert [(p.database, p.subject, p.clip_id, p.truth, p.prediction, p.fold) for p in back[2:3]] == [
        ("smic", "s01", "s01/s01_ne_01", "negative", "negative", "smic/s01")
    ]
    assert metrics.scores(metrics.pool(back, megc.CLASSES)) == metrics.scores(metrics.pool(RUN, megc.CLASSES))
    megc.write_log(tmp_path / "again.txt", back, {name: name for name in NAMES.values()})
    assert (tmp_path / "again.txt").read_text() == TEXT


CLIPS = {
    "c2": ("sub{:02d}", "EP{:02d}_{:02d}f"), "hs": ("s{}", "s{}_ne_{:02d}"), "mine-samm": ("{:03d}", "{:03d}_1_{}"),
}  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(CLIPS)), st.integers(1, 26), st.integers(1, 9), *[st.integers(0, 2)] * 2),
        unique_by=lambda item: item[:3],
        max_size=40,
    )
)
def test_any_run_reads_back_with_the_same_figures(tmp_path: Path, clips: list[tuple[str, int, int, int, int]]):
    run = []
    for database, who, number, truth, prediction in clips:
        subject, clip = CLIPS[database]
        run.append(said(database, subject.format(who), clip.format(who, number), truth, prediction))
    megc.write_log(tmp_path / "log.txt", run, NAMES)
    back = megc.read_log(tmp_path / "log.txt")
    assert len(back) == len(run)
    for name, official in NAMES.items():
        ours, theirs = ([p for p in part if p.database == key] for part, key in ((run, name), (back, official)))
        assert metrics.pool(ours, megc.CLASSES).tolist() == metrics.pool(theirs, megc.CLASSES).tolist()


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ([*RUN, said("c2", "sub02", "x", 0, 0, seed=1)], "one run; found seeds 0, 1"),
        ([said("c3", "sub01", "x", 0, 0)], "no name given for database 'c3'"),
        ([said("c2", "Ann", "x", 0, 0)], "subject 'Ann': expected a name that ends in its number"),
        (
            [Prediction("sub01/x", "c2", "sub01", "f", 0, "others", "negative", ())],
            "'others' is not a class of MEGC 2019",
        ),
    ],
)
def test_what_a_log_cannot_hold(tmp_path: Path, run: list[Prediction], message: str):
    with pytest.raises(ValueError, match=message):
        megc.write_log(tmp_path / "log.txt", run, NAMES)
    assert not list(tmp_path.iterdir())


def test_another_database_is_refused():
    with pytest.raises(ValueError, match="'mmew' is not in MEGC 2019; it has casme2, smic, samm"):
        megc.subject_name("mmew", "S01")


@pytest.mark.parametrize(
    ("text", "line"),
    [("EP02_01f 1 1\n", 1), ("casme2 sub01\nEP02_01f 1 3\n", 2), ("casme2 sub01\n\nEP02_01f 1\n", 3)],
)
def test_foreign_lines_are_refused(tmp_path: Path, text: str, line: int):
    path = tmp_path / "log.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"log\.txt:{line}: expected"):
        megc.read_log(path)


def published() -> tuple[Path, tuple[Prediction, ...]]:
    path = shared("datasets", "annotations", "megc2019_log_example_ststnet.txt")
    return path, megc.read_log(path)


def test_a_published_log_round_trips(tmp_path: Path):
    path, run = published()
    megc.write_log(tmp_path / "log.txt", run, {name: name for name in NAMES.values()})
    assert (tmp_path / "log.txt").read_text().splitlines() == path.read_text().splitlines()


def test_a_published_log_gives_its_published_figures():
    """STSTNet's UF1; its published "UAR" is the mean precision: truth and prediction changed places."""
    _, run = published()
    parts = {"full": run} | {name: [p for p in run if p.database == name] for name in ("smic", "casme2", "samm")}
    for name, uf1, uar, mean_precision in (
        ("full", 0.7353, 0.7186, 0.7605),
        ("smic", 0.6801, 0.6703, 0.7013),
        ("casme2", 0.8382, 0.8190, 0.8686),
        ("samm", 0.6588, 0.6415, 0.6810),
    ):
        confusion = metrics.pool(parts[name], megc.CLASSES)
        assert metrics.uf1(confusion) == pytest.approx(uf1, abs=5e-5)
        assert metrics.uar(confusion) == pytest.approx(uar, abs=5e-5)
        assert metrics.uar(confusion.T) == pytest.approx(mean_precision, abs=5e-5)
        truth, prediction = [p.truth for p in parts[name]], [p.prediction for p in parts[name]]
        assert metrics.uf1(confusion) == pytest.approx(f1_score(truth, prediction, average="macro"))
        assert metrics.uar(confusion) == pytest.approx(balanced_accuracy_score(truth, prediction))


def test_the_documented_lines_write_and_read_a_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    page = (Path(__file__).parents[1] / "docs" / "protocols.md").read_text(encoding="utf-8")
    (lines,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "megc" in block)
    monkeypatch.chdir(tmp_path)
    names = {"c2": "casme2", "hs": "smic-hs", "mine-samm": "samm"}
    run = [replace(item, database=names[item.database]) for item in RUN]
    for batch, part in (("b000", run[:2]), ("b001", run[2:])):
        metrics.write_predictions(Path("results/runs/cde/fr/seed0") / batch / "predictions.tsv", part, megc.CLASSES)
    exec(lines, {})  # the page's own lines
    assert Path("log.txt").read_text() == TEXT
