"""Reference styles: what they are, that nothing accidental decides them, and their file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from mer_features.stages.style import fitted, statistics
from mer_features.stages.style.fitted import Source, fit

from .conftest import restyled


@pytest.fixture(scope="module")
def crops(people) -> np.ndarray:
    plain = people(9, 2)
    return np.concatenate([plain[:6], restyled(plain[6:])])


def _fit(crops, **changes) -> fitted.Fitted:
    return fit(
        crops, **({"method": "statistical", "clusters": 2, "seed": 0, "source": Source("all", ("d",))} | changes)
    )


def test_clusters_find_the_two_cameras_and_take_their_medians(crops: np.ndarray):
    found = _fit(crops)
    assert found.members == (6, 3)
    medians = np.median([statistics.measure(crop).mean for crop in crops[6:]], axis=0)
    np.testing.assert_allclose(found.references[1].mean, medians, atol=1e-6)
    assert found.source == Source("all", ("d",), 9)


def test_neither_order_nor_cores_decide(crops: np.ndarray):
    first = fitted.dumps(_fit(crops))
    assert fitted.dumps(_fit(crops[np.random.default_rng(0).permutation(len(crops))])) == first
    with threadpool_limits(2):
        assert fitted.dumps(_fit(crops)) == first


def test_a_file_holds_the_fit(crops: np.ndarray, tmp_path: Path):
    found = _fit(crops)
    fitted.write(tmp_path / "fit.json", found)
    again = fitted.read(tmp_path / "fit.json")
    assert fitted.dumps(again) == fitted.dumps(found)
    assert again.digest == found.digest != _fit(crops[1:]).digest
    assert (tmp_path / "fit.json").stat().st_size < 60_000


def test_the_digest_of_generators_is_theirs(crops: np.ndarray):
    assert replace(_fit(crops), method="cyclegan", weights_sha256="ab").digest == "ab"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "mer-features style 9"}'])
def test_another_file_is_named(tmp_path: Path, text: str):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match=r"x\.json: not a fit"):
        fitted.read(tmp_path / "x.json")


def test_grey_and_colour_may_be_mixed(crops: np.ndarray):
    found = _fit([*crops[:4], *crops[:4, ..., :1]], clusters=1)
    assert found.references[0].channels == 3
    colour = np.median([statistics.measure(crop).mean[1] for crop in crops[:4]])
    assert found.references[0].mean[1] == pytest.approx(colour, abs=1e-6)


def test_there_are_no_more_styles_than_crops(crops: np.ndarray):
    assert len(_fit([crops[0]] * 4, clusters=3).references) == 1
    with pytest.raises(ValueError, match="none"):
        _fit([])
    with pytest.raises(ValueError, match="one size"):
        _fit([crops[0], crops[0][:48, :48]])


def test_it_is_plain_json(crops: np.ndarray):
    tree = json.loads(fitted.dumps(_fit(crops)))
    assert tree["method"] == "statistical"
    assert np.shape(tree["histogram"]) == (4, 256)
