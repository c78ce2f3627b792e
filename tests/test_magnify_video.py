"""Magnification of videos by the command line: what comes out, and that nothing half comes out."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from mer_features import cli
from mer_features.commands import magnify_video
from mer_features.frames import open_frames, write
from mer_features.stages.magnify import magnify
from mer_features.stages.options import Magnify

from .magnify.pictures import registered, shifted, stored, texture

PICTURE = texture(96, sigma=2.5)
RATE = 25.0


def _trembling(count: int = 6, size: float = 0.3) -> list[np.ndarray]:
    """A picture that moves to the right and back, the first frame at rest; RGB."""
    shifts = [size * np.sin(np.pi * index / (count - 1)) for index in range(count)]
    return [np.repeat(stored(shifted(PICTURE, shift, 0))[..., None], 3, axis=2) for shift in shifts]


def _write(path: Path, images: list[np.ndarray], times: list[float] | None = None) -> Path:
    times = times or [index / RATE for index in range(len(images))]
    write.write(path, zip(images, times, strict=True), RATE)
    return path


def _images(path: Path) -> list[np.ndarray]:
    return [frame.image for frame in open_frames(path)]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    def call(*arguments: object) -> tuple[int, str]:
        code = cli.main(["magnify", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, " ".join((captured.out + captured.err).split())

    return call


# The writer


def test_a_lossless_video_comes_back_as_it_went_in(tmp_path: Path):
    images = _trembling(3)
    images[0][:20, :30] = (250, 10, 90)
    found = _images(_write(tmp_path / "v.mkv", images))
    np.testing.assert_array_equal(found, images)


@pytest.mark.parametrize("name", ["v.mp4", "v.mov"])
def test_h264_keeps_colours_and_makes_sides_even(tmp_path: Path, name: str):
    images = [np.full((61, 47, 3), (200, 80, 40), np.uint8) for _ in range(3)]
    found = _images(_write(tmp_path / name, images))
    assert found[0].shape == (62, 48, 3)
    assert np.abs(np.stack(found).astype(int) - (200, 80, 40)).max() <= 3


def test_every_frame_keeps_its_time(tmp_path: Path):
    times = [0.5, 0.54, 0.58, 0.7, 0.75]
    frames = open_frames(_write(tmp_path / "v.mp4", _trembling(5), times))
    np.testing.assert_allclose([frame.time_s for frame in frames], np.array(times) - 0.5, atol=1e-4)


def test_grey_frames_become_a_grey_picture(tmp_path: Path):
    grey = [image[..., :1] for image in _trembling(2)]
    np.testing.assert_array_equal(_images(_write(tmp_path / "v.mkv", grey)), np.repeat(grey, 3, axis=3))


def test_frames_are_taken_as_they_are_written(tmp_path: Path):
    """The source is never more than an encoder's look-ahead ahead of the file: memory stays flat."""
    alive = []

    def frames():
        for index in range(300):
            image = np.full((32, 32, 3), index % 256, np.uint8)
            alive.append(index)
            yield image, index / RATE

    assert write.write(tmp_path / "v.mp4", frames(), RATE) == 300
    assert alive == list(range(300))


# The command


def test_a_movement_against_the_first_frame_is_magnified(tmp_path: Path, run):
    source = _write(tmp_path / "in.mkv", _trembling())
    code, said = run(source, "-o", tmp_path / "out.mkv", "--factor", 5, "--low", 0)
    assert (code, said) == (0, f"wrote {tmp_path / 'out.mkv'}: 6 frames")
    before, after = _images(source), _images(tmp_path / "out.mkv")
    np.testing.assert_array_equal(after[0], before[0])
    for index in (1, 3):
        wanted = 5 * registered(before[0], before[index])
        np.testing.assert_allclose(registered(before[0], after[index]), wanted, atol=0.08)
        np.testing.assert_array_equal(after[index], magnify(before[0], before[index], 5))


def test_a_video_keeps_its_times_and_its_rotation_is_applied(tmp_path: Path, run):
    times = [0, 0.04, 0.1, 0.13]
    source = _write(tmp_path / "in.mp4", [image[:, :64] for image in _trembling(4)], times)
    plain = _images(source)[0]
    data = bytearray(source.read_bytes())
    start = data.index(b"tkhd") + 4 + 40  # the display matrix of ISO 14496-12: a quarter turn clockwise
    data[start : start + 36] = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    source.write_bytes(data)
    assert run(source, "-o", tmp_path / "out.mkv", "--factor", 3)[0] == 0
    found = list(open_frames(tmp_path / "out.mkv"))
    np.testing.assert_allclose([frame.time_s for frame in found], times, atol=1e-3)
    np.testing.assert_array_equal(found[0].image, np.rot90(plain, -1))


def test_a_folder_needs_a_frame_rate(tmp_path: Path, run):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, image in enumerate(_trembling(4), start=11):
        cv2.imwrite(str(folder / f"{number}.png"), image[..., ::-1])
    code, said = run(folder, "-o", tmp_path / "out.mkv")
    assert code == 2
    assert "--fps" in said
    assert run(folder, "-o", tmp_path / "out.mkv", "--fps", 50)[0] == 0
    times = [frame.time_s for frame in open_frames(tmp_path / "out.mkv")]
    np.testing.assert_allclose(times, np.arange(4) / 50, atol=1e-3)


@pytest.mark.parametrize("method", ["phase", "eulerian"])
def test_factor_one_changes_nothing(tmp_path: Path, run, method: str):
    source = _write(tmp_path / "in.mkv", _trembling(4))
    assert run(source, "-o", tmp_path / "out.mkv", "--factor", 1, "--method", method)[0] == 0
    np.testing.assert_array_equal(_images(tmp_path / "out.mkv"), _images(source))


def test_the_band_is_passed_on(tmp_path: Path, run):
    source = _write(tmp_path / "in.mkv", _trembling(6))
    outputs = []
    for name, more in (("a", ["--low", 0]), ("b", ["--low", 3]), ("c", ["--low", 0, "--high", 4])):
        assert run(source, "-o", tmp_path / f"{name}.mkv", *more)[0] == 0
        outputs.append(np.stack(_images(tmp_path / f"{name}.mkv")))
    assert (outputs[0] != outputs[1]).any()
    assert (outputs[0] != outputs[2]).any()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.mp4", "-o", "out.mp4"], "source_missing"),
        (["in.mkv", "-o", "in.mkv"], "would overwrite"),
        (["in.mkv", "-o", "out.avi"], "expected .mp4, .mov, .mkv"),
        (["in.mkv", "-o", "out.mp4", "--low", "5", "--high", "2"], "expected 0 <= low < high"),
        (["in.mkv", "-o", "out.mp4", "--high", "20"], "20 Hz at 25 frames/s"),
        (["in.mkv", "-o", "out.mp4", "--factor", "-1"], "factor"),
        (["in.mkv", "-o", "out.mp4", "--method", "learned", "--low", "1"], "omit the band"),
        (["text.mp4", "-o", "out.mp4"], "text.mp4"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_left(tmp_path: Path, run, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    _write(tmp_path / "in.mkv", _trembling(3))
    before = (tmp_path / "in.mkv").read_bytes()
    (tmp_path / "text.mp4").write_text("no video")
    code, output = run(*arguments)
    assert code == 2
    assert said in output
    assert "Traceback" not in output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mkv", "text.mp4"]
    assert (tmp_path / "in.mkv").read_bytes() == before


def test_a_video_that_breaks_off_is_written_to_there_and_said(tmp_path: Path, run):
    source = _write(tmp_path / "in.mkv", _trembling(40))
    with av.open(str(source)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    source.write_bytes(source.read_bytes()[: places[15] - 8])
    code, said = run(source, "-o", tmp_path / "out.mkv", "--method", "eulerian")
    assert code == 0
    assert "truncated_video" in said
    assert len(_images(tmp_path / "out.mkv")) in {14, 15}


def test_learned_compares_with_the_first_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    calls = []

    def fake(first, image, factor, method, options):
        calls.append((first[0, 0, 0], factor, method))
        return image

    monkeypatch.setattr(magnify_video.magnify, "magnify", fake)
    source = _write(tmp_path / "in.mkv", [np.full((32, 32, 3), level, np.uint8) for level in (10, 20, 30)])
    done = magnify_video.magnify_video(source, tmp_path / "out.mkv", Magnify(method="learned", factor=4))
    assert done.frames == 3
    assert calls == [(10, 4.0, "learned")] * 3
