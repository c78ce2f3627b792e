"""Trained generators: their file, what they make of a face, and whether they leave it in shape."""

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
    raise RuntimeError("style generators need PyTorch: pip install 'mer-features[train]'") from error

from torch import nn
from torch.nn import functional as F

from mer_features.core import tensors
from mer_features.core.files import atomic_path
from mer_features.stages.style import geometry
from mer_features.stages.style.networks import Generator, pictures

FORMAT = "mer-features style generators 1"
#: Acceptance: median displacement that generators may cause, pixels, and how many crops it is measured on.
LIMIT_PX, TRIED = 0.3, 20


@dataclass(frozen=True)
class Model:
    """Generators and what they were made from (``facts``: recipe, clusters, seed, figures; JSON values)."""

    generators: nn.ModuleList
    facts: Mapping[str, Any]


def save(path: Path | str, generators: Sequence[Generator], facts: Mapping[str, Any]) -> None:
    """Write generators, atomically; ``facts`` must hold ``width`` and ``blocks``."""
    tree = {"format": FORMAT, "facts": json.dumps(facts, sort_keys=True)}
    with atomic_path(path) as temporary:
        torch.save(tree | {"generators": [item.cpu().state_dict() for item in generators]}, temporary)


@lru_cache(maxsize=1)
def load(path: Path, sha256: str = "") -> Model:
    """Generators from their file, of which nothing is executed.

    Raises
    ------
    ValueError
        If the file is none of :func:`save`, or not the one with this SHA-256.
    """
    if sha256 and digest(path) != sha256:
        raise ValueError(f"{path}: the generators are not those that were accepted; fit again")
    try:
        tree = tensors.read(path)
        facts = json.loads(tree["facts"])
        made = nn.ModuleList(Generator(facts["width"], facts["blocks"]) for _ in tree["generators"])
        if tree["format"] != FORMAT or not made:
            raise ValueError(f"format is not {FORMAT!r}")
        for generator, weights in zip(made, tree["generators"], strict=True):
            generator.load_state_dict(weights)
    except Exception as error:  # torch raises whatever a foreign file makes it raise
        raise ValueError(f"{path}: holds no style generators ({error})") from error
    return Model(made.eval().requires_grad_(False), facts)


def digest(path: Path | str) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def aggregate(image: np.ndarray, model: Model) -> np.ndarray:
    """Mean of what all generators make of an image, whatever its style: (G_A(x) + G_B(x)) / 2 for a pair.

    Parameters
    ----------
    image : ndarray, shape (H, W, 1) or (H, W, 3), uint8
        Any size; edges are mirrored up to a multiple of 4.
    model
        Of :func:`load`.

    Returns
    -------
    ndarray, uint8
        Of the same shape; an image without colour stays without.
    """
    height, width, channels = image.shape
    grey = channels == 1 or bool((image == image[..., :1]).all())
    stacked = np.repeat(image[..., :1], 3, axis=2) if grey else image
    with torch.inference_mode():
        taken = pictures(torch.from_numpy(np.ascontiguousarray(stacked))[None])
        taken = F.pad(taken, (0, -width % 4, 0, -height % 4), mode="reflect")
        made = torch.stack([generator(taken)[0] for generator in model.generators]).mean(dim=0)
    levels = (made[:, :height, :width].permute(1, 2, 0).numpy() + 1) * 127.5
    out = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return np.repeat(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY)[..., None], channels, axis=2) if grey else out


def bending(crops: Sequence[np.ndarray], model: Model) -> float:
    """How far generators move edges: the median over crops of the median displacement, pixels.

    Measured on :data:`TRIED` crops, evenly spaced. Above :data:`LIMIT_PX` a model bends faces.
    """
    places = np.linspace(0, len(crops) - 1, min(TRIED, len(crops))).round().astype(int)
    found = [geometry.displacement(crops[place], aggregate(crops[place], model)) for place in places]
    return float(np.median([geometry.median_length(field) for field in found]))


def pairs_of(clusters: int, which: str) -> list[tuple[int, int]]:
    """Pairs of clusters, smallest first, between which generators are trained."""
    return [(0, clusters - 1)] if which == "pair" else list(itertools.combinations(range(clusters), 2))
