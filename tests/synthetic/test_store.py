import csv
import re
import shutil
from dataclasses import fields

import cv2
import numpy as np
import pytest

from mer_features.synthetic import Truth, plan, read_truth, render_clip, render_database, store
from mer_features.synthetic.presets import preset

CLIPS = plan("tiny", 0)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    root = tmp_path_factory.mktemp("one-thread")
    calls = []
    render_database(root, "tiny", 0, progress=lambda done, total: calls.append((done, total)))
    return root, calls


@pytest.fixture
def root(rendered, tmp_path):
    return shutil.copytree(rendered[0], tmp_path / "copy")


def contents(root):
    return {path.relative_to(root): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def sheet(root):
    with (root / "annotations.tsv").open(newline="") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def test_the_sheet_lists_what_is_on_disk(rendered):
    rows = sheet(rendered[0])
    assert len(rows) == 9
    for row, clip in zip(rows, CLIPS, strict=True):
        assert (row["subject"], row["clip"], row["emotion"]) == (clip.subject, clip.name, clip.emotion)
        files = {int(re.fullmatch(r"img(\d+)\.jpg", path.name)[1]) for path in (rendered[0] / row["path"]).iterdir()}
        assert files == set(range(int(row["first"]), int(row["last"]) + 1))
        assert row["first"] == row["onset"]
        assert row["last"] == row["offset"]
        assert int(row["apex"]) == clip.apex


def test_files_hold_the_rendered_frames_and_truth(rendered):
    clip = CLIPS[5]
    expected = render_clip(clip, preset("tiny"))
    folder = rendered[0] / "frames" / clip.clip_id
    frames = [cv2.imread(str(folder / f"img{n}.jpg"))[..., ::-1] for n in range(clip.onset, clip.offset + 1)]
    assert np.abs(np.array(frames).astype(int) - expected.frames).mean() < 2.5  # JPEG
    truth = read_truth(rendered[0], clip.clip_id)
    for field in fields(Truth):
        np.testing.assert_array_equal(getattr(truth, field.name), getattr(expected.truth, field.name), field.name)
    assert (truth.onset, truth.apex, truth.offset) == (clip.onset, clip.apex, clip.offset)


def test_bytes_do_not_depend_on_threads_or_run(rendered, tmp_path):
    render_database(tmp_path, "tiny", 0, threads=2)
    assert contents(tmp_path) == contents(rendered[0])


def test_progress_counts_to_the_end(rendered):
    calls = rendered[1]
    assert calls[0] == (0, 9)
    assert calls[-1] == (9, 9)
    assert calls == sorted(calls)


def test_an_interrupted_run_is_taken_up(root):
    before = contents(root)
    (root / "annotations.tsv").unlink()
    lost, half = CLIPS[0], CLIPS[4]
    shutil.rmtree(root / "frames" / lost.clip_id)
    (root / "frames" / half.clip_id).rename(root / "frames" / half.subject / f".{half.name}.tmp")
    kept = root / "frames" / CLIPS[1].clip_id
    (kept / "witness").touch()
    calls = []
    render_database(root, "tiny", 0, progress=lambda *call: calls.append(call))
    assert calls[0] == (7, 9)
    assert (kept / "witness").exists()  # not rendered again
    (kept / "witness").unlink()
    assert contents(root) == before


def test_a_second_run_touches_nothing(root):
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    render_database(root, "tiny", 0)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_a_failing_run_leaves_no_complete_looking_tree(tmp_path, monkeypatch):
    def fail_on_second(path, frame, quality, written=[]):  # noqa: B006  # counts over calls
        written.append(path)
        if len(written) > 14:
            raise OSError("disk full")
        path.write_bytes(b"")

    monkeypatch.setattr(store, "write_image", fail_on_second)
    with pytest.raises(OSError, match="disk full"):
        render_database(tmp_path, "tiny", 0)
    assert not (tmp_path / "annotations.tsv").exists()
    complete = [path for path in (tmp_path / "frames").glob("*/*") if not path.name.startswith(".")]
    assert len(complete) == 1


def test_another_seed_replaces_the_rendering(root, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "render_clip", stop)
    with pytest.raises(KeyboardInterrupt):
        render_database(root, "tiny", 1)
    assert not (root / "annotations.tsv").exists()
    assert not list((root / "frames").glob("*/EP*"))


def test_foreign_frames_are_never_deleted(tmp_path):
    (tmp_path / "frames" / "mine").mkdir(parents=True)
    with pytest.raises(ValueError, match="not a synthetic rendering"):
        render_database(tmp_path, "tiny", 0)
    assert (tmp_path / "frames" / "mine").is_dir()


def test_a_database_without_annotated_apex_has_empty_cells():
    clips = plan("cde-smic", 0)[:2]
    header, first, _ = store.sheet(clips, preset("cde-smic")).splitlines()
    row = dict(zip(header.split("\t"), first.split("\t"), strict=True))
    assert row["apex"] == ""
    assert int(row["onset"]) == clips[0].onset


def test_an_unknown_clip_has_no_truth(rendered):
    with pytest.raises(FileNotFoundError):
        read_truth(rendered[0], "sub01/EP99_99")
