"""The report's section on style aggregation."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from mer_features import features as feature_file
from mer_features import report
from mer_features.core import clips
from mer_features.features.options import Cache
from mer_features.report import methods
from mer_features.stages.options import Style
from mer_features.stages.store import ClipRecord, ShardWriter
from mer_features.workflow import config


@pytest.fixture(scope="module")
def sample() -> ModuleType:
    """The module that makes the sample cache."""
    import importlib.util

    path = Path(__file__).parent / "data" / "make_cache_sample.py"
    spec = importlib.util.spec_from_file_location("make_cache_sample", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _cache(sample: ModuleType, folder: Path, refused: str) -> Path:
    files = sample.stage_files(folder / "stages")
    made = {"style_method": "statistical", "fit_on": "all", "fit_databases": "demo", "model_sha256": "ab" * 32}
    path = folder / "style.h5"
    with ShardWriter(path, "style", Style(method="statistical", fit_on="all").model_dump(mode="json")) as writer:
        for clip_id in sample.SHAPES:
            image = np.full((32, 32, 3), 90, np.uint8)
            writer.add(ClipRecord(clip_id, {"onset": image, "apex": image}, made | {"refused": refused}))
    files["style"] = [path]
    feature_file.build(folder / "demo.h5", sample.CLIPS, files, Cache(), sample.PROVENANCE)
    return folder / "demo.h5"


def _page(sample: ModuleType, folder: Path, *, refused: str = "", gap: object = None) -> str:
    measured = {"displacement_px": 0.0417, "motion_px": 0.0239, "landmarks_px": 0.4012, "clips": 3}
    (folder / "measured.json").write_text(json.dumps({"gap": gap, "databases": {"demo": measured}}))
    (folder / "demo.tsv").write_text(clips.dumps(sample.CLIPS))
    tree = config.validate(
        {"databases": {"demo": {"adapter": "synthetic"}}, "style": {"method": "statistical", "fit_on": "all"}}
    ).model_dump(mode="json", by_alias=True)
    report.build(
        folder / "report.html",
        clips={"demo": folder / "demo.tsv"},
        caches={"demo": _cache(sample, folder, refused)},
        assess={},
        protocols={},
        runs={},
        config=tree,
        style_measured=folder / "measured.json",
    )
    return (folder / "report.html").read_text(encoding="utf-8")


def test_before_after_and_figures(sample: ModuleType, tmp_path: Path):
    page = _page(
        sample, tmp_path, gap={"accuracy": [0.987, 0.512], "colour": [12.31, 0.42], "clips": 77, "chance": 0.25}
    )
    for text in ("0.042", "0.024", "0.401", "0.99", "0.51", "12.31", "0.42", "77 faces", "abababababababab"):
        assert text in page
    assert "Transductive" in page
    assert "3 onset crops of demo: top row as recorded" in page
    assert "refused" not in page


def test_a_refusal_is_said(sample: ModuleType, tmp_path: Path):
    page = _page(sample, tmp_path, refused="the generators bend faces: 0.70 px")
    assert "The generators were refused: the generators bend faces: 0.70 px" in page
    assert "Remaining differences in style" not in page


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "statistical", "fit_on": "all"}, "transductive"),
        ({"method": "statistical", "fit_on": "fold"}, "training subjects of each fold"),
        ({"method": "cyclegan", "databases": ["macro"]}, "fitted on macro only"),
        ({"method": "histogram", "model": "x.json"}, "an earlier fit"),
        ({"method": "clahe"}, "equalisation of lightness"),
    ],
)
def test_the_methods_say_what_was_done(options: dict, said: str):
    databases = {"demo": {"adapter": "synthetic"}, "macro": {"adapter": "synthetic", "preset": "macro"}}
    tree = config.validate({"databases": databases, "style": options}).model_dump(mode="json", by_alias=True)
    built = methods.build(tree)
    sentence = next(item.sentence for item in built.paragraphs if item.step == "Style")
    assert said in sentence
    off = config.validate({"databases": databases}).model_dump(mode="json", by_alias=True)
    assert "Style" not in {item.step for item in methods.build(off).paragraphs}
