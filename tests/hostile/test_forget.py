"""After `forget` no byte of the results tells of the person, and nobody else's data changed."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from mer_features import cli, databases, protocols
from mer_features import features as feature_file
from mer_features.commands import forget
from mer_features.core import clips
from mer_features.databases import exclusion, ingest
from mer_features.features.options import Cache
from mer_features.protocols import FoldRow, FoldTable
from mer_features.stages import run as stages
from mer_features.stages import store
from mer_features.stages.options import Apex, Faces, Flow
from mer_features.workflow import config
from tests.hostile import images

SUBJECTS = ("ada", "bo", "cy-søn")
GONE = "cy-søn"
STAGES = {
    "faces": Faces(mode="precropped", size=32),
    "apex": Apex(spotters=("midpoint",), fallback="midpoint"),
    "flow": Flow(method="farneback"),
}
SHARDS = 2  # two people share one


def _tree(root: Path, **more: object) -> config.Config:
    database = {"adapter": "table", "root": str(root / "owner"), "table": "clips.tsv", "shards": SHARDS, **more}
    return config.validate({"databases": {"d": database}})


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results of a database of three people as the workflow leaves them, two clips each and a bad one."""
    lines = ["subject\tpath\temotion\taction_units"]
    for number, subject in enumerate(SUBJECTS):
        for name in ("a", "b"):
            folder = tmp_path / "owner" / subject / name
            folder.mkdir(parents=True)
            for frame in range(1, 5):
                picture = images.picture(seed=10 * number + frame)
                images.Image.fromarray(picture).save(folder / f"img{frame}.png")
            lines.append(f"{subject}\t{subject}/{name}\tfear\t{number + 1}")
    lines.append(f"{GONE}\tnowhere\tfear\t4")
    (tmp_path / "owner" / "clips.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return _computed(tmp_path)


def _computed(root: Path) -> Path:
    results = root / "results"
    databases.refresh_sources(_tree(root).databases)
    ingest.split_table(results / "sources/d.tsv", results / "clips/d.tsv", results / "clips/d", shards=SHARDS)
    files: dict[str, list[Path]] = {stage: [] for stage in STAGES}
    for table in sorted((results / "clips/d").glob("*.tsv")):
        for stage, options in STAGES.items():
            path = results / stage / "d" / f"{table.stem}.h5"
            needed = {name: results / name / "d" / f"{table.stem}.h5" for name in stages.inputs(stage, options)}
            stages.run(stage, clips.read(table), needed, path, options)
            files[stage].append(path)
    provenance: feature_file.Provenance = {"config": "{}", "fingerprints": {}, "versions": {}, "seed": 0}
    listed = clips.read(results / "clips/d.tsv")
    feature_file.build(results / "features/d.h5", listed, files, Cache(), provenance)
    _pretend_training(results, listed)
    return results


def _pretend_training(results: Path, listed: tuple[clips.Clip, ...]) -> None:
    """Protocols, runs, logs and Snakemake's records by name and kind; one protocol without the person."""
    for protocol, subjects in (("all", SUBJECTS), ("others", SUBJECTS[:2])):
        rows = [FoldRow(c.clip_id, "d", c.subject, "fear", "neg", c.subject) for c in listed if c.subject in subjects]
        protocols.write(results / f"protocols/{protocol}.tsv", FoldTable(tuple(rows)))
        run = results / f"runs/{protocol}/fr/seed0/b000"
        (run / "weights").mkdir(parents=True)
        (run / "unfinished/folds").mkdir(parents=True)
        for row in rows:
            (run / f"weights/{row.fold}.pt").write_bytes(b"weights")
            np.savez(run / f"unfinished/folds/{row.fold}.npz", clip_id=np.array([row.clip_id]))
        (run / "predictions.tsv").write_text("\n".join(row.clip_id for row in rows), encoding="utf-8")
        (run.parents[1] / "metrics.json").write_text(json.dumps([row.subject for row in rows]))
        (results / "comparisons").mkdir(exist_ok=True)
        (results / f"comparisons/{protocol}.json").write_text('{"pairs": []}')
        _record(f"results/comparisons/{protocol}.json", {"params": ["x"]})
        log = results / f"logs/train/{protocol}/fr/seed0/b000.log"
        log.parent.mkdir(parents=True)
        log.write_text("\n".join(f"fold {row.fold}" for row in rows), encoding="utf-8")
        _record(f"results/runs/{protocol}/fr/metrics.json", {"params": [str(subjects)]})
    (results / "report.html").write_text(f"<p>{GONE}/a</p>", encoding="utf-8")
    (results / "logs/faces.log").write_text(f"{GONE} is odd", encoding="utf-8")
    (results / "logs/apex.log").write_text("ada is odd", encoding="utf-8")
    for task, told in (("macro", {"databases": ["elsewhere"]}), ("unknown", {})):
        (results / "pretraining" / task).mkdir(parents=True)
        (results / "pretraining" / task / "summary.json").write_text(json.dumps(told))
    (results / "pretraining/unknown/summary.json").unlink()
    (results / "pretraining/unknown").rmdir()
    for name in ("faces/d/s000.h5", "features/d.h5"):
        _record(f"results/{name}", {"params": ["x"]})


def _record(made: str, content: object) -> None:
    path = Path(".snakemake/metadata") / base64.urlsafe_b64encode(made.encode()).decode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _recorded() -> set[str]:
    return {base64.urlsafe_b64decode(path.name).decode() for path in Path(".snakemake/metadata").iterdir()}


def _everything(root: Path) -> dict[Path, bytes]:
    folders = (root / "results", root / ".snakemake")
    return {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


def _chunks(dataset: h5py.Dataset, row: int | None = None) -> set[bytes]:
    """Chunks of pixels as they lie in the file, all of them or those of one row."""
    infos = [dataset.id.get_chunk_info(number) for number in range(dataset.id.get_num_chunks())]
    wanted = (info for info in infos if row is None or info.chunk_offset[0] == row)
    return {dataset.id.read_direct_chunk(info.chunk_offset)[1] for info in wanted}


def _contiguous(stack: h5py.Dataset) -> list[bytes]:
    """Of an array that lies in the file as it is: every item's bytes."""
    assert stack.chunks is None
    return [item.tobytes() for item in stack[()]]


def _pixels(results: Path) -> set[bytes]:
    """The person's crops and flow as they are stored, which nobody else has (still flow is the same for all)."""
    mine: set[bytes] = set()
    others: set[bytes] = set()
    for path in (*results.glob("faces/d/*.h5"), *results.glob("flow/d/*.h5")):
        with h5py.File(path, "r") as file:
            for clip_id in file["clip_id"].asstr()[()]:
                record = file["clips"][clip_id]  # empty for a rejected clip
                pictures = [item for name in {"crops", "flow"} & set(record) for item in _contiguous(record[name])]
                (mine if clip_id.startswith(GONE) else others).update(pictures)
    with h5py.File(results / "features/d.h5", "r") as file:
        for row, clip_id in enumerate(file["clip_id"].asstr()[()]):
            for name in ("faces/onset", "faces/apex", "faces/keyframes", "flow/u"):
                (mine if clip_id.startswith(GONE) else others).update(_chunks(file[name], row))
    return mine - others


def _spelt(text: str) -> list[bytes]:
    return [text.encode(), text.encode("utf-32-le"), text.encode("utf-16-le"), json.dumps(text)[1:-1].encode()]


def test_no_byte_of_the_person_is_left(results: Path):
    root = results.parent
    before, pixels = _everything(root), _pixels(results)
    told = [spelt for text in (GONE, f"{GONE}/a", f"{GONE}/b") for spelt in _spelt(text)]
    assert any(GONE.encode() in data for data in before.values())
    assert all(any(chunk in data for data in before.values()) for chunk in pixels)
    assert len(pixels) > 10
    done = forget.forget(GONE, results)
    assert done.left == []
    after = _everything(root)
    assert [path for path, data in after.items() if any(text in data for text in told)] == []
    assert [path for path, data in after.items() if any(chunk in data for chunk in pixels)] == []
    assert [path for path in after if GONE in str(path)] == []


def test_the_others_are_as_they_were_and_nothing_looks_changed(results: Path):
    kept = [clip.clip_id for clip in clips.read(results / "clips/d.tsv") if clip.subject != GONE]
    stamps = {path: path.stat().st_mtime_ns for path in results.rglob("*") if path.is_file()}
    before = _values(results, kept)
    forget.forget(GONE, results)
    assert _values(results, kept) == before
    assert feature_file.validate(results / "features/d.h5") == []
    changed = {path for path, time in stamps.items() if path.exists() and path.stat().st_mtime_ns != time}
    assert changed == set()
    with feature_file.open_features(results / "features/d.h5") as features:
        assert [row.clip_id for row in features.clips] == kept
        assert features.rejected == ()
        assert features.labels("au") == ("1", "2")  # only they had 3 and 4


def _values(results: Path, clip_ids: list[str]) -> dict[tuple[str, str], bytes]:
    found = {}
    for path in sorted(results.glob("*/d/*.h5")):
        with store.ShardReader(path) as reader:
            for clip_id in set(reader.clip_ids) & set(clip_ids):
                record = reader.read(clip_id)
                for name, array in record.arrays.items():
                    found[f"{path.parent.parent.name}/{name}", clip_id] = array.tobytes()
                found[f"{path.parent.parent.name}", clip_id] = repr(record.attrs).encode()
    with feature_file.open_features(results / "features/d.h5") as features:
        for name in features.variables():
            if name != "action_units":
                for clip_id in clip_ids:
                    value = features[name][features.index(clip_id)]
                    found[name, clip_id] = repr(np.asarray(value).tolist()).encode()
    return found


def test_what_was_learned_with_the_person_is_gone_and_the_rest_stays(results: Path):
    forget.forget(GONE, results)
    assert not (results / "runs/all").exists()
    assert not (results / "protocols/all.tsv").exists()
    assert not (results / "report.html").exists()
    assert (results / "runs/others/fr/metrics.json").exists()
    assert (results / "logs/apex.log").exists()
    assert not (results / "logs/faces.log").exists()
    assert (results / "pretraining/macro").exists()
    assert not (results / "comparisons/all.json").exists()
    made = {
        "results/runs/others/fr/metrics.json", "results/comparisons/others.json",
        "results/faces/d/s000.h5", "results/features/d.h5",
    }  # fmt: skip
    assert _recorded() == made


def test_a_pretraining_that_may_have_seen_the_person_takes_its_systems_along(results: Path):
    (results / "pretraining/macro/summary.json").write_text("{}")  # says not what it learned from
    forget.forget(GONE, results)
    assert not (results / "pretraining/macro").exists()
    assert not (results / "runs").exists()
    assert not (results / "comparisons").exists()


def test_the_next_run_leaves_the_person_out(results: Path):
    forget.forget(GONE, results)
    table = results / "sources/d.tsv"
    before = table.read_bytes(), table.stat().st_mtime_ns
    databases.refresh_sources(_tree(results.parent).databases)
    assert (table.read_bytes(), table.stat().st_mtime_ns) == before
    assert GONE not in (results / "forgotten.json").read_text(encoding="utf-8")
    table.unlink()
    (results / "forgotten.json").unlink()  # without the list they are back: this is what it is for
    databases.refresh_sources(_tree(results.parent).databases)
    assert GONE in table.read_text(encoding="utf-8")


def test_the_configuration_can_exclude_people(results: Path):
    chosen = _tree(results.parent, exclude_subjects=[GONE, "nobody"])
    listing = databases.read("d", chosen.databases["d"])
    assert {clip.subject for clip in listing.clips} == {"ada", "bo"}
    left_out, unknown = (note for note in listing.notes if note.kind == "excluded")
    assert left_out.count == 1
    assert GONE not in left_out.detail
    assert unknown.detail.startswith("exclude_subjects: 'nobody' ")
    assert GONE not in json.dumps(chosen.model_dump(mode="json"), ensure_ascii=False)
    with pytest.raises(databases.DatabaseError, match="all clips"):
        databases.read("d", _tree(results.parent, exclude_subjects=SUBJECTS).databases["d"])


def test_a_damaged_list_lets_nobody_back(results: Path):
    (results / exclusion.NAME).write_text("[")
    with pytest.raises(databases.DatabaseError, match=r"forgotten\.json"):
        databases.refresh_sources(_tree(results.parent).databases)


def test_a_killed_call_can_be_repeated(results: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setattr(forget, "_joint_files", _killed)
        with pytest.raises(KeyboardInterrupt):
            forget.forget(GONE, results)
    forget.forget(GONE, results)
    assert not [path for path, data in _everything(results.parent).items() if GONE.encode() in data]


@pytest.mark.parametrize("step", ["_joint_files", "_notes", "_own_files"])
def test_a_killed_call_can_be_repeated_after_a_run(results: Path, monkeypatch: pytest.MonkeyPatch, step: str):
    """The run takes the person out of the tables; stage files that it has no use for, and logs, still have them."""
    with monkeypatch.context() as patch:
        patch.setattr(forget, step, _killed)
        with pytest.raises(KeyboardInterrupt):
            forget.forget(GONE, results)
    databases.refresh_sources(_tree(results.parent).databases)
    assert GONE not in (results / "sources/d.tsv").read_text(encoding="utf-8")
    forget.forget(GONE, results)
    assert not [path for path, data in _everything(results.parent).items() if GONE.encode() in data]


def test_what_killed_runs_left_goes(results: Path):
    """Half-written files and Snakemake's copies hold a person as much as finished ones."""
    left = [
        results / "faces/d/.s000.h5.k1lled.tmp",
        Path(".snakemake/backup/half.npz"),
        Path(".snakemake/scripts/x.py"),
    ]
    left.append(Path(".snakemake/slurm_logs/rule_faces/1.log"))
    kept = Path(".snakemake/slurm_logs/rule_faces/2.log")
    for path in (*left, kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{GONE} is odd" if path != kept else "ada is odd", encoding="utf-8")
    assert forget.forget(GONE, results).left == []
    assert [path for path in left if path.exists()] == []
    assert kept.exists()


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_who_is_not_clear_is_asked(results: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["forget", "dee"]) == 2
    assert "d: ada, bo" in capsys.readouterr().err.replace("\n", " ")
    other = (results / "sources/d.tsv").read_text(encoding="utf-8")
    (results / "sources/e.tsv").write_text(other, encoding="utf-8")
    with pytest.raises(ValueError, match=r"\(d, e\).*--database"):
        forget.forget(GONE, results)
    (results / "sources/e.tsv").unlink()
    Path(".snakemake/locks").mkdir(parents=True)
    Path(".snakemake/locks/0.input.lock").touch()
    with pytest.raises(RuntimeError, match="locked"):
        forget.forget(GONE, results)
    with pytest.raises(ValueError, match="no results of the workflow"):
        forget.forget(GONE, results / "elsewhere")


def test_the_command_says_what_to_write_into_the_configuration(results: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["forget", GONE]) == 0
    said = capsys.readouterr().out
    assert "exclude_subjects" in said
    assert f"3 clips of {GONE}" in said
    assert cli.main(["forget", "ada"]) == 0
    assert cli.main(["forget", "bo"]) == 2  # nobody would be left
