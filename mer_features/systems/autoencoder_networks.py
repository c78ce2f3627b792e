"""Autoencoders of frames, 8 times smaller a side: a small one of our own, and Stable Diffusion's from a user's file.

Shapes: N frames of S x S pixels in [-1, 1]; latents (N, 4, S/8, S/8).
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mer_features.systems import engine, macro

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
            If the file has another digest or is no such autoencoder's.
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
