"""Losses of CycleGAN as in SAN, and a geometry guard (ours)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mer_features.core.grey import LUMA

#: Gradients below this magnitude have no direction; images are in -1..1.
_NO_EDGE = 1e-3


def real_or_fake(real: Tensor, fake: Tensor) -> Tensor:
    """Least-squares loss of a discriminator, from its scores of real images (target 1) and fakes (target 0)."""
    return 0.5 * ((real - 1).square().mean() + fake.square().mean())


def fooled(fake: Tensor) -> Tensor:
    """Least-squares loss of a generator, from the discriminator's scores of its fakes (target 1)."""
    return (fake - 1).square().mean()


def gradients(pictures: Tensor) -> Tensor:
    """Sobel gradients of luma.

    Parameters
    ----------
    pictures : Tensor, shape (N, 3, H, W)

    Returns
    -------
    Tensor, shape (N, 2, H - 2, W - 2)
        Gradients along x and y.
    """
    luma = (pictures * pictures.new_tensor(LUMA).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    kernel = pictures.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
    return F.conv2d(luma, torch.stack([kernel, kernel.T])[:, None])


def turned_edges(pictures: Tensor, renderings: Tensor) -> Tensor:
    """Change of the direction of strong gradients between images and their renderings.

    It is the mean of |n(rendering) - n(image)| over strong pixels and both components, where n is the gradient divided
    by its length. A pixel is strong if its gradient exceeds the mean length in its image. The value is 0 for an equal
    image and for an image with contrast scaled by a positive factor; it is largest for reversed contrast.

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
    # The constant avoids the infinite derivative of sqrt(0).
    return gradient / (gradient.square().sum(dim=1, keepdim=True) + _NO_EDGE**2).sqrt()
