"""Trained generators of learned style aggregation.

:func:`save` and :func:`load` write and read their file, and :func:`load` also reads the generators of a trained SAN.
:func:`aggregate` applies them to a face, :func:`bending` measures how much they deform faces, and :func:`pairs_of`
lists the pairs of clusters between which they are trained.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

try:
    import torch
except ModuleNotFoundError as error:
    raise RuntimeError("style generators need PyTorch; run `pip install 'mer-features[train]'`") from error

from torch import nn
from torch.nn import functional as F

from mer_features.core import tensors
from mer_features.stages.style import geometry
from mer_features.stages.style.networks import Generator, pictures

FORMAT = "mer-features style generators 1"
#: Names of the two generators in a network of SAN's public code (Dong et al. 2018), which averages their outputs.
SAN_GENERATORS = ("netG_A", "netG_B")
#: Buffers that instance norms of early PyTorch releases stored and did not use.
_UNUSED = ("running_mean", "running_var", "num_batches_tracked")
#: Acceptance test: largest median displacement in pixels that generators may cause, and number of crops on which it is
#: measured.
LIMIT_PX, TRIED = 0.3, 20


@dataclass(frozen=True)
class Model:
    """Generators and how they were trained (``facts``: recipe, clusters, seed, measurements; JSON values)."""

    generators: nn.ModuleList
    facts: Mapping[str, Any]


def save(path: Path | str, generators: Sequence[Generator], facts: Mapping[str, Any]) -> None:
    """Write generators, atomically; ``facts`` must hold ``width`` and ``blocks``."""
    tree = {"format": FORMAT, "facts": json.dumps(facts, sort_keys=True)}
    tensors.write(Path(path), tree | {"generators": [item.cpu().state_dict() for item in generators]})


@lru_cache(maxsize=1)
def load(path: Path, sha256: str = "") -> Model:
    """Read generators from their file; no code in the file is executed.

    Parameters
    ----------
    path
        A file of :func:`save`, or the ``state_dict`` of a network of SAN's public code: tensors named
        ``netG_A.model...`` and ``netG_B.model...``, with or without ``module.`` in front; other tensors are ignored.
    sha256
        Expected SHA-256 of the file; empty: not checked.

    Raises
    ------
    ValueError
        If the file is neither, or has another SHA-256.
    """
    if sha256 and digest(path) != sha256:
        raise ValueError(f"{path}: these are not the generators that were accepted; run the fit again")
    try:
        tree = tensors.read(path)
        stored, facts = (tree["generators"], json.loads(tree["facts"])) if "generators" in tree else _of_san(tree)
        generators = nn.ModuleList(Generator(facts["width"], facts["blocks"]) for _ in stored)
        if tree.get("format", FORMAT) != FORMAT or not generators:
            raise ValueError(f"format is not {FORMAT!r}")
        for generator, weights in zip(generators, stored, strict=True):
            generator.load_state_dict(weights)
    except Exception as error:  # for a foreign file, torch may raise any exception
        raise ValueError(f"{path}: not a file of style generators ({error})") from error
    return Model(generators.eval().requires_grad_(False), facts)


def _of_san(tree: Mapping[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Weights of both generators in the ``state_dict`` of a SAN, and their width and number of blocks."""
    named = {name.removeprefix("module."): value for name, value in tree.get("state_dict", tree).items()}
    stored = [
        {
            name.removeprefix(f"{generator}."): value
            for name, value in named.items()
            if name.startswith(f"{generator}.") and not name.endswith(_UNUSED)
        }
        for generator in SAN_GENERATORS
    ]
    if not all(stored):
        raise ValueError(f"found neither generators of this package nor {' and '.join(SAN_GENERATORS)} of SAN")
    blocks = {name.split(".")[1] for name in stored[0] if ".conv_block." in name}
    return stored, {"width": len(stored[0]["model.1.weight"]), "blocks": len(blocks), "source": "SAN"}


def digest(path: Path | str) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def aggregate(image: np.ndarray, model: Model) -> np.ndarray:
    """Mean output of all generators for an image of any style, e.g. (G_A(x) + G_B(x)) / 2 for a pair.

    Parameters
    ----------
    image : ndarray, shape (H, W, 1) or (H, W, 3), uint8
        Image of any size; it is padded by reflection to multiples of 4.
    model
        Model from :func:`load`.

    Returns
    -------
    ndarray, uint8
        Image of the same shape; an image without colour remains without colour.
    """
    height, width, channels = image.shape
    grey = channels == 1 or bool((image == image[..., :1]).all())
    stacked = np.repeat(image[..., :1], 3, axis=2) if grey else image
    with torch.inference_mode():
        batch = pictures(torch.from_numpy(np.ascontiguousarray(stacked))[None])
        batch = F.pad(batch, (0, -width % 4, 0, -height % 4), mode="reflect")
        output = torch.stack([generator(batch)[0] for generator in model.generators]).mean(dim=0)
    levels = (output[:, :height, :width].permute(1, 2, 0).numpy() + 1) * 127.5
    out = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return np.repeat(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY)[..., None], channels, axis=2) if grey else out


def bending(crops: Sequence[np.ndarray], model: Model) -> float:
    """Displacement of edges by the generators: the median over crops of the median displacement, in pixels.

    Measured on :data:`TRIED` evenly spaced crops. A model with more than :data:`LIMIT_PX` deforms faces.
    """
    indices = np.linspace(0, len(crops) - 1, min(TRIED, len(crops))).round().astype(int)
    displacements = [geometry.displacement(crops[index], aggregate(crops[index], model)) for index in indices]
    return float(np.median([geometry.median_length(field) for field in displacements]))


def pairs_of(clusters: int, which: str) -> list[tuple[int, int]]:
    """Pairs of clusters between which generators are trained, the smaller index first."""
    return [(0, clusters - 1)] if which == "pair" else list(itertools.combinations(range(clusters), 2))
