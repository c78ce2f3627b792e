"""AlexNet, GoogLeNet and VGG-16 on the flow from onset to apex, which Liong et al. 2019 compare STSTNet with.

FR quotes their results in Table 2 and says that flow is their input. Our choices: u, v and strain are the three
channels of a picture, each scaled to 8 bits as a flow image; the picture has the size that networks trained on
ImageNet expect; all layers are trained, and GoogLeNet has no auxiliary classifiers. The statistics of GoogLeNet's batch
norms are measured on the training clips after the training, because running means lag behind when there are few steps.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from mer_features.systems.baselines import flow_cnn
from mer_features.systems.baselines.recipe import ImageNetFlowRecipe
from mer_features.systems.common import backbones, engine, inputs
from mer_features.systems.common.contract import Arrays, Examples, Setup

_CHANNELS = ("u", "v", "strain")


def variables(recipe: ImageNetFlowRecipe) -> tuple[str, ...]:
    """Names of the feature-file variables of a clip that :func:`prepare` reads."""
    return inputs.flow_variables(recipe, _CHANNELS)


def prepare(recipe: ImageNetFlowRecipe, clip: Arrays) -> dict[str, np.ndarray]:
    """``flow``: u, v and strain, (3, S, S) uint8; each is resized and scaled to 0..255 on its own."""
    planes = (inputs.resized(clip[name], recipe.size) for name in variables(recipe))
    return {"flow": np.stack([inputs.as_bytes(plane) for plane in planes]).astype(np.uint8)}


class Body(nn.Module):
    """A network without its last layer: pictures (N, 3, S, S) uint8 -> features (N, ``width``).

    Parameters
    ----------
    name
        Name of the network, as in the recipe.
    weights
        File of ImageNet weights; None: random weights.
    """

    def __init__(self, name: str, weights: Path | None) -> None:
        super().__init__()
        self.net = backbones.classifier(name, weights)
        parts, last = (self.net, "fc") if name == "googlenet" else (self.net.classifier, "6")
        self.width = getattr(parts, last).in_features
        setattr(parts, last, nn.Identity())

    def forward(self, pictures: Tensor) -> Tensor:
        """Normalise as for ImageNet and compute the input of the last layer."""
        features: Tensor = self.net(backbones.normalised(pictures.float() / 255))
        return features


class ImageNetFlow(flow_cnn.FlowClassifier):
    """The network; 57,016,131 (AlexNet), 5,602,979 (GoogLeNet) or 134,272,835 (VGG-16) parameters for three classes."""

    def __init__(self, recipe: ImageNetFlowRecipe, classes: int) -> None:
        body = Body(recipe.network, recipe.imagenet_weights)
        # Batch norms cannot learn from a batch of one clip.
        super().__init__(recipe, body, nn.Linear(body.width, classes), fewest=2)
        self.to(memory_format=torch.channels_last)  # faster convolutions on CPUs

    def batches(self, examples: Examples) -> engine.Batches:
        """Shuffled batches without augmentation."""
        self._clips = super().batches(examples)
        return self._clips

    def on_train_end(self) -> None:
        """Measure the statistics of the batch norms, if there are any, with the final weights."""
        update_bn((batch["flow"] for batch in self._clips), self, self.device)


def build(recipe: ImageNetFlowRecipe, classes: int, setup: Setup) -> engine.TorchSystem:
    """An untrained system for ``classes`` classes."""
    return flow_cnn.system(ImageNetFlow, recipe, classes, setup)
