"""The network of learning-based motion magnification.

Oh, Jaroensri, Kim, Elgharib, Durand, Freeman and Matusik, "Learning-based Video Motion Magnification", ECCV 2018. An
encoder splits each frame into texture V and shape M, a manipulator amplifies the difference between the shapes of two
frames, and a decoder combines the texture with the amplified shape. This implementation was written from the paper.
Convolutions have no bias and there is no normalisation, so that equal shapes give exactly no change.

Shapes: N images, H and W divisible by 4 and at least 8, values in [-1, 1].
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: Number of channels of the texture and shape codes.
WIDTH = 32


def conv(channels: int, width: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """Convolution without bias, with reflected borders; H x W becomes H / stride x W / stride."""
    return nn.Conv2d(channels, width, kernel, stride, kernel // 2, padding_mode="reflect", bias=False)


class Residual(nn.Module):
    """Residual block: two 3x3 convolutions with a ReLU between them, added to the input (N, width, H, W)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = conv(width, width, 3), conv(width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        """The input plus the output of the two convolutions."""
        return x + self.second(F.relu(self.first(x)))


def residuals(width: int, count: int) -> nn.Sequential:
    """A sequence of residual blocks."""
    return nn.Sequential(*(Residual(width) for _ in range(count)))


class Codes(NamedTuple):
    """Output of the encoder for an image."""

    texture: Tensor  # (N, 32, H / 4, W / 4), V
    shape: Tensor  # (N, 32, H / 2, W / 2), M


class Encoder(nn.Module):
    """Computes texture and shape of an image."""

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

    The formula in the paper adds to M_a, but its figure and the published program add to M_b. With M_b, the shape of
    the moved frame is unchanged for m = 1, bit for bit.
    """

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.g = conv(WIDTH, WIDTH, kernel)
        self.h = nn.Sequential(conv(WIDTH, WIDTH, 3), Residual(WIDTH))

    def forward(self, reference: Tensor, moved: Tensor, factor: Tensor) -> Tensor:  # (N, 32, H / 2, W / 2), (N,)
        """Shape with ``factor`` times the motion."""
        difference = F.relu(self.g(moved - reference))
        return moved + self.h((factor - 1).reshape(-1, 1, 1, 1) * difference)


class Decoder(nn.Module):
    """Computes an image from texture and shape."""

    def __init__(self) -> None:
        super().__init__()
        self.texture = conv(WIDTH, WIDTH, 3)
        self.body = residuals(2 * WIDTH, 9)
        self.head = nn.Sequential(conv(2 * WIDTH, WIDTH, 3), nn.ReLU(), conv(WIDTH, 3, 7))

    def forward(self, texture: Tensor, shape: Tensor) -> Tensor:
        """Image (N, 3, H, W) with this texture and shape."""
        texture = F.relu(self.texture(F.interpolate(texture, scale_factor=2)))  # (N, 32, H / 2, W / 2)
        both = self.body(torch.cat([texture, shape], dim=1))  # (N, 64, H / 2, W / 2)
        return self.head(F.interpolate(both, scale_factor=2))


class MagnificationNet(nn.Module):
    """Encoder, manipulator and decoder.

    Parameters
    ----------
    kernel
        Kernel size of the convolution g: 3 in the paper (877,968 parameters), 7 in the published program (918,928
        parameters).
    """

    def __init__(self, kernel: int = 3) -> None:
        super().__init__()
        self.encoder, self.manipulator, self.decoder = Encoder(), Manipulator(kernel), Decoder()

    def forward(self, reference: Tensor, moved: Tensor, factor: Tensor) -> Tensor:  # (N, 3, H, W) twice, (N,)
        """Image (N, 3, H, W) with ``factor`` times the motion and the texture of the moved frame."""
        codes = self.encoder(moved)
        shape = self.manipulator(self.encoder(reference).shape, codes.shape, factor)
        return self.decoder(codes.texture, shape)
