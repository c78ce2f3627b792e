"""The command line on real pixels: the portrait, whole and broken."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from skimage import data

from mer_features import cli
from mer_features import features as feature_file

PORTRAIT = data.astronaut()[:300, 80:380]


def _frames(folder: Path, images: list[np.ndarray]) -> Path:
    folder.mkdir(parents=True)
    for number, image in enumerate(images, start=7):
        cv2.imwrite(str(folder / f"img{number}.png"), image[..., ::-1])
    return folder


def _moving(count: int) -> list[np.ndarray]:
    """The portrait, its lower half (the mouth) moving down by up to two pixels and back."""
    rows = np.linspace(-1, 1, PORTRAIT.shape[0])[:, None] * np.ones(PORTRAIT.shape[1])
    grid = np.mgrid[: PORTRAIT.shape[0], : PORTRAIT.shape[1]].astype(np.float32)
    images = []
    for step in range(count):
        shift = 2 * np.sin(np.pi * step / (count - 1)) * np.clip(rows * 3, 0, 1)
        moved = cv2.remap(PORTRAIT, grid[1], grid[0] - shift.astype(np.float32), cv2.INTER_LINEAR)
        images.append(moved)
    return images


def _video(path: Path, images: list[np.ndarray]) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(25))
        stream.height, stream.width = images[0].shape[:2]
        stream.bit_rate = 4_000_000
        for image in images:
            for packet in stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


@pytest.fixture
def extract(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Runs `extract`; exit code, what was printed, and the file."""

    def run(*paths: Path, more: tuple[str, ...] = ()) -> tuple[int, str, Path]:
        output = tmp_path / "out.h5"
        code = cli.main(["extract", *map(str, paths), "-o", str(output), *more])
        return code, " ".join(capsys.readouterr().out.split()), output

    return run


def test_a_folder_and_a_video_give_one_valid_file(tmp_path: Path, extract):
    folder = _frames(tmp_path / "walk" / "frames", _moving(5))
    video = _video(tmp_path / "walk" / "video.mp4", _moving(9))
    sheet = tmp_path / "sheet.png"
    code, printed, output = extract(folder, video, more=("--contact-sheet", str(sheet)))
    assert code == 0, printed
    assert feature_file.validate(output) == []
    with feature_file.open_features(output) as features:
        rows = {row.subject: row for row in features.clips}
        assert rows["frames"].apex == 9  # files 7 to 11, the middle one moves most
        assert rows["frames"].n_frames == 5
        assert rows["video"].fps == pytest.approx(25)
        assert rows["video"].apex in {3, 4, 5}
        flow = features.flow("frames/frames")
    mouth = flow[1, 190:230, 100:160]
    assert mouth.mean() > 0.5  # down is positive
    assert abs(flow[1, 60:110, 60:200].mean()) < 0.3
    assert cv2.imread(str(sheet)).shape[0] > 100
    assert not list(tmp_path.glob(".out.h5*"))


@pytest.mark.parametrize(
    ("case", "code", "said"),
    [
        ("noise", 1, "rejected {path} onset_missing offset_missing no_face"),
        ("two", 0, "warned {path} several_faces"),
        ("corrupt", 1, "rejected {path} unreadable_frame img8.png"),
        ("truncated", 0, "warned {path} truncated_video"),
        ("text", 1, "rejected {path} no_frames"),
        ("missing", 1, "rejected {path} source_missing"),
    ],
)
def test_bad_input_ends_in_its_state(tmp_path: Path, extract, case: str, code: int, said: str):
    path = tmp_path / "in" / case
    if case == "noise":
        noise = np.random.default_rng(0).integers(0, 255, (3, 240, 320, 3), np.uint8)
        _frames(path, list(noise))
    elif case == "two":
        face = data.astronaut()[:260, 120:340]
        _frames(path, [np.hstack([face, face[:, ::-1]])] * 3)
    elif case == "corrupt":
        _frames(path, _moving(3))
        (path / "img8.png").write_bytes((path / "img8.png").read_bytes()[:1000])
    elif case == "truncated":
        path = _video(path.with_suffix(".avi") if path.parent.mkdir() is None else path, _moving(30))
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif case == "text":
        path.parent.mkdir()
        path = path.with_suffix(".mp4")
        path.write_text("not a video")
    found, printed, _ = extract(path)
    assert found == code, printed
    for word in said.format(path=path).split():
        if word not in {"onset_missing", "offset_missing"} or found == 0:
            assert word in printed


def test_one_bad_clip_does_not_stop_the_others(tmp_path: Path, extract):
    good = _frames(tmp_path / "good", _moving(3))
    code, _, output = extract(good, tmp_path / "gone")
    assert code == 1
    with feature_file.open_features(output) as features:
        assert [row.subject for row in features.clips] == ["good"]
        assert [(item.clip_id, item.code) for item in features.rejected] == [("gone/gone", "source_missing")]


def test_wrong_configuration_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "my.yaml"
    path.write_text("flow: {metod: tvl1}")
    assert cli.main(["extract", "x", "-o", str(tmp_path / "o.h5"), "--config", str(path)]) == 2
    assert "metod" in capsys.readouterr().err


def test_check_tells_by_exit_code_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    _frames(tmp_path / "db" / "a", _moving(2))
    (tmp_path / "db" / "clips.tsv").write_text(
        "subject\tpath\tonset\toffset\temotion\ns1\ta\t7\t8\tfear\ns2\tb\t7\t8\tfear\n"
    )
    config = tmp_path / "my.yaml"
    config.write_text(f"databases: {{mine: {{adapter: table, root: {tmp_path / 'db'}, table: clips.tsv}}}}")
    assert cli.main(["check", str(config), "--json"]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed["problems"] == ["database mine: 1 of 2 clips rejected"]
    (found,) = printed["databases"]
    assert [found[key] for key in ("clips", "found", "missing", "unlisted", "duplicates")] == [2, 1, 1, 0, 0]
    assert found["emotions"] == {"fear": 2}
    assert [(issue["clip"], issue["code"]) for issue in found["issues"]] == [("s2/b", "source_missing")]
    (tmp_path / "db" / "clips.tsv").write_text("subject\tpath\ns1\ta\n")
    assert cli.main(["check", str(config)]) == 0
    config.write_text("databases: {mine: {adapter: table, root: /nowhere, table: clips.tsv}}")
    assert cli.main(["check", str(config)]) == 1
    assert "/nowhere" in capsys.readouterr().out


def test_show_validate_export(tmp_path: Path, extract, capsys: pytest.CaptureFixture[str]):
    _, _, output = extract(_frames(tmp_path / "walk", _moving(3)))
    assert cli.main(["show", str(output)]) == 0
    assert "flow/u" in capsys.readouterr().out.replace("/flow/u", "flow/u")
    assert cli.main(["validate", str(output)]) == 0
    assert cli.main(["export", str(output), "csv", "-o", str(tmp_path / "c.csv")]) == 0
    assert "walk/walk" in (tmp_path / "c.csv").read_text()
    for kind in ("npz", "png"):
        assert cli.main(["export", str(output), kind, "-o", str(tmp_path / kind)]) == 0
        assert list((tmp_path / kind).rglob(f"*.{kind}"))
    output.write_bytes(output.read_bytes()[:2000])
    assert cli.main(["validate", str(output)]) == 1
    assert cli.main(["show", str(output)]) == 2
