"""Pre-training of MA2MI: making the future frame of macro video from a frame and MIACNet's condition.

Shapes: N pairs of frames, S x S pixels; DiT works on C channels of s x s places, which are latents (4, S/8) or the
frames themselves (3, S).
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Ordered
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
from mer_features.systems.ma2mi import network as losses
from mer_features.systems.ma2mi import network as ma2mi_images
from mer_features.systems.ma2mi.future_frames import DiT, Shape
from mer_features.systems.ma2mi.network import Features, MIACNet
from mer_features.systems.ma2mi.recipe import Branches, FutureFrameRecipe

# ---------------------------------------------------------------- pairs


def drawn_pair(length: int, delta: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
    """Frames t and t + δ inside a clip of ``length`` frames: δ uniform among those that fit, then t uniform."""
    step = int(rng.integers(delta[0], min(delta[1], length - 1) + 1))
    first = int(rng.integers(0, length - step))
    return first, first + step


class Pairs(Dataset[engine.Batch]):
    """Pairs of frames for draws: ``first`` and ``second`` (3, S, S) uint8, ``tau`` (2, 3) and, with latents, theirs."""

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
        found = {"first": first, "second": second, "tau": torch.from_numpy(ma2mi_images.random_tau(rng))}
        if self.stored is not None:
            found["from"], found["to"] = self.stored.take(place, positions)
        return found


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
        self.dit = DiT(shape, self.net.width)

    def future(self, start: Tensor, condition: Tensor) -> Tensor:
        """Ẑ_{t+δ} (8) of Z_t (N, C, s, s) and C_Δ (N, width)."""
        made = self.dit(start, condition)
        return start + made if self.recipe.residual else made

    def forward(self, first: Tensor, second: Tensor, start: Tensor) -> Tensor:
        """Ẑ_{t+δ} of a pair of images (N, 3, S, S) in [-1, 1] and the first one's Z."""
        return self.future(start, self.net.condition(self.net(first, second)))


class Network(video_draws.VideoNetwork):
    """The model under training."""

    def __init__(self, recipe: FutureFrameRecipe, order: video_draws.Order) -> None:
        super().__init__(recipe.epochs)
        self.recipe, self.order = recipe, order
        self.model = Model(recipe)

    def training_step(self, batch: engine.Batch) -> dict[str, Tensor]:
        """Eq. 10."""
        first, second = ma2mi_images.scaled(batch["first"]), ma2mi_images.scaled(batch["second"])
        start, wanted = (batch["from"], batch["to"]) if self.recipe.space == "latent" else (first, second)
        net = self.model.net
        action = net.action(second - first)
        position, terms = self.positions(first, batch["tau"])
        made = self.model.future(start, net.condition(Features(action, position)))
        terms = {"reconstruction": losses.reconstruction(made, wanted), **terms}
        return {"loss": torch.stack(list(terms.values())).sum(), **terms}

    def positions(self, first: Tensor, tau: Tensor) -> tuple[Tensor | None, dict[str, Tensor]]:
        """F^p as the condition takes it, and the terms of L_pos (6), of images (N, 3, S, S) and τ (N, 2, 3).

        With independent branches no slope of L_rec passes. Both images of L_3 go through the encoder together: one
        batch norm for both, as L_3 compares what one function makes of them.
        """
        encoder = self.model.net.position
        if encoder is None:
            return None, {}
        if self.recipe.position == "reconstruction":
            return encoder(first), {}
        # Float32 in mixed precision, too: the mask's bound is finer than bfloat16.
        maps, seen = encoder(torch.cat([first, ma2mi_images.warp(tau, first)])).float().chunk(2)
        ones = torch.ones_like(maps[:, :1])
        terms = {
            "separation": losses.separation(maps),  # L_1
            "matching": losses.matching(maps, maps.roll(-1, 0)),  # L_2: the face of the next clip
            "equivariance": losses.equivariance(
                seen, ma2mi_images.warp(tau, maps), ma2mi_images.warp(tau, ones), self.recipe.equivariance
            ),  # L_3
        }
        return maps.detach(), terms

    def configure_optimizers(self) -> dict[str, object]:
        """AdamW, its rate falling by a factor each epoch."""
        return decaying(self.parameters(), self.recipe)


def decaying(weights: Iterable[nn.Parameter], recipe: Branches) -> dict[str, object]:
    """AdamW and its exponential schedule, as all of MA2MI's trainings have them."""
    optimiser = torch.optim.AdamW(weights, recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)
    return {"optimizer": optimiser, "lr_scheduler": torch.optim.lr_scheduler.ExponentialLR(optimiser, recipe.decay)}


# ---------------------------------------------------------------- the file


class Pretrained(NamedTuple):
    """What a pre-training left: the model, and the autoencoder whose latents it makes."""

    model: Model
    codec: autoencoder.Codec | None


def write(path: Path, model: Model, codec: autoencoder.Codec | None) -> None:
    """Write a model with its autoencoder, so that the one file is all that fine-tuning needs."""
    weights = {f"model.{name}": value for name, value in model.state_dict().items()}
    if codec is not None:
        weights |= {f"codec.{name}": value for name, value in codec.weights().items()}
    # Paths of a start long past are nobody's business.
    keys = model.recipe.model_dump(mode="json", exclude={"imagenet_weights"})
    macro.write(path, weights, {"task": "ma2mi", "recipe": keys, "codec": None if codec is None else codec.about})


def read(path: Path) -> Pretrained:
    """Take what :func:`write` wrote.

    Raises
    ------
    ValueError
        If the file is of another task.
    """
    weights, about = macro.read(path, "ma2mi")
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "codec": {}}
    for name, value in weights.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = value
    model = Model(FutureFrameRecipe.model_validate(about["recipe"]))
    model.load_state_dict(parts["model"])
    codec = about["codec"] and autoencoder.restored(parts["codec"], about["codec"])
    return Pretrained(model, codec)


# ---------------------------------------------------------------- task


def pretrain(recipe: FutureFrameRecipe, material: Material, setup: Setup, output: Path) -> dict[str, object]:
    """Pre-train MIACNet and DiT on unlabelled video and write them.

    Parameters
    ----------
    recipe
        Networks and training.
    material
        Frames of unlabelled clips. Those too short for the least δ are left out.
    setup
        Seed, device, folder of the checkpoint and the latents, file of the autoencoder.
    output
        File of the weights; it holds the autoencoder, too.

    Returns
    -------
    dict
        ``clips`` trained, ``skipped`` ones, ``fps`` (their median where known; δ counts frames), ``autoencoder``
        (its kind and scale; None in pixels) and ``losses`` by epoch.

    Raises
    ------
    ValueError
        If fewer than two clips are long enough, or the autoencoder's file is not one.
    """
    assert material.sequences is not None  # the task is on unlabelled video
    torch.set_num_threads(setup.execution.threads)
    sequences = material.sequences
    chosen = video_draws.usable(sequences, recipe.delta[0] + 1)
    codec, stored = _latents(recipe, sequences, chosen, setup)
    order = video_draws.Order(len(chosen), setup.seed)
    with engine.seeded(setup.seed):
        network = Network(recipe, order)
    pairs = Pairs(recipe, sequences, chosen, stored, setup.seed)
    loader = video_draws.loader(pairs, order, recipe.batch_size, setup.execution)
    found = engine.run(network, loader, recipe.epochs, setup, devices=setup.execution.devices)
    if engine.first_process():
        write(output, network.model, codec)
    return {
        "clips": len(chosen),
        "skipped": len(sequences) - len(chosen),
        "fps": _fps([sequences.clips[index].fps for index in chosen]),
        "autoencoder": None if codec is None else {name: codec.about[name] for name in ("kind", "scale")},
        "losses": found,
    }


def _latents(
    recipe: FutureFrameRecipe, sequences: Sequences, chosen: list[int], setup: Setup
) -> tuple[autoencoder.Codec | None, future_frames.Latents | None]:
    if recipe.space == "pixel":
        return None, None
    assert setup.pretrained is not None  # the configuration sees to it
    codec = autoencoder.read(setup.pretrained)
    codec.network.to(tensors.device(setup.execution.device))
    folder = None if setup.state is None else setup.state / "latents"
    stored = future_frames.build(sequences, chosen, codec, recipe.size, folder)
    codec.network.cpu()  # the training's own device is Lightning's business
    return codec, stored


def _fps(rates: list[float]) -> float | None:
    known = [rate for rate in rates if not np.isnan(rate)]
    return float(np.median(known)) if known else None
