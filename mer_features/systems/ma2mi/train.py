"""MA2MI: an action and a position encoder, pre-trained on macro video, tuned on micro-expressions.

"From Macro to Micro: Boosting micro-expression recognition via pre-training on macro-expression videos". Here is the
tuning; the pre-training is :mod:`mer_features.systems.ma2mi.pretraining`. What the paper leaves open is a key of the
recipe, or is said where it happens.

Shapes: N clips, K classes, S x S pixels; maps and conditions as in :mod:`mer_features.systems.ma2mi.network`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mer_features.systems.common import engine, inputs, macro
from mer_features.systems.common.contract import Arrays, Examples, Setup
from mer_features.systems.ma2mi import autoencoder, network
from mer_features.systems.ma2mi.network import Classifier, Features, MIACNet, grad_cam
from mer_features.systems.ma2mi.pretraining import Model, decaying, pretrain, read
from mer_features.systems.ma2mi.recipe import MA2MIRecipe

__all__ = ["build", "prepare", "pretrain", "variables"]


def variables(recipe: MA2MIRecipe) -> tuple[str, ...]:  # noqa: ARG001  # the same for every recipe
    """Names of the feature-file variables of a clip that :func:`prepare` reads."""
    return network.VARIABLES


def prepare(recipe: MA2MIRecipe, clip: Arrays) -> dict[str, np.ndarray]:
    """``first`` and ``second`` (3, S, S) uint8: onset and apex of one clip."""
    return network.prepare(clip, recipe.size)


# ---------------------------------------------------------------- start


def start(net: MIACNet, recipe: MA2MIRecipe, path: Path) -> None:
    """Give both encoders the weights of a pre-training.

    Raises
    ------
    ValueError
        If the file is of another task or has encoders of another shape, or learned in another space.
    """
    assert recipe.pretraining is not None
    weights, about = macro.read(path, recipe.pretraining)
    theirs = about["recipe"]
    wanted = {name: getattr(recipe, name) for name in ("backbone", "size", "fusion", "position")}
    if recipe.pretraining == "ma2mi":
        wanted["space"] = recipe.pretrain
    for name, ours in wanted.items():
        if theirs[name] != ours:
            raise ValueError(f"{path}: the pre-training has {name} {theirs[name]}, the recipe {ours}")
    before = "model.net."
    net.load_state_dict({key.removeprefix(before): value for key, value in weights.items() if key.startswith(before)})


# ---------------------------------------------------------------- tuning


class Network(engine.Network):
    """MIACNet with its head, and on request the DiT that goes on making apexes.

    Parameters
    ----------
    recipe
        Parts and training.
    classes
        K.
    pretrained
        File of the pre-training.
    """

    def __init__(self, recipe: MA2MIRecipe, classes: int, pretrained: Path | None) -> None:
        super().__init__(recipe.epochs)
        self.recipe, self.pretrained = recipe, pretrained
        self.net = MIACNet(recipe)
        if recipe.pretrain != "none":
            assert pretrained is not None  # the training loop sees to it
            start(self.net, recipe, pretrained)
        self.head = Classifier(self.net.width, classes)
        self.maker: Model | None = None
        self.codec: autoencoder.Codec | None = None
        if recipe.reconstruction:
            assert pretrained is not None
            self.maker, self.codec = read(pretrained)
            self.maker.net = self.net  # one MIACNet for both losses
        for part in self.resting():
            part.requires_grad_(False)
        self.train()  # Lightning leaves every part in the mode it finds

    def resting(self) -> list[nn.Module]:
        """Encoders that are not tuned."""
        parts = {"action": self.net.action, "position": self.net.position}
        return [part for name, part in parts.items() if part is not None and self.recipe.tuned not in (name, "both")]

    def train(self, mode: bool = True) -> Network:
        """Switch the mode of all but resting encoders: their batch norms' statistics stay, too."""
        super().train(mode)
        for part in self.resting():
            part.eval()
        return self

    def batches(self, examples: Examples) -> engine.Batches:
        """Shuffled batches; a last one of a single clip is left out, as batch norm cannot learn from it."""
        return engine.Batches(examples, self.recipe.batch_size, fewest=2)

    def training_step(self, batch: engine.Batch) -> dict[str, Tensor]:
        """Cross-entropy of onset and apex (N, 3, S, S) uint8, and L_rec where it is kept."""
        first, second = network.views(self.recipe.augment, batch["first"], batch["second"])
        features = self.net(first, second)
        logits = self.head(self.net.condition(features))
        terms = {"classification": F.cross_entropy(logits, batch["label"])}
        if self.maker is not None:
            terms["reconstruction"] = self.reconstruction(self.maker, first, second, features)
        return {"loss": torch.stack(list(terms.values())).sum(), **terms}

    def reconstruction(self, maker: Model, first: Tensor, second: Tensor, features: Features) -> Tensor:
        """L_rec (9) of onset and apex, with the branches apart or not as in the pre-training."""
        action, position = features
        if position is not None and self.recipe.position == "independent":
            position = position.detach()
        made = maker.future(self.space(first), self.net.condition(Features(action, position)))
        return network.reconstruction(made, self.space(second))

    def space(self, faces: Tensor) -> Tensor:
        """Where DiT works: the autoencoder's latents, or the images themselves."""
        return faces if self.codec is None else self.codec.encode(faces)

    def configure_optimizers(self) -> dict[str, object]:
        """AdamW on what is tuned, its rate falling by a factor each epoch."""
        return decaying([weight for weight in self.parameters() if weight.requires_grad], self.recipe)

    # ------------------------------------------------------------ answers

    def seen(self, batch: engine.Batch) -> tuple[Features, Tensor]:
        """Both maps and the condition (N, width) of clips as they are."""
        first, second = (network.scaled(batch[name]) for name in ("first", "second"))
        features = self.net(first, second)
        return features, self.net.condition(features)

    def scores(self, batch: engine.Batch) -> Tensor:
        """Class probabilities (N, K)."""
        return F.softmax(self.head(self.seen(batch)[1]), dim=1)

    def layers(self, batch: engine.Batch) -> engine.Batch:
        """The condition, which the head classifies."""
        return {"condition": self.seen(batch)[1]}

    def pictures(self, batch: engine.Batch) -> dict[str, np.ndarray]:
        """Onset, apex, Grad-CAM on F^a over the apex (Figure 6), and the apex as DiT makes it (Figure 5)."""
        apexes = batch["second"].permute(0, 2, 3, 1).contiguous().cpu().numpy()
        found = {
            "onset": batch["first"].permute(0, 2, 3, 1).contiguous().cpu().numpy(),
            "apex": apexes,
            "grad_cam": inputs.overlays(apexes, self.heats(batch).cpu().numpy()),
        }
        return found | self.made(batch)

    def heats(self, batch: engine.Batch) -> Tensor:
        """Grad-CAM (N, M, M) of the class that is found."""
        with torch.no_grad():
            action, position = self.seen(batch)[0]
        with torch.enable_grad():
            action.requires_grad_()
            logits = self.head(self.net.condition(Features(action, position)))
            return grad_cam(action, logits.amax(dim=1))

    def made(self, batch: engine.Batch) -> dict[str, np.ndarray]:
        """``reconstruction``: the apex out of the onset and the condition; none without a DiT.

        By the pre-training's own encoders: tuning for classes takes the condition away from what DiT knows.
        """
        if self.recipe.pretrain not in ("latent", "pixel"):
            return {}
        assert self.pretrained is not None
        model, codec = read(self.pretrained)
        model = model.eval().to(batch["first"].device)
        first, second = (network.scaled(batch[name]) for name in ("first", "second"))
        with torch.no_grad():
            future = model(first, second, first if codec is None else codec.encode(first))
            return {"reconstruction": network.shown(future if codec is None else codec.decode(future))}


def build(recipe: MA2MIRecipe, classes: int, setup: Setup) -> engine.TorchSystem:
    """An untrained system for ``classes`` classes, or one that starts from a pre-training.

    Raises
    ------
    ValueError
        If the pre-training's file does not fit the recipe.
    """
    return engine.TorchSystem(lambda: Network(recipe, classes, setup.pretrained), setup)
