"""Latents of every frame of some clips, made once and kept on disk while a pre-training is under way."""

from __future__ import annotations

import json
from collections.abc import Sequence as Ordered
from pathlib import Path

import numpy as np
import torch

from mer_features.files import write_text
from mer_features.progress import track
from mer_features.sequences import Sequences
from mer_features.systems import images, ma2mi_images
from mer_features.systems.autoencoder_networks import CHANNELS, Codec
from mer_features.systems.recipes.ma2mi import FACTOR

#: Frames encoded together, always as many: convolutions may round differently for other numbers.
_TOGETHER = 16
#: Clips between two notes of how far it is.
_NOTED_EVERY = 64


class Latents:
    """Scaled latents by clip and frame, (4, s, s) float32 each; safe in workers, which open the file themselves.

    Parameters
    ----------
    store
        Either the array itself, (all frames, 4, s, s), or the file that holds it.
    starts
        First row of every clip.
    scale
        What the autoencoder's latents were multiplied by.
    """

    def __init__(self, store: np.ndarray | Path, starts: np.ndarray, scale: float) -> None:
        self._store, self._starts, self.scale = store, starts, scale
        self._opened: np.ndarray | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_opened": None}

    def take(self, place: int, positions: Ordered[int]) -> torch.Tensor:
        """Frames of the clip at a place among the chosen ones, (n, 4, s, s)."""
        if self._opened is None:
            self._opened = (
                np.load(self._store, mmap_mode="r", allow_pickle=False)
                if isinstance(self._store, Path)
                else self._store
            )
        return torch.from_numpy(self._opened[self._starts[place] + np.asarray(positions)])


def build(sequences: Sequences, chosen: Ordered[int], codec: Codec, side: int, folder: Path | None) -> Latents:
    """Encode every frame of the chosen clips, or go on where a killed run was.

    Parameters
    ----------
    sequences
        Crops.
    chosen
        Indices of clips.
    codec
        Autoencoder; frames are encoded on the device it is on.
    side
        Side of the frames, pixels.
    folder
        For ``latents.npy`` and ``latents.json`` (the scale, and how many clips are done); it belongs to these clips
        and this autoencoder. None: everything stays in memory.
    """
    lengths = [sequences.clips[index].length for index in chosen]
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    shape = (int(starts[-1]), CHANNELS, side // FACTOR, side // FACTOR)
    if folder is None:
        array, done = np.empty(shape, dtype=np.float32), 0
    else:
        array, done = _opened(folder, shape)
    for place in track(range(done, len(chosen)), len(chosen) - done, "latents"):
        frames = sequences.frames(chosen[place], range(lengths[place]))
        array[starts[place] : starts[place + 1]] = encoded(frames, codec, side)
        if folder is not None and ((place + 1) % _NOTED_EVERY == 0 or place + 1 == len(chosen)):
            array.flush()  # type: ignore[attr-defined]  # a memmap
            write_text(folder / "latents.json", json.dumps({"scale": codec.scale, "clips": place + 1}))
    return Latents(array if folder is None else folder / "latents.npy", starts, codec.scale)


def _opened(folder: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, int]:
    """The file, new or as it was left, and how many clips are in it."""
    folder.mkdir(parents=True, exist_ok=True)
    path, note = folder / "latents.npy", folder / "latents.json"
    if note.exists() and path.exists():
        return np.load(path, mmap_mode="r+", allow_pickle=False), json.loads(note.read_text(encoding="utf-8"))["clips"]
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape), 0


def encoded(frames: np.ndarray, codec: Codec, side: int) -> np.ndarray:
    """Latents (n, 4, s, s) float32 of frames (n, H, W, C) uint8; equal frames give equal bytes."""
    device = next(iter(codec.weights().values())).device
    faces = np.stack([images.rgb(frame, side) for frame in frames])
    padded = faces[np.arange(-(-len(faces) // _TOGETHER) * _TOGETHER) % len(faces)]
    parts = [
        codec.encode(ma2mi_images.scaled(torch.from_numpy(padded[start : start + _TOGETHER]).to(device))).float().cpu()
        for start in range(0, len(padded), _TOGETHER)
    ]
    return torch.cat(parts)[: len(frames)].numpy()
