import av
import cv2
import numpy as np
import pytest

from mer_features.core.clips import Clip
from mer_features.core.quality import ClipRejectedError, Status
from mer_features.frames import FrameBuffer
from mer_features.stages.faces import align, crop_clip, process
from mer_features.stages.faces.warp import warp
from mer_features.stages.options import Faces

SIZE = 128


def options(**changes):
    return Faces(size=SIZE, **changes)


def codes(issues):
    return [issue.code for issue in issues]


@pytest.fixture(scope="module")
def motions(portrait):
    """Four frames: two before the onset would be, the onset itself, one after."""
    steps = [(-0.4, -1.5, 0.5), (-0.2, -0.7, 0.2), (0.0, 0.0, 0.0), (0.5, 1.2, -0.8)]
    return [portrait.rigid(turn, x=x, y=y) for turn, x, y in steps]


@pytest.fixture(scope="module")
def images(portrait, motions):
    return [portrait.frame(motion) for motion in motions]


@pytest.fixture
def folder(images, tmp_path):
    for number, image in enumerate(images, start=98):
        cv2.imwrite(str(tmp_path / f"img{number}.png"), image)
    return tmp_path


def clip(source, **changes):
    return Clip("sub01/a", "own", "sub01", str(source), **changes)


def canvas(portrait, *places, size=(420, 640)):
    """Grey picture with the portrait's frame reduced to a width at each (left, top, width)."""
    picture = np.full((*size, 1), 120, np.uint8)
    for left, top, width in places:
        face = cv2.resize(portrait.frame(), (width, width), interpolation=cv2.INTER_AREA)
        picture[top : top + width, left : left + width, 0] = face
    return picture


def test_eyes_land_on_the_template_and_the_face_is_inside(images):
    face = crop_clip(images, images[2], options())
    eyes = np.stack([face.landmarks[36:42].mean(axis=0), face.landmarks[42:48].mean(axis=0)])
    np.testing.assert_allclose(eyes, np.array([[0.33, 0.30], [0.67, 0.30]]) * SIZE - 0.5, atol=0.02 * SIZE)
    assert face.landmarks.min() > 0.03 * SIZE
    assert face.landmarks.max() < 0.97 * SIZE
    assert face.landmarks.dtype == np.float32


def test_crop_of_a_turned_face_is_the_same_crop(portrait):
    upright, turned = portrait.frame(), portrait.frame(portrait.rigid(10, x=4))
    first, second = (crop_clip([image], image, options()).crops[0].astype(float) for image in (upright, turned))
    inner = np.s_[SIZE // 8 : -SIZE // 8, SIZE // 8 : -SIZE // 8]
    assert np.abs(first - second)[inner].mean() < 4
    assert np.corrcoef(first[inner].ravel(), second[inner].ravel())[0, 1] > 0.97


@pytest.mark.parametrize("register", ["lk", "ecc"])
def test_motion_is_that_from_the_onset_to_each_frame(portrait, images, motions, register):
    face = crop_clip(images, images[2], options(register=register))
    points = align.apply(align.invert(face.transform), face.landmarks)
    assert face.motion.shape == (4, 2, 3)
    for found, true in zip(face.motion, motions, strict=True):
        assert np.hypot(*(align.apply(found, points) - align.apply(true, points)).T).mean() < 0.08
    assert face.residual.dtype == np.float32
    assert (face.residual < 0.2).all()


def test_crops_follow_the_stated_formula(images):
    face = crop_clip(images, images[2], options())
    for crop, image, motion in zip(face.crops, images, face.motion, strict=True):
        expected = warp(image, align.compose(motion, align.invert(face.transform)), SIZE)
        np.testing.assert_array_equal(crop, expected)


def test_registered_crops_stand_still(images):
    still, moving = (crop_clip(images, images[2], options(register=how)).crops.astype(float) for how in ("lk", "none"))
    difference = [np.abs(crops - crops[2]).mean() for crops in (still, moving)]
    assert difference[0] < 0.25 * difference[1]


def test_without_registration_every_frame_gets_the_same_crop(images):
    face = crop_clip(images, images[2], options(register="none"))
    np.testing.assert_array_equal(face.motion, np.tile(align.identity(), (4, 1, 1)))
    assert np.isnan(face.residual).all()


def test_per_frame_layout_follows_a_large_motion(portrait):
    true = portrait.rigid(9, x=25, y=12)
    images = [portrait.frame(), portrait.frame(true)]
    face = crop_clip(images, images[0], options(per_frame=True))
    points = align.apply(align.invert(face.transform), face.landmarks)
    assert np.hypot(*(align.apply(face.motion[1], points) - align.apply(true, points)).T).mean() < 2
    np.testing.assert_allclose(face.motion[0], align.identity(), atol=1e-9)


def test_frame_without_a_face_keeps_the_place_before(images):
    blank = np.full_like(images[0], 80)
    for how in ({"per_frame": True}, {"register": "lk"}):
        face = crop_clip([images[2], images[3], blank], images[2], options(**how))
        assert codes(face.issues) == ["registration_failed"]
        assert "1 of 3 frames, at positions 2" in face.issues[0].detail
        np.testing.assert_array_equal(face.motion[2], face.motion[1])


def test_box_mode_takes_the_detector_s_square(images):
    face = crop_clip(images[2:3], images[2], options(mode="box", margin=0.1))
    left, top, width, height = face.box
    side = 1.2 * max(width, height)
    corner = np.array([left + width / 2 - side / 2, top + height / 2 - side / 2]) - 0.5
    np.testing.assert_allclose(align.apply(face.transform, corner), [-0.5, -0.5], atol=1e-9)


def test_precropped_frames_are_only_resized(portrait):
    image = portrait.frame()[40:280, 40:260]
    face = crop_clip([image, image], image, options(mode="precropped"))
    smooth = cv2.GaussianBlur(image, (0, 0), 0.6)
    resized = cv2.resize(smooth, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    assert np.abs(face.crops[0, :, :, 0].astype(float) - resized).mean() < 1.5
    assert np.isfinite(face.landmarks).all()
    assert face.issues == ()


def test_precropped_frame_filled_by_the_face_still_gets_landmarks(portrait):
    image = portrait.frame()[70:265, 55:245]  # brows to chin
    face = crop_clip([image], image, options(mode="precropped"))
    eyes = np.stack([face.landmarks[36:42].mean(axis=0), face.landmarks[42:48].mean(axis=0)])
    expected = (np.array([[105.0, 125.0], [195.0, 127.0]]) - [55, 70] + 0.5) * SIZE / [190, 195] - 0.5
    np.testing.assert_allclose(eyes, expected, atol=5)


def test_precropped_frame_without_a_face_is_used_and_flagged():
    image = np.full((90, 70, 1), 128, np.uint8)
    face = crop_clip([image], image, options(mode="precropped"))
    assert np.isnan(face.landmarks).all()
    assert np.isnan(face.score)
    assert codes(face.issues) == ["landmarks_off"]


def test_no_face_rejects_the_clip():
    image = np.full((200, 200, 3), 128, np.uint8)
    with pytest.raises(ClipRejectedError, match=r"no_face: minimum 0\.6"):
        crop_clip([image], image, options())


def test_weak_face_is_rejected_with_its_score(images):
    with pytest.raises(ClipRejectedError, match=r"no_face: best score 0\.[89]\d, minimum 0\.99"):
        crop_clip(images, images[2], options(min_score=0.99))


def test_largest_of_several_faces_is_taken(portrait):
    picture = canvas(portrait, (10, 50, 160), (300, 60, 300))
    face = crop_clip([picture], picture, options())
    assert codes(face.issues) == ["several_faces"]
    assert face.box[0] > 300


def test_face_cut_by_the_border_is_flagged(portrait):
    image = np.ascontiguousarray(portrait.frame()[60:, :])
    face = crop_clip([image], image, options())
    assert "face_at_border" in codes(face.issues)


def test_unsure_detection_is_flagged(portrait):
    blurred = cv2.GaussianBlur(portrait.frame(), (0, 0), 9)[:, :, None]
    face = crop_clip([blurred], blurred, options(min_score=0.3))
    assert face.score < 0.75
    assert "low_face_score" in codes(face.issues)


def test_landmarks_of_a_face_on_its_head_are_flagged(images, monkeypatch):
    from mer_features.stages.faces import layout

    found = layout.lm.find
    monkeypatch.setattr(layout.lm, "find", lambda *arguments: found(*arguments) * [1, -1] + [0, 300])
    face = crop_clip([images[2]], images[2], options(register="none"))
    assert "the mouth lies above the eyes" in [issue.detail for issue in face.issues]


def test_grey_and_colour_give_the_same_crops(make_portrait):
    colour = make_portrait(colour=True).frame()
    grey = cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY)[:, :, None]
    in_colour, in_grey = crop_clip([colour], colour, options()), crop_clip([grey], grey, options())
    assert in_colour.crops.shape == (1, SIZE, SIZE, 3)
    assert in_grey.crops.shape == (1, SIZE, SIZE, 1)
    assert np.hypot(*(in_colour.landmarks - in_grey.landmarks).T).mean() < 1


def test_process_writes_the_agreed_record(folder, portrait):
    record = process(clip(folder, onset=100, apex=101, offset=101, fps=200.0), {}, options())
    assert record.status is Status.OK
    shapes = {name: (array.shape, array.dtype.str[1:]) for name, array in record.arrays.items()}
    assert shapes == {
        "crops": ((4, SIZE, SIZE, 1), "u1"),
        "numbers": ((4,), "i8"),
        "times": ((4,), "f8"),
        "landmarks": ((68, 2), "f4"),
        "transform": ((2, 3), "f8"),
        "motion": ((4, 2, 3), "f8"),
        "residual": ((4,), "f4"),
    }
    assert record.arrays["numbers"].tolist() == [98, 99, 100, 101]
    np.testing.assert_allclose(record.arrays["times"], [0, 0.005, 0.01, 0.015])
    attrs = record.attrs
    assert (attrs["onset"], attrs["annotated_apex"], attrs["offset"], attrs["fps"]) == (2, 3, 3, 200.0)
    assert list(attrs["frame_size"]) == [300, 300]
    assert len(attrs["box"]) == 4
    assert attrs["score"] > 0.6
    assert len(attrs["source_sha256"]) == 64


def test_process_lays_the_crop_out_on_the_onset_frame(folder, images):
    record = process(clip(folder, onset=100, offset=101), {}, options())
    expected = crop_clip(images, images[2], options())
    np.testing.assert_array_equal(record.arrays["crops"], expected.crops)
    np.testing.assert_allclose(record.arrays["motion"][2], align.identity(), atol=1e-3)


def test_process_reports_what_the_sheet_lacks(folder):
    record = process(clip(folder), {}, options())
    assert codes(record.issues) == ["onset_missing", "offset_missing"]
    assert (record.attrs["onset"], record.attrs["annotated_apex"], record.attrs["offset"]) == (0, -1, 3)
    assert np.isnan(record.attrs["fps"])
    assert np.isnan(record.arrays["times"]).all()


def test_process_takes_the_nearest_frame_for_a_missing_one(folder):
    (folder / "img100.png").unlink()
    record = process(clip(folder, onset=100, offset=101), {}, options())
    assert codes(record.issues) == ["missing_frame", "frame_not_on_disk"]
    assert record.attrs["onset"] == 1  # number 99


def test_process_restricts_a_recording_to_its_clip(folder):
    record = process(clip(folder, first=99, onset=99, offset=100, last=100), {}, options())
    assert record.arrays["numbers"].tolist() == [99, 100]


@pytest.fixture
def video(images, tmp_path):
    """The four frames without loss, 25 frames a second."""
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 300, 300, "gray"
        for image in images:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image[:, :, 0], format="gray")))
        out.mux(stream.encode(None))
    return path


def test_video_gives_what_its_frames_give(video, folder):
    from_video = process(clip(video, onset=2, offset=3), {}, options())
    from_folder = process(clip(folder, onset=100, offset=101), {}, options())
    for name in ("crops", "motion", "landmarks", "transform", "residual"):
        np.testing.assert_array_equal(from_video.arrays[name], from_folder.arrays[name])
    assert from_video.arrays["numbers"].tolist() == [0, 1, 2, 3]
    assert from_video.attrs["onset"] == from_folder.attrs["onset"] == 2


@pytest.mark.parametrize(("fps", "step_s"), [(None, 0.04), (25.0, 0.04), (200.0, 0.005)])
def test_times_of_a_video_are_its_own_unless_it_is_played_slowly(video, fps, step_s):
    record = process(clip(video, onset=0, offset=3, fps=fps), {}, options(register="none"))
    np.testing.assert_allclose(record.arrays["times"], step_s * np.arange(4))
    assert record.attrs["fps"] == (fps or 25.0)


def test_single_frame_is_rejected(folder):
    with pytest.raises(ClipRejectedError, match="few_frames"):
        process(clip(folder, first=100, last=100), {}, options())


def test_a_still_image_is_its_own_onset_and_apex(images, tmp_path):
    cv2.imwrite(str(tmp_path / "img98.png"), images[2])
    expected = crop_clip([images[2]], images[2], options(register="none"))
    for source in (tmp_path / "img98.png", tmp_path):  # a file, or a folder with one image
        record = process(clip(source), {}, options(stills=True))
        np.testing.assert_array_equal(record.arrays["crops"], expected.crops)
        np.testing.assert_array_equal(record.arrays["motion"], np.eye(2, 3)[None])
        assert [record.attrs[name] for name in ("onset", "annotated_apex", "offset")] == [0, 0, 0]
        assert codes(record.issues) == []
    assert process(clip(tmp_path / "img98.png"), {}, options(stills=True)).attrs["source_sha256"]


def test_a_clip_is_no_still_image_and_a_still_image_is_no_clip(folder):
    with pytest.raises(ClipRejectedError, match="several_frames: 4 frames"):
        process(clip(folder), {}, options(stills=True))
    with pytest.raises(ClipRejectedError, match="few_frames"):
        process(clip(folder / "img99.png"), {}, options())


def test_large_head_motion_is_flagged(portrait, tmp_path):
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), portrait.frame(portrait.rigid(0, x=8.0 * number)))
    record = process(clip(tmp_path, onset=0, apex=2, offset=2), {}, options())
    assert codes(record.issues) == ["head_motion"]
    before = process(clip(tmp_path, onset=0, apex=0, offset=2), {}, options())
    assert codes(before.issues) == []  # only onset..apex counts


def test_result_does_not_depend_on_how_much_fits_in_memory(folder, monkeypatch):
    from mer_features.stages.faces import clip as module

    expected = process(clip(folder, onset=100, offset=101), {}, options())
    monkeypatch.setattr(module, "FrameBuffer", lambda: FrameBuffer(memory_bytes=2 * SIZE**2))
    spilled = process(clip(folder, onset=100, offset=101), {}, options())
    assert isinstance(spilled.arrays["crops"], np.memmap)
    np.testing.assert_array_equal(spilled.arrays["crops"], expected.arrays["crops"])
