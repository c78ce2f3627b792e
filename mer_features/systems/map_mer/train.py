"""MAP-MER: mimicking the annotation process.

"Mimicking the annotation process for recognizing the micro expressions". Coders assign an
action unit to the upper or to the lower face. Accordingly, each half of the face goes through a shared base and its own
branch. An area weighted module weights the features of both halves, and each half is classified. An auxiliary loss
pulls together the features of clips whose action units overlap. Details that the paper does not specify are keys of the
recipe or are described in docs/systems/map_mer.md.

Shapes: N clips, C classes, S = 224 pixels, A = 100 possible action units.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import RandomErasing

from mer_features.core import action_units
from mer_features.systems.common import backbones, engine, inputs, selection
from mer_features.systems.common.contract import Arrays, Examples, Setup
from mer_features.systems.map_mer.network import au_cam, class_weights, grad_cam, losses, network
from mer_features.systems.map_mer.recipe import MapMerRecipe

A = 100  # FACS numbers run from 1 to 99

# ---------------------------------------------------------------- input


def variables(recipe: MapMerRecipe) -> tuple[str, ...]:
    """Names of the feature-file variables of a clip that :func:`prepare` reads."""
    flow = [f"flow/{name}[{pair}]" for pair in _pairs(recipe) for name in "uv"]
    return ("magnified/apex", *flow, "action_units_text")


def _pairs(recipe: MapMerRecipe) -> tuple[str, str]:
    return f"onset_{recipe.target}", f"offset_{recipe.target}"


def prepare(recipe: MapMerRecipe, clip: Arrays) -> dict[str, np.ndarray]:
    """``planes`` (3, S, S) uint8: magnified apex, On-A, Off-A; ``units`` (A,) uint8: 1 where a unit is coded."""
    magnitudes = [moved(clip[f"flow/u[{p}]"], clip[f"flow/v[{p}]"], recipe.threshold) for p in _pairs(recipe)]
    planes = [inputs.grey(clip["magnified/apex"]), *magnitudes]
    size = recipe.image_size
    resized = [inputs.resized(plane, size, average=plane.shape[0] > size) for plane in planes]
    units = np.zeros(A, dtype=np.uint8)
    units[unit_numbers(str(clip["action_units_text"]))] = 1
    return {"planes": np.rint(np.stack(resized)).astype(np.uint8), "units": units}


def moved(u: np.ndarray, v: np.ndarray, threshold: float) -> np.ndarray:
    """Flow magnitude (H, W) as float32 with whole values 0 to 255, without small movements.

    The magnitude is scaled by its own minimum and maximum. Values below ``threshold`` times the mean become 0. Without
    movement the plane is 0 everywhere.
    """
    plane = np.floor(inputs.unit_range(np.hypot(u, v)) * 255).astype(np.float32)
    plane[plane < threshold * plane.mean()] = 0
    return plane


def unit_numbers(text: str) -> list[int]:
    """All action units in an annotation text, ascending, as the authors' code reads them.

    Sides and intensities are dropped. Alternatives (``L12 or L14``) and unusual notations (``ref(7B)``) count.
    """
    parsed = action_units.parse(text)
    doubtful = {int(digits) for part in parsed.unread for digits in re.findall(r"\d+", part)}
    return sorted(number for number in {unit.number for unit in parsed.units} | doubtful if 0 < number < A)


def scaled(planes: Tensor) -> Tensor:
    """Scale planes (N, 3, S, S) uint8 to [0, 1], float32."""
    return planes.float() / 255


# ---------------------------------------------------------------- augmentation


class Batches(engine.Batches):
    """Shuffled batches with mirrored planes, erased rectangles and replaced mouths.

    Yields ``planes`` (N, 3, S, S) float32, ``units`` (N, A), ``label`` (N,) and ``index`` (N,). Planes are in [0, 1]
    except in erased rectangles, which hold standard normal noise. The arrays of the examples are never changed.
    """

    def __init__(self, examples: Examples, recipe: MapMerRecipe) -> None:
        super().__init__(examples, recipe.batch_size, fewest=2)
        self.recipe = recipe
        self.erase = RandomErasing(recipe.erasing, scale=(0.02, 0.3), value="random", inplace=True)
        self.same = [(self.labels == label).nonzero()[:, 0] for label in range(int(self.labels.max()) + 1)]

    def __iter__(self) -> Iterator[engine.Batch]:
        for batch in super().__iter__():
            yield self.replaced({**batch, "planes": self.augmented(batch["planes"])})

    def augmented(self, planes: Tensor) -> Tensor:
        """Planes (N, 3, S, S) uint8 as float32, mirrored and with erased rectangles, before the face is split."""
        images = scaled(planes)
        mirrored = torch.rand(len(images)) < self.recipe.flip
        images[mirrored] = images[mirrored].flip(-1)
        for image in images:
            self.erase(image)
        return images

    def replaced(self, batch: engine.Batch) -> engine.Batch:
        """Region Replacing: some clips get the mouth, augmented separately, and the units of another of their class.

        Section 3.2 says "another sample"; the only clip of a class keeps its own mouth.
        """
        chosen = (torch.rand(len(batch["label"])) < self.recipe.region_replacing).nonzero()[:, 0]
        donors = self.donors(batch["index"][chosen])
        planes, units = batch["planes"].clone(), batch["units"].clone()
        middle = planes.shape[2] // 2
        planes[chosen, :, middle:] = self.augmented(self.features["planes"][donors])[:, :, middle:]
        units[chosen] |= self.features["units"][donors]
        return {**batch, "planes": planes, "units": units}

    def donors(self, clips: Tensor) -> Tensor:
        """Positions of other training clips, drawn from the classes of these clips (N,)."""
        return torch.tensor([self.donor(clip) for clip in clips.tolist()], dtype=torch.int64)

    def donor(self, clip: int) -> int:
        """Position of another training clip of the class of this one; its own if there is no other."""
        same = self.same[int(self.labels[clip])]
        others = same[same != clip]
        return int(others[torch.randint(len(others), ())]) if len(others) else clip


# ---------------------------------------------------------------- training


class Network(engine.Network):
    """The network with its losses and the recipe's optimiser."""

    def __init__(self, recipe: MapMerRecipe, classes: int) -> None:
        super().__init__(recipe.epochs)
        self.recipe = recipe
        self.net = network(recipe, classes)
        self._held_out: Examples | None = None
        self.class_weights: Tensor
        self.register_buffer("class_weights", torch.ones(classes), persistent=False)

    def batches(self, examples: Examples) -> Batches:
        """Augmented batches of the training clips; with `select: val`, of those that are not set aside."""
        if self.recipe.select == "val":
            seed = int(torch.randint(2**31, ()))
            examples, self._held_out = selection.hold_out(examples, self.recipe.val_share, seed)
        labels = torch.from_numpy(examples.labels)
        self.class_weights = class_weights(labels, len(self.class_weights)).to(self.class_weights.device)
        return Batches(examples, self.recipe)

    def callbacks(self) -> list[Callback]:
        """With `select: val`, the choice of the epoch with the best accuracy; of equal ones the latest."""
        if self._held_out is None:
            return []
        return [selection.BestEpoch(self._held_out, selection.accuracy, latest=True)]

    def training_step(self, batch: engine.Batch) -> dict[str, Tensor]:
        """Losses of a batch."""
        output = self.net(backbones.normalised(batch["planes"]))
        terms = losses(output, batch["label"], batch["units"], self.class_weights, self.recipe)
        return {"loss": terms.total, "classification": terms.classification, "alignment": terms.alignment}

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW with cosine annealing and warm restarts; the rate changes once per epoch."""
        recipe = self.recipe
        optimiser = torch.optim.AdamW(
            self.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
        )
        restarts = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimiser, recipe.restart, T_mult=2)
        return {"optimizer": optimiser, "lr_scheduler": restarts}

    # ------------------------------------------------------------ outputs

    def combined(self, logits: Tensor) -> Tensor:
        """Class probabilities (N, C) of the heads' logits (N, R, C)."""
        if self.recipe.combine == "logits":
            return F.softmax(logits.sum(dim=1), dim=1)
        return F.softmax(logits, dim=2).mean(dim=1)

    def scores(self, batch: engine.Batch) -> Tensor:
        """Class probabilities (N, C)."""
        return self.combined(self.net(_input(batch)).logits)

    def layers(self, batch: engine.Batch) -> engine.Batch:
        """``fused``: X_F at unit length, eyes before mouth; WSCL aligns it with action units."""
        return {"fused": self.net(_input(batch)).aligned}

    def pictures(self, batch: engine.Batch) -> dict[str, np.ndarray]:
        """``planes``: the input planes as RGB; ``au_cam`` and ``grad_cam``: heat maps over the magnified apex."""
        planes = batch["planes"].permute(0, 2, 3, 1).cpu().numpy()  # (N, S, S, 3)
        maps = {
            "au_cam": au_cam(self.net, _input(batch)),
            "grad_cam": grad_cam(self.net, _input(batch), self.combined),
        }
        return {"planes": planes} | {name: _overlaid(planes[..., :1], heats) for name, heats in maps.items()}


def _overlaid(faces: np.ndarray, heats: Tensor) -> np.ndarray:
    """Heat maps (N, S, S) overlaid on grey images (N, S, S, 1); (N, S, S, 3) uint8."""
    return inputs.overlays(faces, heats.cpu().numpy())


def _input(batch: engine.Batch) -> Tensor:
    return backbones.normalised(scaled(batch["planes"]))


def build(recipe: MapMerRecipe, classes: int, setup: Setup) -> engine.TorchSystem:
    """An untrained system for ``classes`` classes."""
    return engine.TorchSystem(lambda: Network(recipe, classes), setup)
