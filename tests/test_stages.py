"""The driver, with a stage of its own that misbehaves on demand."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest

from mer_features.core.clips import Clip
from mer_features.core.quality import ClipRejectedError, Issue, Status
from mer_features.stages import run as stages
from mer_features.stages.options import Faces
from mer_features.stages.store import ClipRecord, ShardReader


def _process(clip: Clip, inputs: dict, options: Faces) -> ClipRecord:
    if clip.subject == "bad":
        raise ClipRejectedError("no_face", "none at all")
    if clip.subject == "bug":
        raise ZeroDivisionError("oops")
    if clip.subject == "disk":
        raise OSError("No space left on device")
    return ClipRecord(clip.clip_id, {"x": np.full(3, options.size)}, issues=(Issue("several_faces"),))


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch):
    module = types.ModuleType("toy_stage")
    module.process = _process
    monkeypatch.setitem(sys.modules, "toy_stage", module)
    spec = stages.StageSpec("toy_stage", (), Faces)
    after = stages.StageSpec("toy_stage", ("faces",), Faces)
    monkeypatch.setattr(stages, "SPECS", {"faces": spec, "apex": after})
    monkeypatch.setattr(stages, "code_fingerprint", "code of {}".format)


def _clips(*subjects: str) -> tuple[Clip, ...]:
    return tuple(Clip(f"{subject}/{i}", "d", subject, "") for i, subject in enumerate(subjects))


def test_every_clip_ends_in_one_state(tmp_path: Path):
    clips = (*_clips("good", "bad", "bug"), Clip("dup/1", "d", "dup", "", issues=(Issue("duplicate_clip"),)))
    counts = stages.run("faces", clips, {}, tmp_path / "f.h5", Faces(size=64))
    assert counts == {Status.OK: 0, Status.WARNED: 1, Status.REJECTED: 3}
    with ShardReader(tmp_path / "f.h5") as reader:
        found = {clip: [issue.code for issue in reader.read(clip).issues] for clip in reader.clip_ids}
        assert found == {
            "good/0": ["several_faces"],
            "bad/1": ["no_face"],
            "bug/2": ["internal_error"],
            "dup/1": ["duplicate_clip"],
        }
        assert "ZeroDivisionError" in reader.read("bug/2").attrs["traceback"]
        assert reader.read("good/0").arrays["x"][0] == 64


def test_a_rejected_clip_skips_later_stages_with_its_reason(tmp_path: Path):
    clips = _clips("good", "bad")
    stages.run("faces", clips, {}, tmp_path / "f.h5", Faces())
    stages.run("apex", clips, {"faces": tmp_path / "f.h5"}, tmp_path / "a.h5", Faces())
    with ShardReader(tmp_path / "a.h5") as reader:
        assert reader.status("bad/1") is Status.REJECTED
        assert [issue.code for issue in reader.read("bad/1").issues] == ["no_face"]


def test_a_job_in_one_process_opens_each_stage_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    clips = _clips("good", "bad", "good", "good")
    stages.run("faces", clips, {}, tmp_path / "f.h5", Faces())
    opened, closed = [], []
    enter, leave = ShardReader.__enter__, ShardReader.__exit__
    monkeypatch.setattr(ShardReader, "__enter__", lambda self: opened.append(self.path) or enter(self))
    monkeypatch.setattr(ShardReader, "__exit__", lambda self, *error: closed.append(self.path) or leave(self, *error))
    counts = stages.run("apex", clips, {"faces": tmp_path / "f.h5"}, tmp_path / "a.h5", Faces())
    assert counts[Status.WARNED] == 3
    assert opened == closed == [tmp_path / "f.h5"]


def test_a_damaged_stage_file_is_named_for_every_clip(tmp_path: Path):
    (tmp_path / "f.h5").write_bytes(b"no stage file")
    with pytest.raises(stages.StageFailedError, match=r"f\.h5: not a readable stage file"):
        stages.run("apex", _clips("good", "bad"), {"faces": tmp_path / "f.h5"}, tmp_path / "a.h5", Faces())
    assert not (tmp_path / "a.h5").exists()


def test_a_defect_on_every_clip_fails_the_job_and_leaves_no_file(tmp_path: Path):
    with pytest.raises(stages.StageFailedError, match="oops"):
        stages.run("faces", _clips("bug", "bug"), {}, tmp_path / "f.h5", Faces())
    assert not list(tmp_path.iterdir())


def test_the_machine_s_trouble_is_not_the_clip_s(tmp_path: Path):
    with pytest.raises(OSError, match="No space left"):
        stages.run("faces", _clips("good", "disk"), {}, tmp_path / "f.h5", Faces())
    assert not list(tmp_path.iterdir())
