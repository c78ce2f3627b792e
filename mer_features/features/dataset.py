"""Feature files as a PyTorch dataset; the only module of this package that imports torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, default_collate

from mer_features.features import ClipRow, Features, open_features

#: A clip by its identifier, or by (database, identifier) if several files have a clip with the same identifier.
ClipKey = str | tuple[str, str]
Sample = dict[str, torch.Tensor]


class FeatureDataset(Dataset[Sample]):
    """Clips of one or more feature files as samples of tensors.

    Safe in forked and spawned ``DataLoader`` workers: no file is open when a worker receives the dataset, and each
    worker opens the files for its first sample.

    Parameters
    ----------
    paths
        Feature files, read as one dataset.
    clip_ids
        The clips and their order; ``None`` means all clips of all files.
    variables
        Names as for :meth:`mer_features.features.Features.__getitem__`, e.g. ``flow/u[onset_apex]``.
    transform
        Called with each sample; its result is returned as ``dataset[i]``.
    in_memory
        Read all samples now. The flow of a micro-expression database takes some tens of megabytes, and it takes much
        longer to decompress a clip than to copy it.

    Raises
    ------
    KeyError
        For a clip or variable that does not exist, or a clip identifier that is in several files.
    TypeError
        For a text variable, which cannot be a tensor.
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
        """The sample: one tensor per variable, and ``index`` (int64), its position in :attr:`clips`."""
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
        """All samples, as one tensor per file and variable, because workers share each by a file handle."""
        members: dict[int, list[int]] = {}
        slots = []
        for index, (file, _) in enumerate(self._places):
            slots.append((file, len(members.setdefault(file, []))))
            members[file].append(index)
        values = {file: default_collate([self._read(index) for index in indices]) for file, indices in members.items()}
        return _Memory(slots, values)


@dataclass(frozen=True)
class _Memory:
    """Samples in memory: the file and position of each sample, and the stacked tensors of each file."""

    slots: list[tuple[int, int]]
    values: dict[int, Sample]


def _check(file: Features, variables: Sequence[str]) -> None:
    for name in variables:
        if file[name].dtype.kind == "O":
            raise TypeError(f"{file.path}: {name} contains texts; read them from `clips` of the dataset")


def _choose(clips: Sequence[ClipRow], wanted: Sequence[ClipKey] | None) -> list[int]:
    """Positions of the wanted clips in ``clips``."""
    if wanted is None:
        return list(range(len(clips)))
    places: dict[ClipKey, list[int]] = {}
    for position, clip in enumerate(clips):
        places.setdefault(clip.clip_id, []).append(position)
        places.setdefault((clip.database, clip.clip_id), []).append(position)
    for key in wanted:
        positions = places.get(key, [])
        if not positions:
            raise KeyError(f"clip {key!r} is not in any of the feature files")
        if len(positions) > 1:
            raise KeyError(f"clip {key!r} is in several feature files; give (database, clip_id)")
    return [places[key][0] for key in wanted]
