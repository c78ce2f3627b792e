from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest

from mer_features import features as feature_file

torch = pytest.importorskip("torch")

from torch.utils.data import DataLoader  # only where torch is installed

from mer_features.features.dataset import FeatureDataset

VARIABLES = ("flow/u[onset_apex]", "flow/v", "faces/apex", "spotting/curve", "onset")


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(one[key].nan_to_num(), other[key].nan_to_num()) for key in one
    )


@pytest.fixture
def second(built: Path, tmp_path: Path) -> Path:
    """A cache of another database with the same clip identifiers and other flow."""
    path = Path(shutil.copy(built, tmp_path / "second.h5"))
    with h5py.File(path, "r+") as file:
        file["database"][...] = ["other"] * 3
        file["flow/u"][...] = file["flow/u"][()] + 1024
    return path


def test_samples_are_the_cache_s_values(sample: ModuleType, built: Path):
    dataset = FeatureDataset([built], variables=VARIABLES)
    found = dataset[1]
    assert set(found) == {*VARIABLES, "index"}
    assert {name: (tuple(value.shape), value.dtype) for name, value in found.items()} == {
        "flow/u[onset_apex]": ((32, 32), torch.float32),
        "flow/v": ((2, 32, 32), torch.float32),
        "faces/apex": ((32, 32, 3), torch.uint8),
        "spotting/curve": ((2, 7), torch.float32),
        "onset": ((), torch.int64),
        "index": ((), torch.int64),
    }
    np.testing.assert_allclose(found["flow/u[onset_apex]"], sample.flow("s1/startled")[0, 0], atol=0.0005)
    assert (found["onset"], found["index"]) == (1, 1)


def test_clips_are_taken_in_the_order_asked_for(built: Path):
    dataset = FeatureDataset([built], ["s2/short", "s1/happy"], ["onset"])
    assert [clip.clip_id for clip in dataset.clips] == ["s2/short", "s1/happy"]
    assert [int(item["onset"]) for item in dataset] == [0, 10]
    assert int(dataset[-1]["index"]) == 1
    with pytest.raises(IndexError):
        dataset[2]


@pytest.mark.parametrize("in_memory", [False, True])
def test_several_files_are_one(built: Path, second: Path, in_memory: bool):
    keys = [("other", "s1/happy"), ("demo", "s1/happy"), ("demo", "s2/short")]
    dataset = FeatureDataset([built, second], keys, ["flow/u"], in_memory=in_memory)
    assert [(clip.database, clip.clip_id) for clip in dataset.clips] == keys
    other, demo, _ = dataset
    assert torch.equal(other["flow/u"], demo["flow/u"] + 1)
    assert len(FeatureDataset([built, second], variables=["onset"])) == 6


def test_what_is_not_there_is_named(built: Path, second: Path):
    with pytest.raises(KeyError, match="'s1/happy' is in several feature files"):
        FeatureDataset([built, second], ["s1/happy"])
    with pytest.raises(KeyError, match="'s9/x' is not in any"):
        FeatureDataset([built], ["s9/x"])
    with pytest.raises(KeyError, match="no variable 'flow/w'"):
        FeatureDataset([built], variables=["flow/w"])
    with pytest.raises(TypeError, match="emotion contains texts"):
        FeatureDataset([built], variables=["emotion"])


@pytest.mark.parametrize("in_memory", [False, True])
def test_transform_is_applied_to_each_sample_anew(built: Path, in_memory: bool):
    def double(item: dict[str, torch.Tensor]) -> torch.Tensor:
        item["extra"] = item["flow/u"]
        return item["flow/u"] * 2

    plain = FeatureDataset([built], variables=["flow/u"])
    doubled = FeatureDataset([built], variables=["flow/u"], transform=double, in_memory=in_memory)
    for _ in range(2):
        assert torch.equal(doubled[1], 2 * plain[1]["flow/u"])


def test_in_memory_reads_the_file_once(built: Path, tmp_path: Path):
    path = Path(shutil.copy(built, tmp_path / "gone.h5"))
    expected = list(FeatureDataset([path], variables=VARIABLES))
    dataset = FeatureDataset([path], variables=VARIABLES, in_memory=True)
    path.unlink()
    assert all(_same(found, wanted) for found, wanted in zip(dataset, expected, strict=True))


@pytest.mark.parametrize(("context", "in_memory"), [("fork", False), ("spawn", False), ("fork", True)])
def test_workers_read_what_a_direct_read_gives(built: Path, second: Path, context: str, in_memory: bool):
    dataset = FeatureDataset([built, second], variables=VARIABLES, in_memory=in_memory)
    expected = list(dataset)  # leaves files open, as a use before the loader would
    loader = DataLoader(dataset, batch_size=2, num_workers=2, multiprocessing_context=context, persistent_workers=True)
    for _ in range(2):
        batches = list(loader)
        found = [{key: value[row] for key, value in batch.items()} for batch in batches for row in range(2)]
        assert len(found) == len(expected)
        assert all(_same(one, other) for one, other in zip(found, expected, strict=True))


def test_no_file_is_open_after_construction(built: Path, monkeypatch: pytest.MonkeyPatch):
    opened: list[feature_file.Features] = []
    monkeypatch.setattr("mer_features.features.dataset.open_features", _noting(opened))
    FeatureDataset([built], in_memory=True)
    assert [features._handle for features in opened] == [None]


def _noting(opened: list[feature_file.Features]) -> Callable[[Path], feature_file.Features]:
    def open_and_note(path: Path) -> feature_file.Features:
        opened.append(feature_file.open_features(path))
        return opened[-1]

    return open_and_note
