"""The teacher of SA-AT on still images: BU-3DFE as its owners distribute it, up to a run that uses its teacher."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

torch = pytest.importorskip("torch", reason="needs the extra `train`")
pytest.importorskip("lightning", reason="needs the extra `train`")

from mer_features import databases, protocols, report, training
from mer_features import features as feature_file
from mer_features.commands import extract
from mer_features.core import clips as clip_tables
from mer_features.core.clips import Clip
from mer_features.core.quality import Status
from mer_features.features import export
from mer_features.protocols.options import Protocol
from mer_features.stages import run as stages
from mer_features.stages.options import Style
from mer_features.stages.store import ShardReader
from mer_features.stages.style import fitted
from mer_features.systems.common import inputs, macro
from mer_features.systems.registry import pretraining_recipe
from mer_features.systems.sa_at import train
from mer_features.systems.sa_at.recipe import SAATTeacherRecipe
from mer_features.training.options import Pretraining, System
from mer_features.training.style import fitting
from mer_features.workflow import config
from mer_features.workflow.config import Config

SIDE = 64
TINY = {"stem": "strided", "size": 32, "batch_size": 16, "epochs": 1}
STYLE = {"method": "statistical", "fit_on": "external", "databases": ["bu"]}
MODELS = ("NE00", *(f"{word}{level:02d}" for word in ("AN", "DI", "FE", "HA", "SA", "SU") for level in range(1, 5)))
WORDS = {"negative": "disgust", "positive": "happiness", "surprise": "surprise"}


def face(seed: int, mouth: float = 1.0) -> np.ndarray:
    """A portrait (240, 240, 3) uint8, BGR, in a tint of its own; ``mouth`` is the gain around the mouth."""
    picture = skimage.data.astronaut()[20:260, 110:350, ::-1].astype(float)
    y, x = np.mgrid[:240, :240]
    spot = np.exp(-((x - 115) ** 2 + (y - 125) ** 2) / 400)[..., None]
    tint = np.random.default_rng(seed).uniform(0.85, 1.15, 3)
    return np.clip(np.rint(picture * tint * (1 + (mouth - 1) * spot)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BU-3DFE with two of its hundred subjects, and nine clips of three people with three frames each."""
    home = tmp_path_factory.mktemp("home")
    for number, (subject, ethnicity) in enumerate((("F0001", "WH"), ("M0044", "AE"))):
        folder = home / "BU_3DFE" / subject
        folder.mkdir(parents=True)
        for index, model in enumerate(MODELS):
            image = face(100 * number + index, mouth=0.5 + 0.2 * (index // 4))
            assert cv2.imwrite(str(folder / f"{subject}_{model}{ethnicity}_F2D.bmp"), image)
            (folder / f"{subject}_{model}{ethnicity}_F3D.wrl").write_text("#VRML V2.0 utf8\n")
    with (home / "clips.tsv").open("w", newline="") as handle:
        table = csv.writer(handle, delimiter="\t")
        table.writerow(("subject", "path", "onset", "apex", "offset", "emotion"))
        for person in range(3):
            for index, word in enumerate(WORDS.values()):
                folder = home / f"p{person}" / word
                folder.mkdir(parents=True)
                for frame, gain in enumerate((1.0, 0.6 + 0.5 * index, 1.0)):
                    assert cv2.imwrite(str(folder / f"{frame}.png"), face(7 + person, gain))
                table.writerow((f"p{person}", f"p{person}/{word}", 0, 1, 2, word))
    return home


def tree(home: Path, **more: object) -> dict:
    """A configuration with both databases, their protocols and a small teacher."""
    return {
        "databases": {
            "bu": {"adapter": "bu3dfe", "root": str(home)},
            "micro": {"adapter": "table", "root": str(home), "table": "clips.tsv"},
        },
        "faces": {"size": SIDE},
        "style": STYLE,
        "descriptors": {"methods": []},
        "magnify": {"method": "none"},
        "protocols": {
            "macro": {"databases": ["bu"], "labels": "bu3dfe-3"},
            "micro": {"databases": ["micro"], "labels": "megc2019"},
        },
        "pretraining": {"teacher": {"task": "sa_at", "protocol": "macro", "recipe": {**TINY, "network": "resnet8"}}},
        **more,
    }


@pytest.fixture(scope="module")
def settings(home: Path) -> Config:
    return config.validate(tree(home))


@pytest.fixture(scope="module")
def clips(settings: Config) -> dict[str, tuple[Clip, ...]]:
    return {name: databases.read(name, item).clips for name, item in settings.databases.items()}


@pytest.fixture(scope="module")
def caches(settings: Config, clips: dict[str, tuple[Clip, ...]], tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The feature file of each database, made by the stages that the configuration runs."""
    folder = tmp_path_factory.mktemp("features")
    files: dict[str, dict] = {name: {} for name in clips}
    for stage in ("faces", "apex", "flow", "style"):
        if stage == "style":
            faces = [files["bu"]["faces"]]
            fit = fitting.fit_shards(faces, settings.style, seed=0, databases=["bu"])
            fitted.write(folder / "fitted.json", fit)
        for name, listed in clips.items():
            features = settings.features_of(name).with_style_fit(folder / "fitted.json")
            if stage in features.stages:
                options = features.options(stage)
                read = {other: files[name][other] for other in stages.inputs(stage, options)}
                files[name][stage] = folder / f"{name}-{stage}.h5"
                stages.run(stage, listed, read, files[name][stage], options)
    made = {name: folder / f"{name}.h5" for name in clips}
    for name, listed in clips.items():
        features = settings.features_of(name).with_style_fit(folder / "fitted.json")
        shards = {stage: [path] for stage, path in files[name].items()}
        feature_file.build(made[name], listed, shards, features.cache, features.provenance())
    return made


@pytest.fixture(scope="module")
def tables(settings: Config, clips: dict[str, tuple[Clip, ...]], tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The table of each protocol."""
    folder = tmp_path_factory.mktemp("protocols")
    for name, listed in (("macro", clips["bu"]), ("micro", clips["micro"])):
        protocols.write(folder / f"{name}.tsv", protocols.build(name, listed, settings.protocols[name], 0))
    return {name: folder / f"{name}.tsv" for name in ("macro", "micro")}


@pytest.fixture(scope="module")
def teacher(settings: Config, caches: dict, tables: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    task = settings.pretraining["teacher"]
    training.pretrain(task, caches={"bu": caches["bu"]}, protocol_tsv=tables["macro"], faces=(), output_dir=folder)
    return folder


def test_the_feature_file_of_still_images_holds_faces_and_no_movement(caches: dict, settings: Config):
    assert settings.features_of("bu").stages == ("faces", "apex", "style")
    with feature_file.open_features(caches["bu"]) as features:
        assert set(features.groups) - {"rejected"} == settings.features_of("bu").groups == {"faces", "style"}
        assert len(features.clips) == 50
        assert features.rejected == ()
        for row, clip in enumerate(features.clips):
            assert (clip.status, clip.n_frames, clip.apex_source) == ("ok", 1, "still image")
            assert clip.onset == clip.apex == clip.offset == 0
            np.testing.assert_array_equal(features["faces/onset"][row], features["faces/apex"][row])
        assert len({features["faces/apex"][row].tobytes() for row in range(50)}) == 50
        with pytest.raises(feature_file.CacheError, match=r"needs /flow; the file has /faces"):
            features.flow(features.clips[0].clip_id)
    assert feature_file.validate(caches["bu"]) == []
    with feature_file.open_features(caches["micro"]) as features:
        assert {"faces", "spotting", "flow", "style"} < {*features.groups}
        assert all("few_frames" not in clip.codes for clip in features.clips)


def test_a_teacher_learns_from_still_images(teacher: Path, tables: dict):
    said = json.loads((teacher / "summary.json").read_text())
    table = protocols.read(tables["macro"])
    assert Counter(row.label for row in table.rows) == {"negative": 32, "positive": 8, "surprise": 8}
    assert said["databases"] == ["bu"]
    assert said["classes"] == ["negative", "positive", "surprise"]
    assert said["clips"] + said["held_out"]["clips"] == 48


@pytest.mark.parametrize("recipe", [{}, {"micro_training": False}])
def test_sa_at_runs_from_this_teacher(recipe: dict, caches: dict, tables: dict, teacher: Path, tmp_path: Path):
    options = recipe or {**TINY, "student": "resnet8", "batch_size": 4}
    system = System(
        system="sa_at", protocols=("micro",), pretrained="teacher", recipe={**options, "size": 32, "stem": "strided"}
    )
    sources = training.Sources({"micro": caches["micro"]}, tables["micro"], teacher / "weights.pt")
    folds = protocols.fold_names(tables["micro"])
    training.train_folds(sources, system, folds=folds, seed=0, output_dir=tmp_path)
    with (tmp_path / "predictions.tsv").open() as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    assert len(rows) == 9
    losses = (tmp_path / "losses.csv").read_text()
    assert ("attention" in losses) is not bool(recipe)


MOVING = {
    "fr": "it reads /flow, and there is /faces, /style",
    "map_mer": "it reads /magnified, /flow, and there is /faces, /style",
    "eidnet": "it compares frames of a clip, and a database of still images has one frame for each",
    "ma2mi": "it compares frames of a clip",
    "linear": "it reads /flow",
}


@pytest.mark.parametrize(("system", "said"), MOVING.items())
def test_systems_that_need_movement_refuse_still_images(system: str, said: str, home: Path):
    recipes = {"eidnet": {"phases": "I"}, "ma2mi": {"pretrain": "none"}}
    entry = {"system": system, "protocols": ["macro"], "recipe": recipes.get(system, {})}
    with pytest.raises(config.ConfigError, match=rf"systems\.s: {said}.*\(databases bu\)"):
        config.validate(tree(home, systems={"s": entry}, style={"method": "statistical", "fit_on": "all"}))


@pytest.mark.parametrize(
    ("task", "recipe"), [("eidnet", {}), ("sa_at", {"frames": 3}), ("ma2mi_recognition", {}), ("autoencoder", {})]
)
def test_pretrainings_that_need_movement_refuse_still_images(task: str, recipe: dict, home: Path):
    source = {"databases": ["bu"]} if task == "autoencoder" else {"protocol": "macro"}
    entry = {"task": task, **source, "recipe": recipe}
    with pytest.raises(config.ConfigError, match=r"pretraining\.p: it compares frames of a clip.*\(databases bu\)"):
        config.validate(tree(home, pretraining={"p": entry}))


def test_a_file_of_still_images_is_refused_in_training_too(caches: dict, tables: dict, tmp_path: Path):
    task = Pretraining(task="eidnet", protocol="macro")
    with pytest.raises(ValueError, match=r"'eidnet': it compares frames of a clip.*bu\.h5"):
        training.pretrain(
            task, caches={"bu": caches["bu"]}, protocol_tsv=tables["macro"], faces=(), output_dir=tmp_path
        )


def test_a_micro_expression_of_one_frame_is_rejected(home: Path, settings: Config, tmp_path: Path):
    one = Clip("p0/one", "micro", "p0", str(home / "p0/disgust"), first=1, last=1)
    with ShardReader(_faces(one, settings.features_of("micro"), tmp_path / "a.h5")) as reader:
        assert [issue.code for issue in reader.read("p0/one").issues] == ["few_frames"]
    picture = Clip("p0/one", "micro", "p0", str(home / "p0/disgust/1.png"))
    with ShardReader(_faces(picture, settings.features_of("micro"), tmp_path / "b.h5")) as reader:
        assert [issue.code for issue in reader.read("p0/one").issues] == ["few_frames"]
    many = Clip("p0/many", "bu", "p0", str(home / "p0/disgust"))
    with ShardReader(_faces(many, settings.features_of("bu"), tmp_path / "c.h5")) as reader:
        assert [issue.code for issue in reader.read("p0/many").issues] == ["several_frames"]


def _faces(clip: Clip, features: feature_file.FeatureConfig, output: Path) -> Path:
    stages.run("faces", (clip,), {}, output, features.faces)
    return output


def test_readers_of_feature_files_take_still_images(
    caches: dict, clips: dict[str, tuple[Clip, ...]], settings: Config, tmp_path: Path
):
    (tmp_path / "bu.tsv").write_text(clip_tables.dumps(clips["bu"]), encoding="utf-8", newline="")
    report.build(
        tmp_path / "report.html", clips={"bu": tmp_path / "bu.tsv"}, caches={"bu": caches["bu"]}, assess={},
        protocols={}, runs={}, config=settings.model_dump(mode="json", by_alias=True),
    )  # fmt: skip
    assert "still image" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "apex from: 50 still image" in feature_file.describe(caches["bu"])
    first = clips["bu"][0].clip_id
    written = {path.name for path in export.to_png(caches["bu"], tmp_path / "png") if first in path.as_posix()}
    assert written == {"onset.png", "apex.png", "offset.png", "onset_style.png", "apex_style.png"}


def test_pictures_can_be_extracted_without_a_database(home: Path, settings: Config, tmp_path: Path):
    pictures = sorted((home / "BU_3DFE/F0001").glob("*.bmp"))[:2]
    options = settings.features_of("bu").model_copy(update={"style": Style()})
    outcome = extract.extract(pictures, tmp_path / "out.h5", options)
    assert [clip.name for clip in outcome[Status.OK]] == [path.stem for path in pictures]
    with feature_file.open_features(tmp_path / "out.h5") as features:
        assert set(features.groups) - {"rejected"} == {"faces"}


# ---------------------------------------------------------------- which images the teacher sees


def test_the_teacher_can_see_style_aggregated_images(caches: dict, tables: dict, tmp_path: Path):
    recipe = {**TINY, "network": "resnet8", "images": "style"}
    task = Pretraining(task="sa_at", protocol="macro", recipe=recipe)
    training.pretrain(task, caches={"bu": caches["bu"]}, protocol_tsv=tables["macro"], faces=(), output_dir=tmp_path)
    weights, about = macro.read(tmp_path / "weights.pt", "sa_at")
    assert about["images"] == "style"
    images = []
    held_out = json.loads((tmp_path / "summary.json").read_text())["held_out"]["clips"]
    with feature_file.open_features(caches["bu"]) as features:
        for row in protocols.read(tables["macro"]).rows:
            images.append(inputs.rgb(features["style/apex"][features.index(row.clip_id)], 32))
    halves = np.stack(images).reshape(2, -1, 3, 32, 32)  # by subject, one of whom is held out
    assert held_out == len(halves[0])
    means = [half.astype(float).mean(axis=(0, 2, 3)) / 255 for half in halves]
    assert any(np.allclose(weights["mean"], mean, rtol=1e-5) for mean in means)


def test_several_frames_of_a_clip_are_examples_of_their_own():
    recipe = SAATTeacherRecipe(frames=2, size=32)
    assert recipe.compares_frames
    keyframes = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((5, 32, 32, 3), np.uint8)
    clip = {"faces/keyframes": keyframes, inputs.NUMBERS: np.array([10, 11, 12, 13, 14]), inputs.APEX: np.int64(14)}
    assert set(train.pretraining_variables(recipe)) == set(clip)
    made = train.pretraining_prepare(recipe, clip)["image"]
    assert made.shape == (2, 3, 32, 32)
    assert made[:, 0, 0, 0].tolist() == [3, 4]  # the last ones, as in CK+
    with pytest.raises(ValueError, match=r"found 7; set cache\.keyframes"):
        train.pretraining_prepare(SAATTeacherRecipe(frames=7, size=32), clip)
    with pytest.raises(ValueError, match="/style has the apex alone"):
        pretraining_recipe("sa_at", {"images": "style", "frames": 3})


def test_frames_of_a_clip_multiply_the_teachers_examples(caches: dict, tables: dict, tmp_path: Path):
    recipe = {**TINY, "network": "resnet8", "frames": 3, "held_out": 0.34}
    task = Pretraining(task="sa_at", protocol="micro", recipe=recipe)
    sources = {"micro": caches["micro"]}
    training.pretrain(task, caches=sources, protocol_tsv=tables["micro"], faces=(), output_dir=tmp_path)
    said = json.loads((tmp_path / "summary.json").read_text())
    assert (said["clips"], said["held_out"]["clips"]) == (18, 9)  # nine clips of three frames; one person is held out


# ---------------------------------------------------------------- configurations


@pytest.mark.parametrize("colour", ["keep", "grey"])
def test_sa_at_with_learned_style_of_a_macro_database(colour: str, home: Path):
    style = {"method": "cyclegan", "fit_on": "external", "databases": ["bu"], "colour": colour}
    teacher = {"task": "sa_at", "protocol": "macro", "recipe": {"images": "style"}}
    system = {"system": "sa_at", "protocols": ["micro"], "pretrained": "teacher"}
    made = config.validate(tree(home, style=style, pretraining={"teacher": teacher}, systems={"sa-at": system}))
    assert "style" in made.groups_of(("micro",)) & made.groups_of(("bu",))
    assert Protocol.model_validate(made.protocols["macro"].model_dump()) == made.protocols["macro"]
