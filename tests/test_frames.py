"""Frames from folders and videos, with Pillow and the container formats' own bytes as second opinions."""

import hashlib
import io
import struct
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from mer_features import frames
from mer_features.core.quality import ClipRejectedError
from mer_features.frames import FrameBuffer, decode_image, open_frames
from mer_features.frames.image import pixel_count

RNG = np.random.default_rng(0)
SMOOTH = cv2.normalize(
    cv2.GaussianBlur(RNG.integers(0, 255, (45, 61, 3), dtype=np.uint8), (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX
)


def encoded(kind, mode="RGB", array=SMOOTH, **settings):
    """Bytes of an image file as Pillow writes them."""
    out = io.BytesIO()
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(out, kind, **settings)
    return out.getvalue()


def reference(data):
    """Pillow's reading of an image file, RGB."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def fill(folder, numbers, name="img{}.png", size=(8, 6)):
    for number in numbers:
        cv2.imwrite(str(folder / name.format(number)), np.full(size, number % 256, np.uint8))


def rejection(call):
    with pytest.raises(ClipRejectedError) as caught:
        call()
    return caught.value.issue


# Still images


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("PNG", mode) for mode in ("RGB", "L", "P", "1", "RGBA", "LA")]
    + [("BMP", mode) for mode in ("RGB", "L", "P", "1", "RGBA")]
    + [("TIFF", mode) for mode in ("RGB", "L", "P", "1", "RGBA", "LA", "CMYK")],
)
def test_lossless_images_agree_with_pillow(kind, mode):
    data = encoded(kind, mode)
    expected = reference(data)
    image = decode_image(data, "x")
    assert image.dtype == np.uint8
    assert image.shape[2] == (1 if mode in {"L", "1"} or (kind, mode) == ("TIFF", "LA") else 3)
    np.testing.assert_array_equal(np.broadcast_to(image, expected.shape), expected)


@pytest.mark.parametrize(("mode", "channels", "tolerance"), [("RGB", 3, 1), ("L", 1, 1), ("CMYK", 3, 3)])
def test_jpeg_agrees_with_pillow(mode, channels, tolerance):
    data = encoded("JPEG", mode, quality=95)
    image = decode_image(data, "x")
    assert image.shape == (45, 61, channels)
    assert np.abs(image.astype(int) - reference(data)).max() <= tolerance


def test_transparent_pixels_keep_their_colour():
    opacity = RNG.integers(0, 255, SMOOTH.shape[:2], dtype=np.uint8)
    data = encoded("PNG", None, np.dstack([SMOOTH, opacity]))
    np.testing.assert_array_equal(decode_image(data, "x"), SMOOTH)


@pytest.mark.parametrize("kind", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_are_rounded_to_eight(kind, channels):
    values = np.array([0, 1, 128, 129, 256, 257, 385, 386, 32767, 32768, 65406, 65407, 65535], np.uint16)
    image = np.repeat(np.tile(values, (4, 1))[:, :, None], channels, axis=2)
    _, data = cv2.imencode(kind, image)
    expected = np.rint(values / 257)
    np.testing.assert_array_equal(decode_image(data.tobytes(), "x")[0], np.tile(expected[:, None], channels))


def test_camera_rotation_is_applied():
    noted = Image.Exif()
    noted[0x0112] = 6  # the picture is to be turned a quarter clockwise
    plain, turned = encoded("JPEG", quality=95), encoded("JPEG", quality=95, exif=noted.tobytes())
    np.testing.assert_array_equal(decode_image(turned, "x"), np.rot90(decode_image(plain, "x"), -1))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF"])
@pytest.mark.parametrize("part", [0.0, 0.02, 0.5, 0.97])
def test_cut_off_image_is_unreadable(kind, part):
    data = encoded(kind)
    issue = rejection(lambda: decode_image(data[: int(len(data) * part)], "img7.x"))
    assert issue.code == "unreadable_frame"
    assert "img7.x" in issue.detail


def test_jpeg_filled_up_with_zeros_is_unreadable():
    data = encoded("JPEG")
    half = len(data) // 2
    assert rejection(lambda: decode_image(data[:half] + bytes(half), "x")).code == "unreadable_frame"


def test_jpeg_cut_off_after_its_thumbnail_is_unreadable():
    thumbnail = encoded("JPEG", array=SMOOTH[::4, ::4])
    segment = b"\xff\xe1" + struct.pack(">H", 2 + len(thumbnail)) + thumbnail
    data = encoded("JPEG")
    whole = data[:2] + segment + data[2:]
    assert decode_image(whole, "x").shape == SMOOTH.shape
    assert rejection(lambda: decode_image(whole[:-200], "x")).code == "unreadable_frame"


def test_damaged_png_is_unreadable():
    data = bytearray(encoded("PNG"))
    data[len(data) // 2] ^= 0xFF
    assert rejection(lambda: decode_image(bytes(data), "x")).code == "unreadable_frame"


def test_text_under_an_image_name_is_unreadable():
    assert "not a complete JPEG" in rejection(lambda: decode_image(b"hello", "a.jpg")).detail


def test_floating_point_image_is_unreadable():
    _, data = cv2.imencode(".tiff", np.zeros((4, 4), np.float32))
    assert "float32 pixels" in rejection(lambda: decode_image(data.tobytes(), "x")).detail


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_pixels_are_counted_from_the_header(kind, mode):
    assert pixel_count(encoded(kind, mode)) == 45 * 61


def test_pixels_are_counted_in_unusual_headers():
    assert pixel_count(encoded("JPEG", progressive=True)) == 45 * 61
    assert pixel_count(encoded("JPEG")[:2] + b"\xff\xff" + encoded("JPEG")[3:]) == 45 * 61  # a fill byte
    old_bmp = b"BM" + bytes(12) + struct.pack("<IHHHH", 12, 61, 45, 1, 24)
    assert pixel_count(old_bmp) == 45 * 61
    upside_down = b"BM" + bytes(12) + struct.pack("<Iii", 40, 61, -45)
    assert pixel_count(upside_down) == 45 * 61
    big_endian = b"MM\0*" + struct.pack(">IH", 8, 2) + struct.pack(">HHIHH", 256, 3, 1, 61, 0)
    assert pixel_count(big_endian + struct.pack(">HHII", 257, 4, 1, 45)) == 45 * 61


def test_huge_image_is_not_decoded():
    data = bytearray(encoded("PNG"))
    data[16:24] = struct.pack(">II", 40_000, 40_000)
    assert "1600000000 pixels, at most" in rejection(lambda: decode_image(bytes(data), "x")).detail


# Folders


def test_frames_come_in_the_order_of_their_numbers(tmp_path):
    fill(tmp_path, [2, 100, 9, 10])
    sequence = open_frames(tmp_path)
    assert sequence.numbers == [2, 9, 10, 100]
    assert [(frame.number, int(frame.image[0, 0, 0])) for frame in sequence] == [(2, 2), (9, 9), (10, 10), (100, 100)]
    assert all(np.isnan(frame.time_s) for frame in sequence)
    assert sequence.fps is None


def test_number_is_the_last_digit_group(tmp_path):
    fill(tmp_path, [46, 47], "reg_EP02_01f-{}.JPG")
    assert open_frames(tmp_path).numbers == [46, 47]


def test_foreign_files_are_ignored(tmp_path):
    fill(tmp_path, [1, 2])
    for name in (".DS_Store", "Thumbs.db", "~$list1.xlsx", "._img3.png", "notes4.txt", "cover.png", "~img5.png"):
        (tmp_path / name).write_bytes(b"junk")
    (tmp_path / "6.png").mkdir()
    assert open_frames(tmp_path).numbers == [1, 2]


@pytest.mark.parametrize("suffix", ["jpg", "JPEG", "png", "bmp", "tif", "TIFF"])
def test_suffixes_in_any_case(tmp_path, suffix):
    fill(tmp_path, [1], "{}." + suffix)
    assert len(list(open_frames(tmp_path))) == 1


def test_gaps_are_reported(tmp_path):
    fill(tmp_path, [3, 4, 6, 10])
    (issue,) = open_frames(tmp_path).issues
    assert (issue.code, issue.detail) == ("missing_frame", "4 missing: 5, 7..9")
    assert open_frames(tmp_path, 3, 4).issues == ()
    assert open_frames(tmp_path, 2, 4).issues[0].detail == "1 missing: 2"


def test_files_between_every_third_frame_are_not_read(tmp_path):
    fill(tmp_path, (5, 8, 10, 11))
    (tmp_path / "img7.png").write_bytes(b"broken")
    assert [frame.number for frame in open_frames(tmp_path).every(3)] == [5, 8, 11]
    assert rejection(lambda: list(open_frames(tmp_path).every(2))).code == "unreadable_frame"


def test_first_and_last_are_inclusive(tmp_path):
    fill(tmp_path, range(1, 9))
    assert open_frames(tmp_path, 3, 5).numbers == [3, 4, 5]


def test_two_files_with_one_number_reject_the_clip(tmp_path):
    fill(tmp_path, [7])
    fill(tmp_path, [7], "img0{}.png")
    issue = rejection(lambda: open_frames(tmp_path))
    assert issue.code == "duplicate_frame"
    assert "img07.png and img7.png both claim frame number 7" in issue.detail


def test_nearest_frame(tmp_path):
    fill(tmp_path, [2, 6, 8])
    sequence = open_frames(tmp_path)
    assert [sequence.nearest(number).number for number in (0, 4, 5, 6, 99)] == [2, 2, 6, 6, 8]


def test_digest_is_that_of_the_files_in_order(tmp_path):
    fill(tmp_path, [10, 9])
    sequence = open_frames(tmp_path)
    with pytest.raises(ValueError, match="after all frames were read"):
        sequence.sha256()
    list(sequence)
    data = b"".join((tmp_path / f"img{number}.png").read_bytes() for number in (9, 10))
    assert sequence.sha256() == hashlib.sha256(data).hexdigest()


def test_missing_source(tmp_path):
    assert rejection(lambda: open_frames(tmp_path / "none")).code == "source_missing"


def test_empty_folder_and_empty_range(tmp_path):
    assert rejection(lambda: open_frames(tmp_path)).code == "no_frames"
    fill(tmp_path, [1, 2])
    issue = rejection(lambda: open_frames(tmp_path, 5, 9))
    assert issue.code == "no_frames"
    assert "2 images, none with a number in 5..9" in issue.detail


def test_damaged_frame_is_named(tmp_path):
    fill(tmp_path, [1, 2, 3])
    (tmp_path / "img2.png").write_bytes(b"")
    issue = rejection(lambda: list(open_frames(tmp_path)))
    assert issue.code == "unreadable_frame"
    assert "img2.png" in issue.detail


@pytest.mark.parametrize(
    ("odd", "found"), [(np.zeros((8, 7), np.uint8), "7 x 8 grey"), (np.zeros((8, 6, 3), np.uint8), "6 x 8 colour")]
)
def test_frame_of_another_size_is_named(tmp_path, odd, found):
    fill(tmp_path, [1, 2])
    cv2.imwrite(str(tmp_path / "img3.png"), odd)
    issue = rejection(lambda: list(open_frames(tmp_path)))
    assert (issue.code, issue.detail) == ("frame_size_changed", f"img3.png is {found}, expected 6 x 8 grey")


def test_frames_are_read_one_at_a_time(tmp_path):
    fill(tmp_path, [1, 2])
    frames_ = iter(open_frames(tmp_path))
    next(frames_)
    (tmp_path / "img2.png").write_bytes(b"")  # not read so far
    assert rejection(lambda: next(frames_)).code == "unreadable_frame"


# Videos


STEP = 10


def picture(number, size):
    """A picture whose place in the video, modulo 20, can be read from its grey level."""
    image = np.full((*size, 3), 20 + STEP * (number % 20), np.uint8)
    image[: size[0] // 4, : size[1] // 2] = 255
    return image


def write_video(path, count=12, codec="libx264", pixels="yuv420p", size=(48, 64), times_ms=None, **container):
    with av.open(str(path), "w", options=container) as out:
        stream = out.add_stream(codec, rate=25)
        stream.height, stream.width = size
        stream.pix_fmt = pixels
        if times_ms:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(picture(number, size), format="rgb24")
            if times_ms:
                frame.pts, frame.time_base = times_ms[number], Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def levels(sequence):
    return [round((int(frame.image[-1, -1, 0]) - 20) / STEP) for frame in sequence]


@pytest.mark.parametrize(("name", "codec"), [("v.mp4", "libx264"), ("v.avi", "mpeg4"), ("v.mkv", "ffv1")])
def test_video_frames_are_numbered_from_zero_in_order(tmp_path, name, codec):
    sequence = open_frames(write_video(tmp_path / name, codec=codec))
    assert levels(sequence) == list(range(12))
    assert sequence.numbers == list(range(12))
    assert sequence.fps == 25
    assert sequence.issues == ()
    assert next(iter(sequence)).image.shape == (48, 64, 3)


def test_time_stamps_are_those_of_the_file(tmp_path):
    sequence = open_frames(write_video(tmp_path / "v.mp4"))
    np.testing.assert_allclose([frame.time_s for frame in sequence], np.arange(12) / 25)


def test_variable_frame_rate_is_reported(tmp_path):
    times = [0, 40, 80, 120, 200, 240, 330, 370]
    sequence = open_frames(write_video(tmp_path / "v.mkv", count=8, times_ms=times))
    np.testing.assert_allclose([frame.time_s for frame in sequence], np.array(times) / 1000)
    assert [issue.code for issue in sequence.issues] == ["variable_frame_rate"]


def test_time_stamps_rounded_to_milliseconds_are_no_variable_rate(tmp_path):
    times = [0, 33, 67, 100, 133, 167, 200, 233]
    sequence = open_frames(write_video(tmp_path / "v.mkv", count=8, times_ms=times))
    list(sequence)
    assert sequence.issues == ()


def test_every_third_frame_of_a_video(tmp_path):
    write_video(tmp_path / "clip.mp4")
    whole, part = open_frames(tmp_path / "clip.mp4"), open_frames(tmp_path / "clip.mp4", first=1)
    chosen = list(part.every(3))
    assert [frame.number for frame in chosen] == part.numbers == [1, 4, 7, 10]
    times = {frame.number: frame.time_s for frame in whole}
    assert [frame.time_s for frame in chosen] == [times[number] for number in part.numbers]


def test_part_of_a_video(tmp_path):
    sequence = open_frames(write_video(tmp_path / "v.mp4"), 3, 6)
    assert levels(sequence) == [3, 4, 5, 6]
    assert sequence.numbers == [3, 4, 5, 6]
    assert sequence.issues == ()


def test_nearest_frame_of_a_video(tmp_path):
    sequence = open_frames(write_video(tmp_path / "v.mp4"), 2, 9)
    assert [sequence.nearest(number).number for number in (0, 5, 50)] == [2, 5, 9]


def test_digest_of_a_video_is_that_of_its_file(tmp_path):
    path = write_video(tmp_path / "v.mp4")
    assert open_frames(path).sha256() == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("pixels", "channels"), [("gray", 1), ("gray16le", 1), ("gray10le", 1), ("yuv444p", 3), ("yuv420p10le", 3)]
)
def test_pixel_formats_and_odd_sizes(tmp_path, pixels, channels):
    path = write_video(tmp_path / "v.mkv", count=3, codec="ffv1", pixels=pixels, size=(47, 61))
    images = [frame.image for frame in open_frames(path)]
    for number, image in enumerate(images):
        assert image.shape == (47, 61, channels)
        assert image.dtype == np.uint8
        assert np.abs(image.astype(int) - picture(number, (47, 61)))[:, 33:].max() <= 3
        assert np.abs(image.astype(int) - picture(number, (47, 61)))[:10, :28].max() <= 3


@pytest.mark.parametrize(
    ("matrix", "quarters"), [((0, 1, -1, 0), -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1), ((1, 0, 0, 1), 0)]
)
def test_display_rotation_is_applied(tmp_path, matrix, quarters):
    """The matrix of ISO 14496-12 (a b u, c d v, x y w) takes (x, y) to (a x + c y, b x + d y), y down."""
    path = write_video(tmp_path / "v.mp4", count=2)
    plain = next(iter(open_frames(path))).image
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 40  # version 0: flags, times, track, layer, volume come before
    a, b, c, d = (value * 65536 for value in matrix)
    data[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    np.testing.assert_array_equal(next(iter(open_frames(path))).image, np.rot90(plain, quarters))


def test_cut_off_video_gives_the_frames_before_the_cut(tmp_path):
    path = write_video(tmp_path / "v.mp4", count=50, movflags="faststart")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * 0.8)])
    sequence = open_frames(path)
    found = levels(sequence)
    assert 10 < len(found) < 50
    assert found == [number % 20 for number in range(len(found))]
    assert [issue.code for issue in sequence.issues] == ["truncated_video"]


def test_video_shorter_than_promised_is_reported(tmp_path):
    path = write_video(tmp_path / "v.mkv", count=50, codec="ffv1")
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    path.write_bytes(path.read_bytes()[: places[15] - 8])  # between two blocks: nothing looks damaged
    sequence = open_frames(path)
    assert levels(sequence) in (list(range(14)), list(range(15)))
    (issue,) = sequence.issues
    assert issue.code == "truncated_video"
    assert "the header promises 2.00 s" in issue.detail


def test_frames_after_a_damage_are_not_used(tmp_path):
    path = write_video(tmp_path / "v.avi", count=30, codec="mjpeg", pixels="yuvj420p")
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    place, size = packets[12]
    data[place : place + size + 8] = bytes(size + 8)
    path.write_bytes(data)
    sequence = open_frames(path)
    assert levels(sequence) == list(range(12))
    assert sequence.numbers == list(range(12))
    assert [issue.code for issue in sequence.issues] == ["truncated_video"]


@pytest.mark.parametrize("content", [b"", b"no video at all" * 300])
def test_what_is_no_video_has_no_frames(tmp_path, content):
    path = tmp_path / "v.mp4"
    path.write_bytes(content)
    assert rejection(lambda: open_frames(path)).code == "no_frames"


def test_video_without_its_index_has_no_frames(tmp_path):
    path = write_video(tmp_path / "v.mp4")  # the index comes last
    path.write_bytes(path.read_bytes()[:-1500])
    assert rejection(lambda: list(open_frames(path))).code == "no_frames"


def test_sound_alone_has_no_frames(tmp_path):
    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.rate = 8000
        out.mux(stream.encode(sound))
        out.mux(stream.encode(None))
    issue = rejection(lambda: open_frames(path))
    assert issue.code == "no_frames"
    assert "not a video" in issue.detail


def test_unknown_codec_has_no_frames(tmp_path):
    path = write_video(tmp_path / "v.mkv", codec="ffv1")
    path.write_bytes(path.read_bytes().replace(b"V_FFV1", b"V_ABCD"))
    assert "no video stream that can be decoded" in rejection(lambda: open_frames(path)).detail


def test_title_in_another_encoding_does_no_harm(tmp_path):
    path = write_video(tmp_path / "v.mp4", count=3)
    data = path.read_bytes()
    assert b"Lavf" in data  # the name of the writing program, stored like a title
    path.write_bytes(data.replace(b"Lavf", b"La\xe9f"))
    assert levels(open_frames(path)) == [0, 1, 2]


def test_range_after_the_end_of_a_video_has_no_frames(tmp_path):
    sequence = open_frames(write_video(tmp_path / "v.mp4"), 50, 60)
    assert rejection(lambda: list(sequence)).code == "no_frames"
    assert rejection(lambda: sequence.nearest(55)).code == "no_frames"


# Memory


@pytest.mark.parametrize("limit", [0, 100, 250, 10_000])
def test_buffer_gives_back_what_was_put_in(limit):
    images = RNG.integers(0, 255, (7, 5, 4, 3), dtype=np.uint8)
    buffer = FrameBuffer(limit)
    for image in images:
        buffer.append(image)
    stack = buffer.stack()
    assert isinstance(stack, np.memmap) == (limit < images.nbytes)
    np.testing.assert_array_equal(stack, images)


def test_buffer_refuses_another_shape():
    buffer = FrameBuffer(0)
    buffer.append(np.zeros((2, 2, 1), np.uint8))
    with pytest.raises(ValueError, match=r"\(3, 2, 1\) in a buffer of \(2, 2, 1\)"):
        buffer.append(np.zeros((3, 2, 1), np.uint8))


def test_public_names_exist():
    assert all(hasattr(frames, name) for name in frames.__all__)
