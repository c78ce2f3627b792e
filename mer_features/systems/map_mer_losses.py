"""Losses of MAP-MER. N clips, C classes, R regions, A action units; batch means where the equations print sums."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from mer_features.systems.map_mer_network import Output
from mer_features.systems.recipes.map_mer import MapMerRecipe


def overlap(units: Tensor) -> Tensor:
    """Shared among all action units of every two clips, w (N, N) float32 in [0, 1] (Eq. 4); two empty sets: 0 (ours).

    Parameters
    ----------
    units
        Action units seen, (N, A), zero or not.
    """
    seen = (units != 0).float()
    common = seen @ seen.T
    count = seen.sum(dim=1)
    return common / (count[:, None] + count - common).clamp(min=1)


def class_weights(labels: Tensor, classes: int) -> Tensor:
    """Clips of the largest class per clip of each class, (C,) float32 (Eq. 6); a class without clips counts as one."""
    counts = torch.bincount(labels, minlength=classes)
    return counts.max() / counts.clamp(min=1)


def classification(logits: Tensor, labels: Tensor, weights: Tensor, smoothing: float) -> Tensor:
    """Weighted cross-entropy of every region's head, summed over the regions (Eq. 7).

    Each is torch's weighted mean: divided by the sum of the weights of the clips' classes.

    Parameters
    ----------
    logits
        (N, R, C).
    labels
        (N,) int64.
    weights
        Of the classes, (C,).
    smoothing
        Of the labels, 0 .. 1.
    """
    parts = [F.cross_entropy(part, labels, weights, label_smoothing=smoothing) for part in logits.unbind(1)]
    return torch.stack(parts).sum()


def alignment(features: Tensor, overlaps: Tensor, temperature: float, variant: str) -> Tensor:
    """Weighted supervised contrastive loss (Eq. 5), mean over the clips that share an action unit with another.

    Parameters
    ----------
    features
        Of the clips, (N, F).
    overlaps
        w, (N, N).
    temperature
        τ.
    variant
        `excluded_self`: a clip itself is in no sum. `literal`: it is in both denominators, as printed. `code`: it is
        its own positive and in no softmax denominator.

    Returns
    -------
    Tensor
        A number; 0 without such clips.
    """
    itself = torch.eye(len(features), dtype=torch.bool, device=features.device)
    positives = overlaps if variant == "code" else overlaps.masked_fill(itself, 0)
    scale = (overlaps if variant == "literal" else positives).sum(dim=1)
    kept = positives.sum(dim=1) > 0
    if len(features) < 2 or not kept.any():
        return features.sum() * 0
    similarity = features @ features.T / temperature
    compared = similarity if variant == "literal" else similarity.masked_fill(itself, -torch.inf)
    log_share = similarity - compared.logsumexp(dim=1, keepdim=True)
    return (-(positives * log_share).sum(dim=1)[kept] / scale[kept]).mean()


class Losses(NamedTuple):
    """The terms of Eq. 8."""

    total: Tensor
    classification: Tensor
    alignment: Tensor


def losses(output: Output, labels: Tensor, units: Tensor, weights: Tensor, recipe: MapMerRecipe) -> Losses:
    """L = (1 - λ) L_cls + λ L_wscl (Eq. 8); L_cls alone without AU alignment."""
    classified = classification(output.logits, labels, weights, recipe.label_smoothing)
    if not recipe.au_alignment:
        return Losses(classified, classified, torch.zeros_like(classified))
    aligned = alignment(output.aligned, overlap(units), recipe.temperature, recipe.wscl)
    total = (1 - recipe.alignment_weight) * classified + recipe.alignment_weight * aligned
    return Losses(total, classified, aligned)
