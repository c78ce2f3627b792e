"""Where MIACNet sees the action: Grad-CAM (Selvaraju et al. 2017) on F^a, paper 003's Figure 6."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def grad_cam(action: Tensor, score: Tensor) -> Tensor:
    """Heat of each place of a map, for a score that was made of it.

    Parameters
    ----------
    action
        F^a (N, C, M, M), part of the score's graph.
    score
        (N,), each of its own row alone.

    Returns
    -------
    Tensor, (N, M, M)
        ReLU(Σ_k α_k F^a_k), α_k the mean slope, scaled to [0, 1] by its own minimum and maximum; 0 where nothing
        speaks for the score.
    """
    (slopes,) = torch.autograd.grad(score.sum(), action)
    heat = F.relu((slopes.mean(dim=(2, 3), keepdim=True) * action).sum(dim=1)).detach()
    low, high = heat.amin(dim=(1, 2), keepdim=True), heat.amax(dim=(1, 2), keepdim=True)
    return (heat - low) / torch.where(high > low, high - low, 1)
