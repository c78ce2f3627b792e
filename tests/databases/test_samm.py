from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mer_features.core import clips as clip_tables
from mer_features.databases import DatabaseError
from mer_features.databases.owners import samm
from tests.databases.trees import below, codes, frames, generator, opened, options, table, workbook

HEADER = [
    *("Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame"),
    *("Duration", "Micro", "Action Units", "Estimated Emotion", "Objective Classes", "Notes"),
]
NOTES = [["SAMM Dataset - Master FACS Codes"], *[[None]] * 4, ["Symbol Key:"], ['"/" = or'], *[[None]] * 6]
SHEET = "SAMM_Micro_FACS_Codes_v2.xlsx"


def row(subject, clip, onset, apex, offset, units="4+7", emotion="Anger") -> list:
    return [subject, clip, 1, onset, apex, offset, "=SUM(F15-D15)+1", "Micro - 1/2", units, emotion, 3, None]


def sheet(root: Path, *rows: list) -> Path:
    return workbook(root / SHEET, [*NOTES, HEADER, *rows], title="MICRO_ONLY")


def clip_folder(root: Path, subject: str, clip: str, numbers) -> Path:
    return frames(root / subject / clip, numbers, f"{subject}_{{:05d}}.jpg")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "db"
    clip_folder(folder / "SAMM", "006", "006_1_2", range(5562, 5570))
    clip_folder(folder / "SAMM_CROP", "006", "006_1_2", range(5562, 5570))
    sheet(folder, row("006", "006_1_2", 5562, 5565, 5569))
    return folder


def read(root: Path, **more):
    return samm.read("samm", root, options("samm", root, **more))


def test_a_clip_has_what_its_row_and_folder_say(root: Path):
    (clip,) = read(root).clips
    assert (clip.clip_id, clip.subject, clip.database, clip.fps) == ("006/006_1_2", "006", "samm", 200.0)
    assert (clip.onset, clip.apex, clip.offset) == (5562, 5565, 5569)
    assert (clip.emotion, clip.action_units, clip.issues) == ("anger", "4+7", ())
    assert Path(clip.source) == root / "SAMM" / "006" / "006_1_2"


@pytest.mark.parametrize("subject", [6, "6", "006"])
def test_a_subject_that_lost_its_zeros_is_found(root: Path, subject):
    sheet(root, row(subject, "006_1_2", 5562, 5565, 5569))
    assert codes(read(root)) == {"006/006_1_2": []}


def test_folders_without_padding_are_found(root: Path):
    (root / "SAMM" / "006").rename(root / "SAMM" / "6")
    assert codes(read(root)) == {"6/006_1_2": []}


def test_subjects_straight_under_the_root(root: Path):
    (root / "SAMM" / "006").rename(root / "006")
    (root / "SAMM").rmdir()
    (clip,) = read(root).clips
    assert Path(clip.source) == root / "006" / "006_1_2"
    assert Path(read(root, variant="cropped").clips[0].source) == root / "SAMM_CROP" / "006" / "006_1_2"


def test_the_crops_are_read_when_asked_for_and_never_by_accident(root: Path):
    assert Path(read(root, variant="cropped").clips[0].source) == root / "SAMM_CROP" / "006" / "006_1_2"
    (root / "SAMM").rename(root / "other")
    with pytest.raises(DatabaseError, match=r"expected a folder SAMM .*`variant: cropped` would be found"):
        read(root)
    with pytest.raises(DatabaseError, match="'crops' is unknown; known are raw, cropped"):
        read(root, variant="crops")


def test_a_root_without_the_sheet_or_with_the_long_videos_is_an_error(root: Path):
    (root / SHEET).rename(root / "SAMM_LongVideos_V2_Release.xlsx")
    with pytest.raises(DatabaseError, match=r"no annotation sheet like SAMM_Micro_FACS_Codes_v2\.xlsx"):
        read(root)


def test_the_known_slip_is_mended_and_other_odd_apexes_are_left_to_the_stages(root: Path):
    clip_folder(root / "SAMM", "032", "032_3_1", range(4896, 4971))
    clip_folder(root / "SAMM", "028", "028_4_1", range(1071, 1135))
    rows = row("032", "032_3_1", 4896, 1930, 4970, "4A"), row("028", "028_4_1", 1071, 1143, 1134, "A14C", "Contempt")
    sheet(root, *rows)
    slip, outside = read(root).clips
    assert (slip.apex, slip.corrected, [issue.code for issue in slip.issues]) == (4930, "apex", ["erratum_applied"])
    assert (outside.apex, outside.issues) == (1143, ())
    assert [issue.code for issue in clip_tables.key_frames(outside, range(1071, 1135)).issues] == ["apex_outside"]
    kept, _ = read(root, errata=False).clips
    assert (kept.apex, kept.corrected, kept.issues) == (1930, "", ())


def test_action_units_stay_as_the_coder_wrote_them(root: Path):
    sheet(root, row("006", "006_1_2", 5562, 5565, 5569, " (R6 or R12)+R15 ", "Other"))
    (clip,) = read(root).clips
    assert (clip.action_units, clip.emotion) == ("(R6 or R12)+R15", "other")


def test_missing_folders_and_hostile_names(root: Path, tmp_path: Path):
    outside = frames(tmp_path / "outside" / "x", range(3)).parent
    (root / "SAMM" / "007").symlink_to(outside)
    rows = [("006", "006_1_3"), ("..", "x"), ("007", "x"), ("006", "../../../outside/x"), (str(outside), "x")]
    sheet(root, *(row(subject, clip, 1, 2, 3) for subject, clip in rows))
    with opened() as seen:
        clips = read(root).clips
    found = [[issue.code for issue in clip.issues] for clip in clips]
    assert found == [["source_missing"], *[["unsafe_path"]] * 4]
    assert below(seen, outside) == []
    assert Path(clips[0].source) == root / "SAMM" / "006" / "006_1_3"


def test_the_published_counts_come_out(tmp_path: Path):
    name = "samm_micro_facs_codes_v2.csv"
    truth = generator().make_tree("samm", table(name), tmp_path, frames_per_clip=3, size=(8, 8), crops=True)
    for variant in ("raw", "cropped"):
        listing = read(tmp_path, variant=variant)
        assert Counter(clip.emotion for clip in listing.clips) == {
            **{"anger": 57, "other": 26, "happiness": 26, "surprise": 15, "contempt": 12},
            **{"disgust": 9, "fear": 8, "sadness": 6},
        }
        assert len({clip.subject for clip in listing.clips}) == 29
        assert {clip.name for clip in listing.clips if clip.issues} == {"032_3_1"}
        assert [note.kind for note in listing.notes] == ["sheet"]
    five = {"anger", "happiness", "other", "surprise", "contempt"}
    clips = read(tmp_path, errata=False).clips
    assert len({clip.subject for clip in clips if clip.emotion in five}) == 27
    found = [(clip.subject, clip.name, clip.onset, clip.apex, clip.offset, clip.action_units) for clip in clips]
    rows = zip(truth.subject, truth["clip"], truth.onset, truth.apex, truth.offset, truth.au.str.strip(), strict=True)
    assert found == list(rows)
