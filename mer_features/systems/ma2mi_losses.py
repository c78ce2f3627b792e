"""Losses of MA2MI's pre-training (paper 003, Eq. 2 to 10). Eq. 2 to 4 are on cosines, in float32 whatever comes.

Shapes: N images, maps of C channels and H x W places, n = H W.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

#: A place counts in L_3 where a warped map of ones is above this: elsewhere τ brought in what is no face.
INSIDE = 0.99


def reconstruction(made: Tensor, wanted: Tensor) -> Tensor:
    """L_rec (9): mean modulus of the difference."""
    return F.l1_loss(made, wanted)


def _directions(maps: Tensor) -> Tensor:
    """Unit vectors of all places, (N, C, H, W) -> (N, n, C); a place without a feature stays 0."""
    return F.normalize(maps.float().flatten(2).transpose(1, 2), dim=2)


def separation(maps: Tensor) -> Tensor:
    """L_1 (2): mean cosine of two different places of one face, (N, C, H, W) -> ()."""
    found = _directions(maps)
    cosines = found @ found.transpose(1, 2)  # (N, n, n)
    n = cosines.shape[1]
    same = cosines.diagonal(dim1=1, dim2=2).sum(dim=1)
    return ((cosines.sum(dim=(1, 2)) - same) / (n * (n - 1))).mean()


def matching(maps: Tensor, others: Tensor) -> Tensor:
    """L_2 (3, 4): mean cosine of places that do not match on two faces minus that of places that do, as printed.

    A place's match is the most similar place of the other face; several places may share one.
    """
    cosines = _directions(maps) @ _directions(others).transpose(1, 2)  # (N, n, n)
    n = cosines.shape[1]
    best = cosines.max(dim=2).values  # (N, n); its slope is that of one match, as Eq. 4 names one
    rest = cosines.sum(dim=(1, 2)) - best.sum(dim=1)
    return (rest / (n * (n - 1)) - best.mean(dim=1)).mean()


def equivariance(seen: Tensor, expected: Tensor, ones: Tensor, form: str) -> Tensor:
    """L_3 (5): distance of E_p(τ(I)) and τ(E_p(I)), over places that τ took from inside.

    Parameters
    ----------
    seen, expected
        Both maps, (N, C, H, W).
    ones
        τ of a map of ones, (N, 1, H, W).
    form
        ``mean_square``: mean squared difference of all elements inside; ``norm``: Euclidean norm of each image's
        difference, mean over images.
    """
    inside = ones > INSIDE
    squares = torch.where(inside, (seen - expected).float().square(), 0)
    if form == "norm":
        # A root has no slope at 0.
        return squares.sum(dim=(1, 2, 3)).clamp_min(torch.finfo(squares.dtype).tiny).sqrt().mean()
    return squares.sum() / (inside.sum() * seen.shape[1]).clamp_min(1)
