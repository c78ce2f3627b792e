"""Where MAP-MER looks: AU-CAM (paper 004, Eq. 12 and 13) and Grad-CAM beside it.

Both weigh the maps A_k of a branch's last shuffle attention by the mean gradient of a target: AU-CAM takes the largest
weighted feature of each region, Grad-CAM the summed logits of the predicted class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mer_features.systems.map_mer_network import MapMer, Output


def au_cam(net: MapMer, planes: Tensor) -> Tensor:
    """Where each region's strongest feature comes from; see :func:`_maps`."""
    return _maps(net, planes, lambda output: list(output.regions.amax(dim=2).unbind(1)))


def grad_cam(net: MapMer, planes: Tensor, predict: Callable[[Tensor], Tensor]) -> Tensor:
    """Where the predicted class comes from; see :func:`_maps`. ``predict``: logits (N, R, C) -> scores (N, C)."""

    def target(output: Output) -> list[Tensor]:
        predicted = predict(output.logits).argmax(dim=1, keepdim=True)  # (N, 1)
        summed = output.logits.sum(dim=1).gather(1, predicted)[:, 0]  # (N,)
        return [summed] * output.logits.shape[1]

    return _maps(net, planes, target)


def _maps(net: MapMer, planes: Tensor, targets: Callable[[Output], Sequence[Tensor]]) -> Tensor:
    """Class activation maps in evaluation mode.

    Parameters
    ----------
    net
        In evaluation mode: clips do not depend on each other.
    planes
        As the network takes them, (N, 3, S, S).
    targets
        Numbers (N,) for each of the R regions.

    Returns
    -------
    Tensor, (N, S, S) float32
        Regions stacked, each in [0, 1] by its own minimum and maximum; zero where nothing speaks for the target.
    """
    attended: list[Tensor] = []
    hooks = [
        branch.attended.register_forward_hook(lambda _module, _input, found: attended.append(found))
        for branch in net.branches
    ]
    try:
        with torch.enable_grad():
            wanted = targets(net(planes))
            # One target may ask for the gradient of the graph that the next one needs again.
            slopes = [
                torch.autograd.grad(target.sum(), found, retain_graph=True)[0]
                for target, found in zip(wanted, attended, strict=True)
            ]
    finally:
        for hook in hooks:
            hook.remove()
    size = (planes.shape[2] // len(attended), planes.shape[3])
    heats = [_heat(found.detach(), slope, size) for found, slope in zip(attended, slopes, strict=True)]
    return torch.cat(heats, dim=1)


def _heat(maps: Tensor, slopes: Tensor, size: tuple[int, int]) -> Tensor:
    """ReLU(Σ_k α_k A_k) with α_k the mean slope (Eq. 13), scaled to [0, 1], at the size of the region."""
    found = F.relu((slopes.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1, keepdim=True))  # (N, 1, h, w)
    low, high = found.amin(dim=(2, 3), keepdim=True), found.amax(dim=(2, 3), keepdim=True)
    scaled = (found - low) / torch.where(high > low, high - low, 1)
    return F.interpolate(scaled, size, mode="bilinear", align_corners=False)[:, 0]
