"""Pre-training task `autoencoder`: what MA2MI's latents come from.

Either takes Stable Diffusion's autoencoder from a user's file, as the paper does, or trains a small one with the same
interface on the given video. Which one it was stands in the summary and in every file that is built on it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from mer_features.sequences import Sequences
from mer_features.systems import autoencoder_networks as networks
from mer_features.systems import engine, images, ma2mi_images, macro, video_draws
from mer_features.systems.contract import Material, Setup
from mer_features.systems.recipes.ma2mi import AutoencoderRecipe

#: Clips whose middle frame measures the spread of latents and the error of frames, evenly taken.
_MEASURED = 256


class Frames(Dataset[Tensor]):
    """One random frame (3, S, S) uint8 of a clip for every draw."""

    def __init__(self, sequences: Sequences, chosen: list[int], side: int, seed: int) -> None:
        self.sequences, self.chosen, self.side, self.seed = sequences, chosen, side, seed

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, draw: video_draws.Draw) -> Tensor:
        clip = self.chosen[draw[1]]
        position = video_draws.generator(self.seed, draw).integers(self.sequences.clips[clip].length)
        return self.frame(clip, int(position))

    def frame(self, clip: int, position: int) -> Tensor:
        """One frame (3, S, S) uint8."""
        return torch.from_numpy(images.rgb(self.sequences.frames(clip, [position])[0], self.side))

    def middles(self, most: int) -> Tensor:
        """The middle frames of some clips, evenly taken, (n, 3, S, S) uint8."""
        places = np.linspace(0, len(self) - 1, min(len(self), most)).round().astype(int)
        taken = [self.chosen[place] for place in places]
        return torch.stack([self.frame(clip, self.sequences.clips[clip].length // 2) for clip in taken])


class Training(video_draws.Following):
    """The small autoencoder under training: mean modulus of the difference between a frame and what comes back."""

    def __init__(self, recipe: AutoencoderRecipe, order: video_draws.Order) -> None:
        super().__init__(recipe.epochs)
        self.recipe, self.order = recipe, order
        self.net = networks.Small(recipe.width)

    def training_step(self, batch: Tensor) -> Tensor:
        """Loss of frames (N, 3, S, S) uint8."""
        frames = ma2mi_images.scaled(batch)
        return F.l1_loss(self.net.decode(self.net.encode(frames)), frames)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), self.recipe.learning_rate)


def pretrain(recipe: AutoencoderRecipe, material: Material, setup: Setup, output: Path) -> dict[str, object]:
    """Train the small autoencoder, or take Stable Diffusion's, and write it.

    Parameters
    ----------
    recipe
        Which one.
    material
        Frames of unlabelled clips; Stable Diffusion's is measured on them only.
    setup
        Seed, device, folder of the checkpoint.
    output
        File of the weights.

    Returns
    -------
    dict
        ``autoencoder`` (its name for reports), ``scale`` (what latents are multiplied by), ``clips``,
        ``error`` (mean modulus on some middle frames, grey levels), ``losses`` by epoch, and ``sha256`` of a given
        file.

    Raises
    ------
    ValueError
        If the given file is not the expected one, or there are fewer than two clips.
    ImportError
        If Stable Diffusion's is asked for without the extra `diffusion`.
    """
    assert material.sequences is not None  # the task is on unlabelled video
    torch.set_num_threads(setup.execution.threads)
    frames = Frames(material.sequences, video_draws.usable(material.sequences, 1), recipe.size, setup.seed)
    said: dict[str, object] = {"clips": len(frames)}
    if recipe.kind == "small":
        network, said["losses"] = _trained(recipe, frames, setup)
        codec = networks.Codec(network, {"kind": "small", "width": recipe.width, "scale": _scale(network, frames)})
        said["autoencoder"] = "small one of our own, not the paper's"
    else:
        taken = networks.StableDiffusion()
        assert recipe.weights is not None  # the recipe sees to it
        said |= {"losses": [], "sha256": taken.take(recipe.weights, recipe.sha256)}
        codec = networks.Codec(taken, {"kind": recipe.kind, "scale": networks.STABLE_DIFFUSION_SCALE})
        said["autoencoder"] = "Stable Diffusion's f8 KL autoencoder, the user's file"
    if engine.first_process():
        macro.write(output, codec.weights(), {"task": "autoencoder", **codec.about})
    return said | {"scale": codec.scale, "error": _error(codec, frames)}


def _trained(recipe: AutoencoderRecipe, frames: Frames, setup: Setup) -> tuple[networks.Small, list[dict[str, float]]]:
    order = video_draws.Order(len(frames), setup.seed)
    with engine.seeded(setup.seed):
        training = Training(recipe, order)
    loader = video_draws.loader(frames, order, recipe.batch_size, setup.execution)
    losses = engine.run(training, loader, recipe.epochs, setup, devices=setup.execution.devices)
    return training.net.cpu(), losses


@torch.no_grad()
def _scale(network: networks.Small, frames: Frames) -> float:
    """What makes latents vary by 1, as Stable Diffusion's number does for its own."""
    middles = ma2mi_images.scaled(frames.middles(_MEASURED)).split(engine.EVALUATED_TOGETHER)
    spread = torch.cat([network.encode(part) for part in middles]).std()
    return 1 / max(float(spread), 1e-6)


def _error(codec: networks.Codec, frames: Frames) -> float:
    """Mean modulus of the difference on middle frames, grey levels of 255."""
    parts = frames.middles(_MEASURED // 8).split(engine.EVALUATED_TOGETHER)
    found = [
        (codec.decode(codec.encode(scaled)) - scaled).abs().mean(dim=(1, 2, 3))
        for scaled in map(ma2mi_images.scaled, parts)
    ]
    return float(torch.cat(found).mean() * 127.5)
