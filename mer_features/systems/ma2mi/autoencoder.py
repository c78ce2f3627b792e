"""Autoencoders of frames, 8 times smaller a side: a small one of our own, and Stable Diffusion's from a user's file.

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
from mer_features.systems.ma2mi import network as ma2mi_images
from mer_features.systems.ma2mi.recipe import AutoencoderRecipe

CHANNELS = 4
#: What Stable Diffusion, and DiT after it, multiplies latents by, so that they vary by about 1.
STABLE_DIFFUSION_SCALE = 0.18215

#: Layout of Stable Diffusion's f8 autoencoder, in the words of diffusers' AutoencoderKL.
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
#: Names of attention layers in published files -> in today's diffusers.
_RENAMED = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


def _layer(channels: int, width: int, stride: int = 1) -> list[nn.Module]:
    return [nn.GroupNorm(8, channels), nn.SiLU(), nn.Conv2d(channels, width, 3, stride, padding=1)]


class Small(nn.Module):
    """Three halvings and three doublings; groups are normalised, so that no frame depends on another.

    Parameters
    ----------
    width
        Channels at full resolution; twice as many at half, four times as many below.
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
        """Latents, not scaled."""
        return self.encoder(frames)

    def decode(self, latents: Tensor) -> Tensor:
        """Frames of latents that are not scaled."""
        return self.decoder(latents)


class StableDiffusion(nn.Module):
    """Stable Diffusion's KL autoencoder, from the extra `diffusion`.

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
        """The posterior's mean: a sample would put noise into the targets."""
        return self.net.encode(frames).latent_dist.mean

    def decode(self, latents: Tensor) -> Tensor:
        """Frames of latents that are not scaled."""
        return self.net.decode(latents).sample

    def take(self, path: Path, sha256: str | None) -> str:
        """Take the weights of a file.

        Parameters
        ----------
        path
            ``*.safetensors``, or a torch ``state_dict`` under any other name.
        sha256
            Digest that it must have; None: any.

        Returns
        -------
        str
            Its SHA-256.

        Raises
        ------
        ValueError
            If the file has another digest or is not an autoencoder of this kind.
        """
        found = _digest(path)
        if sha256 is not None and found != sha256:
            raise ValueError(f"{path}: found SHA-256 {found}, expected {sha256}")
        wanted = self.net.state_dict()
        weights = {_renamed(name): value for name, value in _tensors(path).items()}
        for name, value in wanted.items():
            if name not in weights or weights[name].numel() != value.numel():
                shape = tuple(weights[name].shape) if name in weights else "nothing"
                raise ValueError(f"{path}: found {shape} for {name}, expected {tuple(value.shape)}")
        # Attention layers were 1 x 1 convolutions once.
        self.net.load_state_dict({name: weights[name].view(value.shape) for name, value in wanted.items()})
        return found


def _digest(path: Path) -> str:
    if not path.is_file():
        raise ValueError(f"{path}: not found; it is the user's to get, nothing is downloaded")
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _tensors(path: Path) -> Mapping[str, Tensor]:
    if path.suffix != ".safetensors":
        return engine.read_weights(path)
    from safetensors.torch import load_file  # noqa: PLC0415  # only for this format

    return load_file(path)


def _renamed(name: str) -> str:
    for old, new in _RENAMED.items():
        name = name.replace(old, new)
    return name


class Codec:
    """A trained autoencoder that nobody changes: no ``nn.Module``, so that no network trains or stores it.

    Parameters
    ----------
    network
        Which has ``encode`` and ``decode``.
    about
        ``kind``, ``scale`` (what latents are multiplied by) and for the small one ``width``.
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
        """All that :func:`restored` needs besides ``about``."""
        return self.network.state_dict()


def restored(weights: Mapping[str, Tensor], about: Mapping[str, Any]) -> Codec:
    """The autoencoder of :meth:`Codec.weights` and its description."""
    network = Small(about["width"]) if about["kind"] == "small" else StableDiffusion()
    network.load_state_dict(weights)
    return Codec(network, about)


def read(path: Path) -> Codec:
    """The autoencoder that the task `autoencoder` wrote.

    Raises
    ------
    ValueError
        If the file is of another task.
    """
    return restored(*macro.read(path, "autoencoder"))


# Pre-training task `autoencoder`: what MA2MI's latents come from.

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
        return torch.from_numpy(inputs.rgb(self.sequences.frames(clip, [position])[0], self.side))

    def middles(self, most: int) -> Tensor:
        """The middle frames of some clips, evenly taken, (n, 3, S, S) uint8."""
        places = np.linspace(0, len(self) - 1, min(len(self), most)).round().astype(int)
        taken = [self.chosen[place] for place in places]
        return torch.stack([self.frame(clip, self.sequences.clips[clip].length // 2) for clip in taken])


class Training(video_draws.VideoNetwork):
    """The small autoencoder under training: mean modulus of the difference between a frame and what comes back."""

    def __init__(self, recipe: AutoencoderRecipe, order: video_draws.Order) -> None:
        super().__init__(recipe.epochs)
        self.recipe, self.order = recipe, order
        self.net = Small(recipe.width)

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
        codec = Codec(network, {"kind": "small", "width": recipe.width, "scale": _scale(network, frames)})
        said["autoencoder"] = "small one of our own, not the paper's"
    else:
        taken = StableDiffusion()
        assert recipe.weights is not None  # the recipe sees to it
        said |= {"losses": [], "sha256": taken.take(recipe.weights, recipe.sha256)}
        codec = Codec(taken, {"kind": recipe.kind, "scale": STABLE_DIFFUSION_SCALE})
        said["autoencoder"] = "Stable Diffusion's f8 KL autoencoder, the user's file"
    if engine.first_process():
        macro.write(output, codec.weights(), {"task": "autoencoder", **codec.about})
    return said | {"scale": codec.scale, "error": _error(codec, frames)}


def _trained(recipe: AutoencoderRecipe, frames: Frames, setup: Setup) -> tuple[Small, list[dict[str, float]]]:
    order = video_draws.Order(len(frames), setup.seed)
    with engine.seeded(setup.seed):
        training = Training(recipe, order)
    loader = video_draws.loader(frames, order, recipe.batch_size, setup.execution)
    losses = engine.run(training, loader, recipe.epochs, setup, devices=setup.execution.devices)
    return training.net.cpu(), losses


@torch.no_grad()
def _scale(network: Small, frames: Frames) -> float:
    """What makes latents vary by 1, as Stable Diffusion's number does for its own."""
    middles = ma2mi_images.scaled(frames.middles(_MEASURED)).split(engine.EVALUATED_TOGETHER)
    spread = torch.cat([network.encode(part) for part in middles]).std()
    return 1 / max(float(spread), 1e-6)


def _error(codec: Codec, frames: Frames) -> float:
    """Mean modulus of the difference on middle frames, grey levels of 255."""
    parts = frames.middles(_MEASURED // 8).split(engine.EVALUATED_TOGETHER)
    found = [
        (codec.decode(codec.encode(scaled)) - scaled).abs().mean(dim=(1, 2, 3))
        for scaled in map(ma2mi_images.scaled, parts)
    ]
    return float(torch.cat(found).mean() * 127.5)
