"""Protocols: label maps, folds, refusals, the stored table."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mer_features import protocols
from mer_features.core.clips import Clip
from mer_features.protocols.options import Protocol
from mer_features.protocols.table import trains


def clip(subject: str, number: int, emotion: str, database: str = "demo") -> Clip:
    return Clip(f"{subject}/c{number}", database, subject, "unused", emotion=emotion)


WORDS = ("disgust", "happiness", "surprise")


def three_classes(subjects: int = 4, database: str = "demo") -> list[Clip]:
    return [clip(f"s{s}", n, word, database) for s in range(subjects) for n, word in enumerate((*WORDS, "others"))]


LOSO = Protocol(databases=("demo",))


@pytest.mark.parametrize(
    ("word", "label"),
    [
        ("disgust", "negative"), ("repression", "negative"), ("Anger", "negative"), ("contempt", "negative"),
        ("FEAR", "negative"), ("sadness", "negative"), ("negative", "negative"), ("happiness", "positive"),
        ("positive", "positive"), ("Surprise", "surprise"),
    ],
)  # fmt: skip
def test_megc2019_words(word: str, label: str):
    table = protocols.build("p", [*three_classes(), clip("s0", 9, word)], LOSO, 0)
    row = next(row for row in table.rows if row.clip_id == "s0/c9")
    assert (row.label, row.emotion) == (label, word)


def test_classes_are_in_alphabetical_order_and_others_are_counted_out():
    table = protocols.build("p", three_classes(4), LOSO, 0)
    assert table.classes == ("negative", "positive", "surprise")
    assert table.left_out == {"others": 4}
    assert len(table.rows) == 12


def test_loso_holds_out_one_person_of_one_database():
    both = three_classes(3) + three_classes(3, "more")  # the same names of subjects
    table = protocols.build("p", both, Protocol(databases=("demo", "more")), 0)
    assert set(table.folds) == {f"{database}/s{n}" for database in ("demo", "more") for n in range(3)}
    assert all(row.fold == f"{row.database}/{row.subject}" for row in table.rows)


def test_other_databases_take_no_part():
    table = protocols.build("p", three_classes(3) + three_classes(3, "more"), LOSO, 0)
    assert {row.database for row in table.rows} == {"demo"}


def test_own_labels():
    own = Protocol(databases=("demo",), labels={"up": ("Happiness",), "down": ("disgust", "others")})
    table = protocols.build("p", three_classes(3), own, 0)
    assert table.classes == ("down", "up")
    assert Counter(row.label for row in table.rows) == {"down": 6, "up": 3}


def test_order_of_clips_does_not_matter():
    clips = three_classes(5)
    shuffled = [clips[i] for i in np.random.default_rng(0).permutation(len(clips))]
    folds = Protocol(databases=("demo",), folds=3)
    assert protocols.build("p", clips, folds, 7) == protocols.build("p", shuffled, folds, 7)


@pytest.mark.parametrize(
    ("clips", "protocol", "message"),
    [
        ([], LOSO, "no clip left of 0"),
        ([clip("s0", 0, "others")], LOSO, "no clip left of 1; emotions found: others"),
        (three_classes(1), LOSO, "every clip of class .* is tested in fold"),
        ([c for c in three_classes() if c.emotion != "surprise"], LOSO, "no clip of class surprise"),
        ([*three_classes()[:2], clip("s1", 0, "anger"), clip("s2", 1, "happiness"), clip("s2", 2, "surprise")], LOSO,
         "every clip of class surprise is tested in fold 'demo/s2'"),
        ([*three_classes(), clip("s0", 0, "anger")], LOSO, "listed twice: demo/s0/c0"),
        (three_classes(3), Protocol(databases=("demo",), folds=4), "4 folds of only 3 subjects"),
    ],
)  # fmt: skip
def test_refusals(clips: list[Clip], protocol: Protocol, message: str):
    with pytest.raises(ValueError, match=message) as caught:
        protocols.build("mine", clips, protocol, 0)
    assert "'mine'" in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("megc", "unknown label map 'megc'; known: megc2019"),
        ({"a": ("anger",), "b": ("Anger",)}, "emotions listed more than once: anger"),
        ({"a": ("anger",)}, "at least two classes"),
    ],
)
def test_unusable_label_maps_are_refused_before_any_work(labels: object, message: str):
    with pytest.raises(ValueError, match=message):
        Protocol(databases=("demo",), labels=labels)


@pytest.mark.parametrize("name", protocols.LABEL_MAPS)
def test_named_label_maps_are_usable(name: str):
    words = {word for words in protocols.LABEL_MAPS[name].values() for word in words}
    clips = [clip(f"s{s}", n, word) for s in range(3) for n, word in enumerate(sorted(words))]
    table = protocols.build("p", clips, Protocol(databases=("demo",), labels=name), 0)
    assert table.classes == tuple(sorted(protocols.LABEL_MAPS[name]))
    assert len(table.rows) == len(clips)


def test_folds_follow_the_databases_as_listed_and_subjects_as_numbers():
    clips = [clip(s, n, word, d) for d in ("a", "z") for s in ("s11", "s2", "s1") for n, word in enumerate(WORDS)]
    table = protocols.build("p", clips, Protocol(databases=("z", "a")), 0)
    assert table.folds == ("z/s1", "z/s2", "z/s11", "a/s1", "a/s2", "a/s11")


def test_transfer_trains_on_whole_databases_and_tests_on_others(tmp_path: Path):
    clips = [*three_classes(2), *three_classes(3, "more")]
    own = Protocol(databases=("demo", "more"), folds="transfer", test=("more",))
    table = protocols.build("p", clips, own, 0)
    assert table.folds == (protocols.TRANSFER,)
    assert {row.database for row in table.tested} == {"more"}
    assert {row.fold for row in table.rows if row.database == "demo"} == {protocols.TRAIN_ONLY}
    protocols.write(tmp_path / "p.tsv", table)
    assert protocols.read(tmp_path / "p.tsv").rows == table.rows
    assert protocols.fold_names(tmp_path / "p.tsv") == [protocols.TRANSFER]


def test_transfer_in_folds_trains_on_the_source_without_one_part(tmp_path: Path):
    clips = [*three_classes(7), *three_classes(11, "more")]
    own = Protocol(databases=("demo", "more"), folds="transfer", test=("more",), transfer_folds=5)
    table = protocols.build("p", clips, own, 0)
    assert sorted(table.folds) == [f"fold{n}" for n in range(1, 6)]
    assert {row.database for row in table.tested} == {"more"}
    assert Counter(row.database for row in table.rows) == {"demo": 21, "more": 33}
    times = Counter()
    for fold in table.folds:
        trained = {row.owner for row, used in zip(table.rows, trains(table.rows, fold), strict=True) if used}
        assert {database for database, _ in trained} == {"demo"}  # never a clip of the target
        assert 5 <= len(trained) < 7
        times.update(trained)
    assert times == dict.fromkeys([("demo", f"s{n}") for n in range(7)], 4)  # left out of one of five folds
    protocols.write(tmp_path / "p.tsv", table)
    assert protocols.read(tmp_path / "p.tsv").rows == table.rows
    assert sorted(protocols.fold_names(tmp_path / "p.tsv")) == sorted(table.folds)


def test_transfer_folds_are_only_for_transfer_and_need_subjects():
    with pytest.raises(ValueError, match="transfer_folds: found 5; only `folds: transfer` uses this key"):
        Protocol(databases=("demo",), folds=5, transfer_folds=5)
    own = Protocol(databases=("demo", "more"), folds="transfer", test=("more",), transfer_folds=5)
    with pytest.raises(ValueError, match="5 folds of only 4 subjects"):
        protocols.build("p", [*three_classes(4), *three_classes(9, "more")], own, 0)


def test_transfer_needs_every_class_in_the_source():
    clips = [c for c in three_classes(2) if c.emotion != "surprise"] + three_classes(3, "more")
    own = Protocol(databases=("demo", "more"), folds="transfer", test=("more",))
    with pytest.raises(ValueError, match="class surprise is tested in fold 'transfer'"):
        protocols.build("p", clips, own, 0)


def uneven() -> tuple[list[tuple[str, str]], list[str]]:
    """Thirty subjects of one to thirty-three clips with six uneven classes, as MMEW has them."""
    rng = np.random.default_rng(3)
    sizes = [1, 1, 1, 1, 33, *rng.integers(2, 13, 25)]
    owners = [("d", f"s{s:02d}") for s, size in enumerate(sizes) for _ in range(size)]
    classes = np.array(["anger", "disgust", "fear", "happiness", "sadness", "surprise"])
    return owners, list(rng.choice(classes, len(owners), p=[0.04, 0.31, 0.07, 0.15, 0.05, 0.38]))


def test_balanced_folds_keep_subjects_whole_and_are_balanced():
    owners, labels = uneven()
    folds = protocols.balanced_folds(owners, labels, 5, seed=0)
    assert set(folds) == set(owners)
    assert set(folds.values()) == set(range(5))
    sizes = Counter(folds[owner] for owner in owners)
    assert max(sizes.values()) - min(sizes.values()) <= 4
    for label, total in Counter(labels).items():
        here = Counter(folds[owner] for owner, name in zip(owners, labels, strict=True) if name == label)
        assert max(here.values()) <= total / 5 + 5


def test_balanced_folds_are_better_than_chance():
    owners, labels = uneven()

    def imbalance(folds: dict) -> float:
        names = sorted(set(labels))
        counts = np.zeros((5, len(names)))
        for owner, label in zip(owners, labels, strict=True):
            counts[folds[owner], names.index(label)] += 1
        return float(((counts - counts.mean(0)) ** 2 / counts.sum(0)).sum())

    rng = np.random.default_rng(0)
    subjects = sorted(set(owners))
    drawn = [imbalance(dict(zip(subjects, rng.permutation(30) % 5, strict=True))) for _ in range(200)]
    assert imbalance(protocols.balanced_folds(owners, labels, 5, seed=0)) < min(drawn)


def test_balanced_folds_depend_on_the_seed_alone():
    owners, labels = uneven()
    first = protocols.balanced_folds(owners, labels, 5, seed=1)
    assert protocols.balanced_folds(owners[::-1], labels[::-1], 5, seed=1) == first
    assert any(protocols.balanced_folds(owners, labels, 5, seed=seed) != first for seed in range(2, 6))


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=20),
    folds=st.integers(2, 6),
    seed=st.integers(0, 99),
)
def test_no_fold_is_empty(sizes: list[int], folds: int, seed: int):
    folds = min(folds, len(sizes))
    owners = [("d", str(s)) for s, size in enumerate(sizes) for _ in range(size)]
    labels = [str(i % 3) for i in range(len(owners))]
    assert set(protocols.balanced_folds(owners, labels, folds, seed).values()) == set(range(folds))


def test_numbered_folds_are_named_and_whole():
    table = protocols.build("p", three_classes(12), Protocol(databases=("demo",), folds=10), 0)
    assert set(table.folds) == {f"fold{n:02d}" for n in range(1, 11)}
    homes = {row.owner: {other.fold for other in table.rows if other.owner == row.owner} for row in table.rows}
    assert all(len(folds) == 1 for folds in homes.values())


def test_table_survives_the_file(tmp_path: Path):
    odd = [*three_classes(3), clip('a "b"\tc', 0, "Anger")]
    table = protocols.build("p", odd, LOSO, 0)
    protocols.write(tmp_path / "p.tsv", table)
    back = protocols.read(tmp_path / "p.tsv")
    assert back.rows == table.rows
    assert back.classes == table.classes
    assert protocols.fold_names(tmp_path / "p.tsv") == list(table.folds)
    first = (tmp_path / "p.tsv").read_bytes()
    assert first.split(b"\n")[0] == b"clip_id\tdatabase\tsubject\temotion\tlabel\tfold"
    protocols.write(tmp_path / "p.tsv", table)
    assert (tmp_path / "p.tsv").read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == ["p.tsv"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an empty file"),
        ("a\tb\n", "not a fold table"),
        ("clip_id\tdatabase\tsubject\temotion\tlabel\tfold\nx\n", ":2: 1 cells"),
    ],
)
def test_foreign_files_are_refused(tmp_path: Path, text: str, message: str):
    path = tmp_path / "p.tsv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        protocols.read(path)


MEGC = Protocol.model_validate({"preset": "megc2019", "databases": {name: name for name in ("samm", "casme2", "smic")}})


def megc_like() -> list[Clip]:
    """Clips with the published counts, subjects and classes spread at random."""
    clips = []
    for database, counts in protocols.EXPECTED_COUNTS["megc2019"].items():
        words = ("negative", "positive", "surprise") if database == "smic" else WORDS
        labels = [word for word, n in zip(words, list(counts.values())[:3], strict=True) for _ in range(n)]
        labels = list(np.random.default_rng(0).permutation(labels))
        clips += [clip(f"s{i % counts['subjects']:02d}", i, word, database) for i, word in enumerate(labels)]
    return clips


def test_published_counts():
    expected = protocols.EXPECTED_COUNTS["megc2019"]
    totals = {what: sum(part[what] for part in expected.values()) for what in expected["smic"]}
    assert totals == {"negative": 250, "positive": 109, "surprise": 83, "subjects": 68}
    table = protocols.build("cde", megc_like(), MEGC, 0)
    assert len(table.rows) == 442
    assert len(table.folds) == 68
    assert [row.database for row in table.rows] == sorted(
        (row.database for row in table.rows), key=["casme2", "smic", "samm"].index
    )
    assert protocols.compare("megc2019", table.counts()) == ()


def test_sadness_and_fear_of_casme2_are_out_and_of_samm_are_in():
    extra = [clip("s00", 900 + i, word, "casme2") for i, word in enumerate(("sadness", "fear", "others"))]
    table = protocols.build("cde", [*megc_like(), *extra], MEGC, 0)
    assert table.left_out == {"fear": 1, "others": 1, "sadness": 1}
    afraid = [replace(c, emotion="fear") if c.database == "samm" and c.emotion == "disgust" else c for c in megc_like()]
    assert len(protocols.build("cde", afraid, MEGC, 0).rows) == 442


def test_a_different_list_is_named():
    clips = megc_like()
    lost = next(c for c in clips if c.database == "samm" and c.emotion == "disgust")
    fewer = [c for c in clips if c is not lost]
    with pytest.raises(
        protocols.CountsError, match=r"protocol 'cde'.*\n  samm \(samm\) negative: expected 92, found 91"
    ):
        protocols.build("cde", fewer, MEGC, 0)
    table = protocols.build("cde", fewer, MEGC.model_copy(update={"accept_counts": True}), 0)
    (difference,) = protocols.compare("megc2019", table.counts())
    assert str(difference) == "samm negative: expected 92, found 91"
    without = {name: part for name, part in table.counts().items() if name != "samm"} | {"mine": {"negative": 3}}
    differences = {(d.database, d.what, d.expected, d.found) for d in protocols.compare("megc2019", without)}
    assert ("samm", "subjects", 28, 0) in differences
    assert ("mine", "negative", 0, 3) in differences


def test_what_a_preset_leaves_out_by_name(caplog: pytest.LogCaptureFixture):
    """The sheet of 2019 calls three of CASME II's clips a surprise; the list was made with the words of 2014."""
    out = [
        Clip(f"{name}", "casme2", name.split("/")[0], "unused", emotion=word)
        for name, word in (
            ("sub04/EP12_01f", "disgust"), ("sub05/EP09_05f", "disgust"), ("sub24/EP02_07", "disgust"),
            ("sub24/EP07_01", "surprise"), ("sub24/EP07_04f", "surprise"), ("sub24/EP10_03", "surprise"),
        )
    ]  # fmt: skip
    with caplog.at_level("INFO", logger="mer_features"):
        table = protocols.build("cde", [*megc_like(), *out], MEGC, 0)
    assert len(table.rows) == 442
    assert table.left_out == {"disgust": 3, "surprise": 3}
    assert "sub24/EP10_03 is 'surprise' in this sheet and 'sadness' in the edition" in caplog.text


def test_presets_are_consistent():
    for name, preset in protocols.PRESETS.items():
        assert set(preset.counts) == set(preset.labels), name
        for role, labels in preset.labels.items():
            assert set(preset.counts[role]) == {*labels, "subjects"}, name
        assert {remark.role for remark in preset.remarks} <= set(preset.roles), name
        assert (preset.folds == "transfer") == bool(preset.test), name
        for remark in preset.remarks:
            assert remark.clip not in preset.without.get(remark.role, {}), name


def test_the_documented_tables_are_the_ones_checked():
    page = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text(encoding="utf-8")
    table = page.split("## Published protocols")[1].split("### ")[0]
    cells = {line.split("|")[1].strip(): line for line in table.splitlines() if line.startswith("| `")}
    for name, preset in protocols.PRESETS.items():
        if name.startswith("cdmer-") or name == "casme2-5-dual-branch" or name.startswith("casme2-7"):
            continue  # told in words, by another row's numbers
        counts = preset.counts[preset.roles[0]]
        row = cells[f"`{name}`"]
        for label, number in counts.items():
            assert (f"| {number} |" if label == "subjects" else f"{label} {number}") in row
        assert f"| {sum(counts.values()) - counts['subjects']} |" in row
    for name in protocols.LABEL_MAPS:
        assert f"`{name}`" in page
