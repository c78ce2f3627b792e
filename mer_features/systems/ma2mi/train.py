"""MA2MI: an action and a position encoder, pre-trained on macro video, tuned on micro-expressions.

"From Macro to Micro: Boosting micro-expression recognition via pre-training on macro-expression videos". This module is
the fine-tuning; the pre-training is :mod:`mer_features.systems.ma2mi.pretraining`. Details that the paper does not
specify are keys of the recipe or are commented in the code.

Shapes: N clips, K classes, S x S pixels; maps and conditions as in :mod:`mer_features.systems.ma2mi.network`.
"""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mer_features.systems.common import engine, inputs
from mer_features.systems.common.contract import Arrays, Examples, Setup
from mer_features.systems.ma2mi import autoencoder, network, recognition
from mer_features.systems.ma2mi.future_frames import DiT
from mer_features.systems.ma2mi.network import Classifier, Features, MIACNet, grad_cam
from mer_features.systems.ma2mi.pretraining import decaying, pretrain, read
from mer_features.systems.ma2mi.recipe import MA2MIRecipe

__all__ = ["build", "prepare", "pretrain", "variables"]


def variables(recipe: MA2MIRecipe) -> tuple[str, ...]:  # noqa: ARG001  # the same for every recipe
    """Names of the feature-file variables of a clip that :func:`prepare` reads."""
    return network.VARIABLES


def prepare(recipe: MA2MIRecipe, clip: Arrays) -> dict[str, np.ndarray]:
    """``first`` and ``second`` (3, S, S) uint8: onset and apex of one clip."""
    return network.prepare_faces(clip, recipe.size)


# ---------------------------------------------------------------- initial weights


def start(net: MIACNet, recipe: MA2MIRecipe, path: Path) -> None:
    """Load the weights of a pre-training into both encoders.

    Raises
    ------
    ValueError
        If the file is missing or belongs to another task, or its encoders or its space differ from the recipe.
    """
    expected = {name: getattr(recipe, name) for name in ("backbone", "size", "fusion", "position")}
    if recipe.pretrain == "recognition":
        weights, keys = recognition.read(path)
    else:
        model = read(path).model
        weights, keys = model.net.state_dict(), model.recipe.model_dump()
        expected["space"] = recipe.pretrain
    for name, value in expected.items():
        if keys[name] != value:
            raise ValueError(f"{path}: the pre-training has {name} {keys[name]}, the recipe {value}")
    net.load_state_dict(weights)


# ---------------------------------------------------------------- fine-tuning


class Network(engine.Network):
    """MIACNet with its head and, with `reconstruction`, a copy of the DiT of the pre-training, which predicts the apex.

    Parameters
    ----------
    recipe
        Settings of network and training.
    classes
        Number of classes, K.
    pretrained
        File of the pre-training; None without one.

    Raises
    ------
    ValueError
        If the file of the pre-training is missing or does not fit the recipe.
    """

    def __init__(self, recipe: MA2MIRecipe, classes: int, pretrained: Path | None) -> None:
        super().__init__(recipe.epochs)
        self.recipe, self.pretrained = recipe, pretrained
        self.net = MIACNet(recipe)
        if recipe.pretrain != "none":
            start(self.net, recipe, self.pretrained_file())
        self.head = Classifier(self.net.width, classes)
        self.dit: DiT | None = None
        self.codec: autoencoder.Codec | None = None
        if recipe.reconstruction:
            model, self.codec = read(self.pretrained_file())
            self.dit = copy.deepcopy(model.dit).requires_grad_(True)
        for part in self.frozen_encoders():
            part.requires_grad_(False)
        self.train()  # Lightning does not change the mode of any part

    def pretrained_file(self) -> Path:
        """File of the pre-training."""
        if self.pretrained is None:
            raise ValueError(f"`pretrain: {self.recipe.pretrain}` needs the file of a pre-training; found none")
        return self.pretrained

    def frozen_encoders(self) -> list[nn.Module]:
        """Encoders that are not tuned."""
        parts = {"action": self.net.action, "position": self.net.position}
        return [part for name, part in parts.items() if part is not None and self.recipe.tuned not in (name, "both")]

    def train(self, mode: bool = True) -> Network:
        """Switch the mode of all parts except frozen encoders, whose batch statistics must not change either."""
        super().train(mode)
        for part in self.frozen_encoders():
            part.eval()
        return self

    def batches(self, examples: Examples) -> engine.Batches:
        """Shuffled batches; a last batch of one clip is left out, because batch norm cannot learn from it."""
        return engine.Batches(examples, self.recipe.batch_size, fewest=2)

    def training_step(self, batch: engine.Batch) -> dict[str, Tensor]:
        """Cross-entropy for onset and apex (N, 3, S, S) uint8 and, with `reconstruction`, L_rec."""
        first, second = network.views(self.recipe.augment, batch["first"], batch["second"])
        condition = self.net.condition(self.net(first, second))
        terms = {"classification": F.cross_entropy(self.head(condition), batch["label"])}
        if self.dit is not None:
            # Nothing is detached: L_pos is left out here, and L_rec must reach the encoders that are tuned.
            predicted = self.dit(self.space(first), condition)
            terms["reconstruction"] = network.reconstruction(
                predicted, self.space(second), self.recipe.reconstruction_form
            )
        return {"loss": torch.stack(list(terms.values())).sum(), **terms}

    def space(self, faces: Tensor) -> Tensor:
        """Images in the space of DiT: latents of the autoencoder, or the images themselves."""
        return faces if self.codec is None else self.codec.encode(faces)

    def configure_optimizers(self) -> dict[str, object]:
        """AdamW on the tuned parts."""
        return decaying([weight for weight in self.parameters() if weight.requires_grad], self.recipe)

    # ------------------------------------------------------------ outputs

    def encode(self, batch: engine.Batch) -> tuple[Features, Tensor]:
        """Both maps and the condition (N, width) of the clips, without augmentation."""
        first, second = (network.scaled(batch[name]) for name in ("first", "second"))
        features = self.net(first, second)
        return features, self.net.condition(features)

    def scores(self, batch: engine.Batch) -> Tensor:
        """Class probabilities (N, K)."""
        return F.softmax(self.head(self.encode(batch)[1]), dim=1)

    def layers(self, batch: engine.Batch) -> engine.Batch:
        """``condition``: input of the head."""
        return {"condition": self.encode(batch)[1]}

    def pictures(self, batch: engine.Batch) -> dict[str, np.ndarray]:
        """Onset, apex, Grad-CAM on F^a over the apex (Figure 6), and the apex predicted by DiT (Figure 5)."""
        apexes = batch["second"].permute(0, 2, 3, 1).contiguous().cpu().numpy()
        images = {
            "onset": batch["first"].permute(0, 2, 3, 1).contiguous().cpu().numpy(),
            "apex": apexes,
            "grad_cam": inputs.overlays(apexes, self.heats(batch).cpu().numpy()),
        }
        return images | self.predicted_apex(batch)

    def heats(self, batch: engine.Batch) -> Tensor:
        """Grad-CAM (N, M, M) of the predicted class."""
        with torch.no_grad():
            action, position = self.encode(batch)[0]
        with torch.enable_grad():
            action.requires_grad_()
            logits = self.head(self.net.condition(Features(action, position)))
            return grad_cam(action, logits.amax(dim=1))

    def predicted_apex(self, batch: engine.Batch) -> dict[str, np.ndarray]:
        """``reconstruction``: the apex predicted from the onset and the condition; nothing without a DiT.

        The condition comes from the encoders of the pre-training, because fine-tuning changes it and DiT does not know
        the changed condition.
        """
        if self.recipe.pretrain not in ("latent", "pixel"):
            return {}
        model, codec = read(self.pretrained_file())
        model = model.to(batch["first"].device)
        first, second = (network.scaled(batch[name]) for name in ("first", "second"))
        with torch.no_grad():
            future = model(first, second, first if codec is None else codec.encode(first))
            return {"reconstruction": network.shown(future if codec is None else codec.decode(future))}


def build(recipe: MA2MIRecipe, classes: int, setup: Setup) -> engine.TorchSystem:
    """An untrained system for ``classes`` classes, or one that starts from a pre-training.

    Raises
    ------
    ValueError
        If the file of the pre-training does not fit the recipe.
    """
    return engine.TorchSystem(lambda: Network(recipe, classes, setup.pretrained), setup)
