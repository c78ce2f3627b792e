"""The diffusion transformer (DiT, Peebles and Xie 2023) of MA2MI, and the stored latents of video frames.

MA2MI uses DiT for a single step, without noise, time and classes. The condition enters by adaLN-Zero, in place of time
and class. Shapes: N images of C channels and S x S places, T tokens of D features.
"""

from __future__ import annotations

import json
from collections.abc import Sequence as Ordered
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mer_features.core.files import write_text
from mer_features.core.jobs import track
from mer_features.features.sequences import Sequences
from mer_features.systems.common import inputs
from mer_features.systems.ma2mi import network
from mer_features.systems.ma2mi.autoencoder import CHANNELS, Codec
from mer_features.systems.ma2mi.recipe import FACTOR


class Shape(NamedTuple):
    """Sizes of a DiT."""

    channels: int  # C
    side: int  # S
    patch: int
    width: int  # D
    depth: int
    heads: int


def positions(side: int, width: int) -> Tensor:
    """Fixed sine-cosine codes of side x side places, (side², D) float32: half of them for rows, half for columns."""
    rates = 10000 ** (-torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    angles = torch.arange(side, dtype=torch.float64)[:, None] * rates
    axis = torch.cat([angles.sin(), angles.cos()], dim=1)  # (side, D / 2)
    rows, columns = axis[:, None].expand(-1, side, -1), axis[None].expand(side, -1, -1)
    return torch.cat([rows, columns], dim=2).flatten(0, 1).float()


def modulated(tokens: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Normalise tokens (N, T, D), then scale and shift them by the condition (N, D) of their image."""
    return F.layer_norm(tokens, tokens.shape[-1:], eps=1e-6) * (1 + scale[:, None]) + shift[:, None]


class Modulation(nn.Sequential):
    """Shifts, scales and gates (N, D) from a condition (N, D); all zero before training."""

    def __init__(self, width: int, parts: int) -> None:
        super().__init__(nn.SiLU(), nn.Linear(width, parts * width))
        self.parts = parts

    def forward(self, condition: Tensor) -> tuple[Tensor, ...]:
        """``parts`` tensors (N, D)."""
        return super().forward(condition).chunk(self.parts, dim=1)


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.entry, self.exit = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:  # (N, T, D)
        """Attended tokens (N, T, D)."""
        n, t, d = tokens.shape
        queries, keys, values = self.entry(tokens).view(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(queries, keys, values)  # (N, heads, T, D / heads)
        return self.exit(mixed.transpose(1, 2).reshape(n, t, d))


class Block(nn.Module):
    """Attention and a two-layer network, each gated by the condition; the identity before training."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.modulation = Modulation(width, 6)
        self.attention = Attention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width))

    def forward(self, tokens: Tensor, condition: Tensor) -> Tensor:  # (N, T, D), (N, D)
        """Refined tokens (N, T, D)."""
        shift, scale, gate, shift_2, scale_2, gate_2 = self.modulation(condition)
        tokens = tokens + gate[:, None] * self.attention(modulated(tokens, shift, scale))
        return tokens + gate_2[:, None] * self.mlp(modulated(tokens, shift_2, scale_2))


class DiT(nn.Module):
    """The complete transformer.

    Parameters
    ----------
    shape
        Sizes of the transformer.
    condition
        Width of the condition.
    residual
        Whether its output is added to the given image.
    """

    def __init__(self, shape: Shape, condition: int, *, residual: bool = False) -> None:
        super().__init__()
        self.shape, self.residual = shape, residual
        self.projection = nn.Linear(condition, shape.width)
        self.embedding = nn.Conv2d(shape.channels, shape.width, shape.patch, shape.patch)
        self.places: Tensor
        self.register_buffer("places", positions(shape.side // shape.patch, shape.width), persistent=False)
        self.blocks = nn.ModuleList(Block(shape.width, shape.heads) for _ in range(shape.depth))
        self.modulation = Modulation(shape.width, 2)
        self.exit = nn.Linear(shape.width, shape.patch**2 * shape.channels)
        initialise(self)

    def forward(self, images: Tensor, condition: Tensor) -> Tensor:  # (N, C, S, S), (N, condition)
        """Ẑ_{t+δ} (Eq. 8) from Z_t and C_Δ; before training it is 0, or Z_t with ``residual``."""
        projected = self.projection(condition)  # (N, D)
        tokens = self.embedding(images).flatten(2).transpose(1, 2) + self.places  # (N, T, D)
        for block in self.blocks:
            tokens = block(tokens, projected)
        shift, scale = self.modulation(projected)
        output = self.joined(self.exit(modulated(tokens, shift, scale)))
        return images + output if self.residual else output

    def joined(self, patches: Tensor) -> Tensor:
        """Join patches (N, T, patch² C) to images (N, C, S, S)."""
        patch, side = self.shape.patch, self.shape.side // self.shape.patch
        grid = patches.view(len(patches), side, side, patch, patch, self.shape.channels)
        return grid.permute(0, 5, 1, 3, 2, 4).reshape(len(patches), self.shape.channels, *2 * (self.shape.side,))


def initialise(dit: DiT) -> None:
    """Xavier uniform weights and zero biases; modulations and the last layer start at 0 (adaLN-Zero)."""
    for part in dit.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(part.weight.view(len(part.weight), -1))  # a patch is a vector
            nn.init.zeros_(part.bias)
    for part in dit.modules():
        if isinstance(part, Modulation):
            nn.init.zeros_(part[1].weight)
    nn.init.zeros_(dit.exit.weight)


# ---------------------------------------------------------------- latents of video frames, stored during a pre-training

#: Number of frames encoded together. It is constant, because convolutions may round differently for other numbers.
_TOGETHER = 16
#: Number of clips between two updates of the progress file.
_NOTED_EVERY = 64


class Latents:
    """Scaled latents by clip and frame, (4, s, s) float32 each. Each worker process opens the file itself.

    Parameters
    ----------
    store
        The array, (all frames, 4, s, s), or the file that holds it.
    starts
        First row of each clip.
    scale
        Factor on the latents of the autoencoder.
    """

    def __init__(self, store: np.ndarray | Path, starts: np.ndarray, scale: float) -> None:
        self._store, self._starts, self.scale = store, starts, scale
        self._array: np.ndarray | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_array": None}

    def take(self, place: int, positions: Ordered[int]) -> torch.Tensor:
        """Latents (n, 4, s, s) of frames of a clip; ``place`` is the position of the clip in the chosen clips."""
        if self._array is None:
            self._array = (
                np.load(self._store, mmap_mode="r", allow_pickle=False)
                if isinstance(self._store, Path)
                else self._store
            )
        return torch.from_numpy(self._array[self._starts[place] + np.asarray(positions)])


def build(sequences: Sequences, chosen: Ordered[int], codec: Codec, side: int, folder: Path | None) -> Latents:
    """Encode every frame of the chosen clips, or resume a killed run.

    Parameters
    ----------
    sequences
        Face crops of the clips.
    chosen
        Indices of the clips.
    codec
        Autoencoder; frames are encoded on its device.
    side
        Side of the frames, pixels.
    folder
        Folder of ``latents.npy`` and ``latents.json`` (the scale and the number of finished clips). It must only be
        used for these clips and this autoencoder. None: everything stays in memory.
    """
    lengths = [sequences.clips[index].length for index in chosen]
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    shape = (int(starts[-1]), CHANNELS, side // FACTOR, side // FACTOR)
    if folder is None:
        array, finished = np.empty(shape, dtype=np.float32), 0
    else:
        array, finished = _open_array(folder, shape)
    for place in track(range(finished, len(chosen)), len(chosen) - finished, "latents"):
        frames = sequences.frames(chosen[place], range(lengths[place]))
        array[starts[place] : starts[place + 1]] = encoded(frames, codec, side)
        if folder is not None and ((place + 1) % _NOTED_EVERY == 0 or place + 1 == len(chosen)):
            array.flush()  # type: ignore[attr-defined]  # a memmap
            write_text(folder / "latents.json", json.dumps({"scale": codec.scale, "clips": place + 1}))
    return Latents(array if folder is None else folder / "latents.npy", starts, codec.scale)


def _open_array(folder: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, int]:
    """The array in the file, new or of a killed run, and the number of clips in it."""
    folder.mkdir(parents=True, exist_ok=True)
    path, note = folder / "latents.npy", folder / "latents.json"
    if note.exists() and path.exists():
        return np.load(path, mmap_mode="r+", allow_pickle=False), json.loads(note.read_text(encoding="utf-8"))["clips"]
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape), 0


def encoded(frames: np.ndarray, codec: Codec, side: int) -> np.ndarray:
    """Latents (n, 4, s, s) float32 of frames (n, H, W, C) uint8; equal frames give equal bytes."""
    device = next(iter(codec.weights().values())).device
    faces = np.stack([inputs.rgb(frame, side) for frame in frames])
    padded = faces[np.arange(-(-len(faces) // _TOGETHER) * _TOGETHER) % len(faces)]
    parts = [
        codec.encode(network.scaled(torch.from_numpy(padded[start : start + _TOGETHER]).to(device))).float().cpu()
        for start in range(0, len(padded), _TOGETHER)
    ]
    return torch.cat(parts)[: len(frames)].numpy()
