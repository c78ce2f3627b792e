"""Losses of CycleGAN as SAN trains it, and the guard on geometry that is ours."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mer_features.core.grey import LUMA

#: Gradient magnitudes below this have no direction; pictures lie in -1..1.
_NO_EDGE = 1e-3


def real_or_fake(real: Tensor, fake: Tensor) -> Tensor:
    """Least squares loss of a discriminator: its mean over scores of reals (wanted 1) and fakes (wanted 0)."""
    return 0.5 * ((real - 1).square().mean() + fake.square().mean())


def fooled(fake: Tensor) -> Tensor:
    """Least squares loss of a generator: the discriminator's scores of its fakes should be 1."""
    return (fake - 1).square().mean()


def gradients(pictures: Tensor) -> Tensor:
    """Sobel gradients of luma.

    Parameters
    ----------
    pictures : Tensor, shape (N, 3, H, W)

    Returns
    -------
    Tensor, shape (N, 2, H - 2, W - 2)
        Along x and y.
    """
    luma = (pictures * pictures.new_tensor(LUMA).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    kernel = pictures.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
    return F.conv2d(luma, torch.stack([kernel, kernel.T])[:, None])


def turned_edges(pictures: Tensor, renderings: Tensor) -> Tensor:
    """How far a rendering turns the gradients of its picture where these are strong.

    The mean over strong pixels and both components of |n(rendering) - n(picture)|, n the gradient over its length;
    strong is what exceeds the mean length in its picture. 0 for an equal picture, and for one whose contrast is
    scaled by a positive factor; reversed contrast costs most.

    Parameters
    ----------
    pictures, renderings : Tensor, shape (N, 3, H, W), -1..1
    """
    before, after = gradients(pictures), gradients(renderings)
    length = before.square().sum(dim=1, keepdim=True).sqrt()
    strong = (length > length.mean(dim=(2, 3), keepdim=True)) & (length > _NO_EDGE)
    distance = (_direction(after) - _direction(before)).abs().mean(dim=1, keepdim=True)
    return (distance * strong).sum() / strong.sum().clamp(min=1)


def _direction(gradient: Tensor) -> Tensor:
    # Not sqrt(0), whose slope is infinite.
    return gradient / (gradient.square().sum(dim=1, keepdim=True) + _NO_EDGE**2).sqrt()
