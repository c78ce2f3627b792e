"""The network of learning-based motion magnification.

Oh, Jaroensri, Kim, Elgharib, Durand, Freeman and Matusik, "Learning-based Video Motion Magnification", ECCV 2018:
an encoder splits each frame into texture V and shape M, a manipulator enlarges the difference between the shapes of
two frames, a decoder paints the texture onto the enlarged shape. Written from the paper; no convolution has a bias
and nothing is normalised, so that no difference in shape gives exactly no change.

Shapes: N images, H and W divisible by 4 and at least 8, values in [-1, 1].
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: Width of texture and shape codes.
WIDTH = 32


def conv(channels: int, width: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """Convolution without bias, the border reflected; H x W become H / stride x W / stride."""
    return nn.Conv2d(channels, width, kernel, stride, kernel // 2, padding_mode="reflect", bias=False)


class Residual(nn.Module):
    """Two 3x3 convolutions, ReLU between them, added to the input; N x width x H x W stays."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = conv(width, width, 3), conv(width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Input plus what the two convolutions find in it."""
        return x + self.second(F.relu(self.first(x)))


def residuals(width: int, count: int) -> nn.Sequential:
    """Residual blocks in a row."""
    return nn.Sequential(*(Residual(width) for _ in range(count)))


class Codes(NamedTuple):
    """What the encoder says about an image."""

    texture: Tensor  # (N, 32, H / 4, W / 4), V
    shape: Tensor  # (N, 32, H / 2, W / 2), M


class Encoder(nn.Module):
    """Image to texture and shape."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(conv(3, 16, 7), nn.ReLU(), conv(16, WIDTH, 3, 2), nn.ReLU(), residuals(WIDTH, 3))
        self.texture = nn.Sequential(conv(WIDTH, WIDTH, 3, 2), nn.ReLU(), residuals(WIDTH, 2))
        self.shape = residuals(WIDTH, 2)

    def forward(self, image: Tensor) -> Codes:  # (N, 3, H, W)
        """Codes of an image."""
        trunk = self.trunk(image)  # (N, 32, H / 2, W / 2)
        return Codes(self.texture(trunk), self.shape(trunk))


class Manipulator(nn.Module):
    """M' = M_b + h((m - 1) g(M_b - M_a)).

    The paper's formula adds to M_a, its figure and published program to M_b: with M_b, m = 1 leaves the moved
    frame's shape as it is, bit for bit.
    """

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.g = conv(WIDTH, WIDTH, kernel)
        self.h = nn.Sequential(conv(WIDTH, WIDTH, 3), Residual(WIDTH))

    def forward(self, reference: Tensor, moved: Tensor, factor: Tensor) -> Tensor:  # (N, 32, H / 2, W / 2), (N,)
        """Shape with ``factor`` times the motion."""
        found = F.relu(self.g(moved - reference))
        return moved + self.h((factor - 1).reshape(-1, 1, 1, 1) * found)


class Decoder(nn.Module):
    """Texture and shape to image."""

    def __init__(self) -> None:
        super().__init__()
        self.texture = conv(WIDTH, WIDTH, 3)
        self.body = residuals(2 * WIDTH, 9)
        self.head = nn.Sequential(conv(2 * WIDTH, WIDTH, 3), nn.ReLU(), conv(WIDTH, 3, 7))

    def forward(self, texture: Tensor, shape: Tensor) -> Tensor:
        """Image of a texture in a shape, (N, 3, H, W)."""
        texture = F.relu(self.texture(F.interpolate(texture, scale_factor=2)))  # (N, 32, H / 2, W / 2)
        both = self.body(torch.cat([texture, shape], dim=1))  # (N, 64, H / 2, W / 2)
        return self.head(F.interpolate(both, scale_factor=2))


class MagnificationNet(nn.Module):
    """Encoder, manipulator and decoder.

    Parameters
    ----------
    kernel
        Side of the convolution g: 3 in the paper (877,968 parameters), 7 in its published program (918,928).
    """

    def __init__(self, kernel: int = 3) -> None:
        super().__init__()
        self.encoder, self.manipulator, self.decoder = Encoder(), Manipulator(kernel), Decoder()

    def forward(self, reference: Tensor, moved: Tensor, factor: Tensor) -> Tensor:  # (N, 3, H, W) twice, (N,)
        """Image of the reference's motion times ``factor``, (N, 3, H, W); the texture is the moved frame's."""
        codes = self.encoder(moved)
        shape = self.manipulator(self.encoder(reference).shape, codes.shape, factor)
        return self.decoder(codes.texture, shape)
