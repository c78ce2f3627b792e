"""Pre-training of MA2MI: prediction of a future frame of macro video from a frame and MIACNet's condition.

Shapes: N pairs of frames, S x S pixels. DiT works on C channels of s x s places, which are latents (4, S/8) or the
frames themselves (3, S).
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Ordered
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from mer_features.core import tensors
from mer_features.features.sequences import Sequences
from mer_features.systems.common import engine, inputs, macro, video_draws
from mer_features.systems.common.contract import Material, Setup
from mer_features.systems.ma2mi import autoencoder, future_frames
from mer_features.systems.ma2mi.future_frames import DiT, Shape
from mer_features.systems.ma2mi.network import (
    Features,
    MIACNet,
    equivariance,
    matching,
    random_tau,
    reconstruction,
    scaled,
    separation,
    warp,
)
from mer_features.systems.ma2mi.recipe import Branches, FutureFrameRecipe

# ---------------------------------------------------------------- pairs


def drawn_pair(length: int, delta: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
    """Draw frames t and t + δ of a clip of ``length`` frames: first δ, then t, each uniform over all that fit."""
    step = int(rng.integers(delta[0], min(delta[1], length - 1) + 1))
    first = int(rng.integers(0, length - step))
    return first, first + step


class Pairs(Dataset[engine.Batch]):
    """Pairs of frames by draw: ``first``, ``second`` (3, S, S) uint8, ``tau`` (2, 3); latents in ``from``, ``to``."""

    def __init__(
        self,
        recipe: FutureFrameRecipe,
        sequences: Sequences,
        chosen: Ordered[int],
        stored: future_frames.Latents | None,
        seed: int,
    ) -> None:
        self.recipe, self.sequences, self.chosen = recipe, sequences, chosen
        self.stored, self.seed = stored, seed

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, draw: video_draws.Draw) -> engine.Batch:
        place = draw[1]
        clip, rng = self.chosen[place], video_draws.generator(self.seed, draw)
        positions = drawn_pair(self.sequences.clips[clip].length, self.recipe.delta, rng)
        first, second = (
            torch.from_numpy(inputs.rgb(frame, self.recipe.size)) for frame in self.sequences.frames(clip, positions)
        )
        pair = {"first": first, "second": second, "tau": torch.from_numpy(random_tau(rng))}
        if self.stored is not None:
            pair["from"], pair["to"] = self.stored.take(place, positions)
        return pair


# ---------------------------------------------------------------- network


class Model(nn.Module):
    """MIACNet and DiT."""

    def __init__(self, recipe: FutureFrameRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.net = MIACNet(recipe)
        channels = autoencoder.CHANNELS if recipe.space == "latent" else 3
        shape = Shape(
            channels, recipe.grid, recipe.patch_side, recipe.dit_width, recipe.dit_depth, recipe.dit_heads
        )  # fmt: skip
        self.dit = DiT(shape, self.net.width, residual=recipe.residual)

    def forward(self, first: Tensor, second: Tensor, start: Tensor) -> Tensor:
        """Ẑ_{t+δ} from a pair of images (N, 3, S, S) in [-1, 1] and the Z of the first one."""
        return self.dit(start, self.net.condition(self.net(first, second)))


class Network(video_draws.VideoNetwork):
    """Training of the model."""

    def __init__(self, recipe: FutureFrameRecipe, order: video_draws.Order) -> None:
        super().__init__(recipe.epochs)
        self.recipe, self.order = recipe, order
        self.model = Model(recipe)

    def training_step(self, batch: engine.Batch) -> dict[str, Tensor]:
        """Losses of Eq. 10."""
        first, second = scaled(batch["first"]), scaled(batch["second"])
        start, target = (batch["from"], batch["to"]) if self.recipe.space == "latent" else (first, second)
        net = self.model.net
        action = net.action(second - first)
        position, terms = self.positions(first, batch["tau"])
        predicted = self.model.dit(start, net.condition(Features(action, position)))
        terms = {"reconstruction": reconstruction(predicted, target, self.recipe.reconstruction_form), **terms}
        return {"loss": torch.stack(list(terms.values())).sum(), **terms}

    def positions(self, first: Tensor, tau: Tensor) -> tuple[Tensor | None, dict[str, Tensor]]:
        """F^p for the condition and the terms of L_pos (Eq. 6), from images (N, 3, S, S) and τ (N, 2, 3).

        With independent branches, F^p is detached from L_rec. Both images of L_3 go through the encoder together, with
        one batch norm for both, because L_3 compares two outputs of the same function.
        """
        encoder = self.model.net.position
        if encoder is None:
            return None, {}
        if self.recipe.position == "reconstruction":
            return encoder(first), {}
        # Float32 also in mixed precision, because bfloat16 is too coarse for the bound of the mask.
        maps, encoded = encoder(torch.cat([first, warp(tau, first)])).float().chunk(2)
        ones = torch.ones_like(maps[:, :1])
        terms = {
            "separation": separation(maps),  # L_1
            "matching": matching(maps, maps.roll(-1, 0)),  # L_2, with the face of the next clip
            "equivariance": equivariance(encoded, warp(tau, maps), warp(tau, ones), self.recipe.equivariance),  # L_3
        }
        return maps.detach(), terms

    def configure_optimizers(self) -> dict[str, object]:
        """AdamW; the learning rate falls by a factor after each epoch."""
        return decaying(self.parameters(), self.recipe)


def decaying(weights: Iterable[nn.Parameter], recipe: Branches) -> dict[str, object]:
    """AdamW with a rate that falls by a factor after each epoch (1: a constant rate), for all trainings of MA2MI."""
    optimiser = torch.optim.AdamW(weights, recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)
    return {"optimizer": optimiser, "lr_scheduler": torch.optim.lr_scheduler.ExponentialLR(optimiser, recipe.decay)}


# ---------------------------------------------------------------- file


class Pretrained(NamedTuple):
    """Result of a pre-training: the model, and the autoencoder of its latents."""

    model: Model
    codec: autoencoder.Codec | None


def write(path: Path, model: Model, codec: autoencoder.Codec | None) -> None:
    """Write a model with its autoencoder, so that fine-tuning needs only this file."""
    weights = {f"model.{name}": value for name, value in model.state_dict().items()}
    if codec is not None:
        weights |= {f"codec.{name}": value for name, value in codec.weights().items()}
    # The path of the initial weights is not part of the result.
    keys = model.recipe.model_dump(mode="json", exclude={"imagenet_weights"})
    macro.write(path, weights, {"task": "ma2mi", "recipe": keys, "codec": None if codec is None else codec.about})


def read(path: Path) -> Pretrained:
    """Read a file written by :func:`write`.

    A process reads a file once, as long as its size and time stay the same. All callers share the networks, which are
    in evaluation mode and take no gradients: whoever trains a part of them copies it.

    Raises
    ------
    ValueError
        If the file is missing or belongs to another task.
    """
    stat = path.stat() if path.is_file() else None
    return _read(path, () if stat is None else (stat.st_ino, stat.st_size, stat.st_mtime_ns))


@lru_cache(maxsize=1)
def _read(path: Path, _stamp: tuple[int, ...]) -> Pretrained:
    weights, about = macro.read(path, "ma2mi")
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "codec": {}}
    for name, value in weights.items():
        part, _, rest = name.partition(".")
        parts.setdefault(part, {})[rest] = value
    with engine.seeded(0):  # the weights drawn here are replaced; the caller's generator stays where it is
        model = Model(FutureFrameRecipe.model_validate(about["recipe"]))
    model.load_state_dict(parts["model"])
    codec = about["codec"] and autoencoder.restored(parts["codec"], about["codec"])
    return Pretrained(model.eval().requires_grad_(False), codec)


# ---------------------------------------------------------------- task


def pretrain(recipe: FutureFrameRecipe, material: Material, setup: Setup, output: Path) -> dict[str, object]:
    """Pre-train MIACNet and DiT on unlabelled video and write them.

    Parameters
    ----------
    recipe
        Settings of networks and training.
    material
        Frames of unlabelled clips. Clips that are too short for the smallest δ are left out.
    setup
        Seed, device, folder of the checkpoint and of the latents, and file of the autoencoder.
    output
        File of the weights; it also holds the autoencoder.

    Returns
    -------
    dict
        ``clips`` (number of training clips), ``skipped`` (number of short clips), ``fps`` (median frame rate of the
        training clips if known; δ counts frames), ``autoencoder`` (kind and scale; None in pixels) and ``losses`` by
        epoch.

    Raises
    ------
    ValueError
        If no video is given, if fewer than two clips are long enough, or if the file of the autoencoder is missing or
        is not one.
    """
    torch.set_num_threads(setup.execution.threads)
    sequences = autoencoder.video_of(material, "ma2mi")
    chosen = video_draws.usable(sequences, recipe.delta[0] + 1)
    codec, stored = _latents(recipe, sequences, chosen, setup)
    order = video_draws.Order(len(chosen), setup.seed)
    with engine.seeded(setup.seed):
        network = Network(recipe, order)
    pairs = Pairs(recipe, sequences, chosen, stored, setup.seed)
    loader = video_draws.loader(pairs, order, recipe.batch_size, setup.execution)
    losses = engine.run(network, loader, recipe.epochs, setup, devices=setup.execution.devices)
    if engine.first_process():
        write(output, network.model, codec)
    return {
        "clips": len(chosen),
        "skipped": len(sequences) - len(chosen),
        "fps": _fps([sequences.clips[index].fps for index in chosen]),
        "autoencoder": None if codec is None else {name: codec.about[name] for name in ("kind", "scale")},
        "losses": losses,
    }


def _latents(
    recipe: FutureFrameRecipe, sequences: Sequences, chosen: list[int], setup: Setup
) -> tuple[autoencoder.Codec | None, future_frames.Latents | None]:
    if recipe.space == "pixel":
        return None, None
    if setup.pretrained is None:
        raise ValueError("the pre-training ma2mi with `space: latent` needs the file of an autoencoder; found none")
    codec = autoencoder.read(setup.pretrained)
    codec.network.to(tensors.device(setup.execution.device))
    folder = None if setup.state is None else setup.state / "latents"
    stored = future_frames.build(sequences, chosen, codec, recipe.size, folder)
    codec.network.cpu()  # Lightning chooses the device of the training
    return codec, stored


def _fps(rates: list[float]) -> float | None:
    known = [rate for rate in rates if not np.isnan(rate)]
    return float(np.median(known)) if known else None
