"""The stage files of all shards of a database, read as one: the records of a clip by its identifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from mer_features.features.schema import CacheError
from mer_features.stages.store import ClipRecord, ClipView, ShardReader

#: Records of a clip by stage; `flow_maps` for a published flow map.
Views = Mapping[str, ClipView | ClipRecord]


class StageFiles:
    """Finds the records of clips in stage files and keeps one file per stage open. Use it as a context manager.

    Parameters
    ----------
    files
        Stage files of every shard, by stage.

    Raises
    ------
    CacheError
        On entering, if a clip is in two files of a stage or the files of a stage were written with different options.
    """

    def __init__(self, files: Mapping[str, Sequence[Path]]) -> None:
        self._files = files
        self._paths: dict[str, dict[str, Path]] = {}
        self._open: dict[str, ShardReader] = {}
        self.options: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Self:
        for stage, paths in self._files.items():
            self._paths[stage] = {}
            for path in paths:
                self._index(stage, path)
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            self._open.popitem()[1].__exit__(None, None, None)

    def _index(self, stage: str, path: Path) -> None:
        with ShardReader(path) as reader:
            if self.options.setdefault(stage, reader.options) != reader.options:
                raise CacheError(f"{path}: written with other options than the first {stage} file; run the stage again")
            for clip_id in reader.clip_ids:
                if self._paths[stage].setdefault(clip_id, path) is not path:
                    raise CacheError(f"{path}: clip {clip_id} is also in {self._paths[stage][clip_id]}")

    def views(self, clip_id: str) -> dict[str, ClipView]:
        """Records of one clip in all stages that have it; valid until the next call."""
        return {
            stage: self._reader(stage, paths[clip_id]).view(clip_id)
            for stage, paths in self._paths.items()
            if clip_id in paths
        }

    def missing(self, clip_id: str) -> list[str]:
        """Stages without a record of this clip."""
        return [stage for stage, paths in self._paths.items() if clip_id not in paths]

    def _reader(self, stage: str, path: Path) -> ShardReader:
        reader = self._open.get(stage)
        if reader is None or reader.path != path:
            if reader is not None:
                reader.__exit__(None, None, None)
            reader = self._open[stage] = ShardReader(path).__enter__()
        return reader
