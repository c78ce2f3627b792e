"""`mer-features find` on films of a rendered face."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mer_features import cli
from mer_features import features as feature_file
from mer_features.commands import extract
from mer_features.commands.find import pictures, run
from mer_features.core.quality import Status
from mer_features.features.options import FeatureConfig
from mer_features.frames import open_frames
from mer_features.spotting import Recording, Spot, read_spots
from mer_features.stages.signals.store import SignalReader

from . import films
from .films import FPS, Film

NAME = "<b>two & more.mp4"
SAFE = "b_two_more"


def _call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = cli.main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return code, " ".join(printed.out.split()), " ".join(printed.err.split())


def _spots(folder: Path) -> tuple[Spot, ...]:
    return read_spots(folder / "events.tsv", [Recording(folder.name.removesuffix("-found"))]).rows


@pytest.fixture(scope="module")
def two() -> Film:
    return films.film(6, (1.5, 4.0))


@pytest.fixture(scope="module")
def found(two: Film, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a film of two expressions and its result, with clips."""
    folder = tmp_path_factory.mktemp("find")
    two.write(folder / NAME)
    (outcome,) = run.find([folder / NAME], folder, clips=True)
    assert outcome.error == ""
    assert outcome.failed == ()
    return folder


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take longer than everything else."""
    monkeypatch.setattr(pictures, "MOST", 0)


# What is found


def test_the_expressions_of_a_film_are_found_within_a_tenth_of_a_second(two: Film, found: Path):
    spots = _spots(found / f"{SAFE}-found")
    assert [spot.kind for spot in spots] == ["micro", "micro"]
    times = np.array([(spot.onset, spot.apex, spot.offset) for spot in spots]) / FPS
    assert np.abs(times - np.array(two.events) / FPS).max() <= 0.1


def test_the_result_is_whole(found: Path):
    folder = found / f"{SAFE}-found"
    assert {path.name for path in folder.iterdir()} == set(run.FILES)
    assert not list(found.glob(".*"))
    with SignalReader(folder / "signals.h5") as reader:
        assert len(reader.read(SAFE).number) == 180
    summary = json.loads((folder / "find.json").read_text())
    assert summary["spots"] == 2
    assert all(check["passed"] for check in summary["checks"])


def test_the_page_shows_each_spot_moving(found: Path):
    html = (found / f"{SAFE}-found" / "index.html").read_text()
    assert len(re.findall("data:image/webp", html)) == len(re.findall("data:image/jpeg", html)) == 2
    assert "magnified" in html
    assert "&lt;b&gt;two &amp; more.mp4" in html
    assert "<b>two" not in html


@pytest.mark.parametrize(
    ("case", "options"),
    [
        ("still", {"head_px": 0.0}),
        ("drift", {"head_px": 4.0, "flicker": 0.08}),
    ],
)
def test_nothing_is_found_where_nothing_is(tmp_path: Path, capsys, case: str, options: dict[str, float]):
    source = films.film(6, **options).write(tmp_path / f"{case}.mp4")
    code, printed, warned = _call(capsys, "find", source, "-o", tmp_path, "--clips")
    assert (code, warned) == (0, "")
    assert f"{source}: Nothing above the noise of this recording." in printed
    folder = tmp_path / f"{case}-found"
    assert _spots(folder) == ()
    assert "Nothing above the noise of this recording." in (folder / "index.html").read_text()
    assert not (folder / "clips.tsv").exists()


@pytest.mark.usefixtures("no_pictures")
def test_a_bad_film_is_named_and_does_not_stop_the_others(tmp_path: Path, two: Film, capsys):
    random = np.random.default_rng(0)
    empty = Film(random.integers(0, 255, (40, 120, 120, 3)).astype(np.uint8), ()).write(tmp_path / "empty.mp4")
    (tmp_path / "text.mp4").write_text("not a video")
    good = replace(two, images=two.images[:90]).write(tmp_path / "good.mp4")
    sources = [empty, tmp_path / "text.mp4", tmp_path / "missing.mp4", good]
    code, printed, _ = _call(capsys, "find", *sources, "-o", tmp_path / "out")
    assert code == 1
    assert f"rejected {empty}: no_face: in none of the frames" in printed
    assert f"rejected {sources[1]}: no_frames" in printed
    assert f"rejected {sources[2]}: source_missing" in printed
    assert f"{good}: 1 micro-expression." in printed
    assert "length: found 3.0 s, wanted at least 5 s." in printed
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"good-found"}


@pytest.mark.usefixtures("no_pictures")
def test_at_a_low_frame_rate_only_macro_expressions_are_searched(tmp_path: Path, two: Film, capsys):
    slow = replace(two, images=two.images[::3]).write(tmp_path / "slow.mp4", fps=10)
    code, printed, _ = _call(capsys, "find", slow, "-o", tmp_path)
    assert code == 0
    assert "frame rate: found 10.0 per second, wanted at least 25. Only macro-expressions were searched." in printed
    assert "micro-expression" not in printed


@pytest.mark.usefixtures("no_pictures")
def test_a_folder_of_frames_needs_its_frame_rate(tmp_path: Path, two: Film, capsys):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, image in enumerate(two.images[:90], start=100):
        cv2.imwrite(str(folder / f"img{number}.jpg"), image[..., ::-1])
    code, printed, _ = _call(capsys, "find", folder, "-o", tmp_path)
    assert code == 1
    assert "add `--fps RATE`" in printed
    code, printed, _ = _call(capsys, "find", folder, "-o", tmp_path, "--fps", FPS, "--clips")
    assert code == 0
    (spot,) = _spots(tmp_path / "frames-found")
    assert abs(spot.apex - 100 - two.events[0][1]) <= 3
    assert (tmp_path / "frames-found" / "clips.tsv").read_text().split()[-1] == "30"


@pytest.mark.parametrize(("header", "used"), [(1000.0, 30.0), (29.0, 29.0), (None, 30.0)])
def test_a_wrong_frame_rate_of_a_video_is_replaced_by_that_of_its_time_stamps(two: Film, tmp_path: Path, header, used):
    frames = open_frames(replace(two, images=two.images[:60, ::8, ::8]).write(tmp_path / "film.mp4"))
    frames.fps = header
    run._correct_rate(frames)
    assert frames.fps == pytest.approx(used, rel=1e-3)


def test_a_frame_rate_that_no_camera_has_is_refused(tmp_path: Path, capsys):
    code, _, warned = _call(capsys, "find", tmp_path, "--fps", "nan")
    assert code == 2
    assert "found nan frames per second" in warned


# Clips


def test_the_workflow_takes_the_clips(found: Path, capsys):
    code, printed, _ = _call(capsys, "check", found / f"{SAFE}-found" / "config.yaml")
    assert code == 0, printed
    assert "2 listed: 2 found" in printed


def test_extract_takes_the_clips(found: Path, two: Film, tmp_path: Path):
    table, output = found / f"{SAFE}-found" / "clips.tsv", tmp_path / "clips.h5"
    config = FeatureConfig.model_validate(
        {
            "magnify": {"method": "none"},
            "apex": {"spotters": ["roi_diff"]},
            "flow": {"method": "farneback", "pairs": ["onset_apex"]},
        }
    )
    outcome = extract.extract([table], output, config, root=found)
    assert outcome[Status.REJECTED] == []
    with feature_file.open_features(output) as features:
        rows = list(features.clips)
        assert [row.clip_id for row in rows] == [f"{SAFE}/001-micro", f"{SAFE}/002-micro"]
        for row, (onset, _, offset) in zip(rows, two.events, strict=True):
            assert row.n_frames == pytest.approx(offset - onset + 1 + 12, abs=6)


def test_extract_refuses_tables_that_it_cannot_use(tmp_path: Path, capsys):
    table = tmp_path / "clips.tsv"
    table.write_text("subject\tpath\n")
    code, _, warned = _call(capsys, "extract", table, "-o", tmp_path / "x.h5")
    assert (code, "found no clip below the header" in warned) == (2, True)
    table.write_text("subject\tpath\na\tf.mp4\na\tf.mp4\n")
    code, _, warned = _call(capsys, "extract", table, "-o", tmp_path / "x.h5")
    assert (code, "found the clip a/f twice" in warned) == (2, True)


def test_extract_points_to_find_for_a_long_video(tmp_path: Path, two: Film):
    small = replace(two, images=two.images[:, ::8, ::8])
    long, short = (
        small.write(tmp_path / "a film.mp4"),
        replace(small, images=small.images[:60]).write(tmp_path / "b.mp4"),
    )
    (note,) = extract.long_recordings([long, short, tmp_path / "missing.mp4"])
    assert f"{long}: 6 s long. The whole file is taken as one clip" in note
    assert f"`mer-features find '{long}'`" in note


def test_extract_points_to_find_for_a_long_folder(tmp_path: Path):
    for number in range(1001):
        (tmp_path / f"{number}.png").touch()
    (note,) = extract.long_recordings([tmp_path])
    assert f"{tmp_path}: 1001 frames long." in note


# Result folders


def _find(sources: Sequence[Path], output: Path) -> list[run.Outcome]:
    return list(run.find(sources, output))


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source whose search is replaced by writing one file, so that only the folders are tested."""

    def search(source: Path, folder: Path, fps: float | None, *, clips: bool) -> run.Outcome:
        with run._replacing(folder) as target:
            if "broken" in source.name:
                (target / "events.tsv").touch()
                raise ValueError(f"{source}: broken")
            (target / run.MARK).write_text(source.name)
        return run.Outcome(source, folder)

    monkeypatch.setattr(run, "_find", search)
    return tmp_path / "film.mp4"


def test_an_earlier_result_is_replaced(source: Path, tmp_path: Path):
    folder = tmp_path / "film-found"
    folder.mkdir()
    (folder / run.MARK).touch()
    (folder / "clips.tsv").touch()
    _find([source], tmp_path)
    assert [path.name for path in folder.iterdir()] == [run.MARK]
    assert (folder / run.MARK).read_text() == "film.mp4"
    assert folder.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("names", [("notes.txt",), (run.MARK, "notes.txt"), ("index.html",)])
def test_a_folder_of_someone_else_is_never_replaced(source: Path, tmp_path: Path, names: tuple[str, ...]):
    folder = tmp_path / "film-found"
    folder.mkdir()
    for name in names:
        (folder / name).touch()
    with pytest.raises(ValueError, match=f"film-found.*{names[-1]}"):
        _find([source], tmp_path)
    assert {path.name for path in folder.iterdir()} == set(names)


def test_a_result_never_replaces_a_source(source: Path, tmp_path: Path):
    inside = tmp_path / "film-found" / "film.mp4"
    inside.parent.mkdir()
    inside.touch()
    with pytest.raises(ValueError, match="would overwrite"):
        _find([inside], tmp_path)
    assert inside.exists()


def test_a_file_or_a_link_in_place_of_the_folder_is_refused(source: Path, tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "film-found").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="not a folder"):
        _find([source], tmp_path)


def test_films_of_one_name_get_two_folders(source: Path, tmp_path: Path):
    outcomes = _find([source, tmp_path / "other" / "film.mkv"], tmp_path)
    assert [outcome.folder.name for outcome in outcomes] == ["film-found", "film.2-found"]


def test_a_failure_leaves_the_earlier_result_and_nothing_else(source: Path, tmp_path: Path):
    broken = tmp_path / "broken.mp4"
    folder = tmp_path / "broken-found"
    folder.mkdir()
    (folder / run.MARK).write_text("earlier")
    (outcome,) = _find([broken], tmp_path)
    assert outcome.error == "broken"
    assert (folder / run.MARK).read_text() == "earlier"
    assert [path.name for path in tmp_path.iterdir()] == ["broken-found"]


def test_what_a_kill_left_is_removed_by_the_next_run(source: Path, tmp_path: Path):
    left = tmp_path / ".film-found.123.abc.tmp"
    left.mkdir()
    (left / "index.html").touch()
    _find([source], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["film-found"]
