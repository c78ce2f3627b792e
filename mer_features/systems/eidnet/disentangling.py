"""Phase I of EIDNet: expression and identity disentangled, by MicroNet on micro- and by MacroNet on macro-expressions.

Shapes: N clips or pairs, F expression frames a clip, K classes; other sizes as in
:mod:`mer_features.systems.eidnet.network` and :mod:`mer_features.systems.eidnet.network`.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mer_features.systems.common import engine, macro
from mer_features.systems.common.contract import Arrays, Examples, Material, Setup
from mer_features.systems.eidnet import network as eidnet_images
from mer_features.systems.eidnet import network as eidnet_losses
from mer_features.systems.eidnet.network import EIDNet, pooled
from mer_features.systems.eidnet.recipe import Disentangling, MacroNetRecipe


class Pairs:
    """Batches of (neutral, expression, label); a pass takes every expression frame of every clip once.

    A last batch of one pair is left out, unless it is the only one: batch norm cannot learn from it.
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
        """The pairs at these places, clip x F + frame."""
        clip, frame = chosen // self.frames, chosen % self.frames
        faces = {"neutral": self.features["neutral"][clip], "expression": self.features["expression"][clip, frame]}
        return {**faces, "label": self.labels[clip]}


class Network(engine.Network):
    """MicroNet or MacroNet in phase I, and what it answers afterwards.

    Parameters
    ----------
    recipe
        Of either.
    classes
        K.
    remembers
        Keep a place for the expression path as phase I leaves it, for pictures of what phase II changes.
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
        """Keep the expression path as it is now."""
        if self.before is not None:
            self.before = self._expression_path()

    def batches(self, examples: Examples) -> Pairs:
        """Shuffled pairs."""
        return Pairs(examples, self.recipe.batch_size)

    def training_step(self, batch: engine.Batch) -> dict[str, Tensor]:
        """Eq. 4 for faces (N, 3, L, L) uint8 and labels (N,)."""
        neutral, expression = eidnet_images.views(
            self.recipe.size, self.recipe.augment, batch["neutral"], batch["expression"]
        )
        found = self.net.pair(neutral, expression)
        form = self.recipe.distance
        terms = {
            "classification": F.cross_entropy(found.logits, batch["label"]),  # L_cls1 (3)
            "reconstruction": eidnet_losses.distance(expression, found.reconstruction, form),  # L_rec (2)
            "similarity": eidnet_losses.distance(found.expression_identity, found.neutral_identity, form),  # L_sim (1)
        }
        total = (
            terms["classification"]
            + self.recipe.reconstruction_weight * terms["reconstruction"]
            + self.recipe.similarity_weight * terms["similarity"]
        )
        return {"loss": total, **terms}

    def configure_optimizers(self) -> dict[str, object]:
        """Adam with a rate for each part, and a cosine that falls to 0 and rises again."""
        recipe = self.recipe
        groups = [
            {"params": self.net.encoder.parameters(), "lr": recipe.encoder_rate},
            {"params": self.net.classifier.parameters(), "lr": recipe.classifier_rate},
            {"params": self.net.decoder.parameters(), "lr": recipe.decoder_rate},
        ]
        optimiser = torch.optim.Adam(groups, weight_decay=recipe.weight_decay)
        return {"optimizer": optimiser, "lr_scheduler": cosine(optimiser, recipe)}

    def _frames(self, batch: engine.Batch) -> list[Tensor]:
        """Each expression frame of the clips as the network sees it in testing, F x (N, 3, S, S)."""
        return [eidnet_images.centre(faces, self.recipe.size) for faces in batch["expression"].unbind(1)]

    def scores(self, batch: engine.Batch) -> Tensor:
        """Class probabilities (N, K): the mean over a clip's frames, so that a clip counts once."""
        return torch.stack([F.softmax(self.net(faces).logits, dim=1) for faces in self._frames(batch)]).mean(dim=0)

    def layers(self, batch: engine.Batch) -> engine.Batch:
        """Pooled f^e (N, C), mean over the frames: after phase I and, where there was one, after phase II."""
        now = torch.stack([pooled(self.net.encoder(faces)) for faces in self._frames(batch)]).mean(dim=0)
        if self.before is None:
            return {"phase_1": now}
        then = torch.stack([pooled(self.before(faces)) for faces in self._frames(batch)]).mean(dim=0)
        return {"phase_1": then, "phase_2": now}

    def pictures(self, batch: engine.Batch) -> dict[str, np.ndarray]:
        """The neutral and the middle expression face, and the latter rebuilt with the neutral face's identity."""
        neutral = eidnet_images.centre(batch["neutral"], self.recipe.size)
        expression = self._frames(batch)[batch["expression"].shape[1] // 2]
        with torch.no_grad():
            made = self.net.pair(neutral, expression).reconstruction
        return {
            "neutral": eidnet_images.shown(neutral),
            "expression": eidnet_images.shown(expression),
            "reconstruction": eidnet_images.shown(made),
        }


def cosine(optimiser: torch.optim.Optimizer, recipe: Disentangling) -> torch.optim.lr_scheduler.LRScheduler:
    """The paper's schedule, stepped every epoch: factor (1 + cos(π epoch / half period)) / 2, periodic."""
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=recipe.half_period)


# ---------------------------------------------------------------- MacroNet

NUMBERS, APEX = "faces/keyframe_number", "apex"


def pretraining_variables(recipe: MacroNetRecipe) -> tuple[str, ...]:  # noqa: ARG001  # the same for every recipe
    """Names of the feature-file variables of a macro clip that :func:`pretraining_prepare` reads."""
    return (eidnet_images.NEUTRAL, eidnet_images.EXPRESSIONS, NUMBERS, APEX)


def pretraining_prepare(recipe: MacroNetRecipe, clip: Arrays) -> dict[str, np.ndarray]:
    """``neutral`` and ``expression`` of one macro clip: the onset, and the keyframes nearest to the apex in time."""
    away = np.abs(clip[NUMBERS].astype(np.int64) - int(clip[APEX]))
    if len(away) < recipe.frames:
        raise ValueError(f"frames: {recipe.frames} asked for, the cache has {len(away)} keyframes; cache.keyframes")
    nearest = np.sort(np.argsort(away, kind="stable")[: recipe.frames])
    return eidnet_images.prepare(clip, clip[eidnet_images.EXPRESSIONS][nearest], recipe.size)


def pretrain(recipe: MacroNetRecipe, material: Material, setup: Setup, output: Path) -> dict[str, object]:
    """Train MacroNet and write it together with the macro faces, which phase II needs as positives.

    Parameters
    ----------
    recipe
        Network and training.
    material
        Labelled macro clips of :func:`pretraining_prepare`.
    setup
        Seed, device, folder of the checkpoint.
    output
        File of the weights. It holds every expression face of the macro clips.

    Returns
    -------
    dict
        ``classes``, ``clips`` trained, ``losses`` by epoch, and with held-out subjects ``held_out``: their clips and
        the figures on them.
    """
    assert material.examples is not None  # the task is on labelled clips
    network, said = macro.learn(lambda: Network(recipe, len(material.classes)), material, recipe.held_out, setup)
    about = {"task": "eidnet", "classes": list(material.classes), "backbone": recipe.backbone, "size": recipe.size}
    faces = torch.from_numpy(material.examples.features["expression"])
    labels = torch.from_numpy(material.examples.labels).repeat_interleave(faces.shape[1])
    macro.write(output, {**network.net.state_dict(), "faces": faces.flatten(0, 1), "labels": labels}, about)
    return said
