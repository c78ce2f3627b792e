"""The named protocols against the lists they were published with."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from math import comb

import numpy as np
import pytest

from mer_features import protocols
from mer_features.core.clips import Clip
from mer_features.protocols import PRESETS, TRAIN_ONLY, CountsError, FoldTable, megc
from mer_features.protocols.options import Protocol
from mer_features.training import half
from tests.protocols import published

OFFICIAL = "megc2019_combined_3class_gt.csv"
#: The public sheets lack a clip that these lists have.
NEED_EP02_07 = {"casme2-5-benchmark", "casme2-4", *(f"cdmer-{n}" for n in range(7, 13))}


def official(name: str = OFFICIAL) -> set[tuple[str, str, str, str]]:
    """(database, subject, clip, class) of the challenge's list."""
    return {
        (database, megc.subject_name(database, subject), clip, megc.CLASSES[int(code)])
        for database, subject, clip, code in published.lines(name)
    }


def as_official(table: FoldTable) -> list[tuple[str, str, str, str]]:
    """The same of our table."""
    names = {"c2": "casme2", "hs": "smic", "mine-samm": "samm"}
    return [
        (
            names[row.database],
            megc.subject_name(names[row.database], row.subject),
            megc.clip_name(names[row.database], row.clip_id.split("/")[1]),
            row.label,
        )
        for row in table.rows
    ]


def build(name: str, clips: list[Clip], **keys: object) -> FoldTable:
    return protocols.build("mine", clips, published.preset(name), 0, **keys)


@pytest.mark.parametrize("year", [2014, 2019])
@pytest.mark.parametrize("with_ep02_07", [False, True])
def test_megc2019_is_the_official_list_clip_for_clip(year: int, with_ep02_07: bool):
    table = build("megc2019", published.everything(year, with_ep02_07=with_ep02_07))
    found = as_official(table)
    assert len(found) == 442
    assert set(found) == official()
    assert (
        list(dict.fromkeys(subject for _, subject, _, _ in found))
        == published.shared("datasets", "annotations", "megc2019_subjects_68.txt").read_text(encoding="utf-8").split()
    )
    assert len(table.folds) == 68
    assert Counter(row.label for row in table.rows) == {"negative": 250, "positive": 109, "surprise": 83}


@pytest.mark.parametrize("year", [2014, 2019])
@pytest.mark.parametrize("name", PRESETS)
def test_counts_come_out_of_either_sheet(name: str, year: int):
    table = build(name, published.everything(year, with_ep02_07=name in NEED_EP02_07))
    roles = {published.MINE[role]: role for role in PRESETS[name].roles}
    assert {roles[database]: counts for database, counts in table.counts().items()} == PRESETS[name].counts


@pytest.mark.parametrize("name", sorted(NEED_EP02_07))
def test_the_clip_without_a_row_is_named(name: str):
    with pytest.raises(CountsError) as caught:
        build(name, published.everything())
    text = str(caught.value)
    assert "c2 (casme2)" in text
    assert "casme2 sub24/EP02_07 is not listed" in text
    assert "accept_counts: true" in text


def test_the_row_missing_in_the_second_list_is_explained():
    """One published version of the challenge's list has 441 rows: the check says which is missing."""
    here = official("megc2019_combined_3class_gt-2.csv")
    assert official() - here == {("samm", "032", "032_3_1", "negative")}
    names = {"casme2": "c2", "smic": "hs", "samm": "mine-samm"}
    words = {"negative": "disgust", "positive": "happiness", "surprise": "surprise"}
    clips = [
        published.clip(names[database], subject, clip, label if database == "smic" else words[label])
        for database, subject, clip, label in here
    ]
    with pytest.raises(CountsError) as caught:
        build("megc2019", clips)
    told = [line.strip() for line in str(caught.value).splitlines()[1:-1]]
    assert told[0] == "mine-samm (samm) negative: expected 92, found 91"
    assert told[1].startswith("samm 032/032_3_1 is not listed, negative in the published list: one published version")
    assert len(told) == 2


def test_labels_by_column_are_explained():
    clips = [*published.smic_camera("nir"), *published.smic_camera("vis", by_column=True)]
    with pytest.raises(CountsError, match=r"vis \(smic-vis\) negative: expected 23, found 24") as caught:
        build("cdmer-5", clips)
    assert "smic-vis s18/s18_sur_03 is negative here, surprise in the published list" in str(caught.value)
    _, *differences = str(caught.value).splitlines()
    assert not any("smic-nir" in line for line in differences)


def test_rejected_clips_are_named():
    clips = published.samm()
    lost = next(clip for clip in clips if clip.clip_id == "006/006_1_2")
    with pytest.raises(CountsError, match=r"samm 006/006_1_2 \(anger\) is listed, but a stage rejected it"):
        build("samm-5", [clip for clip in clips if clip is not lost], listed=clips)


def test_other_counts_are_accepted_with_a_warning(caplog: pytest.LogCaptureFixture):
    clips = published.samm()[1:]
    with caplog.at_level(logging.WARNING, logger="mer_features"):
        table = protocols.build("mine", clips, published.preset("samm-5", accept_counts=True), 0)
    assert len(table.rows) == 135
    assert "NOT the published one" in caplog.text
    assert "mine-samm (samm) anger: expected 57, found 56" in caplog.text


def test_the_two_lists_of_246_share_the_counts_and_not_the_clips():
    clips = published.everything(2019)
    of_2014, dual = build("casme2-5-2014", clips), build("casme2-5-dual-branch", clips)
    assert of_2014.counts() == dual.counts()
    assert {row.clip_id for row in of_2014.rows} != {row.clip_id for row in dual.rows}


@pytest.mark.parametrize(
    ("preset", "name"),
    [
        ("casme2-5-dual-branch", "casme2_5class_dualbranch.csv"),
        ("casme2-3", "casme2_3class_dualbranch.csv"),
        ("samm-5", "samm_5class_dualbranch.csv"),
        ("samm-3", "samm_3class_dualbranch.csv"),
    ],
)
def test_the_dual_branch_papers_own_tables_clip_for_clip(preset: str, name: str):
    table = build(preset, published.everything(2014))
    prefix = "sub" if preset.startswith("casme2") else ""
    rows = list(published.rows(name))
    assert {row.clip_id for row in table.rows} == {f"{prefix}{row['Subject']}/{row['Filename']}" for row in rows}
    assert {row.clip_id: row.emotion for row in table.rows} == {
        f"{prefix}{row['Subject']}/{row['Filename']}": row["Label"].lower() for row in rows
    }


def test_the_benchmarks_own_tables_clip_for_clip():
    table = build("casme2-5-benchmark", published.everything(2019, with_ep02_07=True))
    words = {"1": "happiness", "2": "surprise", "3": "disgust", "4": "repression", "5": "others"}
    found = {f"{line[0]}/{line[1]}": words[line[-1]] for line in published.lines("casme2_5class_xia.csv")}
    assert {row.clip_id: row.label for row in table.rows} == found


@pytest.mark.parametrize("name", [f"cdmer-{n}" for n in range(1, 13)])
def test_whole_databases_train_and_test(name: str):
    table = build(name, published.everything(with_ep02_07=True))
    source, target = (published.MINE[role] for role in PRESETS[name].roles)
    assert PRESETS[name].test == (PRESETS[name].roles[1],)
    assert {row.fold for row in table.rows if row.database == source} == {TRAIN_ONLY}
    assert table.folds == ("transfer",)
    assert {row.database for row in table.tested} == {target}


@pytest.mark.parametrize("name", [f"cdmer-{n}" for n in range(1, 13)])
def test_five_folds_over_a_published_source_keep_its_clips(name: str):
    tree = published.preset(name).model_dump() | {"transfer_folds": 5}
    clips = published.everything(with_ep02_07=True)
    table = protocols.build("mine", clips, Protocol.model_validate(tree), 0)
    assert table.counts() == build(name, clips).counts()
    assert len(table.folds) == 5
    assert len(table.tested) == sum(PRESETS[name].counts[PRESETS[name].test[0]][label] for label in table.classes)


def test_34_random_subjects_may_have_282_clips():
    """Figure 4 of the FR paper: the number of draws of 34 of 68 subjects with each number of clips."""
    table = build("megc2019", published.everything())
    sizes = Counter(row.owner for row in table.rows).values()
    draws = Counter({(0, 0): 1})  # (subjects, clips) -> number of choices
    for size in sizes:
        draws.update({(subjects + 1, clips + size): n for (subjects, clips), n in list(draws.items())})
    halves = {clips: n for (subjects, clips), n in draws.items() if subjects == 34}
    total = sum(halves.values())
    assert total == comb(68, 34)
    assert sum(clips * n for clips, n in halves.items()) / total == pytest.approx(221)
    assert halves[282] / total == pytest.approx(0.0013, abs=5e-5)
    chance = {k: draws[k, 282] / comb(68, k) for k in range(20, 60)}
    assert max(chance, key=lambda k: chance[k]) == 43
    owners = {row.owner for row in half.half(table, 0).rows if row.fold == "trained half"}
    assert len(owners) == 34


#: Clips of the targets of FR's Tables 3 and 4, and the printed accuracies in units of 0.0001.
PRINTED = [
    (71, 7149), (164, 5968), (71, 5673), (164, 5200), (71, 7910), (71, 7921),
    (164, 4905), (130, 5380), (71, 6101), (130, 6019), (71, 4823), (130, 6081),
]  # fmt: skip


def fits(clips: int, accuracy: int) -> bool:
    """Whether a number of correct clips, of so many, rounds to the accuracy (in units of 0.0001)."""
    correct = accuracy * clips // 10000
    return any(abs(10000 * k / clips - accuracy) <= 0.5 for k in (correct, correct + 1))


@pytest.mark.parametrize(("tests", "expected"), [(1, 0), (5, 0), (10, 0), (50, 10)])
def test_no_number_of_tests_of_the_whole_target_gives_all_twelve_printed_accuracies(tests: int, expected: int):
    """Once, by five folds of the source, in ten rounds, and by five folds in ten rounds (docs/protocols.md)."""
    assert sum(fits(tests * clips, accuracy) for clips, accuracy in PRINTED) == expected


def test_the_printed_accuracies_are_no_means_over_five_parts_of_the_target():
    """Parts as equal as they can be; the mean of their accuracies fits two of twelve, of SMIC-HS."""
    found = []
    for clips, accuracy in PRINTED:
        size, larger = divmod(clips, 5)
        first = np.arange(larger * (size + 1) + 1)[:, None] / (size + 1)
        mean = (first + np.arange((5 - larger) * size + 1) / size) / 5
        found.append(bool((np.abs(10000 * mean - accuracy) <= 0.5).any()))
    assert found == [task in (2, 7) for task in range(1, 13)]


def test_five_folds_of_mmew_are_disjoint_and_balanced():
    table = build("mmew-6", published.mmew())
    homes: dict[str, set[str]] = {}
    for row in table.rows:
        homes.setdefault(row.subject, set()).add(row.fold)
    assert len(table.folds) == 5
    assert {len(folds) for folds in homes.values()} == {1}
    sizes = Counter(row.fold for row in table.rows)
    assert max(sizes.values()) - min(sizes.values()) <= 4  # one subject alone has 33 clips
    everywhere = Counter(row.label for row in table.rows)
    for fold in table.folds:
        here = Counter(row.label for row in table.rows if row.fold == fold)
        assert all(abs(here[label] - total / 5) <= 4 for label, total in everywhere.items())
    assert table == build("mmew-6", published.mmew()[::-1])
    other = protocols.build("mine", published.mmew(), published.preset("mmew-6"), 1)
    assert {row.clip_id: row.fold for row in other.rows} != {row.clip_id: row.fold for row in table.rows}


def test_unpadded_subjects_are_the_same_people():
    """A table of one's own may write 4 for sub04; exclusions and editions still hold."""
    clips = [
        replace(clip, subject=clip.subject.lstrip("sub0"), clip_id=clip.clip_id.lstrip("sub0"))
        if clip.database == "c2"
        else clip
        for clip in published.everything(2019)
    ]
    assert len(build("megc2019", clips).rows) == 442
