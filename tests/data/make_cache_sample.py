"""Makes the sample feature files of format version 2, and the tiny stage files and flow maps that tests build from.

Run ``python tests/data/make_cache_sample.py`` to write ``cache-v2.h5`` (from stages) and ``maps-v2.h5`` (from flow
maps) beside this file. The committed samples, with ``cache-v1.h5`` of version 1, prove that later versions still read
the earlier ones: they are made once per format version and not again.
"""

from __future__ import annotations

import struct
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from mer_features import features as feature_file
from mer_features.core.clips import Clip
from mer_features.core.quality import Issue
from mer_features.features.options import Cache
from mer_features.stages.options import Apex, Faces, Flow
from mer_features.stages.store import ClipRecord, ShardWriter

SIDE = 32
PAIRS = ("onset_apex", "offset_apex")
SPOTTERS = ("interframe_diff", "midpoint")
OPTIONS = {
    "faces": Faces(size=SIDE).model_dump(mode="json", by_alias=True),
    "apex": Apex(spotters=SPOTTERS, fallback="interframe_diff").model_dump(mode="json"),
    "flow": Flow().model_dump(mode="json"),
}
PROVENANCE: feature_file.Provenance = {
    "config": '{"seed": 7}',
    "fingerprints": {"faces": "f0", "apex": "a0", "flow": "c0"},
    "versions": {"mer-features": "0.1.0"},
    "seed": 7,
}

#: The clip table: one clip that is fine, two with warnings, one that the faces stage and one that ingest rejects.
CLIPS = (
    Clip("s1/happy", "demo", "s1", "frames/s1/happy", 10, 10, 12, 14, 14, 200.0, "happiness", "4+R12"),
    Clip("s1/startled", "demo", "s1", "frames/s1/startled", emotion="surprise", action_units="1+2+L12+?"),
    Clip("s2/dark", "demo", "s2", "frames/s2/dark", emotion="fear"),
    Clip("s2/short", "demo", "s2", "frames/s2/short", emotion="others", issues=(Issue("onset_missing"),)),
    Clip("s3/gone", "demo", "s3", "frames/s3/gone", issues=(Issue("source_missing", "frames/s3/gone"),)),
)

#: Per used clip: frame numbers, channels, positions of onset, apex and offset, frame rate.
SHAPES = {
    "s1/happy": ((10, 11, 12, 13, 14, 15), 1, (0, 2, 4), 200.0),
    "s1/startled": ((1, 2, 4, 5, 6, 7, 8), 3, (0, 6, 6), 100.0),
    "s2/short": ((0, 1, 2), 1, (0, 1, 2), np.nan),
}
WARNINGS = {"s1/startled": (Issue("missing_frame", "frame 3"),)}


def crops(clip_id: str) -> np.ndarray:
    """Face crops (T, 32, 32, C): pixel (t, y, x, c) is 40 t + 3 y + x + 50 c modulo 256."""
    numbers, channels, _, _ = SHAPES[clip_id]
    t, y, x, c = np.ogrid[: len(numbers), :SIDE, :SIDE, :channels]
    return (40 * t + 3 * y + x + 50 * c).astype(np.uint8)


def flow(clip_id: str) -> np.ndarray:
    """Flow (2, 2, 32, 32): u is k + x / 100, v is -y / 100, k the clip's number; the second pair has twice that."""
    y, x = np.ogrid[:SIDE, :SIDE]
    u = list(SHAPES).index(clip_id) + (x + 0 * y) / 100
    field = np.stack([u, (-y + 0 * x) / 100])
    return np.stack([field, 2 * field]).astype(np.float32)


def strain(clip_id: str) -> np.ndarray:
    """Strain (2, 32, 32): x y / 10000 + k / 10."""
    y, x = np.ogrid[:SIDE, :SIDE]
    field = x * y / 10000 + list(SHAPES).index(clip_id) / 10
    return np.stack([field, 2 * field]).astype(np.float32)


def curve(clip_id: str, spotter: str) -> np.ndarray:
    """Curve (T,): triangle with its top at the apex, times the spotter's number + 1; NaN outside onset..offset."""
    numbers, _, (onset, apex, offset), _ = SHAPES[clip_id]
    t = np.arange(len(numbers))
    values = (1 - np.abs(t - apex) / 10) * (SPOTTERS.index(spotter) + 1)
    return np.where((t >= onset) & (t <= offset), values, np.nan)


def faces_record(clip_id: str) -> ClipRecord:
    """What the faces stage says of a clip."""
    numbers, _, (onset, apex, offset), fps = SHAPES[clip_id]
    arrays = {
        "crops": crops(clip_id),
        "numbers": np.array(numbers, np.int64),
        "landmarks": np.arange(136, dtype=np.float32).reshape(68, 2) / 8,
        "transform": np.array([[0.5, 0, -10], [0, 0.5, -20]]),
    }
    attrs = {"onset": onset, "offset": offset, "annotated_apex": apex, "fps": fps, "source_sha256": "ab" * 32}
    return ClipRecord(clip_id, arrays, attrs, WARNINGS.get(clip_id, ()))


def apex_record(clip_id: str) -> ClipRecord:
    """What the apex stage says of a clip."""
    _, _, (onset, apex, offset), _ = SHAPES[clip_id]
    arrays = {f"curve_{name}": curve(clip_id, name) for name in SPOTTERS}
    spotted = {f"spotted_{name}": position for name, position in zip(SPOTTERS, (apex, 1), strict=True)}
    source = "annotated" if clip_id == "s1/happy" else "interframe_diff"
    attrs = {"apex": apex, "apex_source": source, "onset": onset, "offset": offset} | spotted
    return ClipRecord(clip_id, arrays, attrs)


def flow_record(clip_id: str) -> ClipRecord:
    """What the flow stage says of a clip."""
    attrs = {"pairs": ",".join(PAIRS), "method": "tvl1"}
    return ClipRecord(clip_id, {"flow": flow(clip_id), "strain": strain(clip_id)}, attrs)


RECORDS = {"faces": faces_record, "apex": apex_record, "flow": flow_record}


def stage_files(folder: Path) -> dict[str, list[Path]]:
    """Write stage files of two shards, one of them with the clip the faces stage rejects."""
    shards = {"s000": ["s1/happy", "s1/startled"], "s001": ["s2/dark", "s2/short"]}
    files: dict[str, list[Path]] = {stage: [] for stage in RECORDS}
    for stage, make in RECORDS.items():
        for shard, clip_ids in shards.items():
            path = folder / stage / f"{shard}.h5"
            with ShardWriter(path, stage, OPTIONS[stage], PROVENANCE["fingerprints"][stage]) as writer:
                for clip_id in clip_ids:
                    rejected = ClipRecord(clip_id, issues=(Issue("no_face", "score 0.1"),))
                    writer.add(rejected if clip_id == "s2/dark" else make(clip_id))
            files[stage].append(path)
    return files


def build(output: Path, folder: Path) -> feature_file.Summary:
    """Build the sample feature file of stage files."""
    return feature_file.build(output, CLIPS, stage_files(folder), Cache(), PROVENANCE)


#: Flow maps: two that are fine, one that is grey, one that ingest warns of, one that it rejects.
MAP_CLIPS = (
    Clip("s1/a", "maps", "s1", "s1_a.png", emotion="negative"),
    Clip("s1/grey", "maps", "s1", "s1_grey.png", emotion="negative"),
    Clip("s2/b", "maps", "s2", "s2_b.png", emotion="surprise", issues=(Issue("same_picture", "s3/c"),)),
    Clip("s2/two", "maps", "s2", "s2_two.png", issues=(Issue("label_conflict", "negative, surprise"),)),
    Clip("s3/c", "maps", "s3", "s3_c.png", emotion="positive"),
)
MAP_SIDE = 28
MAP_PROVENANCE: feature_file.Provenance = PROVENANCE | {"fingerprints": {}}


def maps(clip_id: str) -> np.ndarray:
    """Maps (3, 28, 28): u is 9 x + k, v is 255 - 9 y - k, strain is the bytes x y modulo 256; k the clip's number."""
    k = [clip.clip_id for clip in MAP_CLIPS].index(clip_id)
    y, x = np.mgrid[:MAP_SIDE, :MAP_SIDE]
    return np.stack([9 * x + k, 255 - 9 * y - k, x * y % 256]).astype(np.uint8)


def png(pixels: np.ndarray, *more: bytes, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG file with the pixels (H, W, bytes per pixel), whose bytes do not depend on a library.

    ``more`` are chunks that stand before the pixels, ``depth`` and ``colour`` the bits and the colour type.
    """
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)  # 0: the bytes of a row are not predicted
    return png_file(chunk(b"IHDR", header), *more, chunk(b"IDAT", zlib.compress(rows, 0)), chunk(b"IEND"))


def png_file(*chunks: bytes) -> bytes:
    """A PNG file of these chunks."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    """One chunk of a PNG file."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def map_clips(folder: Path) -> Iterator[Clip]:
    """Write the pictures of the maps; gives the clip table with their paths."""
    for clip in MAP_CLIPS:
        pixels = maps(clip.clip_id).transpose(1, 2, 0)
        grey = clip.clip_id == "s1/grey"
        data = png(pixels[..., :1], colour=0) if grey else png(pixels)
        (folder / clip.source).write_bytes(data)
        yield replace(clip, source=str(folder / clip.source))


def build_maps(output: Path, folder: Path) -> feature_file.Summary:
    """Build the sample feature file of flow maps."""
    return feature_file.build(output, list(map_clips(folder)), {}, Cache(), MAP_PROVENANCE)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        build(Path(__file__).with_name("cache-v2.h5"), Path(scratch))
        build_maps(Path(__file__).with_name("maps-v2.h5"), Path(scratch))
