"""Base of the networks on flow planes: cross-entropy, Adam, one stream per plane."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mer_features.systems.baselines.recipe import FlowCnnRecipe, ImageNetFlowRecipe
from mer_features.systems.common import engine
from mer_features.systems.common.contract import Examples, Setup


class FlowClassifier(engine.Network):
    """A network from planes (N, P, H, W) to logits (N, K): ``head`` classifies the output of ``features``."""

    def __init__(
        self, recipe: FlowCnnRecipe | ImageNetFlowRecipe, features: nn.Module, head: nn.Module, *, fewest: int = 1
    ) -> None:
        super().__init__(recipe.epochs)
        self.recipe, self.features, self.head, self.fewest = recipe, features, head, fewest

    def forward(self, flow: Tensor) -> Tensor:  # (N, P, H, W) -> (N, K)
        """Logits."""
        return self.head(self.features(flow))

    def batches(self, examples: Examples) -> engine.Batches:
        """Shuffled batches without augmentation; the papers describe none."""
        return engine.Batches(examples, self.recipe.batch_size, fewest=self.fewest)

    def training_step(self, batch: engine.Batch) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(self(batch["flow"]), batch["label"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Fused Adam; with millions of parameters, unfused Adam would be the slowest part of a step."""
        return torch.optim.Adam(self.parameters(), self.recipe.learning_rate, fused=True)

    def scores(self, batch: engine.Batch) -> Tensor:
        """Class probabilities (N, K)."""
        return F.softmax(self(batch["flow"]), dim=1)

    def layers(self, batch: engine.Batch) -> engine.Batch:
        """``features``: input of the head."""
        return {"features": self.features(batch["flow"])}


class FlowCnn(FlowClassifier):
    """A small network from planes (N, P, 28, 28), with the initial weights that its recipe names."""

    def __init__(self, recipe: FlowCnnRecipe, features: nn.Module, head: nn.Module, *, fewest: int = 1) -> None:
        super().__init__(recipe, features, head, fewest=fewest)
        engine.initialise(self, recipe.initialisation)


class Streams(nn.Module):
    """One network per plane; their flattened outputs are concatenated."""

    def __init__(self, *streams: nn.Module) -> None:
        super().__init__()
        self.streams = nn.ModuleList(streams)

    def forward(self, flow: Tensor) -> Tensor:  # (N, P, 28, 28)
        """Run each plane through its own stream."""
        parts = zip(self.streams, flow.split(1, dim=1), strict=True)
        return torch.cat([stream(plane).flatten(1) for stream, plane in parts], dim=1)


def system(
    network: type[FlowClassifier], recipe: FlowCnnRecipe | ImageNetFlowRecipe, classes: int, setup: Setup
) -> engine.TorchSystem:
    """Build an untrained system around ``network``."""
    return engine.TorchSystem(lambda: network(recipe, classes), setup)  # type: ignore[call-arg]
