"""The tiny stage files and flow maps of ``tests/data/make_cache_sample.py`` and the feature files built from them."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from tests.cache import recorded

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="session")
def sample() -> ModuleType:
    """The module that knows the planted values."""
    spec = importlib.util.spec_from_file_location("make_cache_sample", DATA / "make_cache_sample.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def built(sample: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache nobody writes to."""
    path = tmp_path_factory.mktemp("built") / "demo.h5"
    sample.build(path, tmp_path_factory.mktemp("stages"))
    return path


@pytest.fixture(scope="session")
def maps(sample: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A feature file of flow maps nobody writes to."""
    path = tmp_path_factory.mktemp("maps") / "maps.h5"
    sample.build_maps(path, tmp_path_factory.mktemp("pictures"))
    return path


@pytest.fixture
def scratch_maps(maps: Path, tmp_path: Path) -> Path:
    """A feature file of flow maps to spoil."""
    return Path(shutil.copy(maps, tmp_path / "maps.h5"))


@pytest.fixture
def scratch(built: Path, tmp_path: Path) -> Path:
    """A cache to spoil."""
    return Path(shutil.copy(built, tmp_path / "demo.h5"))


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A feature file of recordings nobody writes to."""
    path = tmp_path_factory.mktemp("recordings") / "set.h5"
    recorded.build(path, tmp_path_factory.mktemp("sources"))
    return path


@pytest.fixture
def scratch_recordings(recordings: Path, tmp_path: Path) -> Path:
    """A feature file of recordings to spoil."""
    return Path(shutil.copy(recordings, tmp_path / "set.h5"))
