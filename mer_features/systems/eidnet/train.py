"""EIDNet: expression-identity disentanglement, then adversarial tuning against a macro-expression network.

"Learning from macro-expression, an adversarial micro-expression recognition framework". Phase I
(:mod:`mer_features.systems.eidnet.disentangling`) trains MicroNet and, as a pre-training, MacroNet. Phase II, in this
module, tunes MicroNet: its embedding of a micro-expression should resemble MacroNet's embedding of a macro-expression
of the same class. Details that the paper does not specify are keys of the recipe or are commented in the code.

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
from mer_features.systems.eidnet.disentangling import (
    Network,
    Pairs,
    pretrain,
    pretraining_prepare,
    pretraining_variables,
)
from mer_features.systems.eidnet.network import (
    EXPRESSIONS,
    NEUTRAL,
    Discriminator,
    EIDNet,
    Output,
    adversarial,
    centre,
    discriminator,
    inequality,
    pooled,
    prepare_faces,
    triplet,
    views,
)
from mer_features.systems.eidnet.recipe import EIDNetRecipe

__all__ = ["build", "prepare", "pretrain", "pretraining_prepare", "pretraining_variables", "variables"]

#: Largest number of macro faces per class in the plot of the embeddings (Figure 4 of the paper).
PLOTTED = 200


def variables(recipe: EIDNetRecipe) -> tuple[str, ...]:  # noqa: ARG001  # the same for every recipe
    """Names of the feature-file variables of a clip that :func:`prepare` reads."""
    return (NEUTRAL, EXPRESSIONS)


def prepare(recipe: EIDNetRecipe, clip: Arrays) -> dict[str, np.ndarray]:
    """``neutral`` (3, L, L) and ``expression`` (F, 3, L, L) uint8: the onset and all keyframes around the apex."""
    return prepare_faces(clip, clip[EXPRESSIONS], recipe.size)


# ---------------------------------------------------------------- MacroNet and its faces


class Macro:
    """The frozen MacroNet of a file, and its macro faces of the classes of the protocol.

    Parameters
    ----------
    path
        File of the pre-training.
    names
        Classes of the protocol, in the order of the labels. Macro classes are matched by name. A class without a
        counterpart (CASME II's repression and others) has no faces.
    recipe
        Recipe of MicroNet.

    Raises
    ------
    ValueError
        If the file lacks a part, MacroNet and MicroNet differ in backbone or size, or MacroNet has no class of the
        protocol.
    """

    def __init__(self, path: Path, names: Sequence[str], recipe: EIDNetRecipe) -> None:
        weights, about = macro.read(path, "eidnet")
        if missing := {"faces", "labels"} - weights.keys() | {"backbone", "size", "classes"} - about.keys():
            raise ValueError(f"{path}: a MacroNet without {', '.join(sorted(missing))}; train it again")
        for what, ours in (("backbone", recipe.backbone), ("size", recipe.size)):
            if about[what] != ours:
                raise ValueError(f"{path}: MacroNet has {what} {about[what]}, the recipe {ours}; they must be equal")
        self.faces, self.labels = weights.pop("faces"), weights.pop("labels")  # (M, 3, L, L) uint8, (M,)
        self.names = tuple(names)
        self.counterparts = macro.counterparts(names, about["classes"])
        #: Positions of the faces of each class of the protocol.
        self.places = [torch.nonzero(self.labels == counterpart)[:, 0] for counterpart in self.counterparts]
        if not any(map(len, self.places)):
            raise ValueError(f"{path}: MacroNet has classes {', '.join(about['classes'])}, none of {', '.join(names)}")
        network = EIDNet(about["backbone"], len(about["classes"]))
        network.load_state_dict(weights)
        self.network = macro.Frozen(network)

    def draw(self, labels: Tensor) -> dict[str, Tensor]:
        """Draw a random face of each class in ``labels`` (N,).

        Returns
        -------
        dict
            ``positive`` (N, 3, L, L), ``macro_label`` (N,) in MacroNet's classes, and ``paired`` (N,) bool: whether
            there is a face of the class. Where there is none, the other two entries have no meaning.
        """
        counts = torch.tensor([len(places) for places in self.places])[labels]
        drawn = (torch.rand(len(labels)) * counts).long()
        places = [self.places[k][i] if n else 0 for k, i, n in zip(labels, drawn, counts, strict=True)]
        chosen = torch.tensor([int(place) for place in places])
        return {"positive": self.faces[chosen], "macro_label": self.labels[chosen], "paired": counts > 0}

    def companions(self, recipe: EIDNetRecipe) -> Companions:
        """MacroNet's embeddings of random faces of each class, under the names of both layers of MicroNet."""
        chosen, labels = [], []
        for name, places in zip(self.names, self.places, strict=True):
            sample = places[torch.randperm(len(places))[:PLOTTED]]
            chosen.append(sample)
            labels += [name] * len(sample)
        faces = self.faces[torch.cat(chosen)].split(engine.EVALUATED_TOGETHER)
        parts = [pooled(self.network(centre(part, recipe.size)).embedding) for part in faces]
        features = torch.cat(parts).cpu().numpy()
        return Companions({"phase_1": features, "phase_2": features}, tuple(labels))


class Triplets:
    """Batches of anchor, positive and negative; in one pass, each expression frame of each clip is an anchor once.

    The negative is a random training frame of another class. The positive is a random macro face of the anchor's class.

    Raises
    ------
    ValueError
        If all clips have the same class.
    """

    def __init__(self, examples: Examples, size: int, faces: Macro) -> None:
        self.pairs, self.macro = Pairs(examples, size), faces
        every = self.pairs.labels.repeat_interleave(self.pairs.frames)
        self._others = {int(label): torch.nonzero(every != label)[:, 0] for label in self.pairs.labels.unique()}
        if len(self._others) < 2:
            raise ValueError("phase II needs training clips of at least two classes for its negatives")

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
    """Phase II: tunes MicroNet's expression path and classifier against MacroNet, with a discriminator.

    Parameters
    ----------
    recipe
        Loss weights and learning rates.
    micro
        MicroNet after phase I; it is tuned in place.
    faces
        MacroNet and its faces.
    """

    def __init__(self, recipe: EIDNetRecipe, micro: EIDNet, faces: Macro) -> None:
        super().__init__(recipe.tuning_epochs)
        self.automatic_optimization = False  # two optimisers alternate
        self.recipe, self.net, self.macro = recipe, micro, faces
        self.discriminator = Discriminator(micro.encoder.channels, recipe.discriminator_norm)

    def batches(self, examples: Examples) -> Triplets:
        """Shuffled triplets."""
        return Triplets(examples, self.recipe.batch_size, self.macro)

    def configure_optimizers(self) -> list[dict[str, Any]]:
        """Adam for MicroNet and Adam for the discriminator, both with the schedule of phase I."""
        recipe, encoder = self.recipe, self.net.encoder
        micronet = [*encoder.shared.parameters(), *encoder.expression.parameters(), *self.net.classifier.parameters()]
        optimisers = []
        for weights, rate in (
            (micronet, recipe.tuning_rate),
            (self.discriminator.parameters(), recipe.discriminator_rate),
        ):
            optimiser = torch.optim.Adam(weights, rate, weight_decay=recipe.weight_decay)
            optimisers.append({"optimizer": optimiser, "lr_scheduler": disentangling.cosine(optimiser, recipe)})
        return optimisers

    def on_train_epoch_start(self) -> None:
        """Step the learning rates; with several optimisers, Lightning leaves this to the module."""
        super().on_train_epoch_start()
        if self.current_epoch > 0:
            for schedule in self.lr_schedulers():
                schedule.step()

    def training_step(self, batch: engine.Batch) -> dict[str, Tensor]:
        """One step of the discriminator, then one step of MicroNet."""
        generator, critic = self.optimizers()
        micro, positive, negative = self.outputs(batch)
        paired = batch["paired"]
        terms: dict[str, Tensor] = {"unpaired": (~paired).float().mean()}
        if self.is_judged(paired):
            critic.zero_grad()
            terms["discriminator"] = self.criticism(positive.embedding[paired], micro.embedding[paired])
            self.manual_backward(terms["discriminator"])
            critic.step()
        self.discriminator.requires_grad_(False)  # L_adv trains only MicroNet
        terms |= self.losses(batch, micro, positive, negative)
        generator.zero_grad()
        self.manual_backward(terms["loss"])
        generator.step()
        self.discriminator.requires_grad_(True)
        return terms

    def is_judged(self, paired: Tensor) -> bool:
        """Whether the discriminator is used for a batch: with batch norm it needs at least two embeddings."""
        least = 2 if self.recipe.discriminator_norm == "batch" else 1
        return self.recipe.adversarial_weight > 0 and int(paired.sum()) >= least

    def outputs(self, batch: engine.Batch) -> tuple[Output, Output, Tensor]:
        """Outputs for anchors (MicroNet) and positives (MacroNet, no gradient); MicroNet embeddings of negatives."""
        size, augment = self.recipe.size, self.recipe.augment
        (anchor,), (positive,), (negative,) = (
            views(size, augment, batch[name]) for name in ("anchor", "positive", "negative")
        )
        embedding, negative_embedding = self.net.encoder(torch.cat([anchor, negative])).chunk(2)
        return Output(embedding, self.net.classifier(embedding)), self.macro.network(positive), negative_embedding

    def criticism(self, macro_embedding: Tensor, micro_embedding: Tensor) -> Tensor:
        """L_D; its gradient stops at the embeddings."""
        return discriminator(self.discriminator(macro_embedding), self.discriminator(micro_embedding.detach()))

    def losses(self, batch: engine.Batch, micro: Output, positive: Output, negative: Tensor) -> dict[str, Tensor]:
        """Losses of Eq. 10. Anchors without a macro face of their class only count in L_cls2."""
        recipe, paired = self.recipe, batch["paired"]
        micro_loss = F.cross_entropy(micro.logits, batch["label"], reduction="none")  # (N,)
        terms = {"classification": micro_loss.mean()}  # L_cls2 (Eq. 8)
        total = terms["classification"]
        if paired.any():
            macro_loss = F.cross_entropy(positive.logits[paired], batch["macro_label"][paired], reduction="none")
            anchors, positives = micro.embedding[paired], positive.embedding[paired]
            weights = {"triplet": recipe.triplet_weight, "lir": recipe.lir_weight}
            # L_tri (Eq. 5) and L_LIR (Eq. 9)
            terms["triplet"] = triplet(anchors, positives, negative[paired], recipe.margin, recipe.triplet_on)
            terms["lir"] = inequality(macro_loss, micro_loss[paired])
            terms["lir_active"] = (macro_loss > micro_loss[paired]).float().mean()
            if self.is_judged(paired):
                weights["adversarial"] = recipe.adversarial_weight
                terms["adversarial"] = adversarial(self.discriminator(anchors))  # L_adv (Eq. 7)
            total = total + torch.stack([weight * terms[name] for name, weight in weights.items()]).sum()
        return {"loss": total, **terms}


# ---------------------------------------------------------------- system


class System(engine.TorchSystem):
    """Both phases, with the interface of all systems."""

    network: Network

    def __init__(self, recipe: EIDNetRecipe, classes: int, setup: Setup) -> None:
        self.recipe = recipe
        self.macro = None
        if recipe.pretraining is not None:
            self.macro = Macro(setup.pretraining_file, setup.class_names, recipe)
        super().__init__(lambda: Network(recipe, classes, remembers=self.macro is not None), setup)

    def fit(self, examples: Examples) -> None:
        """Run phase I and, if the recipe has it, phase II; each resumes a killed training from its checkpoint."""
        with engine.seeded(self._setup.seed):
            pairs = self.network.batches(examples)
            self._losses = engine.run(self.network, pairs, self.network.epochs, self._state("phase1"))
        if self.macro is None:
            return
        self.network.remember()
        # Phase II has its own seed, so that a training resumed after phase I draws the same numbers.
        with engine.seeded((self._setup.seed + 1) % 2**32):
            tuning = Tuning(self.recipe, self.network.net, self.macro)
            self._losses += engine.run(tuning, tuning.batches(examples), tuning.epochs, self._state("phase2"))

    def _state(self, phase: str) -> Setup:
        state = self._setup.state
        return self._setup if state is None else replace(self._setup, state=state / phase)

    def embed_frames(self, features: Arrays) -> dict[str, np.ndarray]:
        """Pooled f^e (N, F, C) of every expression frame: ``phase_1`` and, if phase II has run, ``phase_2``."""
        return self._each(features, self.network.frame_layers)

    def companions(self) -> Companions | None:
        """MacroNet's embeddings of macro faces, for the plot of the embeddings of both networks (Figure 4)."""
        if self.macro is None:
            return None
        with engine.seeded(self._setup.seed):
            return self.macro.companions(self.recipe)


def build(recipe: EIDNetRecipe, classes: int, setup: Setup) -> System:
    """An untrained system for ``classes`` classes.

    Raises
    ------
    ValueError
        If MacroNet's file does not fit the recipe or the classes.
    """
    return System(recipe, classes, setup)
