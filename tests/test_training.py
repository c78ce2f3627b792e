"""The shared loop: nothing held out may be seen, everything comes out once, the same seed gives the same files."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import cv2
import numpy as np
import pytest

from mer_features import cli, protocols, training
from mer_features.commands import explain
from mer_features.protocols import TRAIN_ONLY, FoldRow, FoldTable, metrics
from mer_features.protocols.table import train_only_except, trains
from mer_features.training import Execution, LeakError, Setup, Sources, evaluation, half
from mer_features.training.options import Pretraining, System
from mer_features.workflow import config

CLASSES = ("negative", "positive", "surprise")
LINEAR = System(system="linear", protocols=("p",), recipe={"size": 8, "components": 12})
SHUFFLED = LINEAR.model_copy(update={"shuffle_labels": True})


def table(subjects: int = 6, per_class: int = 2) -> FoldTable:
    rows = [
        FoldRow(f"s{s}/{label}{n}", "demo", f"s{s}", label, label, f"demo/s{s}")
        for s in range(subjects)
        for label in CLASSES
        for n in range(per_class)
    ]
    return FoldTable(tuple(rows))


class FakeCache:
    """A cache in memory whose flow shows the class by the place of a bump."""

    groups = ("faces", "flow")

    def __init__(self, fold_table: FoldTable, noise: float = 0.5):
        rng = np.random.default_rng(0)
        self.path = Path("demo.h5")
        self.clips = [
            SimpleNamespace(
                clip_id=row.clip_id,
                source_sha256=f"digest of {row.clip_id}",
                subject=row.subject,
                emotion=row.emotion,
                action_units_text="4+L10",
            )
            for row in fold_table.rows
        ]
        self.arrays: dict[str, list[np.ndarray]] = {}
        for row in fold_table.rows:
            place = 10 * CLASSES.index(row.label or row.emotion)
            for name in ("flow/u[onset_apex]", "flow/v[onset_apex]"):
                plane = rng.normal(0, noise, (32, 32)).astype(np.float32)
                plane[place : place + 10, 8:24] += 1
                self.arrays.setdefault(name, []).append(plane)
            for name in ("faces/onset", "faces/apex"):
                self.arrays.setdefault(name, []).append(rng.integers(0, 255, (16, 16, 3)).astype(np.uint8))

    def index(self, clip_id: str) -> int:
        return {clip.clip_id: i for i, clip in enumerate(self.clips)}[clip_id]

    def require(self, *groups: str, purpose: str) -> None:
        assert set(groups) <= set(self.groups), purpose

    def __getitem__(self, name: str) -> list[np.ndarray]:
        return self.arrays[name]

    def close(self) -> None:
        pass

    def __enter__(self) -> FakeCache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


Store = Callable[..., tuple[Path, FakeCache]]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Write a protocol and put a cache behind `open_features`."""

    def put(fold_table: FoldTable, **keys: float) -> tuple[Path, FakeCache]:
        cache = FakeCache(fold_table, **keys)
        for module in (training.data, explain):
            monkeypatch.setattr(module, "open_features", lambda _: cache)
        protocols.write(tmp_path / "p.tsv", fold_table)
        return tmp_path / "p.tsv", cache

    return put


def train(path: Path, output: Path, system: System = LINEAR, **keys) -> list[metrics.Prediction]:
    settings = {"folds": protocols.fold_names(path), "seed": 0} | keys
    training.train_folds(Sources({"demo": Path("demo.h5")}, path), system, output_dir=output, **settings)
    return list(metrics.read_predictions(output / "predictions.tsv")[0])


def right(predictions: list[metrics.Prediction]) -> float:
    return float(np.mean([item.truth == item.prediction for item in predictions]))


# ---------------------------------------------------------------- results


def test_every_clip_is_predicted_once_in_its_own_fold(store: Store, tmp_path: Path):
    path, _ = store(table())
    found = train(path, tmp_path / "out", seed=4)
    rows = protocols.read(path).rows
    assert [(p.clip_id, p.fold, p.truth, p.seed) for p in found] == [(r.clip_id, r.fold, r.label, 4) for r in rows]
    assert right(found) > 0.9
    for item in found:
        assert item.prediction == CLASSES[int(np.argmax(item.probabilities))]
    assert (tmp_path / "out" / "weights").is_dir()
    assert list((tmp_path / "out" / "weights").iterdir()) == []


def test_spots_are_recognised_without_being_trained_on(store: Store, tmp_path: Path):
    """Spots of each subject, which look like a class; they change neither the models nor the other predictions."""
    annotated = table()
    spots = tuple(
        replace(row, clip_id=f"{row.subject}/spot-{row.label}", label="")
        for row in annotated.rows
        if row.clip_id[-1] == "0"
    )
    path, _ = store(FoldTable(annotated.rows + spots))
    found = train(path, tmp_path / "out")
    recognised = [item for item in found if not item.truth]
    assert len(recognised) == len(spots)
    assert np.mean([item.clip_id.endswith(item.prediction) for item in recognised]) > 0.9
    path, _ = store(annotated)
    assert [item for item in found if item.truth] == train(path, tmp_path / "alone")


def test_shuffled_labels_fall_to_chance(store: Store, tmp_path: Path):
    path, _ = store(table(subjects=10, per_class=4))
    shares = [right(train(path, tmp_path / "out", SHUFFLED, seed=seed)) for seed in range(4)]
    assert right(train(path, tmp_path / "out")) > 0.9
    # 480 guesses at 1/3 deviate by 0.022; clips of one fold share a model, hence twice that and more.
    assert abs(np.mean(shares) - 1 / 3) < 0.12


def test_no_signal_gives_chance(store: Store, tmp_path: Path):
    fold_table = table(subjects=10, per_class=4)
    path, cache = store(fold_table)
    rng = np.random.default_rng(5)
    for name in ("flow/u[onset_apex]", "flow/v[onset_apex]"):
        cache.arrays[name] = [rng.normal(size=(32, 32)).astype(np.float32) for _ in fold_table.rows]
    assert abs(right(train(path, tmp_path / "out")) - 1 / 3) < 0.12


def test_the_same_seed_gives_the_same_bytes_whatever_runs_beside(store: Store, tmp_path: Path):
    path, _ = store(table())
    train(path, tmp_path / "a", SHUFFLED, seed=1)
    train(path, tmp_path / "b", SHUFFLED, seed=1)
    for name in ("predictions.tsv", "embeddings.npz"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    alone = train(path, tmp_path / "c", SHUFFLED, seed=1, folds=["demo/s3"])
    whole = metrics.read_predictions(tmp_path / "a" / "predictions.tsv")[0]
    assert alone == [item for item in whole if item.fold == "demo/s3"]
    other = train(path, tmp_path / "d", SHUFFLED, seed=2)
    assert [p.probabilities for p in other] != [p.probabilities for p in whole]


def test_derived_seeds_are_stable_and_distinct():
    assert training.derived_seed(0, "demo/s0") == 1046110102
    seeds = {training.derived_seed(seed, f"demo/s{n}") for seed in range(5) for n in range(50)}
    assert len(seeds) == 250
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_kept_weights_predict_the_same(store: Store, tmp_path: Path):
    path, _ = store(table())
    found = train(path, tmp_path / "out", folds=["demo/s1"], execution=Execution(keep_weights=True))
    assert [file.name for file in (tmp_path / "out" / "weights").iterdir()] == ["demo%2Fs1.pt"]
    clips = training.load_clips({"demo": Path("demo.h5")}, protocols.read(path), training.inputs_of(LINEAR))
    _, test = training.split(clips, "demo/s1")
    again = training.build(LINEAR, 3, Setup(seed=9))
    again.load(tmp_path / "out" / "weights" / "demo%2Fs1.pt")
    np.testing.assert_allclose(again.predict(test.features), [p.probabilities for p in found], rtol=1e-5)


def test_a_log_line_a_fold(store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path, _ = store(table(subjects=3))
    with caplog.at_level("INFO", logger="mer_features.training.loop"):
        train(path, tmp_path / "out")
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3
    assert lines[0].startswith("fold demo/s0, seed 0: trained on 12 clips, ")


# ---------------------------------------------------------------- leaks


def test_both_sides_share_nothing(store: Store):
    path, _ = store(table())
    clips = training.load_clips({"demo": Path("demo.h5")}, protocols.read(path), training.inputs_of(LINEAR))
    for fold in protocols.fold_names(path):
        ours, held_out = training.split(clips, fold)
        assert not {row.owner for row in ours.rows} & {row.owner for row in held_out.rows}
        assert len(ours.rows) + len(held_out.rows) == len(clips.rows)
        assert not np.shares_memory(ours.features["planes"], clips.features["planes"])
        assert not np.shares_memory(ours.features["planes"], held_out.features["planes"])


def test_training_is_given_training_clips_only(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Held-out pixels and labels must not change what is learned."""
    path, cache = store(table())
    before = train(path, tmp_path / "a", folds=["demo/s2"], execution=Execution(keep_weights=True))
    for i, row in enumerate(protocols.read(path).rows):
        if row.fold == "demo/s2":
            cache.arrays["flow/u[onset_apex]"][i] = np.full((32, 32), 1e6, np.float32)
    after = train(path, tmp_path / "b", folds=["demo/s2"], execution=Execution(keep_weights=True))
    weights = [(tmp_path / name / "weights" / "demo%2Fs2.pt").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]
    assert [p.probabilities for p in before] != [p.probabilities for p in after]


def test_a_row_of_the_held_out_subject_is_caught(store: Store, tmp_path: Path):
    rows = list(table().rows)
    rows[0] = replace(rows[0], fold="demo/s1")  # a clip of s0 is tested with s1, so that it would train fold s0
    path, _ = store(FoldTable(tuple(rows)))
    with pytest.raises(LeakError, match=r"held-out subject .*: demo/s0/negative0"):
        train(path, tmp_path / "out", folds=["demo/s0"])
    assert not (tmp_path / "out" / "predictions.tsv").exists()


@pytest.mark.parametrize("shared", ["onset", "apex", "digest"])
def test_a_copied_clip_under_another_name_is_caught(store: Store, tmp_path: Path, shared: str):
    path, cache = store(table())
    copy, original = cache.index("s4/surprise1"), cache.index("s0/negative0")
    if shared == "digest":
        cache.clips[copy].source_sha256 = cache.clips[original].source_sha256
    else:
        cache.arrays[f"faces/{shared}"][copy] = cache.arrays[f"faces/{shared}"][original].copy()
    for fold in ("demo/s0", "demo/s4"):
        with pytest.raises(LeakError, match="same frames, or the same map"):
            train(path, tmp_path / "out", folds=[fold])
    train(path, tmp_path / "out", folds=["demo/s1"])  # both train it: no leak


def test_subjects_of_the_same_name_in_two_databases_are_two_persons(store: Store):
    rows = list(table().rows)
    rows = [replace(r, database="more", fold=r.fold.replace("demo", "more")) if r.subject == "s5" else r for r in rows]
    rows = [replace(r, subject="s0", fold="more/s0") if r.database == "more" else r for r in rows]
    path, _ = store(FoldTable(tuple(rows)))
    clips = training.load_clips(
        {"demo": Path("a"), "more": Path("b")}, protocols.read(path), training.inputs_of(LINEAR)
    )
    ours, _ = training.split(clips, "demo/s0")
    assert ("more", "s0") in {row.owner for row in ours.rows}


def transfer() -> FoldTable:
    """Subjects s0 to s3 of one database train, s4 and s5 of another are tested."""
    rows = (
        replace(row, database="more", fold=protocols.TRANSFER)
        if row.subject in {"s4", "s5"}
        else replace(row, fold=protocols.TRAIN_ONLY)
        for row in table().rows
    )
    return FoldTable(tuple(rows))


def test_whole_databases_train_and_are_never_tested(store: Store, tmp_path: Path):
    path, _ = store(transfer())
    caches = {"demo": Path("a"), "more": Path("b")}
    clips = training.load_clips(caches, protocols.read(path), training.inputs_of(LINEAR))
    ours, theirs = training.split(clips, protocols.TRANSFER)
    assert {row.database for row in ours.rows} == {"demo"}
    assert {row.database for row in theirs.rows} == {"more"}
    assert (len(ours.rows), len(theirs.rows)) == (24, 12)
    with pytest.raises(ValueError, match="fold 'train-only' holds 0 of 36 clips"):
        training.split(clips, protocols.TRAIN_ONLY)
    folds = protocols.fold_names(path)
    training.train_folds(Sources(caches, path), LINEAR, folds=folds, seed=0, output_dir=tmp_path, execution=Execution())
    result = evaluated([tmp_path / "predictions.tsv"], path)
    assert np.sum(result["seeds"][0]["confusion"]) == 12
    assert set(result["seeds"][0]["per_database"]) == {"more"}
    assert result["accuracy"]["mean"] > 0.9


def test_a_recording_of_the_source_among_the_tested_is_a_leak(store: Store):
    path, cache = store(transfer())
    cache.arrays["faces/apex"][-1] = cache.arrays["faces/apex"][0]
    clips = training.load_clips(
        {"demo": Path("a"), "more": Path("b")}, protocols.read(path), training.inputs_of(LINEAR)
    )
    with pytest.raises(LeakError, match="same frames, or the same map"):
        training.split(clips, protocols.TRANSFER)


# ---------------------------------------------------------------- refusals


def test_clear_errors(store: Store, tmp_path: Path):
    path, cache = store(table())
    with pytest.raises(ValueError, match="fold 'demo/s9' holds 0 of 36 clips"):
        train(path, tmp_path / "out", folds=["demo/s9"])
    with pytest.raises(ValueError, match="database 'demo'; known: casme2"):
        training.load_clips({"casme2": Path("x")}, protocols.read(path), training.inputs_of(LINEAR))
    with pytest.raises(ValueError, match="'frr'; known: fr, "):
        training.module_of("frr")
    cache.clips[0].clip_id = "gone"
    cache.index = lambda clip_id: {clip.clip_id: i for i, clip in enumerate(cache.clips)}[clip_id]
    with pytest.raises(ValueError, match="no clip 's0/negative0'"):
        train(path, tmp_path / "out")


# ---------------------------------------------------------------- evaluation


def evaluated(paths: list[Path], path: Path, system: System = LINEAR) -> dict:
    return training.evaluate(paths, path, system, setting={}, names=("p", "mine"), measured_on="synthetic", seed=0)


def test_evaluation_pools_batches_and_seeds(store: Store, tmp_path: Path):
    path, _ = store(table(), noise=3)
    folds = protocols.fold_names(path)
    paths, rows = [], {0: [], 7: []}
    for seed in (7, 0):
        for batch in (folds[4:], folds[:4]):
            output = tmp_path / f"{seed}{batch[0][-1]}"
            rows[seed] += train(path, output, folds=batch, seed=seed)
            paths.append(output / "predictions.tsv")
    result = evaluated(paths, path)
    assert json.loads(json.dumps(result)) == result
    assert [entry["seed"] for entry in result["seeds"]] == [0, 7]
    for entry in result["seeds"]:
        assert entry["confusion"] == metrics.pool(rows[entry["seed"]], CLASSES).tolist()
        assert sum(fold["n"] for fold in entry["per_fold"]) == 36
        assert set(entry["per_database"]) == {"demo"}
    assert result["uf1"]["mean"] == pytest.approx(np.mean([entry["uf1"] for entry in result["seeds"]]))
    assert result["chance"] == pytest.approx(1 / 3)
    assert (result["protocol"], result["run"], result["system"]) == ("p", "mine", "linear")
    assert result["recipe"] == {"source": "auto", "feature": "flow", "size": 8, "components": 12, "C": 1.0}
    assert result["classes"] == list(CLASSES)
    assert result["databases"] == {"demo": {"negative": 12, "positive": 12, "surprise": 12, "subjects": 6}}
    assert result["measured_on"] == "synthetic"
    assert result["shuffled"] is False
    assert evaluated(paths, path, SHUFFLED)["shuffled"] is True


def test_incomplete_or_doubled_predictions_are_refused(store: Store, tmp_path: Path):
    path, _ = store(table())
    train(path, tmp_path / "half", folds=["demo/s0", "demo/s1"])
    file = tmp_path / "half" / "predictions.tsv"
    with pytest.raises(ValueError, match="seed 0: 24 clips without a prediction"):
        evaluated([file], path)
    with pytest.raises(ValueError, match="predicted twice"):
        evaluated([file, file], path)
    with pytest.raises(ValueError, match="no predictions"):
        evaluated([], path)
    file.write_text(file.read_text().replace("\tnegative\t", "\tpositive\t"))
    with pytest.raises(ValueError, match="not in the protocol as 'positive'"):
        evaluated([file], path)
    file.write_text(file.read_text().replace("p_surprise", "p_shock"))
    with pytest.raises(ValueError, match="but the protocol has"):
        evaluated([file], path)


# ---------------------------------------------------------------- the real things


def test_reads_a_real_cache():
    sample = Path(__file__).parent / "data" / "cache-v1.h5"
    h5py = pytest.importorskip("h5py")
    with h5py.File(sample) as file:
        pair = list(file["flow/pair"].asstr()[()]).index("onset_apex")
        u = file["flow/u"][1, pair] * file["flow/u"].attrs["scale_factor"]
        onset = file["faces/onset"][1]
        clip_id = file["clip_id"].asstr()[1]
        subject = file["subject"].asstr()[1]
    rows = (FoldRow(clip_id, "demo", subject, "x", "a", "f"),)
    flow = training.load_clips(
        {"demo": sample}, FoldTable(rows), training.inputs_of(LINEAR.model_copy(update={"recipe": {"size": 32}}))
    )
    np.testing.assert_allclose(flow.features["planes"][0, : 32 * 32], u.ravel(), atol=1e-6)
    face = LINEAR.model_copy(update={"recipe": {"size": 32, "feature": "onset_face"}})
    found = training.load_clips({"demo": sample}, FoldTable(rows), training.inputs_of(face)).features["planes"][0]
    np.testing.assert_allclose(found, (onset @ np.array([0.299, 0.587, 0.114])).ravel(), atol=1e-3)
    assert len(flow.identities[0]) == 3


def fr_system(**recipe) -> System:
    pytest.importorskip("torch", reason="needs the extra `train`")
    pytest.importorskip("lightning", reason="needs the extra `train`")
    keys = {"optimiser": "adam", "learning_rate": 0.001, "attention_scale": "d", "epochs": 10, "batch_size": 8} | recipe
    return System(system="fr", protocols=("p",), recipe=keys)


def test_fr_learns_across_subjects(store: Store, tmp_path: Path):
    path, _ = store(table(subjects=6, per_class=1), noise=0.1)
    found = train(path, tmp_path / "out", fr_system(), folds=["demo/s0", "demo/s3"])
    assert right(found) >= 5 / 6
    with np.load(tmp_path / "out" / "embeddings.npz") as stored:
        assert stored["z"].shape == stored["z_refined"].shape == (6, 1024)
        assert stored["fold"].tolist() == ["demo/s0"] * 3 + ["demo/s3"] * 3


def test_picture_of_one_model(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path, _ = store(table(subjects=6, per_class=2), noise=0.2)
    names = {"embeddings": "half.npz", "weights": "half.pt", "pictures": "half-pictures.npz", "model": "half.json"}
    files = half.HalfFiles(**{name: tmp_path / file for name, file in names.items()})
    half.embed_half(Sources({"demo": Path("demo.h5")}, path), fr_system(epochs=2), seed=0, files=files)
    output = files.embeddings
    train(path, tmp_path / "out", fr_system(epochs=1, refine="none"), folds=["demo/s0"])
    picture = evaluation.project([tmp_path / "out" / "embeddings.npz", output], seed=0)
    assert set(picture["layers"]) == {"z", "z_refined"}  # of the model with more held-out clips
    assert np.shape(picture["layers"]["z"]) == (len(picture["labels"]), 2)
    assert len(set(picture["subjects"])) == 3
    assert "held-out half" in picture["note"]
    assert json.loads(json.dumps(picture)) == picture
    assert picture == evaluation.project([output], seed=0)
    assert cli.main(["explain", str(tmp_path), picture["clips"][0]]) == 0
    printed = capsys.readouterr().out
    assert f"{picture['clips'][0]}: not used in training" in printed
    assert "wrote " not in printed  # this system has nothing to show


def test_one_clip_is_explained(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("torch", reason="needs the extra `train`")
    keys = {"images": "faces", "beta": 0, "student": "resnet8", "stem": "strided", "size": 16, "epochs": 1}
    system = System(system="sa_at", protocols=("p",), recipe=keys)
    path, _ = store(table())
    run = tmp_path / "run"
    run.mkdir()
    names = {"embeddings": "half.npz", "weights": "half.pt", "pictures": "half-pictures.npz", "model": "half.json"}
    files = half.HalfFiles(**{name: run / file for name, file in names.items()})
    half.embed_half(Sources({"demo": Path("demo.h5")}, path), system, seed=0, files=files)
    with np.load(files.pictures) as stored:
        shown, pictures = str(stored["clip_id"][1]), {name: stored[name][1] for name in stored.files[2:]}
    assert cli.main(["explain", str(run), shown, "-o", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert f"demo/{shown}: not used in training" in said
    assert sum(float(line.split()[1]) for line in said.splitlines()[1:4]) == pytest.approx(1, abs=0.002)
    assert {file.stem for file in (tmp_path / "out").iterdir()} == {*pictures, "overview"}
    assert set(pictures) > {"image", "student_stage_1"}
    for name, picture in pictures.items():
        np.testing.assert_array_equal(cv2.imread(str(tmp_path / "out" / f"{name}.png"))[..., ::-1], picture)
    held_out = {item[1] for item in json.loads(files.model.read_text())["held_out"]}
    trained = next(row.clip_id for row in table().rows if row.clip_id not in held_out)
    assert not explain.explain_clip(run, f"demo/{trained}", tmp_path / "out")["held_out"]
    assert cli.main(["explain", str(run), "nobody/here"]) == 2
    assert "clip 'nobody/here' not found in demo.h5" in " ".join(capsys.readouterr().err.split())
    assert cli.main(["explain", str(tmp_path), shown]) == 2


def test_the_overview_names_the_annotated_action_units():
    clip = SimpleNamespace(clip_id="s1/c", emotion="happiness", action_units_text="6+L12")
    said = explain.title("casme2", clip, {"negative": 0.2, "positive": 0.8})
    assert said == "casme2/s1/c, happiness (AU: 6+L12)\npredicted: positive, 0.80"
    clip = SimpleNamespace(clip_id="s1/c", emotion="", action_units_text="")
    assert explain.title("smic", clip, {"a": 1.0}).startswith("smic/s1/c, no emotion label (no action units annotated)")
    green, red = np.zeros((2, 64, 64, 3), np.uint8)
    green[..., 1], red[..., 0] = 200, 200
    page = explain.overview({"apex": green, "grad_cam": red}, said)
    other = explain.overview({"apex": green, "grad_cam": red}, said.replace("L12", "L10"))
    where = {name: np.argwhere((page == colour).all(axis=2)) for name, colour in (("g", green[0, 0]), ("r", red[0, 0]))}
    assert where["g"][:, 1].max() < where["r"][:, 1].min()  # side by side, in this order
    different = np.argwhere((page != other).any(axis=2))
    assert 0 < different[:, 0].max() < where["g"][:, 0].min()  # the heading above says another unit


def sides_of(halved: FoldTable) -> dict[str, set[tuple[str, str]]]:
    return {fold: {row.owner for row in halved.rows if row.fold == fold} for fold in halved.folds}


def test_half_is_a_random_half_of_the_subjects():
    sides = sides_of(half.half(table(subjects=9), seed=0))
    assert {name: len(owners) for name, owners in sides.items()} == {"trained half": 4, "held-out half": 5}
    assert not set.intersection(*sides.values())
    assert sides == sides_of(half.half(table(subjects=9), seed=0))
    assert len({frozenset(sides_of(half.half(table(subjects=9), seed))["trained half"]) for seed in range(20)}) > 10


def test_both_halves_have_every_class():
    rows = [replace(row, label="surprise" if row.subject in ("s0", "s8") else "negative") for row in table(9).rows]
    for seed in range(10):
        halved = half.half(FoldTable(tuple(rows)), seed)
        assert len({(row.fold, row.label) for row in halved.rows}) == 4
    alone = [replace(row, label="surprise" if row.subject == "s0" else "negative") for row in rows]
    with pytest.raises(ValueError, match=r"9 subjects: found no half .*negative, surprise.*embedding: false"):
        half.half(FoldTable(tuple(alone)), 0)


@pytest.mark.parametrize("source", [TRAIN_ONLY, train_only_except("fold2")])
def test_source_and_target_are_not_mixed_in_a_picture(source: str):
    rows = [replace(row, fold=source if row.subject in ("s0", "s1") else "fold1") for row in table(5).rows]
    halved = half.half(FoldTable(tuple(rows)), 0)
    assert halved.folds == ("target",)
    assert {row.subject for row in halved.rows if row.fold == TRAIN_ONLY} == {"s0", "s1"}
    assert trains(halved.rows, "target") == [row.subject in ("s0", "s1") for row in halved.rows]


def test_random_frames_are_at_most_200_of_each_class():
    rows = table(subjects=5, per_class=20).rows  # 100 clips of each class
    labels = np.array([CLASSES.index(row.label) for row in rows])
    frames = np.stack([np.arange(len(rows))[:, None] * 10 + np.arange(3)] * 2, axis=-1).astype(np.float32)  # (N, 3, 2)
    chosen, features = half._random_frames(training.data.Clips(rows, {}, labels, ()), {"z": frames}, seed=0)
    assert [int((chosen.labels == label).sum()) for label in range(3)] == [200] * 3
    assert features["z"].shape == (600, 2)
    assert len({tuple(row) for row in features["z"].tolist()}) == 600
    assert [rows[int(row[0]) // 10] for row in features["z"]] == list(chosen.rows)


def test_no_features_no_picture(store: Store, tmp_path: Path):
    path, _ = store(table())
    train(path, tmp_path / "out")
    assert evaluation.project([tmp_path / "out" / "embeddings.npz"], seed=0) == {}


def test_tsne_keeps_neighbours():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(3), 15)
    features = np.eye(3)[groups] @ rng.normal(size=(3, 40)) * 5 + rng.normal(size=(45, 40))
    placed = evaluation.tsne(features, seed=0)
    assert placed.shape == (45, 2)
    distances = np.linalg.norm(placed[:, None] - placed[None], axis=-1) + np.eye(45) * 1e9
    assert np.mean(groups[distances.argmin(axis=1)] == groups) > 0.95
    np.testing.assert_array_equal(placed, evaluation.tsne(features, seed=0))
    assert evaluation.tsne(features[:3], seed=0).shape == (3, 2)


# ---------------------------------------------------------------- resumption


def count_fits(monkeypatch: pytest.MonkeyPatch, fail_at: int | None = None) -> list[int]:
    from mer_features.systems.baselines.linear import LinearSystem

    fits: list[int] = []
    original = LinearSystem.fit

    def fit(self, examples):
        if len(fits) == fail_at:
            raise KeyboardInterrupt
        fits.append(len(examples))
        original(self, examples)

    monkeypatch.setattr(LinearSystem, "fit", fit)
    return fits


def test_finished_folds_of_a_killed_run_are_not_trained_again(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path, _ = store(table())
    keep = Execution(keep_weights=True)
    train(path, tmp_path / "whole", execution=keep)
    with monkeypatch.context() as patch:
        count_fits(patch, fail_at=4)
        with pytest.raises(KeyboardInterrupt):
            train(path, tmp_path / "killed", execution=keep)
    assert not (tmp_path / "killed" / "predictions.tsv").exists()
    fits = count_fits(monkeypatch)
    train(path, tmp_path / "killed", execution=keep)
    assert len(fits) == 2
    names = ["predictions.tsv", "embeddings.npz", "losses.csv", *(f"weights/demo%2Fs{n}.pt" for n in range(6))]
    for name in names:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert sorted(file.name for file in (tmp_path / "killed").iterdir()) == [
        "embeddings.npz", "losses.csv", "predictions.tsv", "weights",
    ]  # fmt: skip


@pytest.mark.parametrize("what", ["seed", "recipe", "input"])
def test_what_another_computation_left_is_not_used(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
):
    path, cache = store(table())
    with monkeypatch.context() as patch:
        count_fits(patch, fail_at=4)
        with pytest.raises(KeyboardInterrupt):
            train(path, tmp_path / "out")
    system = LINEAR.model_copy(update={"recipe": {"size": 8, "components": 11}}) if what == "recipe" else LINEAR
    if what == "input":
        cache.arrays["flow/u[onset_apex]"][0] = cache.arrays["flow/u[onset_apex]"][0] + 1
    fits = count_fits(monkeypatch)
    train(path, tmp_path / "out", system, seed=int(what == "seed"))
    assert len(fits) == 6


# ---------------------------------------------------------------- a system and a pre-training of one's own


TOY = """
import numpy as np
from mer_features.systems.common.contract import Plain

VARIABLES = ("flow/u[onset_apex]",)

def variables(recipe):
    return VARIABLES

def prepare(recipe, clip):
    return {"u": clip[VARIABLES[0]][:: recipe.step, :: recipe.step].ravel()}

def build(recipe, classes, setup):
    return Nearest(classes, None if setup.pretrained is None else np.load(setup.pretrained)["mean"])

class Nearest(Plain):
    def __init__(self, classes, start):
        self.classes, self.start = classes, start

    def fit(self, examples):
        self.known, self.labels = examples.features["u"], examples.labels

    def predict(self, features):
        distance = ((features["u"][:, None] - self.known) ** 2).sum(-1)
        return np.eye(self.classes)[self.labels[distance.argmin(1)]]

    def save(self, path):
        with path.open("wb") as handle:
            np.savez(handle, known=self.known, labels=self.labels)

    def load(self, path):
        with np.load(path) as stored:
            self.known, self.labels = stored["known"], stored["labels"]

def pretraining_variables(recipe):
    return VARIABLES

def pretraining_prepare(recipe, clip):
    return {"u": clip[VARIABLES[0]].ravel()}

def pretrain(recipe, material, setup, output):
    with output.open("wb") as handle:
        np.savez(handle, mean=material.examples.features["u"].mean(axis=0))
    return {"clips": len(material.examples), "classes": list(material.classes)}
"""


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A system as `docs/own-system.md` describes it: one file, one entry."""
    from mer_features import systems
    from mer_features.systems import registry

    class ToyRecipe(registry.Recipe):
        ablations: ClassVar = {"coarse": {"step": 8}}
        step: int = 4
        start: bool = False

        @property
        def pretraining(self) -> str | None:
            return "toy" if self.start else None

    (tmp_path / "systems").mkdir()
    (tmp_path / "systems" / "toy").mkdir()
    (tmp_path / "systems" / "toy" / "__init__.py").touch()
    (tmp_path / "systems" / "toy" / "train.py").write_text(TOY)
    monkeypatch.setattr(systems, "__path__", [*systems.__path__, str(tmp_path / "systems")])
    monkeypatch.setitem(registry.RECIPES, "toy", ToyRecipe)
    monkeypatch.setitem(registry.PRETRAINING, "toy", registry.Recipe)
    monkeypatch.setattr(training.loop.fingerprint, "of", lambda *_, **__: "")
    yield "toy"
    sys.modules.pop("mer_features.systems.toy", None)
    sys.modules.pop("mer_features.systems.toy.train", None)


def test_a_system_is_one_folder_and_one_entry(store: Store, tmp_path: Path, toy: str):
    path, _ = store(table(), noise=0.1)
    system = System(system=toy, protocols=("p",))
    assert right(train(path, tmp_path / "out", system)) == 1
    assert (tmp_path / "out" / "losses.csv").read_text() == "fold,epoch\n"


def test_an_ablation_is_chosen_by_name(toy: str):
    assert System(system=toy, protocols=("p",), ablation="coarse").full_recipe.step == 8
    assert System(system=toy, protocols=("p",), ablation="coarse", recipe={"step": 2}).full_recipe.step == 2
    with pytest.raises(ValueError, match="'toy' has no ablation 'fine'; known: 'coarse'"):
        System(system=toy, protocols=("p",), ablation="fine")


def test_a_pre_training_is_made_once_and_handed_on(store: Store, tmp_path: Path, toy: str):
    path, _ = store(table())
    task = Pretraining(task=toy, protocol="p")
    training.pretrain(
        task, caches={"demo": tmp_path / "p.tsv"}, protocol_tsv=path, faces=(), output_dir=tmp_path / "macro"
    )
    summary = json.loads((tmp_path / "macro" / "summary.json").read_text())
    expected = {"task": "toy", "recipe": {}, "seed": 0, "databases": ["demo"], "clips": 36, "classes": list(CLASSES)}
    assert summary == expected
    assert sorted(file.name for file in (tmp_path / "macro").iterdir()) == ["summary.json", "weights.pt"]
    system = System(system=toy, protocols=("p",), pretrained="macro", recipe={"start": True})
    sources = Sources({"demo": Path("demo.h5")}, path, tmp_path / "macro" / "weights.pt")
    training.train_folds(sources, system, folds=["demo/s0"], seed=0, output_dir=tmp_path / "out")
    with pytest.raises(ValueError, match="needs the file of a pre-training 'toy'"):
        training.train_folds(Sources(sources.caches, path), system, folds=["demo/s0"], seed=0, output_dir=tmp_path)


def test_pre_trainings_are_checked_before_any_work(toy: str):
    databases = {"d": {"adapter": "synthetic"}, "m": {"adapter": "synthetic", "preset": "macro"}}
    protocols_ = {"p": {"databases": ["d"]}, "q": {"databases": ["m"]}}
    tree = {"databases": databases, "protocols": protocols_}
    needs = {"system": toy, "protocols": ["p"], "recipe": {"start": True}}
    with pytest.raises(config.ConfigError, match="needs a pre-training of task 'toy'"):
        config.validate(tree | {"systems": {"s": needs}})
    with pytest.raises(config.ConfigError, match=r"systems\.s\.pretrained: 'macro' is not defined"):
        config.validate(tree | {"systems": {"s": needs | {"pretrained": "macro"}}})
    with pytest.raises(config.ConfigError, match="either `protocol`"):
        config.validate(tree | {"pretraining": {"macro": {"task": toy}}})
    with pytest.raises(config.ConfigError, match="uses no pre-training"):
        config.validate(tree | {"systems": {"s": {"system": toy, "protocols": ["p"], "pretrained": "macro"}}})
    done = config.validate(
        tree
        | {
            "pretraining": {"macro": {"task": toy, "protocol": "q"}},
            "systems": {"s": needs | {"pretrained": "macro"}},
        }
    )
    assert done.pretraining["macro"].protocol == "q"
    learns_from_tested = {"macro": {"task": toy, "protocol": "p"}}
    with pytest.raises(config.ConfigError, match="'macro' learns from 'd', which is tested"):
        config.validate(tree | {"pretraining": learns_from_tested, "systems": {"s": needs | {"pretrained": "macro"}}})
