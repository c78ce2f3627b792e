"""Losses of EIDNet, means over the batch. Numbers are the paper's equations.

Shapes: N pairs or triplets; embeddings (N, C, M, M); logits (N, K) of a classifier, (N,) of the discriminator.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mer_features.systems.eidnet_network import pooled


def distance(one: Tensor, other: Tensor, form: str) -> Tensor:
    """Distance of maps or images (N, ...), as L_sim (1) and L_rec (2) take it.

    Parameters
    ----------
    one, other
        What is compared.
    form
        `mean_square`: mean of the squared differences; `norm`: mean over the batch of the Euclidean norm.
    """
    difference = (one - other).flatten(1)
    if form == "mean_square":
        return difference.square().mean()
    return torch.linalg.vector_norm(difference, dim=1).mean()


def triplet(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float, on: str) -> Tensor:
    """L_tri (5): max(‖f_anc − f_pos‖ − ‖f_anc − f_neg‖ + m, 0), of pooled embeddings or of whole maps (`on`)."""
    anchor, positive, negative = (
        pooled(part) if on == "pooled" else part.flatten(1) for part in (anchor, positive, negative)
    )
    near = torch.linalg.vector_norm(anchor - positive, dim=1)
    far = torch.linalg.vector_norm(anchor - negative, dim=1)
    return (near - far + margin).clamp_min(0).mean()


def discriminator(macro: Tensor, micro: Tensor) -> Tensor:
    """−log D(f_pos) − log(1 − D(f_anc)) from the discriminator's logits (the text after Eq. 6).

    The paper prints log D(1 − f_anc), which has no meaning for a map of features; this is the objective of the
    work it cites.
    """
    return F.softplus(-macro).mean() + F.softplus(micro).mean()


def adversarial(micro: Tensor) -> Tensor:
    """L_adv (7): −log D(f_anc) from the discriminator's logits."""
    return F.softplus(-micro).mean()


def inequality(macro: Tensor, micro: Tensor) -> Tensor:
    """L_LIR (9): max(L_cls(pos) − L_cls2, 0) of every sample's cross-entropies (N,), then the mean.

    As printed: where the macro loss is the larger, its gradient raises the micro loss.
    """
    return (macro.detach() - micro).clamp_min(0).mean()
