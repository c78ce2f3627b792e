"""What `mer-features check` says of whole releases, and of broken ones."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from mer_features import cli
from mer_features.commands import check as checks
from mer_features.commands.check import protocol
from mer_features.commands.check.database import DatabaseCheck, foreseen
from mer_features.core import clips as clip_tables
from mer_features.core.clips import Clip
from mer_features.core.quality import CODES, Issue
from mer_features.databases import Published
from mer_features.protocols import FoldRow, FoldTable
from mer_features.protocols.table import TRAIN_ONLY, train_only_except
from mer_features.workflow.config import validate
from tests.databases import test_flow_maps
from tests.databases.trees import configured, frames, opened, workbook

MEGC = {"preset": "megc2019", "databases": {"casme2": "casme2-2014", "smic": "smic-hs", "samm": "samm"}}
#: What is only so because the trees have few of the frames.
THIN = ("missing_frame", "frame_not_on_disk")
CDE = ("casme2-2014", "samm", "smic-hs")


def run(databases: dict, protocols: dict | None = None) -> checks.Check:
    return checks.check(validate({"databases": databases, "protocols": protocols or {}}))


def one(databases: dict) -> DatabaseCheck:
    (found,) = run(databases).databases
    return found


def codes(found: DatabaseCheck, *, but: tuple[str, ...] = ()) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for issue in found.issues:
        if issue["code"] not in but:
            out.setdefault(issue["code"], []).append(issue["clip"])
    return out


# ---- whole releases


@pytest.mark.parametrize(
    ("name", "edition", "clips", "subjects"),
    [
        ("casme2-2014", "sheet of 2014", 255, 26),
        ("casme2-2019", "sheet of 2019", 255, 26),
        ("samm", "Micro_FACS_Codes_v2", 159, 29),
        ("smic-hs", "short clips", 164, 16),
        ("smic-vis", "short clips", 71, 8),
        ("smic-nir", "short clips", 71, 8),
        ("smic-hs-e", "sheet of 157 rows, every expression a clip", 166, 16),
    ],
)
def test_a_whole_release_has_the_published_labels_and_no_problem(owners, name, edition, clips, subjects):
    found = one(configured(owners, name))
    assert (found.clips, found.found, found.missing, found.duplicates) == (clips, clips, 0, 0)
    assert (found.edition, found.published_clips) == (edition, clips)
    assert (found.subjects, found.published_subjects) == (subjects, subjects)
    assert [(label.emotion, label.found) for label in found.labels] == [
        (label.emotion, label.published) for label in found.labels
    ]
    assert found.problems == []
    assert found.usable


def test_what_is_known_to_be_odd_of_casme2_and_samm_is_named(owners):
    casme2 = one(configured(owners, "casme2-2014"))
    assert codes(casme2, but=THIN) == {
        "empty_cell": ["sub04/EP12_01f"],
        "apex_equals_onset": ["sub05/EP09_05f"],
        "apex_equals_offset": ["sub05/EP16_04f", "sub12/EP09_06", "sub20/EP16_01", "sub25/EP18_04f"],
        "erratum_applied": ["sub16/EP01_08"],
    }
    assert casme2.apexes == {
        "annotated": 254, "not annotated": 1, "apex_outside": 0, "apex_equals_onset": 1, "apex_equals_offset": 4,
    }  # fmt: skip
    assert (casme2.errata, casme2.unlisted) == (1, 1)
    samm = one(configured(owners, "samm"))
    assert codes(samm, but=THIN) == {"apex_outside": ["028/028_4_1"], "erratum_applied": ["032/032_3_1"]}


def test_frames_dropped_inside_smic_s_clips_are_counted(owners):
    found = one(configured(owners, "smic-hs"))
    assert codes(found) == {"missing_frame": ["s3/s3_ne_16", "s3/s3_po_08", "s3/s3_sur_01", "s3/s3_sur_05"]}
    assert found.frames["missing"] == 1 + 2 + 1 + 1


def test_the_composite_protocol_stands_beside_the_published_numbers(owners):
    result = run(configured(owners, *CDE), {"cde": MEGC})
    (cde,) = result.protocols
    assert (cde.error, cde.note, cde.folds) == ("", "", 68)
    assert cde.counts == cde.published
    assert sum(n for part in cde.counts.values() for what, n in part.items() if what != "subjects") == 442
    assert result.problems == []


def test_a_row_missing_in_the_sheet_is_explained_not_absorbed(owners, tmp_path: Path):
    """As in the version of the challenge's list that has 441 rows."""
    import openpyxl

    (sheet,) = owners["samm"].glob("*.xlsx")
    book = openpyxl.load_workbook(sheet)
    rows = book["MICRO_ONLY"]
    (line,) = (cell.row for cell in rows["B"] if cell.value == "032_3_1")
    rows.delete_rows(line)
    book.save(tmp_path / sheet.name)
    changed = {"sheet": str(tmp_path / sheet.name)}
    result = run(configured(owners, *CDE, samm=changed), {"cde": MEGC})
    (cde,) = result.protocols
    assert not cde.usable
    assert "samm (samm) negative: expected 92, found 91" in cde.error
    assert "samm 032/032_3_1 is not listed, negative in the published list: one published version" in cde.error
    assert (cde.counts["samm"]["negative"], cde.published["samm"]["negative"]) == (91, 92)
    samm = next(found for found in result.databases if found.name == "samm")
    assert samm.unlisted == 1
    assert result.problems == [
        "database samm: 158 clips listed, but 159 published (Micro_FACS_Codes_v2)",
        "database samm: label counts differ from those published (Micro_FACS_Codes_v2): anger 56, published 57",
        "protocol cde: the clips are not those of 'megc2019', MEGC 2019 composite database evaluation: 442 clips, 68 "
        "subjects left out in turn.",
    ]


def test_other_counts_may_be_accepted_and_are_told(owners):
    four = {"preset": "casme2-4", "databases": {"casme2": "casme2-2014"}}
    databases = configured(owners, "casme2-2014")
    refused, accepted = run(databases, {"refused": four, "accepted": four | {"accept_counts": True}}).protocols
    assert "`unlisted: true` at the database adds it" in refused.error
    assert accepted.error == ""
    assert "accept_counts" in accepted.note
    assert accepted.counts == refused.counts != refused.published
    with_it = run(configured(owners, "casme2-2014", casme2_2014={"unlisted": True}), {"four": four})
    assert with_it.problems == []
    assert with_it.databases[0].edition == "sheet of 2014 with sub24/EP02_07"


def test_the_long_clips_are_not_the_short_ones_and_each_difference_is_named(owners):
    protocol = {"preset": "smic-hs-3", "databases": {"smic-hs": "smic-hs-e"}}
    (found,) = run(configured(owners, "smic-hs-e"), {"hs": protocol}).protocols
    missing = {"s1/s1_ne_02", "s2/s2_sur_05", "s3/s3_ne_20"}
    more = {"s20/s20_ne_06_2", "s20/s20_ne_09_2", "s20/s20_sur_02_2", "s18/s18_ne_01_2", "s18/s18_sur_03_2"}
    told = {line.split()[1]: line for line in found.error.splitlines() if " in the published list: " in line}
    assert set(told) == missing | more
    assert all(" is not listed, " in told[clip] for clip in missing)
    assert all(" here, not in the published list: " in told[clip] for clip in more)


# ---- broken ones


@pytest.fixture
def broken(owners, tmp_path: Path) -> Callable[..., DatabaseCheck]:
    """A copy of five subjects of CASME II that a test may spoil."""
    root = tmp_path / "CASME2"
    part = root / "CASME2_RAW_selected"
    for subject in ("sub01", "sub02", "sub03"):
        shutil.copytree(owners["casme2-2014"] / part.name / subject, part / subject)
    (sheet,) = owners["casme2-2014"].glob("*.xlsx")
    shutil.copy(sheet, root)

    def look() -> DatabaseCheck:
        return one({"c": {"adapter": "casme2", "root": str(root)}})

    look.root, look.part = root, part
    return look


def test_a_half_copied_database_counts_what_is_missing(broken):
    found = broken()
    assert (found.clips, found.missing, found.found) == (255, 226, 29)
    assert found.states["rejected"] == 226
    assert found.problems == ["226 of 255 clips rejected"]


def test_missing_foreign_and_double_frames_are_found(broken):
    clip = broken.part / "sub01" / "EP02_01f"
    for path in clip.iterdir():
        path.unlink()
    frames(clip, {*range(46, 87)} - {50, 51})
    (clip / "Thumbs.db").touch()
    (clip / "notes").mkdir()
    other = broken.part / "sub01" / "EP03_02"
    (other / next(other.iterdir()).name.replace(".jpg", ".png")).touch()
    single = broken.part / "sub02" / "EP01_11f"
    for path in sorted(single.iterdir())[1:]:
        path.unlink()
    found = broken()
    details = {issue["clip"]: issue["detail"] for issue in found.issues if issue["code"] == "missing_frame"}
    assert details["sub01/EP02_01f"] == "2 missing: 50..51"
    assert found.frames["foreign"] == 2
    assert codes(found)["duplicate_frame"] == ["sub01/EP03_02"]
    assert codes(found)["few_frames"] == ["sub02/EP01_11f"]


def test_duplicate_rows_and_apexes_outside_are_counted(tmp_path: Path):
    frames(tmp_path / "CASME2_RAW_selected/sub01/EP1", range(1, 9))
    header = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion"]
    rows = [["01", "EP1", 1, apex, 8, "4", "disgust"] for apex in (99, 4)]
    workbook(tmp_path / "CASME2-coding-20190701.xlsx", [header, *rows])
    found = one({"c": {"adapter": "casme2", "root": str(tmp_path)}})
    assert (found.duplicates, found.apexes["apex_outside"]) == (1, 1)
    assert found.issues == [
        {"clip": "sub01/EP1", "code": "apex_outside", "detail": "apex 99, onset..offset 1..8"},
        {"clip": "sub01/EP1.2", "code": "duplicate_clip", "detail": "another row of sub01/EP1"},
    ]


def test_it_says_what_the_stages_will_say():
    """The same codes and details as the face stage derives from the same numbers."""
    clip = Clip("s/c", "d", "s", "x", first=10, onset=12, apex=12, offset=30, last=20)
    here = [10, 11, 12, 13, 17, 20]
    issues, missing = foreseen(clip, [1, 2, *here, 40])
    holes = clip_tables.gaps(here, 10, 20)
    assert holes == [(14, 16), (18, 19)]
    assert missing == 5
    assert issues == (
        Issue("missing_frame", "5 missing: 14..16, 18..19"),
        *clip_tables.key_frames(clip, here).issues,
        Issue("apex_equals_onset", "frame 12"),
    )
    assert foreseen(clip, [1, 2])[0] == (Issue("no_frames", "2 images, none with a number in 10..20"),)
    assert foreseen(clip, [15])[0] == (Issue("few_frames", "1 frame"),)


def test_it_opens_no_frame(owners):
    with opened() as seen:
        one(configured(owners, "samm"))
    assert {path.suffix for path in seen} & {".jpg", ".bmp", ".png"} == set()


# ---- the command


def command(tmp_path: Path, tree: dict, *more: str) -> int:
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump(tree))
    return cli.main(["check", str(path), *more])


def test_exit_code_and_text(owners, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    tree = {"databases": configured(owners, *CDE), "protocols": {"cde": MEGC}}
    assert command(tmp_path, tree) == 0
    printed = capsys.readouterr().out
    for said in (
        "clips       255 listed: 255 found, 0 missing; on disk but not listed: 1; listed twice: 0",
        "apexes      254 annotated, 1 not annotated (will be spotted by roi_diff); 1 apex_equals_onset, "
        "4 apex_equals_offset",
        "labels        found   published (sheet of 2014)",
        "disgust          63   63",
        "frames      5527 files; 5 frame numbers missing within clips, 0 foreign files",
        f"warned: missing_frame, 4 times ({CODES['missing_frame'].meaning})",
        "sub16/EP01_08: offset '110' -> '96' (frames on disk end at 96",
        "protocol cde (megc2019): 442 clips, 68 folds",
    ):
        assert said in printed
    assert printed.rstrip().endswith("Ready to run.")
    tree["databases"]["samm"] |= {"root": str(tmp_path / "nowhere")}
    assert command(tmp_path, tree) == 1
    printed = capsys.readouterr().out
    assert f"databases.samm.root: {tmp_path / 'nowhere'} is not a folder" in printed
    assert "could not be read: samm" in printed
    assert "Problems to resolve before a run:" in printed
    assert command(tmp_path, {"databases": {"x": {"adapter": "nope"}}}) == 2


def test_json_holds_every_clip_and_the_text_stays_short(owners, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root = tmp_path / "c"
    (root / "CASME2_RAW_selected" / "sub01").mkdir(parents=True)
    (sheet,) = owners["casme2-2014"].glob("*.xlsx")
    os.link(sheet, root / sheet.name)
    tree = {"databases": {"c": {"adapter": "casme2", "root": str(root)}}}
    assert command(tmp_path, tree, "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert found["problems"] == ["database c: 255 of 255 clips rejected"]
    assert sum(issue["code"] == "source_missing" for issue in found["databases"][0]["issues"]) == 255
    assert command(tmp_path, tree) == 1
    printed = capsys.readouterr().out
    assert "... and 247 more (--json lists all)" in printed
    assert len(printed.splitlines()) < 60


def test_labels_without_known_numbers_are_only_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    frames(tmp_path / "a", range(3))
    (tmp_path / "clips.tsv").write_text("subject\tpath\temotion\ns1\ta\tfear\n")
    assert (
        command(tmp_path, {"databases": {"own": {"adapter": "table", "root": str(tmp_path), "table": "clips.tsv"}}})
        == 0
    )
    printed = capsys.readouterr().out
    assert "published" not in printed
    assert re.search(r"fear +1\n", printed)


def test_a_total_alone_is_compared(tmp_path: Path):
    frames(tmp_path / "cohn-kanade-images/S005/001", range(3), "S005_001_{:08d}.png")
    found = one({"ck": {"adapter": "ckplus", "root": str(tmp_path)}})
    assert (found.published_clips, found.labels[0].published) == (593, None)
    assert found.problems == ["1 clip listed, but 593 published (owners' ReadMe)"]
    assert "all               1   593 (owners' ReadMe)" in checks.text(
        run({"ck": {"adapter": "ckplus", "root": str(tmp_path)}})
    )


def test_the_nearest_edition_is_taken():
    from collections import Counter

    from mer_features.commands.check.database import _compare

    editions = [Published("a", 10, 2, {"x": 5, "y": 5}), Published("b", 9, 2, {"x": 2, "y": 7})]
    result = DatabaseCheck("d", "/", clips=9)
    _compare(result, Counter(x=3, y=6), editions)
    assert [(label.found, label.published) for label in result.labels] == [(3, 2), (6, 7)]
    assert result.problems == ["label counts differ from those published (b): x 3, published 2; y 6, published 7"]


# ---- published flow maps


@pytest.fixture
def maps(tmp_path: Path) -> Callable[[str], dict]:
    """A few maps of each part and their table; the configuration of one part."""
    rows = test_flow_maps.ROWS
    test_flow_maps.flat(tmp_path / "maps", rows)
    test_flow_maps.table(tmp_path / "maps" / "clips.csv", rows)
    return lambda part: {
        "adapter": "flow_maps", "root": str(tmp_path / "maps"), "labels": "clips.csv", "part": part,
    }  # fmt: skip


def test_flow_maps_have_no_frames_and_no_apexes(maps, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    tree = {"databases": {part: maps(part) for part in ("casme2", "smic", "samm")}}
    assert command(tmp_path, tree) == 1
    printed = capsys.readouterr().out
    for said in (
        "clips       3 listed: 3 found, 0 missing; on disk but not listed: 0; listed twice: 0",
        "subjects    2, published 24",
        "negative          1   88   differs",
        "database samm: 2 clips listed, but 133 published (MEGC 2019)",
    ):
        assert said in printed
    assert not re.search(r"^  (frames|apexes|errata) |spotted", printed, re.MULTILINE)
    assert command(tmp_path, tree, "--json") == 1
    found = json.loads(capsys.readouterr().out)["databases"][0]
    assert (found["frames"], found["apexes"], found["spotter"]) == ({}, {}, "")
    assert found["states"] == {"ok": 3, "warned": 0, "rejected": 0}


def test_a_map_of_two_parts_is_told_in_both(maps, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    first, *_, last = test_flow_maps.ROWS
    shutil.copy(tmp_path / "maps" / test_flow_maps.file_name(first), tmp_path / "maps" / test_flow_maps.file_name(last))
    casme2, samm = run({"c": maps("casme2"), "s": maps("samm")}).databases
    assert codes(casme2) == {"same_picture": ["sub01/EP02_01f"]}
    assert codes(samm) == {"same_picture": ["010/010_4_1"]}
    assert samm.issues[0]["detail"] == casme2.issues[0]["detail"]
    command(tmp_path, {"databases": {"c": maps("casme2"), "s": maps("samm")}})
    assert "warned: same_picture, 1 time" in capsys.readouterr().out


def test_a_map_that_cannot_be_read_is_a_problem(maps, tmp_path: Path):
    (tmp_path / "maps" / "sub01EP02.png").write_bytes(b"x")
    found = one({"c": maps("casme2")})
    assert codes(found) == {"bad_map": ["unknown/sub01EP02"]}
    assert "1 of 4 clips rejected" in found.problems


LOSO = {"folds": "loso", "labels": "megc2019"}


def test_parts_that_read_the_same_maps_are_a_problem(maps, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """`part` was forgotten: training would be refused."""
    tree = {name: {key: value for key, value in maps("smic").items() if key != "part"} for name in ("c", "s", "m")}
    result = run(tree, {"p": LOSO | {"databases": ["c", "s", "m"]}})
    (found,) = result.protocols
    assert not found.usable
    assert found.leaks == [
        "c, s and m read the same 7 files; training refuses this, so set `part`, to another database of the composite "
        "for each (docs/databases/flow_maps.md)"
    ]
    assert result.problems == [f"protocol p: {found.leaks[0]}"]
    assert command(tmp_path, {"databases": tree, "protocols": {"p": LOSO | {"databases": ["c", "s"]}}}) == 1
    assert "Problems to resolve before a run:\n  protocol p: c and s read the same 7 files" in capsys.readouterr().out
    assert run(tree, {"p": LOSO | {"databases": ["c"]}}).problems == []


def test_a_picture_of_two_people_is_a_problem_of_a_protocol_that_uses_both(tmp_path: Path):
    rows = [("", f"p{number}", clip, number % 3) for number in range(8) for clip in "ab"]
    root, twins = test_flow_maps.flat(tmp_path / "maps", rows), [test_flow_maps.file_name(rows[i]) for i in (0, -1)]
    (root / twins[0]).write_bytes((root / twins[1]).read_bytes())
    tree = {name: {"adapter": "flow_maps", "root": str(root), "labels": f"{name}.csv"} for name in ("all", "few")}
    test_flow_maps.table(root / "all.csv", rows)
    test_flow_maps.table(root / "few.csv", rows[:-1])
    protocols = {name: LOSO | {"databases": [name]} for name in tree}
    both, one_of_them = run(tree, protocols).protocols
    assert (
        both.leaks
        == both.problems
        == [
            "all/p0/a and all/p7/b have the same picture; training refuses this, so remove a row from the table or use "
            "`exclude_subjects`"
        ]
    )
    assert one_of_them.problems == []
    tree["all"]["exclude_subjects"] = ["p7"]
    assert run(tree, protocols).problems == []


def test_two_subjects_of_one_folder_are_a_problem(tmp_path: Path):
    """In every adapter; a part of a recording is not the whole."""
    lines = [
        (f"s{number}", f"{number}{word}", word) for number in range(3) for word in ("negative", "positive", "surprise")
    ]
    for _, path, _ in lines:
        frames(tmp_path / path, range(9))
    rows = [f"{subject}\t{path}\t{path}\t0\t3\t{word}\n" for subject, path, word in lines]
    head, table = "subject\tpath\tclip\tfirst\tlast\temotion\n", tmp_path / "clips.tsv"
    own = {"adapter": "table", "root": str(tmp_path), "table": "clips.tsv"}
    table.write_text(head + "".join(rows) + "s1\t0negative\tx\t4\t8\tnegative\n")
    assert run({"own": own}, {"p": LOSO | {"databases": ["own"]}}).problems == []
    table.write_text(head + "".join(rows) + "s1\t0negative\tx\t0\t3\tnegative\n")
    (found,) = run({"own": own}, {"p": LOSO | {"databases": ["own"]}}).protocols
    (line,) = found.leaks
    assert line.startswith(f"own/s0/0negative and own/s1/x have the same recording, {tmp_path / '0negative'}; ")
    table.write_text(head + "".join(rows))
    (found,) = run({"own": own, "again": own}, {"p": LOSO | {"databases": ["own", "again"]}}).protocols
    assert found.leaks == [
        "own and again read the same 9 files; training refuses this, so leave all but one of them out of the protocol, "
        "or remove the shared clips, e.g. own/s0/0negative and again/s0/0negative"
    ]


def test_many_shared_pictures_are_counted(tmp_path: Path):
    rows = [("", f"p{number}", clip, ord(clip) % 3) for number in range(2) for clip in "abcdefghijk"]
    for row in rows:
        test_flow_maps.save(tmp_path / "m" / test_flow_maps.file_name(row), test_flow_maps.pixels(ord(row[2])))
    test_flow_maps.table(tmp_path / "m" / "t.csv", rows)
    tree = {"d": {"adapter": "flow_maps", "root": str(tmp_path / "m"), "labels": "t.csv"}}
    result = run(tree, {"p": LOSO | {"databases": ["d"]}})
    assert len(result.protocols[0].leaks) == 11
    assert len(result.problems) == 9
    assert result.problems[-1] == "protocol p: 3 more cases of a shared recording or map (--json lists all)"
    assert "... and 3 more (--json lists all)" in checks.text(result)


def test_a_transfer_leaks_only_from_its_source():
    """Clips of the target are never trained on, whatever their folds; a source part counts for the other folds."""

    def row(database: str, fold: str) -> tuple[FoldRow, None]:
        return FoldRow(f"{database}-{fold}", database, fold, "a", "a", fold), None

    source, part = row("source", TRAIN_ONLY), row("source", train_only_except("f1"))
    first, second = row("target", "f1"), row("target", "f2")
    table = FoldTable(tuple(item for item, _ in (source, part, first, second)))
    leaks = protocol._leaks_out
    assert not leaks([first, second], table)
    assert not leaks([part, first], table)
    assert leaks([part, second], table)
    assert leaks([source, first], table)
    assert leaks([first, second], FoldTable((first[0], second[0])))
