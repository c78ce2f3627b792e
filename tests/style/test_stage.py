"""The stage as the workflow runs it: shards, feature file, folds, extraction, and how it is switched off."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from mer_features import features as feature_file
from mer_features import protocols, training
from mer_features.commands import explain, extract
from mer_features.core.clips import Clip
from mer_features.core.quality import Issue
from mer_features.features import export
from mer_features.features.options import Cache, FeatureConfig
from mer_features.protocols import FoldRow, FoldTable, metrics
from mer_features.stages import run as stages
from mer_features.stages.options import Style
from mer_features.stages.store import ClipRecord, ShardReader, ShardWriter
from mer_features.stages.style import aggregate_pair, fitted
from mer_features.training import half
from mer_features.training.options import System
from mer_features.training.style import fitting, folds
from mer_features.workflow import config
from mer_features.workflow import plan as workflow

from .conftest import SIDE, restyled, smile, warped

SUBJECTS = ("s1", "s1", "s2", "s3")


@pytest.fixture(scope="module")
def crops(people) -> np.ndarray:
    """Onset and apex of four clips, (4, 2, S, S, 3), two by each camera."""
    onsets = people(4, 8)
    onsets[2:] = restyled(onsets[2:])
    return np.stack([[face, warped(face, *smile(1.0))] for face in onsets])


@pytest.fixture(scope="module")
def shards(crops: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Faces, apex and flow files of the four clips and of one that was rejected."""
    folder = tmp_path_factory.mktemp("shards")
    files = {stage: folder / f"{stage}.h5" for stage in ("faces", "apex", "flow")}
    for stage, path in files.items():
        options = config.validate({"databases": {"d": {"adapter": "synthetic"}}}).features_of("d").options(stage)
        with ShardWriter(path, stage, stages.plain(options)) as writer:
            for number, pair in enumerate(crops):
                writer.add(_record(stage, f"{SUBJECTS[number]}/c{number}", pair))
            writer.add(ClipRecord("s4/c4", issues=(Issue("no_face"),)))
    return files


def _record(stage: str, clip_id: str, pair: np.ndarray) -> ClipRecord:
    places = {"onset": 0, "offset": 1}
    if stage == "faces":
        arrays = {"crops": pair, "numbers": np.arange(2), "landmarks": np.full((68, 2), np.nan, np.float32)}
        arrays |= {"transform": np.eye(2, 3)}
        return ClipRecord(clip_id, arrays, places | {"fps": 30.0, "source_sha256": clip_id})
    if stage == "apex":
        return ClipRecord(clip_id, {"curve_midpoint": np.zeros(2)}, places | {
            "apex": 1, "apex_source": "midpoint", "spotted_midpoint": 1,
        })  # fmt: skip
    arrays = {"flow": np.zeros((1, 2, SIDE, SIDE), np.float32), "strain": np.zeros((1, SIDE, SIDE), np.float32)}
    return ClipRecord(clip_id, arrays, {"pairs": "onset_apex", "method": "tvl1"})


CLIPS = tuple(Clip(f"{subject}/c{number}", "d", subject, "") for number, subject in enumerate((*SUBJECTS, "s4")))


@pytest.fixture(scope="module")
def made(shards: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The style file of the four clips, under a fit to all of them."""
    folder = tmp_path_factory.mktemp("style")
    found = fitting.fit_shards([shards["faces"]], Style(method="statistical", fit_on="all"), seed=0, databases=["d"])
    fitted.write(folder / "fitted.json", found)
    _run(shards, folder / "style.h5", method="statistical", fit_on="all", model=str(folder / "fitted.json"))
    return folder / "style.h5"


def _run(shards: dict[str, Path], output: Path, threads: int = 1, **options) -> None:
    inputs = {stage: shards[stage] for stage in ("faces", "apex")}
    stages.run("style", CLIPS, inputs, output, Style(**options), threads=threads)


def _build(shards: dict[str, Path], output: Path) -> Path:
    provenance: feature_file.Provenance = {"config": "{}", "fingerprints": {"style": "f"}, "versions": {}, "seed": 0}
    feature_file.build(output, CLIPS, {stage: [path] for stage, path in shards.items()}, Cache(), provenance)
    return output


def test_a_shard_holds_the_aggregated_pairs(crops: np.ndarray, made: Path):
    fit = fitted.read(made.with_name("fitted.json"))
    assert fit.source == fitted.Source("all", ("d",), 4)
    with ShardReader(made) as reader:
        for number, pair in enumerate(crops):
            record = reader.read(f"{SUBJECTS[number]}/c{number}")
            expected = aggregate_pair(*pair, fitted=fit)
            np.testing.assert_array_equal(record.arrays["onset"], expected[0])
            np.testing.assert_array_equal(record.arrays["apex"], expected[1])
            assert record.attrs["model_sha256"] == fit.digest
        assert [issue.code for issue in reader.read("s4/c4").issues] == ["no_face"]


def test_processes_do_not_matter(shards: dict[str, Path], made: Path, tmp_path: Path):
    model = str(made.with_name("fitted.json"))
    _run(shards, tmp_path / "two.h5", threads=2, method="statistical", fit_on="all", model=model)
    with ShardReader(made) as one, ShardReader(tmp_path / "two.h5") as two:
        for clip_id in one.clip_ids[:4]:
            np.testing.assert_array_equal(one.read(clip_id).arrays["apex"], two.read(clip_id).arrays["apex"])


def test_the_feature_file_has_the_group(shards: dict[str, Path], made: Path, tmp_path: Path):
    path = _build(shards | {"style": made}, tmp_path / "d.h5")
    assert feature_file.validate(path) == []
    with feature_file.open_features(path) as features:
        assert features["style/apex"].shape == (4, SIDE, SIDE, 3)
        found = features.group_attrs("style")
        with ShardReader(made) as reader:
            np.testing.assert_array_equal(features["style/onset"][2], reader.read("s2/c2").arrays["onset"])
    assert found["style_method"] == "statistical"
    assert found["fit_on"] == "all"
    assert found["fit_databases"] == "d"
    assert found["model_sha256"] == fitted.read(made.with_name("fitted.json")).digest
    assert "method statistical" in found["method"]
    assert "style/apex" in feature_file.describe(path)
    written = export.to_png(path, tmp_path / "png")
    assert tmp_path / "png/s1/c0/apex_style.png" in written


def test_a_file_without_the_group_is_valid_and_one_with_half_of_it_is_not(
    shards: dict[str, Path], made: Path, tmp_path: Path
):
    without = _build(shards, tmp_path / "without.h5")
    assert feature_file.validate(without) == []
    with feature_file.open_features(without) as features:
        assert not [name for name in features.variables() if name.startswith("style")]
    path = _build(shards | {"style": made}, tmp_path / "with.h5")
    with h5py.File(path, "r+") as file:
        del file["style/apex"]
        del file["style"].attrs["fit_on"]
    assert feature_file.validate(path) == [
        "/style: attribute fit_on is missing",
        "/style/apex: the variable is missing",
    ]


def test_shards_of_different_fits_make_no_file(shards: dict[str, Path], made: Path, tmp_path: Path):
    other = fitting.fit_shards([shards["faces"]], Style(method="statistical", fit_on="all", clusters=1), seed=0)
    fitted.write(tmp_path / "other.json", other)
    model = str(tmp_path / "other.json")
    inputs = {stage: shards[stage] for stage in ("faces", "apex")}
    options = Style(method="statistical", fit_on="all", model=model)
    stages.run("style", CLIPS[2:], inputs, tmp_path / "b.h5", options)
    options = Style(method="statistical", fit_on="all", model=str(made.with_name("fitted.json")))
    stages.run("style", CLIPS[:2], inputs, tmp_path / "a.h5", options)
    files = {stage: [path] for stage, path in shards.items()} | {"style": [tmp_path / "a.h5", tmp_path / "b.h5"]}
    provenance: feature_file.Provenance = {"config": "{}", "fingerprints": {}, "versions": {}, "seed": 0}
    with pytest.raises(feature_file.CacheError, match=r"style"):
        feature_file.build(tmp_path / "d.h5", CLIPS, files, Cache(), provenance)


# ---------------------------------------------------------------- folds


ROWS = tuple(
    FoldRow(f"{subject}/c{number}", "d", subject, "happiness", "positive", f"d/{subject}")
    for number, subject in enumerate(SUBJECTS)
)


@pytest.fixture(scope="module")
def stored(shards: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build(shards, tmp_path_factory.mktemp("features") / "d.h5")


@pytest.mark.parametrize("fold", ["d/s1", "d/s2", "d/s3"])
def test_a_fold_s_fit_reads_nothing_of_the_held_out(stored: Path, fold: str):
    seen: list[str] = []

    def spy(features: feature_file.Features, clip_id: str, name: str) -> np.ndarray:
        seen.append(clip_id)
        return folds.read_crop(features, clip_id, name)

    folds.fit_fold({"d": stored}, ROWS, fold, Style(method="statistical", fit_on="fold"), seed=0, read=spy)
    assert sorted(seen) == sorted(row.clip_id for row in ROWS if row.fold != fold)


def test_held_out_pixels_change_nothing_in_a_fold_s_fit(stored: Path):
    def spoiled(features: feature_file.Features, clip_id: str, name: str) -> np.ndarray:
        crop = folds.read_crop(features, clip_id, name)
        return 255 - crop if clip_id.startswith("s3/") else crop

    options = Style(method="statistical", fit_on="fold")
    arguments = ({"d": stored}, ROWS, "d/s3", options)
    found = [fitted.dumps(folds.fit_fold(*arguments, seed=0, read=read)) for read in (folds.read_crop, spoiled)]
    assert found[0] == found[1]


def test_somebody_who_is_only_partly_held_out_is_held_out(stored: Path):
    rows = (replace(ROWS[0], fold="other"), *ROWS[1:])
    seen: list[str] = []

    def spy(features: feature_file.Features, clip_id: str, name: str) -> np.ndarray:
        seen.append(clip_id)
        return folds.read_crop(features, clip_id, name)

    folds.fit_fold({"d": stored}, rows, "d/s1", Style(method="statistical", fit_on="fold"), seed=0, read=spy)
    assert sorted(seen) == ["s2/c2", "s3/c3"]


def test_both_sides_of_a_fold_are_rendered_alike(stored: Path, crops: np.ndarray):
    options = Style(method="statistical", fit_on="fold")
    fit = folds.fit_fold({"d": stored}, ROWS, "d/s2", options, seed=0)
    assert fit.source == fitted.Source("fold", ("d",), 3)
    for name in ("onset", "apex"):
        read = training.Inputs((f"style/{name}",), lambda clip, name=name: {name: clip[f"style/{name}"]})
        sources = training.Sources({"d": stored}, Path("p.tsv"), style=options)
        clips = training.FoldClips(sources, FoldTable(ROWS), read, seed=5)
        fit = clips.style("d/s2")
        assert fit is not None
        assert fit.source == fitted.Source("fold", ("d",), 3)
        rendered = clips.of("d/s2").features[name]
        for pair, picture in zip(crops, rendered, strict=True):
            np.testing.assert_array_equal(picture, aggregate_pair(*pair, fitted=fit)[("onset", "apex").index(name)])
        assert not np.array_equal(rendered, clips.of("d/s3").features[name])
        np.testing.assert_array_equal(clips.plain.features[name], crops[:, ("onset", "apex").index(name)])


def test_no_style_is_fitted_for_a_system_that_reads_none(stored: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(folds, "fit_fold", lambda *_, **__: pytest.fail("fitted"))
    read = training.Inputs(("faces/apex",), lambda clip: {"image": clip["faces/apex"]})
    options = Style(method="statistical", fit_on="fold")
    sources = training.Sources({"d": stored}, Path("p.tsv"), style=options)
    clips = training.FoldClips(sources, FoldTable(ROWS), read, seed=0)
    assert clips.style("d/s1") is None
    assert clips.of("d/s1") is clips.of("d/s2") is clips.plain


def test_a_system_is_trained_tested_and_explained_in_the_style_of_each_fold(stored: Path, tmp_path: Path):
    pytest.importorskip("lightning", reason="needs the extra `train`")
    recipe = {"beta": 0, "student": "resnet8", "stem": "strided", "size": 32, "epochs": 1}
    system = System(system="sa_at", protocols=("p",), recipe=recipe)
    rows = tuple(replace(row, label=label) for row, label in zip(ROWS, "abab", strict=True))
    protocols.write(tmp_path / "p.tsv", FoldTable(rows))
    sources = training.Sources({"d": stored}, tmp_path / "p.tsv")
    with pytest.raises((KeyError, ValueError), match="style"):
        training.train_folds(sources, system, folds=["d/s1"], seed=0, output_dir=tmp_path / "run")
    probabilities = {}
    for method in ("statistical", "histogram"):
        styled = replace(sources, style=Style(method=method, fit_on="fold"))
        training.train_folds(styled, system, folds=["d/s1", "d/s2"], seed=0, output_dir=tmp_path / method)
        found = metrics.read_predictions(tmp_path / method / "predictions.tsv")[0]
        assert [item.clip_id for item in found] == ["s1/c0", "s1/c1", "s2/c2"]
        probabilities[method] = [item.probabilities for item in found]
    assert probabilities["statistical"] != probabilities["histogram"]

    names = {"embeddings": "half.npz", "weights": "half.pt", "pictures": "half-pictures.npz", "model": "half.json"}
    files = half.HalfFiles(**{name: tmp_path / file for name, file in names.items()})
    half.embed_half(styled, system, seed=0, files=files)
    record = json.loads(files.model.read_text())
    held_out = {clip for _, clip, _ in record["held_out"]}
    assert fitted.loads(record["style"]).source.crops == len(rows) - len(held_out)
    clip = min(held_out)
    said = explain.explain_clip(tmp_path, clip, tmp_path / "out")
    assert said["held_out"]
    files.model.write_text(json.dumps(record | {"style": fitted.dumps(_brighter(fitted.loads(record["style"])))}))
    other = explain.explain_clip(tmp_path, clip, tmp_path / "out")
    assert other["probabilities"] != said["probabilities"], "the stored style is what the clip is shown in"


def _brighter(fit: fitted.Fitted) -> fitted.Fitted:
    return replace(fit, histogram=np.roll(fit.histogram, 40, axis=1))


def test_generators_are_not_fitted_per_fold(stored: Path):
    with pytest.raises(ValueError, match="not fitted per fold"):
        folds.fit_fold({"d": stored}, ROWS, "d/s1", Style(method="clahe"), seed=0)


# ---------------------------------------------------------------- configuration


BASE = {"databases": {"a": {"adapter": "synthetic"}, "macro": {"adapter": "synthetic", "preset": "macro"}}}


def test_it_is_off_unless_asked_for_and_in_a_fold():
    assert "style" not in config.validate(BASE).features_of("a").stages
    for options, runs in (
        ({"method": "statistical", "fit_on": "all"}, True),
        ({"method": "statistical", "databases": ["macro"]}, True),
        ({"method": "statistical", "fit_on": "fold"}, False),
        ({"method": "clahe"}, True),
        ({"method": "none", "fit_on": "all"}, False),
    ):
        assert ("style" in config.validate(BASE | {"style": options}).features_of("a").stages) is runs


@pytest.mark.parametrize(
    ("style", "said"),
    [
        ({"method": "statistical"}, "needs the macro-expression databases"),
        ({"method": "statistical", "databases": ["nobody"]}, "'nobody' is not defined"),
        ({"method": "statistical", "fit_on": "all", "databases": ["macro"]}, "only used with `fit_on: external`"),
        ({"method": "cyclegan", "fit_on": "fold"}, "generators are not trained per fold"),
        ({"method": "cyclegan", "model": "m.pt"}, "needs the macro-expression databases"),
        ({"method": "statistical", "databases": ["a"]}, "a would be fitted on and is tested"),
        ({"method": "sepia"}, "statistical"),
        ({"colour": "grey"}, "`grey` needs a method"),
        ({"method": "clahe", "colour": "red"}, "'keep' or 'grey'"),
    ],
)
def test_styles_that_cannot_be_are_refused(style: dict, said: str):
    with pytest.raises(config.ConfigError, match=said):
        config.validate(BASE | {"style": style, "protocols": {"p": {"databases": ["a"]}}})


def test_what_a_teacher_learns_from_may_lend_its_style_too():
    tree = {
        **BASE,
        "style": {"method": "statistical", "databases": ["macro"]},
        "protocols": {"micro": {"databases": ["a"]}, "macro": {"databases": ["macro"]}},
        "pretraining": {"teacher": {"task": "sa_at", "protocol": "macro"}},
    }
    config.validate(tree)
    with pytest.raises(config.ConfigError, match="macro would be fitted on and is tested"):
        config.validate(tree | {"systems": {"s": {"system": "linear", "protocols": ["macro"]}}})


SA_AT = {"system": "sa_at", "protocols": ["p"], "recipe": {"beta": 0}}
SYSTEMS = BASE | {
    "protocols": {"p": {"databases": ["a"]}},
    "systems": {
        "styled": SA_AT,
        "recorded": SA_AT | {"recipe": {"beta": 0, "images": "faces"}},
        "other": {"system": "linear", "protocols": ["p"]},
    },
}


def test_a_system_that_reads_style_needs_one():
    with pytest.raises(config.ConfigError, match=r"systems\.styled: it reads /style.*style\.method is `none`"):
        config.validate(SYSTEMS)
    config.validate(SYSTEMS | {"style": {"method": "clahe"}})


def test_training_is_told_of_the_style_it_has_to_fit():
    told = {}
    for fit_on in ("fold", "all"):
        plan = workflow.Plan(SYSTEMS | {"style": {"method": "statistical", "fit_on": fit_on}}, refresh=False)
        told[fit_on] = {name: plan.fold_style(name) for name in plan.config.systems}
    assert told["all"] == {"styled": {}, "recorded": {}, "other": {}}
    styled = told["fold"].pop("styled")
    assert Style.model_validate(styled) == Style(method="statistical", fit_on="fold")
    assert told["fold"] == {"recorded": {}, "other": {}}


def test_the_plan_names_what_the_stage_reads():
    def plan(**style: object) -> workflow.Plan:
        return workflow.Plan(BASE | {"style": style}, refresh=False)

    trained = plan(method="cyclegan", fit_on="all")
    assert trained.style_files == ["results/style/fitted.json", "results/style/model.pt"]
    assert plan(method="cyclegan", fit_on="all", model="m.pt").style_weights == ["m.pt"]
    given = plan(method="statistical", model="mine.json")
    assert given.style_files == ["mine.json"]
    assert given.stage("style", "a")["model"] == "mine.json"
    external = plan(method="statistical", databases=["macro"])
    assert external.style_databases == ["macro"]
    assert trained.style_databases == ["a", "macro"]
    assert plan(method="clahe").style_files == []
    assert "style" not in plan().provenance("a")["fingerprints"]
    assert "style" in plan(method="clahe").provenance("a")["fingerprints"]


def test_extraction_fits_on_its_own_clips_or_takes_a_fit(shards: dict[str, Path], made: Path, tmp_path: Path):
    for number in range(2):
        (tmp_path / f"clip{number}").mkdir()
        with ShardReader(shards["faces"]) as reader:
            frames = reader.read(f"{SUBJECTS[number]}/c{number}").arrays["crops"]
        for index, frame in enumerate(frames):
            _write(tmp_path / f"clip{number}/img{index}.png", frame)
    paths = [tmp_path / "clip0", tmp_path / "clip1"]
    for style in ({"fit_on": "all"}, {"model": str(made.with_name("fitted.json"))}):
        tree = {"faces": {"mode": "precropped", "size": SIDE}, "style": {"method": "statistical", **style}}
        options = FeatureConfig.model_validate(tree)
        extract.extract(paths, tmp_path / "out.h5", options)
        assert feature_file.validate(tmp_path / "out.h5") == []
        with feature_file.open_features(tmp_path / "out.h5") as features:
            fit_databases = features.group_attrs("style")["fit_databases"]
            assert features["style/apex"].shape == (2, SIDE, SIDE, 3)
        assert fit_databases == ("extract" if "fit_on" in style else "d")


def _write(path: Path, image: np.ndarray) -> None:
    import cv2

    assert cv2.imwrite(str(path), image[..., ::-1])


def test_still_images_have_no_motion_to_keep(shards: dict[str, Path], made: Path, tmp_path: Path):
    from mer_features.workflow.assess import style as measure

    stills = {stage: tmp_path / f"{stage}.h5" for stage in ("faces", "apex", "style")}
    options = config.validate({"databases": {"d": {"adapter": "synthetic"}}}).features_of("d")
    with ShardReader(shards["faces"]) as faces, ShardReader(made) as style:
        for stage, path in stills.items():
            section = options.faces.model_copy(update={"stills": True}) if stage == "faces" else options.options(stage)
            with ShardWriter(path, stage, stages.plain(section)) as writer:
                for clip in CLIPS[:2]:
                    record = faces.read(clip.clip_id)
                    record.arrays |= {name: record.arrays[name][:1] for name in ("crops", "numbers")}
                    record.attrs["offset"] = 0
                    apex = ClipRecord(clip.clip_id, attrs={"onset": 0, "offset": 0, "apex": 0, "apex_source": "x"})
                    writer.add({"faces": record, "apex": apex, "style": style.read(clip.clip_id)}[stage])
    provenance: feature_file.Provenance = {"config": "{}", "fingerprints": {}, "versions": {}, "seed": 0}
    files = {stage: [path] for stage, path in stills.items()}
    feature_file.build(tmp_path / "d.h5", CLIPS[:2], files, Cache(), provenance)
    found = measure.measure({"d": tmp_path / "d.h5"}, {})["databases"]["d"]
    assert np.isnan(found["motion_px"])
    assert found["displacement_px"] < 0.15


def test_what_it_did_is_measured(shards: dict[str, Path], made: Path, tmp_path: Path):
    from mer_features.workflow.assess import style as measure

    path = _build(shards | {"style": made}, tmp_path / "d.h5")
    alone = measure.measure({"d": path}, {})
    assert alone["gap"] is None
    found = alone["databases"]["d"]
    assert found["clips"] == 4
    assert 0 < found["displacement_px"] < 0.15
    assert 0 < found["motion_px"] < 0.1
    assert "landmarks_px" not in found  # the sample has none
    # The same file twice: two databases that nothing tells apart.
    twice = measure.measure({"d": path, "e": path}, {}, threads=2)
    assert twice["databases"]["e"] == found
    assert twice["gap"]["colour"] == [0, 0]
    assert twice["gap"]["clips"] == 8
    assert twice["gap"]["chance"] == 0.5
