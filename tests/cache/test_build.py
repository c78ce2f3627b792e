from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mer_features import features as feature_file
from mer_features.core import quality
from mer_features.core.clips import Clip
from mer_features.core.quality import Issue
from mer_features.features.layout import pack, unpack
from mer_features.features.options import Cache
from mer_features.features.parts import FacesPart, window_around
from mer_features.stages.store import ClipRecord, ShardWriter

USED = ["s1/happy", "s1/startled", "s2/short"]


@pytest.fixture
def file(built: Path):
    with h5py.File(built, "r") as handle:
        yield handle


def _texts(dataset: h5py.Dataset) -> list[str]:
    return dataset.asstr()[()].tolist()


def test_every_clip_is_used_or_rejected(sample: ModuleType, file: h5py.File):
    rejected = _texts(file["rejected/clip_id"])
    assert _texts(file["clip_id"]) == USED
    assert rejected == ["s2/dark", "s3/gone"]
    assert sorted(USED + rejected) == sorted(clip.clip_id for clip in sample.CLIPS)
    assert _texts(file["rejected/code"]) == ["no_face", "source_missing"]
    assert _texts(file["rejected/detail"]) == ["score 0.1", "frames/s3/gone"]
    assert _texts(file["rejected/subject"]) == ["s2", "s3"]


def test_summary_names_the_clips_by_state(sample: ModuleType, tmp_path: Path):
    summary = sample.build(tmp_path / "out.h5", tmp_path / "stages")
    assert summary == feature_file.Summary(("s1/happy",), ("s1/startled", "s2/short"), ("s2/dark", "s3/gone"))
    assert str(summary) == "1 ok, 2 warned, 2 rejected"


def test_root_holds_source_frame_numbers(file: h5py.File):
    found = {name: file[name][()].tolist() for name in ("onset", "apex", "offset", "first_frame", "n_frames")}
    assert found == {
        "onset": [10, 1, 0],
        "apex": [12, 8, 1],
        "offset": [14, 8, 2],
        "first_frame": [10, 1, 0],
        "n_frames": [6, 7, 3],
    }
    np.testing.assert_array_equal(file["fps"][()], [200, 100, np.nan])
    assert _texts(file["apex_source"]) == ["annotated", "interframe_diff", "interframe_diff"]


def test_labels_come_from_the_table(file: h5py.File):
    assert _texts(file["emotion"]) == ["happiness", "surprise", "others"]
    assert _texts(file["database"]) == ["demo"] * 3
    assert file["au"][()].tolist() == [1, 2, 4, 12]
    meanings = dict(
        zip(file["action_units"].attrs["flag_values"], file["action_units"].attrs["flag_meanings"].split(), strict=True)
    )
    words = [[meanings[value] for value in row] for row in file["action_units"][()]]
    assert words == [
        ["absent", "absent", "present", "right"],
        ["present", "present", "absent", "left"],
        ["absent"] * 4,
    ]
    assert _texts(file["action_units_text"]) == ["4+R12", "1+2+L12+?", ""]
    assert _texts(file["action_units_unread"]) == ["", "?", ""]


def test_quality_merges_ingest_and_stages(file: h5py.File):
    names = file["quality"].attrs["flag_meanings"].split()
    masks = file["quality"].attrs["flag_masks"]
    found = [[name for name, mask in zip(names, masks, strict=True) if value & mask] for value in file["quality"][()]]
    assert found == [[], ["missing_frame"], ["onset_missing"]]
    assert quality.loads(_texts(file["quality_text"])[1]) == (Issue("missing_frame", "frame 3"),)
    assert _texts(file["status"]) == ["ok", "warned", "warned"]


def test_flag_masks_fit_the_codes(file: h5py.File):
    assert len(quality.CODES) < 63
    assert file["quality"].attrs["flag_masks"].tolist() == [quality.flags([Issue(code)]) for code in quality.CODES]


def test_faces_are_the_crops_of_the_key_frames(sample: ModuleType, file: h5py.File):
    for row, clip_id in enumerate(USED):
        crops = np.broadcast_to(sample.crops(clip_id), (*sample.crops(clip_id).shape[:3], 3))
        for name, position in zip(("onset", "apex", "offset"), sample.SHAPES[clip_id][2], strict=True):
            np.testing.assert_array_equal(file[f"faces/{name}"][row], crops[position])
    assert np.all(file["faces/landmarks"][1] == np.arange(136).reshape(68, 2) / 8)
    assert file["faces/transform"][0].tolist() == [[0.5, 0, -10], [0, 0.5, -20]]


def test_keyframes_stay_inside_the_clip(sample: ModuleType, file: h5py.File):
    numbers = file["faces/keyframe_number"][()].tolist()
    assert numbers == [[10, 11, 12, 13, 14], [4, 5, 6, 7, 8], [0, 1, 2, 2, 2]]
    source = sample.crops("s1/startled")
    np.testing.assert_array_equal(file["faces/keyframes"][1], source[2:])


@given(st.integers(1, 40), st.integers(0, 15).map(lambda half: 2 * half + 1), st.data())
def test_window_holds_the_centre_and_as_many_frames_as_there_are(length: int, width: int, data: st.DataObject):
    centre = data.draw(st.integers(0, length - 1))
    window = window_around(centre, length, width)
    assert len(window) == width
    assert centre in window
    assert set(window) <= set(range(length))
    assert len(set(window)) == min(width, length)
    if width // 2 <= centre < length - width // 2:
        assert window[width // 2] == centre


def test_grey_databases_have_one_channel(sample: ModuleType, tmp_path: Path):
    clips = [clip for clip in sample.CLIPS if clip.clip_id != "s1/startled"]
    feature_file.build(tmp_path / "out.h5", clips, sample.stage_files(tmp_path), Cache(), sample.PROVENANCE)
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["faces/keyframes"].shape == (2, 5, 32, 32, 1)
        np.testing.assert_array_equal(file["faces/apex"][0], sample.crops("s1/happy")[2])


def test_spotting_is_padded_by_nan_and_minus_one(sample: ModuleType, file: h5py.File):
    assert _texts(file["spotting/spotter"]) == ["interframe_diff", "midpoint"]
    assert file["spotting/spotted"][()].tolist() == [[12, 11], [8, 2], [1, 1]]
    assert file["spotting/frame_number"][0].tolist() == [10, 11, 12, 13, 14, 15, -1]
    for row, clip_id in enumerate(USED):
        length = len(sample.SHAPES[clip_id][0])
        for line, name in enumerate(sample.SPOTTERS):
            expected = sample.curve(clip_id, name).astype(np.float32)
            np.testing.assert_array_equal(file["spotting/curve"][row, line, :length], expected)
        assert np.isnan(file["spotting/curve"][row, :, length:]).all()


def test_flow_is_packed_to_half_a_step(sample: ModuleType, file: h5py.File):
    for row, clip_id in enumerate(USED):
        planted = {"u": sample.flow(clip_id)[:, 0], "v": sample.flow(clip_id)[:, 1], "strain": sample.strain(clip_id)}
        for name, bound in (("u", 0.0005), ("v", 0.0005), ("strain", 0.00013)):
            dataset = file[f"flow/{name}"]
            decoded = dataset[row] * dataset.attrs["scale_factor"]
            assert dataset.dtype == np.int16
            assert decoded.dtype == np.float32
            assert np.abs(decoded - planted[name]).max() <= bound


def test_flow_beyond_the_range_is_clipped_and_flagged(sample: ModuleType, tmp_path: Path):
    files = sample.stage_files(tmp_path)
    field = sample.flow("s1/happy")
    field[0, 1, 3, 4], field[1, 0, 0, 0] = -50, 31
    _rewrite_flow(sample, files["flow"][0], field)
    summary = feature_file.build(tmp_path / "out.h5", sample.CLIPS, files, Cache(), sample.PROVENANCE)
    assert summary.warned == tuple(USED)
    with feature_file.open_features(tmp_path / "out.h5") as features:
        assert features.clips[0].issues == (Issue("flow_out_of_range", "v of onset_apex reaches 50, clipped to 31"),)
        assert features.clips[0].status == "warned"
        assert features["flow/v"][0][0, 3, 4] == -31
        assert features["flow/u"][0][1, 0, 0] == 31
        np.testing.assert_allclose(features["flow/u"][0][0], field[0, 0], atol=0.0005)
    assert feature_file.validate(tmp_path / "out.h5") == []


def test_flow_that_is_not_finite_stops_with_the_clip(sample: ModuleType, tmp_path: Path):
    files = sample.stage_files(tmp_path)
    field = sample.flow("s1/happy")
    field[0, 0, 0, 0] = np.nan
    _rewrite_flow(sample, files["flow"][0], field)
    with pytest.raises(feature_file.CacheError, match=r"s1/happy: .*not finite"):
        feature_file.build(tmp_path / "out.h5", sample.CLIPS, files, Cache(), sample.PROVENANCE)
    assert list(tmp_path.glob("*out.h5*")) == []


def _rewrite_flow(sample: ModuleType, path: Path, happy: np.ndarray) -> None:
    with ShardWriter(path, "flow", sample.OPTIONS["flow"]) as writer:
        record = sample.flow_record("s1/happy")
        record.arrays["flow"] = happy
        writer.add(record)
        writer.add(sample.flow_record("s1/startled"))


@given(st.lists(st.floats(-31, 31, width=32), min_size=1, max_size=20))
def test_packing_error_is_at_most_half_a_step(values: list[float]):
    array = np.array(values, np.float32)
    packed, peak = pack(array, 1 / 1024, 31.0)
    assert packed.dtype == np.int16
    assert peak == np.abs(array).max()
    assert np.abs(unpack(packed, np.float32(1 / 1024)) - array).max() <= 0.5 / 1024


def test_attributes_say_where_it_comes_from(sample: ModuleType, file: h5py.File):
    assert file.attrs["config"] == sample.PROVENANCE["config"]
    assert json.loads(file.attrs["versions"]) == sample.PROVENANCE["versions"]
    assert json.loads(file["faces"].attrs["options"]) == sample.OPTIONS["faces"]
    assert (file["faces"].attrs["fingerprint"], file["spotting"].attrs["fingerprint"]) == ("f0", "a0")
    assert file["spotting"].attrs["method"] == "policy annotated, fallback interframe_diff"
    assert [file[name].attrs["schema_version"].item() for name in ("/", "flow", "rejected")] == [2, 2, 2]


def test_the_root_lists_the_groups_and_each_names_its_clips(file: h5py.File):
    assert file.attrs["groups"] == "faces spotting flow rejected"
    assert sorted(file.attrs["groups"].split()) == sorted(name for name in file if isinstance(file[name], h5py.Group))
    for name in ("faces", "spotting", "flow"):
        assert _texts(file[name]["clip_id"]) == USED
        assert file[name].attrs["coordinates"] == "clip_id"
    assert file.attrs["coordinates"] == "clip_id"
    assert "coordinates" not in file["rejected"].attrs


def test_complete_is_the_last_attribute(file: h5py.File):
    assert list(file.attrs)[-1] == "complete"


def test_one_chunk_holds_one_clip_and_pair(file: h5py.File):
    assert file["flow/u"].chunks == (1, 1, 32, 32)
    assert file["faces/keyframes"].chunks == (1, 1, 32, 32, 3)
    assert file["faces/apex"].chunks == (1, 32, 32, 3)
    for name in ("flow/strain", "faces/onset", "spotting/curve"):
        assert (file[name].compression, file[name].compression_opts, file[name].shuffle) == ("gzip", 4, True)


def test_two_builds_give_the_same_bytes(sample: ModuleType, built: Path, tmp_path: Path):
    sample.build(tmp_path / "again.h5", tmp_path / "stages")
    assert (tmp_path / "again.h5").read_bytes() == built.read_bytes()


def test_order_of_shard_files_does_not_matter(sample: ModuleType, built: Path, tmp_path: Path):
    files = {stage: paths[::-1] for stage, paths in sample.stage_files(tmp_path).items()}
    feature_file.build(tmp_path / "out.h5", sample.CLIPS, files, Cache(), sample.PROVENANCE)
    assert (tmp_path / "out.h5").read_bytes() == built.read_bytes()


def test_nothing_of_no_action_units_and_no_rejections_is_valid(sample: ModuleType, tmp_path: Path):
    clips = [replace(sample.CLIPS[0], action_units="")]
    feature_file.build(tmp_path / "out.h5", clips, sample.stage_files(tmp_path), Cache(), sample.PROVENANCE)
    assert feature_file.validate(tmp_path / "out.h5") == []
    with feature_file.open_features(tmp_path / "out.h5") as features:
        assert features["action_units"].shape == (1, 0)
        assert features.rejected == ()


def test_texts_hdf5_cannot_hold_are_escaped(sample: ModuleType, tmp_path: Path):
    clips = [replace(sample.CLIPS[0], emotion="a\0b\udce9é")]
    feature_file.build(tmp_path / "out.h5", clips, sample.stage_files(tmp_path), Cache(), sample.PROVENANCE)
    with feature_file.open_features(tmp_path / "out.h5") as features:
        assert features.clips[0].emotion == "a\\x00b\\udce9é"


def test_a_duplicate_rejected_at_ingest_does_not_hide_the_clip(sample: ModuleType, tmp_path: Path):
    twin = replace(sample.CLIPS[1], issues=(Issue("duplicate_clip", "line 9"),))
    files = sample.stage_files(tmp_path)
    summary = feature_file.build(tmp_path / "out.h5", [*sample.CLIPS, twin], files, Cache(), sample.PROVENANCE)
    assert "s1/startled" in summary.warned
    assert "s1/startled" in summary.rejected
    with feature_file.open_features(tmp_path / "out.h5") as features:
        assert features.rejected[-1].quality_text == quality.dumps(twin.issues)


def _unknown(sample: ModuleType, files: dict[str, list[Path]]) -> list[Clip]:
    return [*sample.CLIPS, Clip("s4/new", "demo", "s4", "frames/s4/new")]


def _twice(sample: ModuleType, files: dict[str, list[Path]]) -> list[Clip]:
    return [*sample.CLIPS, sample.CLIPS[0]]


def _all_rejected(sample: ModuleType, files: dict[str, list[Path]]) -> list[Clip]:
    return [clip for clip in sample.CLIPS if clip.clip_id in {"s2/dark", "s3/gone"}]


def _other_options(sample: ModuleType, files: dict[str, list[Path]]) -> list[Clip]:
    _add_shard(sample, files, "flow", "s5/x", sample.OPTIONS["flow"] | {"method": "dis"})
    return list(sample.CLIPS)


def _two_files(sample: ModuleType, files: dict[str, list[Path]]) -> list[Clip]:
    _add_shard(sample, files, "faces", "s1/happy", sample.OPTIONS["faces"])
    return list(sample.CLIPS)


def _other_size(sample: ModuleType, files: dict[str, list[Path]]) -> list[Clip]:
    for stage in files:
        arrays = {"crops": np.zeros((7, 16, 16, 1), np.uint8)} if stage == "faces" else {}
        _add_shard(sample, files, stage, "s5/x", sample.OPTIONS[stage], arrays)
    return [*sample.CLIPS, Clip("s5/x", "demo", "s5", "frames/s5/x")]


def _add_shard(
    sample: ModuleType, files: dict[str, list[Path]], stage: str, clip_id: str, options: Any, arrays: Any = None
) -> None:
    path = files[stage][0].with_name("s002.h5")
    record = sample.RECORDS[stage]("s1/startled")
    with ShardWriter(path, stage, options) as writer:
        writer.add(ClipRecord(clip_id, record.arrays | (arrays or {}), record.attrs))
    files[stage].append(path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_unknown, "s4/new is not in the stage files of faces, apex, flow"),
        (_twice, "s1/happy .*twice"),
        (_all_rejected, "none of 2 clips can be used: no_face, source_missing"),
        (_other_options, "other options than the first flow file"),
        (_two_files, "s1/happy is also in"),
        (_other_size, r"s5/x: face crops are \(16, 16\), but \(32, 32\)"),
    ],
)
def test_what_does_not_fit_stops_with_its_name(
    sample: ModuleType, tmp_path: Path, spoil: Callable[..., list[Clip]], message: str
):
    files = sample.stage_files(tmp_path)
    clips = spoil(sample, files)
    with pytest.raises(feature_file.CacheError, match=message):
        feature_file.build(tmp_path / "out.h5", clips, files, Cache(), sample.PROVENANCE)
    assert not (tmp_path / "out.h5").exists()


def test_memory_does_not_grow_with_the_clips(sample: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    clips = [Clip(f"s1/c{index}", "demo", "s1", "x") for index in range(12)]
    files = {stage: [tmp_path / f"{stage}.h5"] for stage in sample.RECORDS}
    crops = np.zeros((7, 128, 128, 3), np.uint8)
    for stage, make in sample.RECORDS.items():
        record = make("s1/startled")
        arrays = record.arrays | ({"crops": crops} if stage == "faces" else {})
        with ShardWriter(files[stage][0], stage, sample.OPTIONS[stage]) as writer:
            for clip in clips:
                writer.add(ClipRecord(clip.clip_id, arrays, record.attrs))
    held: list[int] = []
    write = FacesPart.write

    def measured(*args: Any) -> list[Issue]:
        tracemalloc.start()  # continues if it runs already
        held.append(tracemalloc.get_traced_memory()[0])
        return write(*args)

    monkeypatch.setattr(FacesPart, "write", measured)
    try:
        feature_file.build(tmp_path / "out.h5", clips, files, Cache(), sample.PROVENANCE)
    finally:
        tracemalloc.stop()
    assert len(held) == len(clips)
    assert held[-1] - held[1] < crops[0].nbytes
