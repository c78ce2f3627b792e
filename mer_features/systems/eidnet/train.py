"""EIDNet: expression-identity disentanglement, then adversarial tuning against a macro-expression network.

"Learning from macro-expression, an adversarial micro-expression recognition framework". Phase I
(:mod:`mer_features.systems.eidnet.disentangling`) trains MicroNet and, as a pre-training, MacroNet. Phase II, here,
tunes MicroNet: its embedding of a micro-expression shall look like MacroNet's of a macro-expression of the same class.
What the paper leaves open is a key of the recipe, or is said where it happens.

Shapes: N triplets, K classes, M macro faces; other sizes as in :mod:`mer_features.systems.eidnet.network`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mer_features.systems.common import engine, macro
from mer_features.systems.common.contract import Arrays, Companions, Examples, Setup
from mer_features.systems.eidnet import disentangling
from mer_features.systems.eidnet import network as eidnet_images
from mer_features.systems.eidnet import network as eidnet_losses
from mer_features.systems.eidnet.disentangling import (
    Network,
    Pairs,
    pretrain,
    pretraining_prepare,
    pretraining_variables,
)
from mer_features.systems.eidnet.network import Discriminator, EIDNet, Seen, pooled
from mer_features.systems.eidnet.recipe import EIDNetRecipe

__all__ = ["build", "prepare", "pretrain", "pretraining_prepare", "pretraining_variables", "variables"]

#: Macro faces of a class that are pictured beside the micro clips, as in the paper's Figure 4.
_PICTURED = 200


def variables(recipe: EIDNetRecipe) -> tuple[str, ...]:  # noqa: ARG001  # the same for every recipe
    """Names of the feature-file variables of a clip that :func:`prepare` reads."""
    return (eidnet_images.NEUTRAL, eidnet_images.EXPRESSIONS)


def prepare(recipe: EIDNetRecipe, clip: Arrays) -> dict[str, np.ndarray]:
    """``neutral`` (3, L, L) and ``expression`` (F, 3, L, L) uint8: the onset and all keyframes around the apex."""
    return eidnet_images.prepare(clip, clip[eidnet_images.EXPRESSIONS], recipe.size)


# ---------------------------------------------------------------- MacroNet and its faces


class Macro:
    """The frozen MacroNet of a file, and the macro faces of the classes that the protocol has too.

    Parameters
    ----------
    path
        File of the pre-training.
    names
        Classes of the protocol, in the order of the labels. Macro classes are matched by name; a class without a
        counterpart (CASME II's repression and others) has no faces.
    recipe
        Of MicroNet.

    Raises
    ------
    ValueError
        If MacroNet has another backbone or size than MicroNet, or no class in common with the protocol.
    """

    def __init__(self, path: Path, names: Sequence[str], recipe: EIDNetRecipe) -> None:
        weights, about = macro.read(path, "eidnet")
        for what, ours in (("backbone", recipe.backbone), ("size", recipe.size)):
            if about[what] != ours:
                raise ValueError(f"{path}: MacroNet has {what} {about[what]}, the recipe {ours}; they are compared")
        self.faces, self.labels = weights.pop("faces"), weights.pop("labels")  # (M, 3, L, L) uint8, (M,)
        self.names = tuple(names)
        self.counterparts = macro.counterparts(names, about["classes"])
        #: Places of the faces of every class of the protocol.
        self.places = [torch.nonzero(self.labels == theirs)[:, 0] for theirs in self.counterparts]
        if not any(map(len, self.places)):
            raise ValueError(f"{path}: MacroNet knows {', '.join(about['classes'])}, none of {', '.join(names)}")
        network = EIDNet(about["backbone"], len(about["classes"]))
        network.load_state_dict(weights)
        self.network = macro.Frozen(network)

    def draw(self, labels: Tensor) -> dict[str, Tensor]:
        """A random face of each class in ``labels`` (N,).

        Returns
        -------
        dict
            ``positive`` (N, 3, L, L), ``macro_label`` (N,) in MacroNet's classes and ``paired`` (N,) bool: whether
            there is a face of the class; where there is none the other two mean nothing.
        """
        counts = torch.tensor([len(places) for places in self.places])[labels]
        drawn = (torch.rand(len(labels)) * counts).long()
        found = [self.places[k][i] if n else 0 for k, i, n in zip(labels, drawn, counts, strict=True)]
        chosen = torch.tensor([int(place) for place in found])
        return {"positive": self.faces[chosen], "macro_label": self.labels[chosen], "paired": counts > 0}

    def companions(self, recipe: EIDNetRecipe) -> Companions:
        """MacroNet's embeddings of some faces of every class, evenly taken, in both of MicroNet's layers."""
        chosen, labels = [], []
        for name, places in zip(self.names, self.places, strict=True):
            taken = places[torch.linspace(0, len(places) - 1, min(len(places), _PICTURED)).round().long()]
            chosen.append(taken)
            labels += [name] * len(taken)
        faces = self.faces[torch.cat(chosen)].split(engine.EVALUATED_TOGETHER)
        parts = [pooled(self.network(eidnet_images.centre(part, recipe.size)).embedding) for part in faces]
        features = torch.cat(parts).cpu().numpy()
        return Companions({"phase_1": features, "phase_2": features}, tuple(labels))


class Triplets:
    """Batches of anchor, positive, negative; a pass takes every expression frame of every clip as anchor once.

    The negative is a random training frame of any other class, the positive a random macro face of the anchor's.

    Raises
    ------
    ValueError
        If all clips are of one class.
    """

    def __init__(self, examples: Examples, size: int, faces: Macro) -> None:
        self.pairs, self.macro = Pairs(examples, size), faces
        every = self.pairs.labels.repeat_interleave(self.pairs.frames)
        self._others = {int(label): torch.nonzero(every != label)[:, 0] for label in self.pairs.labels.unique()}
        if len(self._others) < 2:
            raise ValueError("phase II needs training clips of two classes or more, for its negatives")

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[engine.Batch]:
        for pair in self.pairs:
            labels = pair["label"]
            pools = [self._others[int(label)] for label in labels]
            drawn = [int(share * len(pool)) for share, pool in zip(torch.rand(len(labels)), pools, strict=True)]
            chosen = torch.stack([pool[place] for pool, place in zip(pools, drawn, strict=True)])
            negative = self.pairs.take(chosen)
            yield {
                "anchor": pair["expression"], "label": labels, "negative": negative["expression"],
                "negative_label": negative["label"], **self.macro.draw(labels),
            }  # fmt: skip


# ---------------------------------------------------------------- phase II


class Tuning(engine.Network):
    """Phase II: MicroNet's expression path and classifier against MacroNet, with a discriminator between them.

    Parameters
    ----------
    recipe
        Weights and rates.
    micro
        MicroNet, trained in phase I; tuned in place.
    faces
        MacroNet and its faces.
    """

    def __init__(self, recipe: EIDNetRecipe, micro: EIDNet, faces: Macro) -> None:
        super().__init__(recipe.tuning_epochs)
        self.automatic_optimization = False  # two optimisers take turns
        self.recipe, self.net, self.macro = recipe, micro, faces
        self.discriminator = Discriminator(micro.encoder.channels)

    def batches(self, examples: Examples) -> Triplets:
        """Shuffled triplets."""
        return Triplets(examples, self.recipe.batch_size, self.macro)

    def configure_optimizers(self) -> list[dict[str, Any]]:
        """Adam for what recognises and Adam for the discriminator, both with the cosine of phase I."""
        recipe, encoder = self.recipe, self.net.encoder
        tuned = [*encoder.shared.parameters(), *encoder.expression.parameters(), *self.net.classifier.parameters()]
        found = []
        for weights, rate in (
            (tuned, recipe.tuning_rate),
            (self.discriminator.parameters(), recipe.discriminator_rate),
        ):
            optimiser = torch.optim.Adam(weights, rate, weight_decay=recipe.weight_decay)
            found.append({"optimizer": optimiser, "lr_scheduler": disentangling.cosine(optimiser, recipe)})
        return found

    def on_train_epoch_start(self) -> None:
        """Step the rates, which Lightning leaves to a module with several optimisers."""
        super().on_train_epoch_start()
        if self.current_epoch > 0:
            for schedule in self.lr_schedulers():
                schedule.step()

    def training_step(self, batch: engine.Batch) -> dict[str, Tensor]:
        """A step of the discriminator, then one of MicroNet."""
        generator, critic = self.optimizers()
        micro, positive, found = self.seen(batch)
        paired = batch["paired"]
        terms: dict[str, Tensor] = {"unpaired": (~paired).float().mean()}
        if self.recipe.adversarial_weight and compared(paired):
            critic.zero_grad()
            terms["discriminator"] = self.criticism(positive.embedding[paired], micro.embedding[paired])
            self.manual_backward(terms["discriminator"])
            critic.step()
        self.discriminator.requires_grad_(False)  # L_adv is MicroNet's
        terms |= self.losses(batch, micro, positive, found)
        generator.zero_grad()
        self.manual_backward(terms["loss"])
        generator.step()
        self.discriminator.requires_grad_(True)
        return terms

    def seen(self, batch: engine.Batch) -> tuple[Seen, Seen, Tensor]:
        """MicroNet on the anchors, MacroNet on the positives (no gradient), MicroNet's embedding of the negatives."""
        size, augment = self.recipe.size, self.recipe.augment
        (anchor,), (positive,), (negative,) = (
            eidnet_images.views(size, augment, batch[name]) for name in ("anchor", "positive", "negative")
        )
        embedding, other = self.net.encoder(torch.cat([anchor, negative])).chunk(2)
        return Seen(embedding, self.net.classifier(embedding)), self.macro.network(positive), other

    def criticism(self, macro_embedding: Tensor, micro_embedding: Tensor) -> Tensor:
        """L_D, whose gradient stops at the embeddings."""
        return eidnet_losses.discriminator(
            self.discriminator(macro_embedding), self.discriminator(micro_embedding.detach())
        )

    def losses(self, batch: engine.Batch, micro: Seen, positive: Seen, other: Tensor) -> dict[str, Tensor]:
        """Eq. 10. Anchors whose class no macro face has count in L_cls2 alone."""
        recipe, paired = self.recipe, batch["paired"]
        surprise = F.cross_entropy(micro.logits, batch["label"], reduction="none")  # (N,)
        terms = {"classification": surprise.mean()}  # L_cls2 (8)
        total = terms["classification"]
        if compared(paired):
            theirs = F.cross_entropy(positive.logits[paired], batch["macro_label"][paired], reduction="none")
            anchors, positives = micro.embedding[paired], positive.embedding[paired]
            weighted = {"triplet": recipe.triplet_weight, "lir": recipe.lir_weight}
            terms["triplet"] = eidnet_losses.triplet(
                anchors, positives, other[paired], recipe.margin, recipe.triplet_on
            )  # L_tri (5)
            terms["lir"] = eidnet_losses.inequality(theirs, surprise[paired])  # L_LIR (9)
            terms["lir_active"] = (theirs > surprise[paired]).float().mean()
            if recipe.adversarial_weight:
                weighted["adversarial"] = recipe.adversarial_weight
                terms["adversarial"] = eidnet_losses.adversarial(self.discriminator(anchors))  # L_adv (7)
            total = total + torch.stack([weight * terms[name] for name, weight in weighted.items()]).sum()
        return {"loss": total, **terms}


def compared(paired: Tensor) -> bool:
    """Whether enough anchors have a positive: the discriminator's batch norm needs two."""
    return int(paired.sum()) > 1


# ---------------------------------------------------------------- system


class System(engine.TorchSystem):
    """Both phases behind the interface of all systems."""

    network: Network

    def __init__(self, recipe: EIDNetRecipe, classes: int, setup: Setup) -> None:
        self.recipe = recipe
        self.macro = None
        if recipe.pretraining is not None:
            assert setup.pretrained is not None  # the training loop sees to it
            self.macro = Macro(setup.pretrained, setup.class_names, recipe)
        super().__init__(lambda: Network(recipe, classes, remembers=self.macro is not None), setup)

    def fit(self, examples: Examples) -> None:
        """Phase I and, unless the recipe stops there, phase II; each goes on where a killed training was."""
        with engine.seeded(self._setup.seed):
            pairs = self.network.batches(examples)
            self._losses = engine.run(self.network, pairs, self.network.epochs, self._state("phase1"))
        if self.macro is None:
            return
        self.network.remember()
        # A stream of its own: a training resumed at the end of phase I draws as an uninterrupted one does.
        with engine.seeded((self._setup.seed + 1) % 2**32):
            tuning = Tuning(self.recipe, self.network.net, self.macro)
            self._losses += engine.run(tuning, tuning.batches(examples), tuning.epochs, self._state("phase2"))

    def _state(self, phase: str) -> Setup:
        state = self._setup.state
        return self._setup if state is None else replace(self._setup, state=state / phase)

    def companions(self) -> Companions | None:
        """Macro faces as MacroNet sees them, for the picture of both networks' embeddings."""
        return None if self.macro is None else self.macro.companions(self.recipe)


def build(recipe: EIDNetRecipe, classes: int, setup: Setup) -> System:
    """An untrained system for ``classes`` classes.

    Raises
    ------
    ValueError
        If MacroNet's file does not fit the recipe or the classes.
    """
    return System(recipe, classes, setup)
