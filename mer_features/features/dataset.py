"""Feature caches as a PyTorch dataset; the one module of the feature side that imports torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, default_collate

from mer_features.features import ClipRow, Features, open_features

#: A clip by its identifier, or by (database, identifier) where several caches hold the same one.
ClipKey = str | tuple[str, str]
Sample = dict[str, torch.Tensor]


class FeatureDataset(Dataset[Sample]):
    """Clips of one or more caches as samples of tensors.

    Safe in forked and spawned ``DataLoader`` workers: no file is open when the dataset is handed to them, each opens
    its own on the first sample.

    Parameters
    ----------
    paths
        Cache files, read as one.
    clip_ids
        The clips and their order; ``None`` takes all clips of all files.
    variables
        Names as :meth:`mer_features.features.Features.__getitem__` takes them, e.g. ``flow/u[onset_apex]``.
    transform
        Called with every sample; what it returns is what ``dataset[i]`` returns.
    in_memory
        Read everything now. The flow of a micro-expression database is some tens of megabytes, and decompressing a
        clip costs far more than copying it.

    Raises
    ------
    KeyError
        For a clip or variable that is not there, or a clip identifier that is in several files.
    TypeError
        For a text variable, which makes no tensor.
    """

    def __init__(
        self,
        paths: Sequence[Path | str],
        clip_ids: Sequence[ClipKey] | None = None,
        variables: Sequence[str] = ("flow/u", "flow/v"),
        transform: Callable[[Sample], Any] | None = None,
        *,
        in_memory: bool = False,
    ) -> None:
        self._files = [open_features(path) for path in paths]
        self._variables = tuple(variables)
        self._transform = transform
        for file in self._files:
            _check(file, self._variables)
        self.clips = tuple(clip for file in self._files for clip in file.clips)
        places = [(file, row) for file, features in enumerate(self._files) for row in range(len(features.clips))]
        chosen = _choose(self.clips, clip_ids)
        self.clips = tuple(self.clips[index] for index in chosen)
        self._places = [places[index] for index in chosen]
        self._memory = self._load() if in_memory else None
        for file in self._files:
            file.close()

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Any:
        """The sample: one tensor a variable, and ``index`` (int64), its place in :attr:`clips`."""
        index = range(len(self))[index]
        if self._memory is None:
            sample = self._read(index)
        else:
            file, slot = self._memory.slots[index]
            sample = {name: values[slot] for name, values in self._memory.values[file].items()}
        sample["index"] = torch.tensor(index)
        return sample if self._transform is None else self._transform(sample)

    def _read(self, index: int) -> Sample:
        file, row = self._places[index]
        features = self._files[file]
        return {name: torch.from_numpy(np.asarray(features[name][row])) for name in self._variables}

    def _load(self) -> _Memory:
        """All samples; one tensor a file and variable, since workers share tensors by file handles, which are few."""
        members: dict[int, list[int]] = {}
        slots = []
        for index, (file, _) in enumerate(self._places):
            slots.append((file, len(members.setdefault(file, []))))
            members[file].append(index)
        values = {file: default_collate([self._read(index) for index in indices]) for file, indices in members.items()}
        return _Memory(slots, values)


@dataclass(frozen=True)
class _Memory:
    """Samples held in memory: the file and position of each, and the stacked tensors of every file."""

    slots: list[tuple[int, int]]
    values: dict[int, Sample]


def _check(file: Features, variables: Sequence[str]) -> None:
    for name in variables:
        if file[name].dtype.kind == "O":
            raise TypeError(f"{file.path}: {name} holds texts; take them from the dataset's `clips`")


def _choose(clips: Sequence[ClipRow], wanted: Sequence[ClipKey] | None) -> list[int]:
    """Positions of the wanted clips among all."""
    if wanted is None:
        return list(range(len(clips)))
    places: dict[ClipKey, list[int]] = {}
    for position, clip in enumerate(clips):
        places.setdefault(clip.clip_id, []).append(position)
        places.setdefault((clip.database, clip.clip_id), []).append(position)
    for key in wanted:
        if len(found := places.get(key, [])) != 1:
            problem = (
                "is in several feature files; give (database, clip_id)" if found else "is in none of the feature files"
            )
            raise KeyError(f"clip {key!r} {problem}")
    return [places[key][0] for key in wanted]
