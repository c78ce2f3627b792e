"""What all databases have in common once they are listed: rates, digests, keys that do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from mer_features import databases
from mer_features.databases import DatabaseError
from mer_features.workflow.config import ConfigError, validate
from tests.databases.test_hostile import casme2, fourdme, own, row


def read(root: Path, database: dict, **more: object) -> databases.Listing:
    return databases.read("d", validate({"databases": {"d": database | {"root": str(root)} | more}}).databases["d"])


def test_a_rate_that_nobody_states_is_configured(tmp_path: Path):
    database = fourdme(tmp_path, [row()])
    assert [clip.fps for clip in read(tmp_path, database).clips] == [None]
    assert [clip.fps for clip in read(tmp_path, database, fps=60).clips] == [60.0]
    with pytest.raises(ConfigError, match="fps"):
        read(tmp_path, database, fps=0)


def test_a_rate_that_is_known_cannot_be_configured(tmp_path: Path):
    database = casme2(tmp_path, [row()])
    with pytest.raises(DatabaseError, match=r"databases\.d\.fps: casme2 is recorded at 200 frames per second"):
        read(tmp_path, database, fps=100)


def test_a_key_without_effect_is_refused(tmp_path: Path):
    with pytest.raises(DatabaseError, match=r"databases\.d\.unlisted: only casme2 has an unlisted clip"):
        read(tmp_path, fourdme(tmp_path, [row()]), unlisted=True)


def test_only_databases_with_unlabelled_clips_list_them(tmp_path: Path):
    with pytest.raises(DatabaseError, match=r"databases\.d\.unlabelled: only dfew and afew have clips without a label"):
        read(tmp_path, fourdme(tmp_path, [row()]), unlabelled=True)


def test_a_digest_tells_of_changed_frames_and_of_nothing_else(tmp_path: Path):
    database = own(tmp_path, [row()])
    (first,) = read(tmp_path, database).clips
    assert read(tmp_path, database).clips == (first,)
    frame = next(Path(first.source).iterdir())
    frame.write_bytes(b"x")
    (second,) = read(tmp_path, database).clips
    assert second.digest != first.digest
    frame.rename(frame.with_name("img77.jpg"))
    assert read(tmp_path, database).clips[0].digest not in {first.digest, second.digest}


def test_a_clip_that_is_not_there_is_not_looked_at(tmp_path: Path):
    assert [clip.digest for clip in read(tmp_path, casme2(tmp_path, [row(), row(2)])).clips][1] == ""
