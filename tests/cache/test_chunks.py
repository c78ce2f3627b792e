from pathlib import Path

import h5py
import numpy as np
import pytest

from mer_features.features import layout

RNG = np.random.default_rng(0)
WAVE = 800 * np.sin(np.linspace(0, 6, 200))[:, None] * np.cos(np.linspace(0, 5, 180))
FIELDS = {
    "still": np.zeros((64, 48), np.int16),
    "smooth and noisy": np.rint(WAVE + RNG.normal(0, 3, WAVE.shape)).astype(np.int16),
    "small": RNG.integers(-8, 8, (64, 48), dtype=np.int16),
    "anything": RNG.integers(-(2**15), 2**15, (64, 48), dtype=np.int16),
    "of one value": np.array([[-(2**15)]], np.int16),
    "longer than a stored block": RNG.integers(-(2**15), 2**15, (300, 300), dtype=np.int16),
}


def _store(path: Path, values: np.ndarray, stream: bytes) -> None:
    with h5py.File(path, "w") as file:
        shape = (3, 2, *values.shape)
        filters = {"compression": "gzip", "compression_opts": 4, "shuffle": True}
        dataset = file.create_dataset("x", shape, values.dtype, chunks=(1, 1, *values.shape), **filters)
        layout.put(dataset, (2, 1), stream)


@pytest.mark.parametrize("values", FIELDS.values(), ids=FIELDS.keys())
def test_hdf5_reads_a_field_as_its_own(tmp_path: Path, values: np.ndarray):
    _store(tmp_path / "x.h5", values, layout.fields(values))
    with h5py.File(tmp_path / "x.h5") as file:
        np.testing.assert_array_equal(file["x"][2, 1], values)
        assert not file["x"][:2].any()
        assert not file["x"][2, 0].any()


def test_hdf5_reads_an_image_as_its_own(tmp_path: Path):
    image = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)[::-1]  # in memory the other way round
    _store(tmp_path / "x.h5", image, layout.images(image, 4))
    with h5py.File(tmp_path / "x.h5") as file:
        np.testing.assert_array_equal(file["x"][2, 1], image)


@pytest.mark.parametrize(("name", "most"), [("still", 0.02), ("small", 0.4), ("smooth and noisy", 0.55)])
def test_noise_is_stored_and_the_rest_is_coded(name: str, most: float):
    values = FIELDS[name]
    assert len(layout.fields(values)) < most * values.nbytes + 30
