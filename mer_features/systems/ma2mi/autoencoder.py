"""Autoencoders of frames, whose latents have 1/8 of the side; and the pre-training task `autoencoder`.

There are two autoencoders: a small one (ours), and Stable Diffusion's, read from a file of the user.

Shapes: N frames of S x S pixels in [-1, 1]; latents (N, 4, S/8, S/8).
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from mer_features.features.sequences import Sequences
from mer_features.systems.common import engine, inputs, macro, video_draws
from mer_features.systems.common.contract import Material, Setup
from mer_features.systems.ma2mi.network import scaled
from mer_features.systems.ma2mi.recipe import AutoencoderRecipe

CHANNELS = 4
#: Factor on the latents in Stable Diffusion and in DiT; it gives them a standard deviation of about 1.
STABLE_DIFFUSION_SCALE = 0.18215

#: Architecture of Stable Diffusion's f8 autoencoder, as arguments of AutoencoderKL of diffusers.
_LAYOUT: Mapping[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": CHANNELS,
    "sample_size": 256,
}
#: Names of attention layers in published files -> names in current versions of diffusers.
_RENAMED = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


def _layer(channels: int, width: int, stride: int = 1) -> list[nn.Module]:
    return [nn.GroupNorm(8, channels), nn.SiLU(), nn.Conv2d(channels, width, 3, stride, padding=1)]


class Small(nn.Module):
    """Small autoencoder with three halvings and three doublings; group norm keeps the frames independent.

    Parameters
    ----------
    width
        Channels at full resolution; twice as many at half resolution, four times as many below.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 4 * width]
        down: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1)]
        up: list[nn.Module] = [nn.Conv2d(CHANNELS, widths[-1], 3, padding=1)]
        for fine, coarse in itertools.pairwise(widths):
            down += _layer(fine, coarse, stride=2)
        for coarse, fine in itertools.pairwise(widths[::-1]):
            up += [*_layer(coarse, fine), nn.Upsample(scale_factor=2)]
        self.encoder = nn.Sequential(*down, *_layer(widths[-1], CHANNELS))
        self.decoder = nn.Sequential(*up, *_layer(width, 3))

    def encode(self, frames: Tensor) -> Tensor:
        """Unscaled latents of frames."""
        return self.encoder(frames)

    def decode(self, latents: Tensor) -> Tensor:
        """Frames of unscaled latents."""
        return self.decoder(latents)


class StableDiffusion(nn.Module):
    """Stable Diffusion's KL autoencoder; needs the extra `diffusion`.

    Raises
    ------
    ImportError
        If the extra is not installed.
    """

    def __init__(self) -> None:
        super().__init__()
        try:
            from diffusers import AutoencoderKL  # noqa: PLC0415  # optional
        except ImportError as error:
            raise ImportError(
                "Stable Diffusion's autoencoder needs diffusers: pip install 'mer-features[diffusion]'"
            ) from error
        self.net = AutoencoderKL(**_LAYOUT)

    def encode(self, frames: Tensor) -> Tensor:
        """Mean of the posterior; a sample would add noise to the targets."""
        return self.net.encode(frames).latent_dist.mean

    def decode(self, latents: Tensor) -> Tensor:
        """Frames of unscaled latents."""
        return self.net.decode(latents).sample

    def take(self, path: Path, sha256: str | None) -> str:
        """Load the weights from a file.

        Parameters
        ----------
        path
            ``*.safetensors``, or a torch ``state_dict`` under any other name.
        sha256
            SHA-256 that the file must have; None: any.

        Returns
        -------
        str
            SHA-256 of the file.

        Raises
        ------
        ValueError
            If the file has another SHA-256 or does not hold the weights of this autoencoder.
        """
        digest = _digest(path)
        if sha256 is not None and digest != sha256:
            raise ValueError(f"{path}: found SHA-256 {digest}, expected {sha256}")
        expected = self.net.state_dict()
        weights = {_renamed(name): value for name, value in _tensors(path).items()}
        for name, value in expected.items():
            if name not in weights or weights[name].numel() != value.numel():
                shape = tuple(weights[name].shape) if name in weights else "nothing"
                raise ValueError(f"{path}: found {shape} for {name}, expected {tuple(value.shape)}")
        # In older files the attention layers are 1 x 1 convolutions.
        self.net.load_state_dict({name: weights[name].view(value.shape) for name, value in expected.items()})
        return digest


def _digest(path: Path) -> str:
    if not path.is_file():
        raise ValueError(f"{path}: not found; get the file yourself, nothing is downloaded")
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _tensors(path: Path) -> Mapping[str, Tensor]:
    if path.suffix != ".safetensors":
        return engine.read_weights(path)
    from safetensors.torch import load_file  # noqa: PLC0415  # only needed for this format

    return load_file(path)


def _renamed(name: str) -> str:
    for old, new in _RENAMED.items():
        name = name.replace(old, new)
    return name


class Codec:
    """A trained autoencoder that is never changed; not an ``nn.Module``, so that no network trains or stores it.

    Parameters
    ----------
    network
        The autoencoder, with ``encode`` and ``decode``.
    about
        ``kind``, ``scale`` (factor on the latents) and, for the small autoencoder, ``width``.
    """

    def __init__(self, network: Small | StableDiffusion, about: Mapping[str, Any]) -> None:
        self.network = network.eval().requires_grad_(False)
        self.about = dict(about)
        self.scale = float(about["scale"])

    @torch.no_grad()
    def encode(self, frames: Tensor) -> Tensor:
        """Scaled latents (N, 4, S/8, S/8) of frames (N, 3, S, S) in [-1, 1], on their device."""
        return self.scale * self.network.to(frames.device).encode(frames)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Frames in [-1, 1] of scaled latents."""
        return self.network.to(latents.device).decode(latents / self.scale).clamp(-1, 1)

    def weights(self) -> dict[str, Tensor]:
        """The weights, which :func:`restored` needs together with ``about``."""
        return self.network.state_dict()


def restored(weights: Mapping[str, Tensor], about: Mapping[str, Any]) -> Codec:
    """Build the autoencoder from :meth:`Codec.weights` and its description."""
    network = Small(about["width"]) if about["kind"] == "small" else StableDiffusion()
    network.load_state_dict(weights)
    return Codec(network, about)


def read(path: Path) -> Codec:
    """Read an autoencoder written by the task `autoencoder`.

    Raises
    ------
    ValueError
        If the file belongs to another task.
    """
    return restored(*macro.read(path, "autoencoder"))


# ---------------------------------------------------------------- pre-training task `autoencoder`

#: Number of evenly spaced clips whose middle frames measure the standard deviation of the latents.
_MEASURED = 256


def video_of(material: Material, task: str) -> Sequences:
    """The video of a task that learns from unlabelled frames; raises ``ValueError`` if there is none."""
    if material.sequences is None:
        raise ValueError(f"the pre-training {task} learns from unlabelled video; found labelled clips or nothing")
    return material.sequences


class Frames(Dataset[Tensor]):
    """One random frame (3, S, S) uint8 of a clip per draw."""

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
        return torch.from_numpy(inputs.rgb(self.sequences.frames(clip, [position])[0], self.side))

    def middles(self, most: int) -> Tensor:
        """The middle frames of at most ``most`` evenly spaced clips, (n, 3, S, S) uint8."""
        places = np.linspace(0, len(self) - 1, min(len(self), most)).round().astype(int)
        clips = [self.chosen[place] for place in places]
        return torch.stack([self.frame(clip, self.sequences.clips[clip].length // 2) for clip in clips])


class Training(video_draws.VideoNetwork):
    """Training of the small autoencoder with the mean absolute error of the reconstructed frame."""

    def __init__(self, recipe: AutoencoderRecipe, order: video_draws.Order) -> None:
        super().__init__(recipe.epochs)
        self.recipe, self.order = recipe, order
        self.net = Small(recipe.width)

    def training_step(self, batch: Tensor) -> Tensor:
        """Loss of frames (N, 3, S, S) uint8."""
        frames = scaled(batch)
        return F.l1_loss(self.net.decode(self.net.encode(frames)), frames)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), self.recipe.learning_rate)


def pretrain(recipe: AutoencoderRecipe, material: Material, setup: Setup, output: Path) -> dict[str, object]:
    """Train the small autoencoder, or read Stable Diffusion's, and write it.

    Parameters
    ----------
    recipe
        Kind of the autoencoder, and settings of its training.
    material
        Frames of unlabelled clips. Stable Diffusion's autoencoder is only tested on them.
    setup
        Seed, device and folder of the checkpoint.
    output
        File of the weights.

    Returns
    -------
    dict
        ``autoencoder`` (its name for reports), ``scale`` (factor on the latents), ``clips``, ``error`` (mean absolute
        error on some middle frames, grey levels), ``losses`` by epoch and, for a file, its ``sha256``.

    Raises
    ------
    ValueError
        If the file is not the expected one, if no video is given, or if there are fewer than two clips.
    ImportError
        If Stable Diffusion's autoencoder is used without the extra `diffusion`.
    """
    torch.set_num_threads(setup.execution.threads)
    sequences = video_of(material, "autoencoder")
    frames = Frames(sequences, video_draws.usable(sequences, 1), recipe.size, setup.seed)
    summary: dict[str, object] = {"clips": len(frames)}
    if recipe.weights is None:
        network, summary["losses"] = _train_small(recipe, frames, setup)
        codec = Codec(network, {"kind": "small", "width": recipe.width, "scale": _scale(network, frames)})
        summary["autoencoder"] = "small autoencoder (ours), not the paper's"
    else:
        pretrained = StableDiffusion()
        summary |= {"losses": [], "sha256": pretrained.take(recipe.weights, recipe.sha256)}
        codec = Codec(pretrained, {"kind": recipe.kind, "scale": STABLE_DIFFUSION_SCALE})
        summary["autoencoder"] = "Stable Diffusion's f8 KL autoencoder, the user's file"
    if engine.first_process():
        macro.write(output, codec.weights(), {"task": "autoencoder", **codec.about})
    return summary | {"scale": codec.scale, "error": _error(codec, frames)}


def _train_small(recipe: AutoencoderRecipe, frames: Frames, setup: Setup) -> tuple[Small, list[dict[str, float]]]:
    order = video_draws.Order(len(frames), setup.seed)
    with engine.seeded(setup.seed):
        training = Training(recipe, order)
    loader = video_draws.loader(frames, order, recipe.batch_size, setup.execution)
    losses = engine.run(training, loader, recipe.epochs, setup, devices=setup.execution.devices)
    return training.net.cpu(), losses


@torch.no_grad()
def _scale(network: Small, frames: Frames) -> float:
    """Factor that gives the latents a standard deviation of 1, like Stable Diffusion's factor for its latents."""
    middles = scaled(frames.middles(_MEASURED)).split(engine.EVALUATED_TOGETHER)
    spread = torch.cat([network.encode(part) for part in middles]).std()
    return 1 / max(float(spread), 1e-6)


def _error(codec: Codec, frames: Frames) -> float:
    """Mean absolute error on middle frames, in grey levels (0 to 255)."""
    parts = frames.middles(_MEASURED // 8).split(engine.EVALUATED_TOGETHER)
    errors = [(codec.decode(codec.encode(images)) - images).abs().mean(dim=(1, 2, 3)) for images in map(scaled, parts)]
    return float(torch.cat(errors).mean() * 127.5)
