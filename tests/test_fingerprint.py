from pathlib import Path

import pytest

import mer_features
from mer_features.core import fingerprint


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of the same name with three modules: a imports b, c stands alone."""
    (tmp_path / "a.py").write_text("from mer_features import b\nimport numpy\n")
    (tmp_path / "b.py").write_text("X = 1\n")
    (tmp_path / "c.py").write_text("Y = 1\n")
    (tmp_path / "config.py").write_text("Z = 1\n")
    monkeypatch.setattr(fingerprint, "_PACKAGE", tmp_path)
    fingerprint.of.cache_clear()
    yield tmp_path
    fingerprint.of.cache_clear()


def _edited(package: Path, name: str) -> bool:
    before = fingerprint.of("mer_features.a")
    with (package / name).open("a") as handle:
        handle.write("# another line\n")
    fingerprint.of.cache_clear()
    return fingerprint.of("mer_features.a") != before


def test_an_edit_of_the_module_or_of_what_it_imports_is_seen(package: Path):
    assert _edited(package, "a.py")
    assert _edited(package, "b.py")


def test_an_edit_elsewhere_is_not(package: Path):
    assert not _edited(package, "c.py")
    assert not _edited(package, "config.py")


def test_a_library_release_is_seen(package: Path, monkeypatch: pytest.MonkeyPatch):
    before = fingerprint.of("mer_features.a")
    monkeypatch.setattr(fingerprint, "version", lambda _: "99")
    fingerprint.of.cache_clear()
    assert fingerprint.of("mer_features.a") != before


def test_unknown_modules_are_an_error():
    with pytest.raises(ValueError, match="nothing_here"):
        fingerprint.of("mer_features.nothing_here")


def test_stages_do_not_share_what_they_need_not():
    flow = fingerprint._closure(("mer_features.stages.flow.methods",))
    names = {path.relative_to(Path(mer_features.__file__).parent).as_posix() for path in flow}
    assert {"flow.py", "strain.py"} <= names
    assert not {"cache.py", "faces.py", "training.py", "config.py"} & names
