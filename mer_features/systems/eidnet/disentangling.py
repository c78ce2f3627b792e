"""Phase I of EIDNet: expression-identity disentanglement of MicroNet and MacroNet; and the pre-training of MacroNet.

MicroNet learns from micro-expressions, MacroNet from macro-expressions.

Shapes: N clips or pairs, F expression frames per clip, K classes; other sizes as in
:mod:`mer_features.systems.eidnet.network`.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mer_features.systems.common import engine, inputs, macro
from mer_features.systems.common.contract import Arrays, Examples, Material, Setup
from mer_features.systems.eidnet.network import (
    EXPRESSIONS,
    NEUTRAL,
    EIDNet,
    centre,
    distance,
    pooled,
    prepare_faces,
    shown,
    views,
)
from mer_features.systems.eidnet.recipe import Disentangling, MacroNetRecipe


class Pairs:
    """Batches of (neutral, expression, label); one pass has each expression frame of each clip once.

    A last batch of one pair is left out, unless it is the only batch, because batch norm cannot learn from it.
    """

    def __init__(self, examples: Examples, size: int) -> None:
        self.features = engine.tensors(examples.features)
        self.labels = torch.from_numpy(examples.labels)
        self.frames = self.features["expression"].shape[1]
        self.size = size

    def __len__(self) -> int:
        whole, rest = divmod(len(self.labels) * self.frames, self.size)
        return max(whole + (rest > 1), 1)

    def __iter__(self) -> Iterator[engine.Batch]:
        order = torch.randperm(len(self.labels) * self.frames)
        for chosen in order.split(self.size)[: len(self)]:
            yield self.take(chosen)

    def take(self, chosen: Tensor) -> engine.Batch:
        """The pairs at these positions; the position of a pair is clip x F + frame."""
        clip, frame = chosen // self.frames, chosen % self.frames
        faces = {"neutral": self.features["neutral"][clip], "expression": self.features["expression"][clip, frame]}
        return {**faces, "label": self.labels[clip]}


class Network(engine.Network):
    """Training of MicroNet or MacroNet in phase I, and its outputs.

    Parameters
    ----------
    recipe
        Recipe of MicroNet or MacroNet.
    classes
        Number of classes, K.
    remembers
        Keep a copy of the expression path after phase I, to plot what phase II changes.
    """

    def __init__(self, recipe: Disentangling, classes: int, *, remembers: bool = False) -> None:
        super().__init__(recipe.epochs)
        self.recipe = recipe
        self.net = EIDNet(recipe.backbone, classes, recipe.imagenet_weights)
        self.before = self._expression_path() if remembers else None

    def _expression_path(self) -> nn.Sequential:
        encoder = self.net.encoder
        return deepcopy(nn.Sequential(encoder.shared, encoder.expression)).requires_grad_(False)

    def remember(self) -> None:
        """Copy the current expression path, if the network keeps a copy."""
        if self.before is not None:
            self.before = self._expression_path()

    def batches(self, examples: Examples) -> Pairs:
        """Shuffled pairs."""
        return Pairs(examples, self.recipe.batch_size)

    def training_step(self, batch: engine.Batch) -> dict[str, Tensor]:
        """Losses of Eq. 4 for faces (N, 3, L, L) uint8 and labels (N,)."""
        neutral, expression = views(self.recipe.size, self.recipe.augment, batch["neutral"], batch["expression"])
        output = self.net.pair(neutral, expression)
        form = self.recipe.distance
        terms = {
            "classification": F.cross_entropy(output.logits, batch["label"]),  # L_cls1 (Eq. 3)
            "reconstruction": distance(expression, output.reconstruction, form),  # L_rec (Eq. 2)
            "similarity": distance(output.expression_identity, output.neutral_identity, form),  # L_sim (Eq. 1)
        }
        total = (
            terms["classification"]
            + self.recipe.reconstruction_weight * terms["reconstruction"]
            + self.recipe.similarity_weight * terms["similarity"]
        )
        return {"loss": total, **terms}

    def configure_optimizers(self) -> dict[str, object]:
        """Adam with a learning rate per part and the schedule of :func:`cosine`."""
        recipe = self.recipe
        groups = [
            {"params": self.net.encoder.parameters(), "lr": recipe.encoder_rate},
            {"params": self.net.classifier.parameters(), "lr": recipe.classifier_rate},
            {"params": self.net.decoder.parameters(), "lr": recipe.decoder_rate},
        ]
        optimiser = torch.optim.Adam(groups, weight_decay=recipe.weight_decay)
        return {"optimizer": optimiser, "lr_scheduler": cosine(optimiser, recipe)}

    def _frames(self, batch: engine.Batch) -> list[Tensor]:
        """Test images of all expression frames of the clips, F x (N, 3, S, S)."""
        return [centre(faces, self.recipe.size) for faces in batch["expression"].unbind(1)]

    def scores(self, batch: engine.Batch) -> Tensor:
        """Class probabilities (N, K), mean over the frames of a clip."""
        return torch.stack([F.softmax(self.net(faces).logits, dim=1) for faces in self._frames(batch)]).mean(dim=0)

    def layers(self, batch: engine.Batch) -> engine.Batch:
        """The mean of :meth:`frame_layers` over the frames, (N, C) each."""
        return {name: frames.mean(dim=1) for name, frames in self.frame_layers(batch).items()}

    def frame_layers(self, batch: engine.Batch) -> engine.Batch:
        """Pooled f^e of every frame (N, F, C): ``phase_1`` and, if phase II has run, ``phase_2``."""
        frames = self._frames(batch)
        current = torch.stack([pooled(self.net.encoder(faces)) for faces in frames], dim=1)
        if self.before is None:
            return {"phase_1": current}
        return {"phase_1": torch.stack([pooled(self.before(faces)) for faces in frames], dim=1), "phase_2": current}

    def pictures(self, batch: engine.Batch) -> dict[str, np.ndarray]:
        """Neutral face, middle expression face, and the latter reconstructed with the identity of the neutral face."""
        neutral = centre(batch["neutral"], self.recipe.size)
        expression = self._frames(batch)[batch["expression"].shape[1] // 2]
        with torch.no_grad():
            reconstruction = self.net.pair(neutral, expression).reconstruction
        return {
            "neutral": shown(neutral),
            "expression": shown(expression),
            "reconstruction": shown(reconstruction),
        }


def cosine(optimiser: torch.optim.Optimizer, recipe: Disentangling) -> torch.optim.lr_scheduler.LRScheduler:
    """The periodic schedule of the paper, one step per epoch: factor (1 + cos(π epoch / half_period)) / 2."""
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=recipe.half_period)


# ---------------------------------------------------------------- MacroNet


def pretraining_variables(recipe: MacroNetRecipe) -> tuple[str, ...]:  # noqa: ARG001  # the same for every recipe
    """Names of the feature-file variables of a macro clip that :func:`pretraining_prepare` reads."""
    return (NEUTRAL, EXPRESSIONS, inputs.NUMBERS, inputs.APEX)


def pretraining_prepare(recipe: MacroNetRecipe, clip: Arrays) -> dict[str, np.ndarray]:
    """``neutral`` and ``expression`` of a macro clip: the onset, and the keyframes nearest to the apex in time.

    Raises
    ------
    ValueError
        If the feature file has fewer keyframes than the recipe needs.
    """
    nearest = inputs.nearest_keyframes(clip, recipe.frames)
    return prepare_faces(clip, clip[EXPRESSIONS][nearest], recipe.size)


def pretrain(recipe: MacroNetRecipe, material: Material, setup: Setup, output: Path) -> dict[str, object]:
    """Train MacroNet and write it together with the macro faces, which are the positives of phase II.

    Parameters
    ----------
    recipe
        Settings of network and training.
    material
        Labelled macro clips, prepared by :func:`pretraining_prepare`.
    setup
        Seed, device and folder of the checkpoint.
    output
        File of the weights. It also holds the expression faces from which MacroNet learned.

    Returns
    -------
    dict
        ``classes``, ``clips`` (number of training clips) and ``losses`` by epoch. With held-out subjects also
        ``held_out``: the number of their clips and the scores on them.
    """
    network, summary = macro.learn(lambda: Network(recipe, len(material.classes)), material, recipe.held_out, setup)
    about = {"task": "eidnet", "classes": list(material.classes), "backbone": recipe.backbone, "size": recipe.size}
    positives = macro.part(material.labelled, recipe.held_out, setup.seed).trained
    faces = torch.from_numpy(positives.features["expression"])
    labels = torch.from_numpy(positives.labels).repeat_interleave(faces.shape[1])
    macro.write(output, {**network.net.state_dict(), "faces": faces.flatten(0, 1), "labels": labels}, about)
    return summary
