"""Every broken input ends in its documented state, says so, and harms nothing beside it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mer_features import databases, report
from mer_features import features as feature_file
from mer_features.core import clips, quality
from mer_features.core.clips import Clip
from mer_features.core.quality import ClipRejectedError, Issue, Status
from mer_features.features.options import Cache
from mer_features.stages import faces, store
from mer_features.stages import run as stages
from mer_features.stages.options import Apex, Faces, Flow
from mer_features.workflow import config
from tests.hostile import cases, files, inputs, tables

#: What an undamaged clip of these makers is flagged with: nobody annotated it, and the pictures show no face.
BASE = {"onset_missing", "offset_missing", "landmarks_off"}
#: Listing a database is stricter than reading one clip: no link in its folder may lead nowhere or out of the root.
STRICTER = {"a link in a circle": "unsafe_path"}
PRECROPPED = Faces(mode="precropped", size=32)


def ids(case: cases.Case) -> str:
    return str(case)


def look(clip: Clip, options: Faces = PRECROPPED) -> tuple[Issue, ...]:
    """What the faces stage says of a clip, which is what it becomes of it."""
    if quality.status(clip.issues) is Status.REJECTED:
        return clip.issues
    try:
        return (*clip.issues, *faces.process(clip, {}, options).issues)
    except ClipRejectedError as error:
        return (*clip.issues, error.issue)


def test_there_are_enough_and_no_name_stands_twice():
    assert len(inputs.ALL) >= 120
    assert len({str(case) for case in inputs.ALL}) == len(inputs.ALL)
    assert {case.state for case in inputs.ALL} == set(cases.STATES)
    assert {case.code for case in inputs.CLIPS if case.code} <= set(quality.CODES)


@pytest.mark.parametrize("case", inputs.CLIPS, ids=ids)
def test_a_clip_ends_in_its_state(tmp_path: Path, case: cases.Case):
    path = case.make(tmp_path)
    options = Faces(size=64) if case.kind == "face" else PRECROPPED
    issues = look(Clip("s/c", "d", "s", str(path)), options)
    found = [issue for issue in issues if issue.code not in BASE]
    assert {issue.code for issue in found} == {case.code} - {""}
    assert quality.status(found) == case.state
    assert all(issue.detail for issue in found)


@pytest.mark.parametrize("case", inputs.TABLES, ids=ids)
def test_a_table_ends_in_its_state(tmp_path: Path, case: cases.Case):
    root = case.make(tmp_path)
    tree = {"databases": {"d": {"adapter": "table", "root": str(root), "table": tables.NAME}}}
    if case.state == "error":
        with pytest.raises(databases.DatabaseError) as caught:
            databases.read("d", config.validate(tree).databases["d"])
        assert case.code in str(caught.value)
        assert str(root) in str(caught.value)
        assert len(str(caught.value)) < 1000
        return
    good, other = databases.read("d", config.validate(tree).databases["d"]).clips
    assert [issue for issue in look(good) if issue.code != "landmarks_off"] == []
    found = {issue.code for issue in look(other)} - {"landmarks_off"}
    assert case.code in found if case.code else not found
    assert quality.status(look(other)) == ("warned" if case.state == "ok" else case.state)  # no face in the picture
    assert Path(other.source).resolve().is_relative_to(root.resolve()) or other.issues
    assert re.fullmatch(r"[\w+.-]+/[\w+.-]+", other.clip_id)
    assert len(other.clip_id.encode()) < 150
    assert clips.read(_stored(tmp_path, (good, other))) == (good, other)


def _stored(folder: Path, listed: tuple[Clip, ...]) -> Path:
    path = folder / "stored.tsv"
    path.write_text(clips.dumps(listed), encoding="utf-8", newline="")
    return path


def _read_stage(path: Path) -> None:
    with store.ShardReader(path) as reader:
        assert reader.options
        for clip_id in reader.clip_ids:
            reader.status(clip_id)
            reader.view(clip_id)
            reader.read(clip_id)


def _read_cache(path: Path) -> None:
    violations = feature_file.validate(path)
    with feature_file.open_features(path) as features:  # says the same, or reads it
        assert len(features.clips) == 3
        np.asarray(features["flow/u"][0])
    raise ValueError(f"{path}: {violations}")


OPENERS: dict[str, Callable[[Path], object]] = {
    "cache": _read_cache,
    "stage file": _read_stage,
    "clip table": clips.read,
    "configuration": config.load,
}


@pytest.mark.parametrize("case", inputs.FILES, ids=ids)
def test_a_file_is_refused_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: cases.Case):
    monkeypatch.chdir(tmp_path)
    path = case.make(tmp_path)
    if case.kind == "cache":
        said = feature_file.validate(path)
        assert any(case.code in line for line in said), said
        try:
            _read_cache(path)
        except (ValueError, KeyError) as error:
            assert str(path) in str(error) or any(str(error).strip("'\"") in line for line in said)
    else:
        with pytest.raises(ValueError, match=re.escape(path.name)) as caught:
            OPENERS[case.kind](path)
        assert case.code in str(caught.value)
        assert len(str(caught.value)) < 5000
    assert not files.mark(tmp_path).exists()


def _readers() -> dict[str, Callable[[Path], object]]:
    from mer_features.core import tensors
    from mer_features.stages.magnify import learned
    from mer_features.stages.style import generators
    from mer_features.stages.style.networks import ResNet18
    from mer_features.systems.baselines import affine
    from mer_features.systems.common import backbones, engine
    from mer_features.training.style import features

    return {
        "weights": engine.read_weights,
        "checkpoint": tensors.read,
        "generators": generators.load,
        "magnifier": learned.load,
        "resnet18": lambda path: features._start_from(ResNet18(8), path),
        "backbone": lambda path: backbones.classifier("resnet18", path),
        "affine": lambda path: affine.Affine("x", 3).load(path),
    }


@pytest.mark.parametrize(
    "reader", ["weights", "checkpoint", "generators", "magnifier", "resnet18", "backbone", "affine"]
)
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_no_checkpoint_is_executed_and_each_is_refused(tmp_path: Path, reader: str):
    pytest.importorskip("torch")
    read = _readers()[reader]
    valid = {"weights": {"other tensors"}, "checkpoint": {"other tensors", "no tensors"}}.get(reader, set())
    for path, case in inputs.make(tmp_path, inputs.CHECKPOINTS).items():
        if case.name in valid:
            continue
        with pytest.raises((ValueError, OSError)) as caught:
            read(path)
        assert str(path) in str(caught.value), case
        assert "weights_only" not in str(caught.value)  # torch's advice to switch its guard off
    assert list(tmp_path.rglob(files.mark(Path()).name)) == []


# One run over all of them


def _table_of(root: Path) -> Path:
    """A table database of every broken clip, with two sound clips of their own subjects among them."""
    made = inputs.make(root / "clips", [case for case in inputs.CLIPS if case.kind != "face"])
    lines = [(f"s{number:03d}", path.relative_to(root)) for number, path in enumerate(made)]
    for place, name in ((0, "sound-a"), (len(lines) // 2, "sound-b")):
        folder = root / name
        folder.mkdir()
        inputs.images.clip("PNG", None)(folder)
        lines.insert(place, (name, Path(name)))
    rows = "".join(f"{subject}\t{path}\t1\t2\t4\n" for subject, path in lines)
    (root / "clips.tsv").write_text("subject\tpath\tonset\tapex\toffset\n" + rows)
    return root


def _run(root: Path, listed: tuple[Clip, ...], out: Path) -> Path:
    """The stages and the cache, as the workflow's jobs run them."""
    options = {
        "faces": PRECROPPED,
        "apex": Apex(spotters=("midpoint",), fallback="midpoint"),
        "flow": Flow(method="farneback"),
    }
    paths: dict[str, Path] = {}
    for stage, chosen in options.items():
        needed = {name: paths[name] for name in stages.inputs(stage, chosen)}
        stages.run(stage, listed, needed, out / f"{stage}.h5", chosen)
        paths[stage] = out / f"{stage}.h5"
    provenance: feature_file.Provenance = {"config": "{}", "fingerprints": {}, "versions": {}, "seed": 0}
    feature_file.build(out / "d.h5", listed, {stage: [path] for stage, path in paths.items()}, Cache(), provenance)
    return out / "d.h5"


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[Clip, ...]]:
    """The cache of a run over all broken clips, and the clips."""
    folder = tmp_path_factory.mktemp("everything")
    root = _table_of(folder)
    tree = {"databases": {"d": {"adapter": "table", "root": str(root), "table": "clips.tsv"}}}
    listed = databases.read("d", config.validate(tree).databases["d"]).clips
    return _run(root, listed, folder / "results"), listed


def test_no_clip_disappears(everything: tuple[Path, tuple[Clip, ...]]):
    path, listed = everything
    assert feature_file.validate(path) == []
    with feature_file.open_features(path) as features:
        used, rejected = {row.clip_id for row in features.clips}, {row.clip_id for row in features.rejected}
        assert used | rejected == {clip.clip_id for clip in listed}
        assert not used & rejected
        assert "internal_error" not in {row.code for row in features.rejected}
        states = {row.clip_id: row.codes for row in features.clips} | {r.clip_id: (r.code,) for r in features.rejected}
    by_subject = {clip.subject: clip.clip_id for clip in listed}
    expected = [case for case in inputs.CLIPS if case.kind != "face"]
    for number, case in enumerate(expected):
        code = STRICTER.get(case.name, case.code)
        assert code in (*states[by_subject[f"s{number:03d}"]], ""), case


def test_sound_clips_are_what_they_are_alone(everything: tuple[Path, tuple[Clip, ...]], tmp_path: Path):
    path, listed = everything
    sound = tuple(clip for clip in listed if clip.subject.startswith("sound"))
    assert len(sound) == 2
    alone = _run(Path(), sound, tmp_path)
    with feature_file.open_features(path) as crowd, feature_file.open_features(alone) as few:
        for clip in sound:
            for name in ("faces/onset", "faces/apex", "flow/u", "flow/strain"):
                one, other = crowd[name][crowd.index(clip.clip_id)], few[name][few.index(clip.clip_id)]
                np.testing.assert_array_equal(one[..., : other.shape[-1]], other)


def test_the_report_lists_every_one(everything: tuple[Path, tuple[Clip, ...]], tmp_path: Path):
    path, listed = everything
    (tmp_path / "d.tsv").write_text(clips.dumps(listed), encoding="utf-8", newline="")
    tree = {"databases": {"d": {"adapter": "table", "root": "x", "table": "clips.tsv"}}}
    report.build(
        tmp_path / "report.html", clips={"d": tmp_path / "d.tsv"}, caches={"d": path}, assess={}, protocols={}, runs={},
        config=config.validate(tree).model_dump(mode="json", by_alias=True),
    )  # fmt: skip
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    with feature_file.open_features(path) as features:
        named = [row.clip_id for row in features.rejected] + [row.clip_id for row in features.clips if row.codes]
        assert [name for name in named if name not in text] == []
        assert {row.code for row in features.rejected} - set(re.findall(r"\w+", text)) == set()


def test_the_page_names_every_class_and_code():
    page = (Path(__file__).parents[2] / "docs" / "bad-input.md").read_text(encoding="utf-8")
    assert {case.kind for case in inputs.ALL} - set(re.findall(r"^## (.+)$", page, re.MULTILINE)) == set()
    rows = [row for row in page.splitlines() if row.startswith("| ")]
    for case in inputs.ALL:
        shown = f"| {case.state} | `{case.code}` |" if case.code in quality.CODES else f"| {case.state} |"
        assert any(shown in row for row in rows), (case, shown)
