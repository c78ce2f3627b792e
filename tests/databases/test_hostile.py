"""Names, links and sheets that mean harm or are merely broken, through every adapter that reads names from a sheet."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import openpyxl
import pytest

from mer_features import databases
from mer_features.commands import check
from mer_features.core import quality
from mer_features.core.clips import Clip
from mer_features.core.quality import Status
from mer_features.databases import DatabaseError
from mer_features.workflow.config import validate
from tests.databases.trees import below, frames, opened, workbook

#: A row: names of subject and clip, onset, apex, offset, action units, emotion.
Row = tuple[object, object, object, object, object, object, object]
GOOD = (1, 2, 4)
CASME2 = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion"]


def casme2(root: Path, rows: Iterable[Row]) -> dict:
    frames(root / "CASME2_RAW_selected/sub01/EP1", range(1, 6))
    workbook(root / "CASME2-coding-20190701.xlsx", [CASME2, *map(list, rows)])
    return {"adapter": "casme2"}


def casme(root: Path, rows: Iterable[Row]) -> dict:
    frames(root / "CASME_raw_selected/sub01/EP1", range(1, 6))
    header = ["Subject", "Filename", "OnsetF", "ApexF1", "OffsetF", "AU", "Emotion"]
    workbook(root / "CASME_labels.xlsx", [header, *map(list, rows)])
    return {"adapter": "casme"}


def samm(root: Path, rows: Iterable[Row]) -> dict:
    frames(root / "SAMM/001/EP1", range(1, 6))
    header = ["Subject", "Filename", "Onset Frame", "Apex Frame", "Offset Frame", "Action Units", "Estimated Emotion"]
    workbook(root / "SAMM_Micro_FACS_Codes_v2.xlsx", [["note"], header, *map(list, rows)], "MICRO_ONLY")
    return {"adapter": "samm"}


def smic_long(root: Path, rows: Iterable[Row]) -> dict:
    frames(root / "HS_long/SMIC-HS-E/s01/EP1", range(1, 6))
    header = ["Subject", "Filename", "OnsetF", "OffsetF", "Emotion"]
    lines = [[subject, clip, onset, offset, "negative"] for subject, clip, onset, _, offset, *_ in rows]
    workbook(root / "SMIC-HS-E_annotation.xlsx", [header, *lines], "HS")
    return {"adapter": "smic", "variant": "hs-e"}


def mmew(root: Path, rows: Iterable[Row]) -> dict:
    frames(root / "Micro_Expression/fear/S01-05-001", range(1, 6))
    lines = [
        [subject, f"S{subject or 1:02d}-05-001" if clip == "EP1" else clip, *rest] for subject, clip, *rest in rows
    ]
    workbook(root / "MMEW_Micro_Exp.xlsx", [CASME2, *lines])
    return {"adapter": "mmew"}


def casme3(root: Path, rows: Iterable[Row]) -> dict:
    frames(root / "part_A/spNO.1/a/color", range(1, 6))
    header = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "emotion"]
    names = {1: "spNO.1", "EP1": "a"}
    lines = [[names.get(subject, subject), names.get(clip, clip), *rest] for subject, clip, *rest in rows]
    workbook(root / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", [header, *lines], "label")
    return {"adapter": "casme3"}


def casme3_clips(root: Path, rows: Iterable[Row]) -> dict:
    frames(root / "frame/spNo.1_a_1", range(1, 6))
    return casme3(root, rows) | {"variant": "part_a_clips"}


def casme3_c(root: Path, rows: Iterable[Row]) -> dict:
    frames(root / "part_C/01/a/color", range(1, 6))
    header = ["sub", "count", "onset", "offset", "au", "emotion"]
    lines = [[subject, clip, onset, offset, au, word] for subject, clip, onset, _, offset, au, word in rows]
    workbook(root / "CAS(ME)3_part_C_ME.xlsx", [header, *lines], "mockCrimeME")
    return {"adapter": "casme3", "variant": "part_c"}


def casmesq(root: Path, rows: Iterable[Row]) -> dict:
    frames(root / "rawpic/s15/15_0401girlcrashing", range(1, 6))
    lines = [
        [subject, "anger1_1" if clip == "EP1" else clip, *rest, "micro-expression", "anger"]
        for subject, clip, *rest in rows
    ]
    workbook(root / "CAS(ME)^2code_final(Updated).xlsx", lines)
    return {"adapter": "casmesq"}


def fourdme(root: Path, rows: Iterable[Row]) -> dict:
    frames(root / "gray_micro/1/EP1", range(1, 6))
    header = ["sub_ID", "fold_name", "Onset", "Apex", "Offset", "AUs", "Emotion"]
    workbook(root / "4DME_Labelling_Micro_release v1.xlsx", [header, *map(list, rows)])
    return {"adapter": "4dme"}


def dfew(root: Path, rows: Iterable[Row]) -> dict:
    frames(root / "Clip/clip_224x224/00001", range(1, 6), "{}.jpg")
    names = ["00001" if clip == "EP1" else clip for _, clip, *_ in rows]
    folder = root / "EmoLabel_DataSplit/train(single-labeled)"
    folder.mkdir(parents=True)
    (folder / "set_1.csv").write_text("video_name,label\n" + "".join(f'"{name}",1\n' for name in names))
    return {"adapter": "dfew"}


def ferv39k(root: Path, rows: Iterable[Row]) -> dict:
    frames(root / "2_ClipsforFaceCrop/Action/Sad/0010", range(1, 6), "{}.jpg")
    names = ["Action/Sad/0010" if clip == "EP1" else f"{subject}/Sad/{clip}" for subject, clip, *_ in rows]
    (root / "4_setups/All_scenes").mkdir(parents=True)
    (root / "4_setups/All_scenes/train_All.csv").write_text("".join(f"{name} Sad\n" for name in names))
    return {"adapter": "ferv39k"}


def own(root: Path, rows: Iterable[Row]) -> dict:
    frames(root / "1/EP1", range(1, 6))
    lines = [f"{subject}\t{clip}\t{subject}/{clip}\n" for subject, clip, *_ in rows]
    (root / "clips.tsv").write_text("subject\tclip\tpath\n" + "".join(lines))
    return {"adapter": "table", "table": "clips.tsv"}


BUILDERS = (
    casme, casme2, samm, smic_long, mmew, casme3, casme3_clips, casme3_c, casmesq, fourdme, dfew, ferv39k, own,
)  # fmt: skip
Build = Callable[[Path, Iterable[Row]], dict]
builders = pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__)
books = pytest.mark.parametrize("build", BUILDERS[:10], ids=lambda build: build.__name__)


def row(subject: object = 1, clip: object = "EP1", marks: tuple = GOOD, units: object = "4", word: str = "fear") -> Row:
    return subject, clip, *marks, units, word  # type: ignore[return-value]


def look(root: Path, database: dict) -> tuple[Clip, ...]:
    """The clips, read and checked as a run would do it."""
    config = validate({"databases": {"d": database | {"root": str(root)}}})
    clips = databases.read("d", config.databases["d"]).clips
    check.check(config)
    return clips


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A place beside the root that looks just like what is looked for."""
    for name in ("EP1", "x", "color", "a/color", "Sad/EP1", "Sad/x"):
        frames(tmp_path / "outside" / name, range(1, 6), "{}.jpg")
    return tmp_path / "outside"


@builders
def test_a_good_row_is_a_good_clip(root: Path, build: Build):
    (clip,) = look(root, build(root, [row()]))
    assert clip.issues == ()
    assert Path(clip.source).is_dir()


@builders
def test_no_name_leads_out_of_the_root(root: Path, outside: Path, build: Build):
    paths = ("..", "../../outside", "../outside/x", "..\\outside", str(outside), f"{outside}/x", "a/../../../outside")
    hostile = [row(subject, "x") for subject in paths] + [row(1, clip) for clip in paths]
    database = build(root, [row(), *hostile])
    with opened() as seen:
        good, *others = look(root, database)
    assert below(seen, root)
    assert below(seen, root) == below(seen, root.parent)  # nothing beside the root
    assert quality.status(good.issues) is not Status.REJECTED
    harmless = [clip for clip in others if quality.status(clip.issues) is not Status.REJECTED]
    # Where the sheet's cell names no folder (a clip's running number, a subject beside a full path) it cannot do harm.
    assert {Path(clip.source).resolve() for clip in harmless} <= {Path(good.source), root}
    for clip in (good, *others):
        assert Path(clip.source).resolve().is_relative_to(root)
        assert clip.clip_id.count("/") == 1
        assert not {"", ".", ".."} & set(clip.clip_id.split("/"))


@builders
@pytest.mark.parametrize("level", [0, 1, 2])
def test_links_out_of_the_root_are_not_followed(root: Path, outside: Path, build: Build, level: int):
    """A frame, its folder, or the folder above: moved out and linked back."""
    database = build(root, [row()])
    (clip,) = look(root, database)
    place = sorted(Path(clip.source).iterdir())[2]
    place = (place, *place.parents)[level]
    place.rename(outside / "moved")
    place.symlink_to(outside / "moved")
    with opened() as seen, contextlib.suppress(DatabaseError):  # the link may have been all that there was
        (clip,) = look(root, database)
        # MMEW's clips are looked for in whatever folder they are, and this one is not searched: a note says so.
        wanted = "source_missing" if build is mmew and level == 2 else "unsafe_path"
        assert wanted in {issue.code for issue in clip.issues}
        assert quality.status(clip.issues) is Status.REJECTED
    assert below(seen, outside) == []


@builders
def test_links_inside_the_root_are_followed(root: Path, build: Build):
    database = build(root, [row()])
    (clip,) = look(root, database)
    folder = Path(clip.source)
    folder.rename(root / "elsewhere")
    folder.symlink_to(root / "elsewhere")
    (again,) = look(root, database)
    assert again.issues == ()
    assert again.digest == clip.digest


@books
def test_marks_that_make_no_sense_are_reported(root: Path, build: Build):
    rows = [row(marks=(1, 99, 4)), row(2), row(), row(units="4，L7"), row(marks=("", "x", ""))]
    clips = look(root, build(root, rows))
    config = validate({"databases": {"d": build(root, rows) | {"root": str(root)}}})
    (found,) = check.check(config).databases
    by_clip = [{issue["code"] for issue in found.issues if issue["clip"] == clip.clip_id} for clip in clips]
    outside, missing, _, commas, unmarked = by_clip
    apexes = clips[0].apex is not None
    assert ("apex_outside" in outside) == apexes
    assert "source_missing" in missing
    assert "duplicate_clip" in commas  # the third row and the fourth name one clip
    assert clips[3].action_units in {"4，L7", ""}  # SMIC has none
    assert "empty_cell" in unmarked


@books
def test_a_duplicate_row_is_rejected_once(root: Path, build: Build):
    first, second = look(root, build(root, [row(), row()]))
    assert first.issues == ()
    assert [issue.code for issue in second.issues] == ["duplicate_clip"]
    assert first.clip_id != second.clip_id


@books
def test_a_folder_in_another_case_is_found(root: Path, build: Build):
    database = build(root, [row()])
    (clip,) = look(root, database)
    folder = Path(clip.source)
    for place in (folder, folder.parent):
        if place.parent != root:
            place.rename(place.with_name(place.name.swapcase()))
    (again,) = look(root, database)
    assert again.issues == ()
    assert Path(again.source).is_dir()


def _sheet(root: Path) -> Path:
    return next(path for path in root.glob("*.xlsx") if not path.name.startswith("~$"))


@books
def test_a_lock_file_is_not_the_sheet(root: Path, build: Build):
    database = build(root, [row()])
    sheet = _sheet(root)
    (root / f"~${sheet.name}").write_bytes(b"\x05Jane")
    assert len(look(root, database)) == 1
    sheet.unlink()
    with pytest.raises(DatabaseError, match=r"no annotation sheet.*; ~\$.*lock file"):
        look(root, database)


@books
@pytest.mark.parametrize("case", ["empty", "blank rows", "header only", "other columns", "not a workbook", "cut"])
def test_a_sheet_that_is_none_stops_before_any_work_and_is_named(root: Path, build: Build, case: str):
    database = build(root, [row()])
    sheet = _sheet(root)
    title = openpyxl.load_workbook(sheet).sheetnames[0]
    if case == "cut":
        sheet.write_bytes(sheet.read_bytes()[:-200])
    elif case == "not a workbook":
        sheet.write_bytes(b"<html>please log in</html>")
    else:
        rows = {"empty": [], "blank rows": [[None], [" "]], "other columns": [["a", "b"], [1, 2]]}
        workbook(sheet, rows.get(case, [CASME2]), title)
    with pytest.raises(DatabaseError) as caught:
        look(root, database)
    assert str(sheet) in str(caught.value)


@books
def test_a_merged_cell_counts_for_all_its_rows(root: Path, build: Build):
    database = build(root, [row(), row(None, marks=(2, 3, 5))])
    sheet = _sheet(root)
    book = openpyxl.load_workbook(sheet)
    page = book.active
    line = next(cell.row for cell in page["A"] if cell.row == page.max_row - 1)
    page.merge_cells(f"A{line}:A{line + 1}")
    book.save(sheet)
    first, second = look(root, database)
    assert first.subject == second.subject
    assert "empty_cell" not in {issue.code for issue in second.issues}


@books
def test_a_folder_is_listed_once_however_many_rows_name_it(root: Path, build: Build):
    database = build(root, [row()])
    sheet = _sheet(root)
    lines = [[str(cell.value or "") for cell in line] for line in openpyxl.load_workbook(sheet).active.iter_rows()]
    *above, last = lines
    lines = [*above, *([*last[:1], f"{last[1]}x{number}", *last[2:]] for number in range(2000))]
    sheet.with_suffix(".csv").write_text("".join(f"{','.join(line)}\n" for line in lines))
    sheet.unlink()
    config = validate({"databases": {"d": database | {"root": str(root)}}})
    with opened() as seen:
        clips = databases.read("d", config.databases["d"]).clips
    assert len(clips) == len({clip.clip_id for clip in clips}) == 2000
    assert len(seen) < 60


@pytest.mark.parametrize("kind", ["encrypted", "bomb", "deep"])
def test_workbooks_that_are_traps(root: Path, kind: str):
    database = casme2(root, [row()])
    sheet = _sheet(root)
    with zipfile.ZipFile(sheet) as source:
        parts = {name: source.read(name) for name in source.namelist()}
    if kind == "bomb":
        parts["xl/media/zeros.bin"] = b"\0" * (1 << 20)
    if kind == "deep":
        parts["xl/worksheets/sheet1.xml"] = b"<a>" * 100_000
    with zipfile.ZipFile(sheet, "w", zipfile.ZIP_DEFLATED) as target:
        for name, data in parts.items():
            target.writestr(name, data)
    if kind == "encrypted":
        data = bytearray(sheet.read_bytes())
        for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            place = data.find(signature)
            while place >= 0:
                data[place + offset] |= 1
                place = data.find(signature, place + 1)
        sheet.write_bytes(bytes(data))
    if kind == "bomb":
        assert len(look(root, database)) == 1  # a megabyte is none yet
        return
    with pytest.raises(DatabaseError, match="CASME2-coding"):
        look(root, database)
