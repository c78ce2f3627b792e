"""Networks of learned style aggregation: generator and discriminator of CycleGAN, and ResNet-18 for style features.

Layers have the same order and names as in the public code (CycleGAN's ``ResnetGenerator`` and ``NLayerDiscriminator``
as used by SAN, torchvision's ``resnet18``), so that weights of that code fit:
:func:`mer_features.stages.style.generators.load` reads the generators of a trained SAN, and the key `feature_weights`
of ``train_style`` names a file of resnet18.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """Residual block of a generator: two 3x3 convolutions with reflected borders, instance norm without parameters."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width), nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W)
        """The input plus the output of the block."""
        return x + self.conv_block(x)


class Generator(nn.Module):
    """Converts images from one style to another; fully convolutional, sides must be multiples of 4.

    With ``width`` 64 and 6 ``blocks`` it has 7,837,699 parameters.
    """

    def __init__(self, width: int = 64, blocks: int = 6) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7), *_norm(width)]
        for wide in (width, 2 * width):
            layers += [nn.Conv2d(wide, 2 * wide, 3, stride=2, padding=1), *_norm(2 * wide)]
        layers += [Block(4 * width) for _ in range(blocks)]
        for wide in (4 * width, 2 * width):
            up = nn.ConvTranspose2d(wide, wide // 2, 3, stride=2, padding=1, output_padding=1)
            layers += [up, *_norm(wide // 2)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, H, W) in -1..1
        """The images in the other style, (N, 3, H, W) in -1..1."""
        return self.model(x)


def _norm(width: int) -> list[nn.Module]:
    return [nn.InstanceNorm2d(width), nn.ReLU(inplace=True)]


class Discriminator(nn.Module):
    """PatchGAN: a score for each patch of about 70 pixels. With ``width`` 64 it has 2,764,737 parameters."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        for wide, stride in ((width, 2), (2 * width, 2), (4 * width, 1)):
            layers += [nn.Conv2d(wide, 2 * wide, 4, stride=stride, padding=1), nn.InstanceNorm2d(2 * wide)]
            layers += [nn.LeakyReLU(0.2, inplace=True)]
        self.model = nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, padding=1))

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, H, W)
        """Scores (N, 1, H', W'); 1 means a real image."""
        return self.model(x)


class BasicBlock(nn.Module):
    """Residual block of ResNet-18."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride > 1 or channels != width:
            self.downsample = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W)
        """The shortcut plus the output of two convolutions."""
        short = x if self.downsample is None else self.downsample(x)
        return F.relu(short + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class ResNet18(nn.Module):
    """ResNet-18 (He et al. 2016) with 8 x ``width`` features; the published network has ``width`` 64."""

    def __init__(self, classes: int, width: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = nn.Sequential(BasicBlock(width, width, 1), BasicBlock(width, width, 1))
        self.layer2 = nn.Sequential(BasicBlock(width, 2 * width, 2), BasicBlock(2 * width, 2 * width, 1))
        self.layer3 = nn.Sequential(BasicBlock(2 * width, 4 * width, 2), BasicBlock(4 * width, 4 * width, 1))
        self.layer4 = nn.Sequential(BasicBlock(4 * width, 8 * width, 2), BasicBlock(8 * width, 8 * width, 1))
        self.fc = nn.Linear(8 * width, classes)

    def features(self, x: Tensor) -> Tensor:  # (N, 3, H, W)
        """Pooled features (N, 8 width)."""
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return x.mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes (N, K)."""
        return self.fc(self.features(x))


def initialise(network: nn.Module) -> None:
    """Initialise weights as in CycleGAN: N(0, 0.02²), biases 0."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def parameters(network: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(item.numel() for item in network.parameters())


def pictures(crops: Tensor) -> Tensor:
    """Convert crops (N, H, W, 3), uint8, to the input of the networks: (N, 3, H, W), float32, -1..1."""
    return crops.permute(0, 3, 1, 2).to(torch.float32).div(127.5).sub(1).contiguous()
