"""FR: feature refinement by expression-specific learning and fusion.

"Feature refinement: an expression-specific feature learning and fusion method for micro-expression recognition".
A two-stream Inception trunk turns onset-to-apex flow into a shared feature z. One attention unit per class re-weights
z, and a binary detector per class supervises it. The sum of the re-weighted features, z', is classified. Details that
the paper does not specify are keys of the recipe or are commented in the code.

Shapes: N clips, K classes, D = 1024 features.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mer_features.systems.common import engine, inputs
from mer_features.systems.common.contract import Arrays, Examples, Setup
from mer_features.systems.fr.recipe import FRRecipe

D = 1024  # width of z; it follows from the paper's parameter table
CHANNELS = ("u", "v")


def variables(recipe: FRRecipe) -> tuple[str, ...]:
    """Names of the feature-file variables of a clip that :func:`prepare` reads."""
    return inputs.flow_variables(recipe, CHANNELS)


def prepare(recipe: FRRecipe, clip: Arrays) -> dict[str, np.ndarray]:
    """``flow``: u and v of one clip, (2, 28, 28) float32; each plane is resized and scaled on its own (ours)."""
    return {"flow": inputs.flow_planes(recipe, clip, CHANNELS)}


# ---------------------------------------------------------------- network


def conv(channels: int, width: int, kernel: int, norm: bool) -> nn.Sequential:
    """Convolution of the same size with bias; with ``norm`` (variant `table7`) a batch norm after it."""
    layers = [nn.Conv2d(channels, width, kernel, padding=kernel // 2)]
    return nn.Sequential(*layers, *([nn.BatchNorm2d(width)] if norm else []))


class Inception(nn.Module):
    """GoogLeNet's first block with the same width in all branches, and the ReLU and the pooling after it.

    The three 1x1 convolutions run as one. The largest of four values is the same before and after ReLU, so ReLU follows
    the pooling, where it has a quarter of the work.
    """

    def __init__(self, channels: int, width: int, norm: bool) -> None:
        super().__init__()
        merged = engine.Merged(channels, (width,) * 3, 1, padding=0)
        self.entry = nn.Sequential(merged, *([nn.BatchNorm2d(3 * width)] if norm else []))
        self.three = conv(width, width, 3, norm)
        self.five = conv(width, width, 5, norm)
        self.pool = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), conv(channels, width, 1, norm))

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W)
        """Concatenate the four branches, pool, activate: (N, 4n, H / 2, W / 2)."""
        one, three, five = self.entry(x).chunk(3, dim=1)  # (N, n, H, W) each
        branches = [one, self.three(F.relu(three)), self.five(F.relu(five)), self.pool(x)]
        joined = torch.cat(branches, dim=1).contiguous(memory_format=torch.channels_last)  # pools ten times faster
        return F.relu(F.max_pool2d(joined, 2))


def stream(norm: bool) -> nn.Sequential:
    """Two Inception blocks over one flow component: (N, 1, 28, 28) -> (N, 3136)."""
    return nn.Sequential(Inception(1, 6, norm), Inception(24, 16, norm), nn.Flatten())


class Trunk(nn.Module):
    """The shared feature z of both flow components, `variant: text`: one stream per component."""

    def __init__(self) -> None:
        super().__init__()
        self.streams = nn.ModuleList(stream(norm=False) for _ in CHANNELS)
        self.join = nn.Linear(6272, D)

    def forward(self, flow: Tensor) -> Tensor:  # (N, 2, 28, 28)
        """Run each component through its stream, concatenate, reduce to D features."""
        u, v = (component.contiguous() for component in flow.split(1, dim=1))
        flat = torch.cat([self.streams[0](u), self.streams[1](v)], dim=1)  # (N, 6272)
        return F.relu(self.join(flat))  # (N, D)


class SharedTrunk(nn.Module):
    """The shared feature z, `variant: table7`: one stream with batch norm for both components.

    Only this trunk has the parameter counts of FR printed in the paper.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stream = stream(norm=True)
        self.join = nn.Linear(6272, D)

    def forward(self, flow: Tensor) -> Tensor:  # (N, 2, 28, 28)
        """Run both components through the stream, one after the other, concatenate, reduce to D features."""
        u, v = (component.contiguous() for component in flow.split(1, dim=1))
        return F.relu(self.join(torch.cat([self.stream(u), self.stream(v)], dim=1)))  # (N, D)


def trunk(variant: str) -> nn.Module:
    """The trunk of a variant: flow (N, 2, 28, 28) -> z (N, D)."""
    return Trunk() if variant == "text" else SharedTrunk()


class Difference(nn.Module):
    """The second of two units minus the first: the sigmoid of it is the softmax of the second unit."""

    def forward(self, units: Tensor) -> Tensor:  # (N, 2)
        """Logits (N, 1)."""
        return units[:, 1:] - units[:, :1]


def detector(variant: str) -> nn.Sequential:
    """Detector of one class: z*_k (N, D) -> logits (N, 1).

    Eq. 4 has one output unit (`text`); the printed parameter counts imply two (`table7`).
    """
    last = [nn.Linear(128, 1)] if variant == "text" else [nn.Linear(128, 2), Difference()]
    return nn.Sequential(nn.Linear(D, 128), nn.ReLU(), *last)


class Output(NamedTuple):
    """Output of the network for N clips."""

    logits: Tensor  # (N, K), logits of the classifier
    shared: Tensor  # (N, D), z
    proposals: Tensor | None = None  # (N, K), logits of the K detectors
    refined: Tensor | None = None  # z', (N, D), or (N, K D) with `fusion: concat`


class Basic(nn.Module):
    """Basic Inception, `refine: none`: the trunk and one linear layer."""

    def __init__(self, recipe: FRRecipe, classes: int) -> None:
        super().__init__()
        self.trunk = trunk(recipe.variant)
        self.classifier = nn.Linear(D, classes)

    def forward(self, flow: Tensor) -> Output:  # (N, 2, 28, 28)
        """Classify z."""
        z = self.trunk(flow)  # (N, D)
        return Output(self.classifier(z), z)


class FR(nn.Module):
    """The complete network: trunk, K attention units and detectors, fusion, classifier."""

    def __init__(self, recipe: FRRecipe, classes: int) -> None:
        super().__init__()
        self.recipe = recipe
        self.trunk = trunk(recipe.variant)
        self.attention = nn.ModuleList(nn.Linear(D, D) for _ in range(classes))
        self.detectors = nn.ModuleList(detector(recipe.variant) for _ in range(classes))
        width = D if recipe.fusion == "sum" else D * classes
        self.classifier = nn.Sequential(nn.Linear(width, 256), nn.ReLU(), nn.Dropout(0.5), nn.Linear(256, classes))

    def specific(self, unit: nn.Module, z: Tensor) -> Tensor:
        """Class-specific feature z*_k (N, D), Eq. 2 and 3; softmax over features, since over classes z' would be z."""
        if self.recipe.refine == "fc":
            return F.relu(unit(z))
        scale = D if self.recipe.attention_scale == "d" else 1  # with softmax alone z* is about z / 1024
        return scale * F.softmax(unit(z), dim=1) * z

    def forward(self, flow: Tensor) -> Output:  # (N, 2, 28, 28)
        """Refine z for each class, propose, fuse, classify."""
        z = self.trunk(flow)  # (N, D)
        specific = [self.specific(unit, z) for unit in self.attention]  # K x (N, D)
        proposals = [detect(part) for detect, part in zip(self.detectors, specific, strict=True)]  # K x (N, 1)
        stacked = torch.stack(specific, dim=1)  # (N, K, D)
        refined = stacked.sum(dim=1) if self.recipe.fusion == "sum" else stacked.flatten(1)  # (N, D) or (N, K D)
        return Output(self.classifier(refined), z, torch.cat(proposals, dim=1), refined)


def network(recipe: FRRecipe, classes: int) -> nn.Module:
    """The network of a recipe with its initial weights."""
    net = Basic(recipe, classes) if recipe.refine == "none" else FR(recipe, classes)
    engine.initialise(net, recipe.initialisation)
    return net.to(memory_format=torch.channels_last)  # pooling on the CPU is ten times faster than with channels first


# ---------------------------------------------------------------- losses


class Losses(NamedTuple):
    """The terms of Eq. 8 as means over the batch (the printed equations have sums)."""

    total: Tensor
    classification: Tensor
    proposal: Tensor


def losses(output: Output, labels: Tensor, weight: float) -> Losses:
    """L = λ L_prop + L_cls (Eq. 8). λ multiplies only the proposal loss; the sum is not convex.

    Parameters
    ----------
    output
        Output of the network for N clips.
    labels
        True classes (N,), int64.
    weight
        λ.
    """
    classification = F.cross_entropy(output.logits, labels)  # Eq. 7
    if output.proposals is None:
        return Losses(classification, classification, torch.zeros_like(classification))
    targets = F.one_hot(labels, output.logits.shape[1]).to(output.proposals.dtype)  # (N, K)
    proposal = F.binary_cross_entropy_with_logits(output.proposals, targets)  # Eq. 4 and 5, mean over N and K
    return Losses(weight * proposal + classification, classification, proposal)


# ---------------------------------------------------------------- training


class Network(engine.Network):
    """The network with its losses and the recipe's optimiser."""

    def __init__(self, recipe: FRRecipe, classes: int) -> None:
        super().__init__(recipe.epochs)
        self.recipe = recipe
        self.net = network(recipe, classes)

    def batches(self, examples: Examples) -> engine.Batches:
        """Shuffled batches without augmentation, as in the paper."""
        return engine.Batches(examples, self.recipe.batch_size)

    def training_step(self, batch: engine.Batch) -> dict[str, Tensor]:
        """Losses of a batch: flow (N, 2, 28, 28), labels (N,)."""
        terms = losses(self.net(batch["flow"]), batch["label"], self.recipe.loss_weight)
        return {"loss": terms.total, "classification": terms.classification, "proposal": terms.proposal}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The recipe's optimiser; Adam is fused, because unfused Adam on ten million parameters is the slowest part."""
        if self.recipe.optimiser == "adam":
            return torch.optim.Adam(self.parameters(), self.recipe.learning_rate, fused=True)
        return torch.optim.SGD(self.parameters(), self.recipe.learning_rate, self.recipe.momentum)

    def scores(self, batch: engine.Batch) -> Tensor:
        """Class probabilities (N, K)."""
        return F.softmax(self.net(batch["flow"]).logits, dim=1)

    def layers(self, batch: engine.Batch) -> engine.Batch:
        """``z`` and, if the network refines it, ``z_refined``."""
        output = self.net(batch["flow"])
        named = {"z": output.shared, "z_refined": output.refined}
        return {name: value for name, value in named.items() if value is not None}


def build(recipe: FRRecipe, classes: int, setup: Setup) -> engine.TorchSystem:
    """An untrained system for ``classes`` classes."""
    return engine.TorchSystem(lambda: Network(recipe, classes), setup)
