"""The report on magnification: pictures from a file that has amplified frames, errors, words."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from mer_features import features as feature_file
from mer_features.features.options import Cache
from mer_features.report import graph, magnified, methods, truth
from mer_features.report.data import read_database
from mer_features.stages.options import Magnify
from mer_features.stages.store import ClipRecord, ShardWriter
from mer_features.workflow import config

from .cache.conftest import sample  # noqa: F401  # the fixture with the planted values

PAIRS = ("onset_apex", "onset_amplified")


def _tree(**sections: object) -> dict:
    return config.validate({"databases": {"demo": {"adapter": "synthetic"}}} | sections).model_dump(
        mode="json", by_alias=True
    )


@pytest.fixture
def database(sample: ModuleType, tmp_path: Path):  # noqa: F811
    """A cache whose amplified flow is twice the other (as the sample's second pair is)."""
    from mer_features.core import clips

    files = sample.stage_files(tmp_path)
    for stage in ("magnify", "flow"):
        path = tmp_path / f"{stage}.h5"
        options = Magnify(factor=4).model_dump(mode="json") if stage == "magnify" else sample.OPTIONS["flow"]
        with ShardWriter(path, stage, options) as writer:
            for clip_id in sample.SHAPES:
                if stage == "flow":
                    record = sample.flow_record(clip_id)
                    record.attrs |= {"pairs": ",".join(PAIRS), "magnified_by": 2.0}
                else:
                    apex = sample.crops(clip_id)[[sample.SHAPES[clip_id][2][1]]]
                    attrs = {"factor": 4.0, "method": "phase", "model_digest": ""}
                    record = ClipRecord(clip_id, {"apex": apex}, attrs)
                writer.add(record)
        files[stage] = [path]
    used = [clip for clip in sample.CLIPS if clip.clip_id in sample.SHAPES]
    feature_file.build(tmp_path / "demo.h5", used, files, Cache(), sample.PROVENANCE)
    (tmp_path / "demo.tsv").write_text(clips.dumps(used))
    return read_database("demo", tmp_path / "demo.tsv", tmp_path / "demo.h5", _tree())


def test_before_and_after_stand_side_by_side_with_their_own_scales(database):
    shown = magnified.build(database)
    assert shown is not None
    assert shown.columns == ("onset", "apex", "amplified apex", "flow to the apex", "flow to the amplified apex")
    assert [len(row.pictures) for row in shown.rows] == [5, 5, 5]
    assert [picture.alt for picture in shown.rows[0].pictures][2] == "s1/happy: amplified apex"
    before, after = (wheel.max_px for wheel in shown.wheels)
    assert after == pytest.approx(2 * before, rel=0.1)
    assert (shown.factor, shown.ratio, shown.method) == (4.0, (2.0, 2.0, 2.0), "method phase, factor 4")
    assert [row.ratio for row in shown.rows] == [2.0] * 3


def test_a_file_without_amplified_frames_has_no_such_section(tmp_path: Path):
    sample_file = Path(__file__).parent / "data" / "cache-v1.h5"
    (tmp_path / "demo.tsv").write_text("")
    with feature_file.open_features(sample_file) as features:
        from mer_features.report.data import Database

        plain = Database("demo", True, (), features.clips, (), sample_file, {})
    assert magnified.build(plain) is None


def _errors(tmp_path: Path) -> Path:
    def item(recovered: float) -> dict:
        return {"recovered": recovered, "epe_px": 0.25, "wanted_px": 1.5}

    methods_found = {
        name: {"2": item(value), "6": item(value - 0.1)}
        for name, value in (("eulerian", 0.4), ("true_motion", 0.95), ("phase", 0.91))
    }
    tree = {
        "apex": {},
        "flow": {},
        "flow_clips": [],
        "registration": {"motion_px": 2.5, "error_px": 0.031, "error_apex_px": None, "worst_px": 0.2, "n": 3},
        "magnification": {
            "clips": ["a", "b"],
            "yardstick": "dis",
            "factors": [2.0, 6.0],
            "methods": methods_found,
            "static_psnr_db": {"eulerian": 31.0, "phase": 44.5},
        },
    }
    path = tmp_path / "assess.json"
    path.write_text(json.dumps(tree))
    return path


def test_errors_are_listed_the_best_first_and_the_reference_last(tmp_path: Path):
    found = truth.read("demo", _errors(tmp_path), _tree()).magnification
    assert found is not None
    assert [row.name for row in found.rows] == ["phase", "eulerian", "apex warped by the true displacement"]
    assert [row.used for row in found.rows] == [True, False, False]
    np.testing.assert_allclose(found.rows[0].recovered, [0.91, 0.81])
    assert [row.static_psnr_db for row in found.rows] == [44.5, 31.0, None]
    assert (list(found.factors), found.clips, found.used_factor) == ([2.0, 6.0], 2, 6.0)


def test_without_magnification_nothing_is_listed(tmp_path: Path):
    path = _errors(tmp_path)
    tree = json.loads(path.read_text())
    del tree["magnification"]
    path.write_text(json.dumps(tree))
    assert truth.read("demo", path, _tree(magnify={"method": "none"})).magnification is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"factor": 4}, "by a factor of 4: its displacement"),
        ({"phase_synthesis": "rotation"}, "phase rotation"),
        ({"method": "eulerian"}, "changes of brightness"),
        ({"method": "learned"}, "a trained network"),
    ],
)
def test_the_methods_say_what_was_done_and_cite_it(options: dict, words: str):
    built = methods.build(_tree(magnify=options))
    (sentence,) = (item.sentence for item in built.paragraphs if item.step == "Magnification")
    assert words in sentence
    assert sentence.endswith("].")


def test_a_run_without_the_stage_does_not_speak_of_it():
    off = _tree(magnify={"method": "none"})
    assert "Magnification" not in {item.step for item in methods.build(off).paragraphs}
    names = {
        name: [node.name for node in graph.build(tree, [], []).nodes] for name, tree in (("on", _tree()), ("off", off))
    }
    assert names["on"] == ["ingest", "faces", "apex", "magnify", "flow", "cache", "report"]
    assert names["off"] == ["ingest", "faces", "apex", "flow", "cache", "report"]
