"""Learned magnification of a pair of frames.

The network is that of :mod:`mer_features.stages.magnify.network`. It reproduces even the moved frame only
approximately. Therefore its output image is not used directly: the difference between its outputs for ``factor`` and
for m = 1 is added to the moved frame. For a pair without motion and for m = 1, the result is exactly the moved frame,
because without motion the output of the network is identical for all m, bit for bit.

torch is imported only when a magnifier is loaded.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

    from mer_features.stages.magnify.network import MagnificationNet

#: The weights included in the package; ``magnifier-v3.md`` in the same folder describes how they were trained.
SHIPPED = Path(__file__).with_name("weights") / "magnifier-v3.safetensors"
_CHECKSUMS = SHIPPED.with_name("SHA256SUMS")

#: Metadata entry of a weights file, a JSON object, and its key for the factor by which m - 1 has to be multiplied
#: (``train.measure_gain``).
ABOUT, GAIN = "about", "gain"
MOST_GAIN = 2.0  # a network that needs a larger gain has not learned to magnify

_LEAST_SIDE = 8  # pixels; codes of half and a quarter of the size need at least two samples for reflection


class WeightsError(ValueError):
    """A weights file is damaged or belongs to another network; the message gives found and expected values."""


class Magnifier:
    """Magnification of the motion between two frames by a trained network.

    Attributes
    ----------
    digest : str
        SHA-256 of the weights file, 64 hexadecimal digits; store it with the results.
    gain : float
        The network is called with the factor 1 + gain (m - 1), so that the resulting motion is m times as large.
    """

    def __init__(self, net: MagnificationNet, digest: str, gain: float = 1.0) -> None:
        self.digest, self.gain = digest, gain
        self._net = net.eval().requires_grad_(False)

    def __call__(self, reference: np.ndarray, moved: np.ndarray, factor: float) -> np.ndarray:
        """The moved frame with ``factor`` times the motion since the reference.

        Parameters
        ----------
        reference, moved : ndarray, shape (H, W), (H, W, 1) or (H, W, 3), uint8
            RGB or grey.
        factor
            Magnification factor m of the total motion, at least 1; 1 returns ``moved``. The included weights were
            trained for factors from 1 to 20 and magnified motions of up to 7 px.

        Returns
        -------
        ndarray, shape of ``moved``, uint8

        Raises
        ------
        ValueError
            For other dtypes or shapes, or a factor below 1.
        """
        _check(reference, moved, factor)
        if factor == 1:
            return moved.copy()
        change = self._change(np.stack([_planes(reference), _planes(moved)]), float(factor))
        change = change[: moved.shape[0], : moved.shape[1]]
        if moved.ndim == 2 or moved.shape[2] == 1:
            change = change.mean(axis=-1, keepdims=True)
        out = moved.astype(np.float32) + change.reshape(moved.shape)
        result: np.ndarray = np.clip(np.rint(out), 0, 255).astype(np.uint8)
        return result

    def magnified(self, reference: np.ndarray, moved: np.ndarray, factor: float) -> np.ndarray:
        """Like a call, without rounding, for (3, H, W), float32, grey levels 0..255, H and W divisible by 4."""
        result: np.ndarray = moved + np.moveaxis(self._change(np.stack([reference, moved]), factor), -1, 0)
        return result

    def _change(self, planes: np.ndarray, factor: float) -> np.ndarray:
        """Change of the network's output from m = 1 to ``factor``; (H, W, 3), float32, grey levels."""
        import torch  # noqa: PLC0415  # only here and in load

        with torch.inference_mode():
            reference, moved = (torch.from_numpy(planes).float() / 127.5 - 1).split(1)
            codes, origin = self._net.encoder(moved), self._net.encoder(reference)
            shape = self._net.manipulator(origin.shape, codes.shape, torch.tensor([1 + self.gain * (factor - 1)]))
            magnified, plain = (self._net.decoder(codes.texture, each)[0] for each in (shape, codes.shape))
            result: np.ndarray = 127.5 * (magnified - plain).permute(1, 2, 0).numpy()
            return result


def load(weights: Path | None = None) -> Magnifier:
    """Load a magnifier from a weights file.

    Parameters
    ----------
    weights
        A safetensors file written by ``mer-features train-magnifier``; it contains no executable code. ``None`` means
        the weights included in the package, whose checksum is verified.

    Raises
    ------
    WeightsError
        If the file is damaged, is not a safetensors file, or does not fit the network.
    RuntimeError
        If torch is not installed.
    """
    path = SHIPPED if weights is None else Path(weights)
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if weights is None and digest != _expected():
        raise WeightsError(f"{path}: found SHA-256 {digest}, expected {_expected()}; reinstall the package")
    return Magnifier(_network(path, content), digest, _gain(path))


def network(path: Path) -> MagnificationNet:
    """The network of a weights file, for further training; raises the same errors as :func:`load`."""
    return _network(path, path.read_bytes())


@lru_cache(maxsize=1)
def _expected() -> str:
    """The checksum of the included weights, from a list in the format of ``sha256sum --check``."""
    lines = (line.split() for line in _CHECKSUMS.read_text(encoding="utf-8").splitlines())
    return next(digest for digest, name in lines if name == SHIPPED.name)


def _network(path: Path, content: bytes) -> MagnificationNet:
    try:
        import safetensors.torch  # noqa: PLC0415  # the other methods work without torch

        from mer_features.stages.magnify.network import MagnificationNet  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise RuntimeError(
            f"learned magnification needs {error.name}; run `pip install 'mer-features[train]'` or use another method"
        ) from None
    try:
        state = safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise WeightsError(f"{path}: not a safetensors file ({error})") from None
    kernel = state["manipulator.g.weight"].shape[-1] if "manipulator.g.weight" in state else 3
    net = MagnificationNet(int(kernel))
    _fits(path, state, net.state_dict())
    net.load_state_dict(state)
    return net


def _gain(path: Path) -> float:
    """The gain in a file that :func:`_network` could read; 1 if the file does not give one."""
    from safetensors import safe_open  # noqa: PLC0415  # as in _network

    with safe_open(path, "pt") as file:
        about = (file.metadata() or {}).get(ABOUT, "{}")
    try:
        gain = float(json.loads(about).get(GAIN, 1))
    except (ValueError, TypeError, AttributeError):
        gain = float("nan")
    if not 1 <= gain <= MOST_GAIN:
        raise WeightsError(f"{path}: found {about[:80]!r}, expected a gain from 1 to {MOST_GAIN:g}")
    return gain


def _fits(path: Path, weights: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    for name in sorted({*weights, *expected}):
        shapes = [tuple(state[name].shape) if name in state else "nothing" for state in (weights, expected)]
        if shapes[0] != shapes[1]:
            raise WeightsError(f"{path}: found {shapes[0]} for {name}, expected {shapes[1]}")


def _check(reference: np.ndarray, moved: np.ndarray, factor: float) -> None:
    if reference.shape != moved.shape:
        raise ValueError(f"frames must have equal shapes, found {reference.shape} and {moved.shape}")
    if moved.dtype != np.uint8 or reference.dtype != np.uint8:
        raise ValueError(f"frames must be uint8, found {reference.dtype} and {moved.dtype}")
    if moved.ndim not in (2, 3) or moved.shape[2:] not in ((), (1,), (3,)) or moved.size == 0:
        raise ValueError(f"frames must be (H, W), (H, W, 1) or (H, W, 3), found {moved.shape}")
    if not factor >= 1:
        raise ValueError(f"the learned method accepts factors of at least 1, found {factor}")


def _planes(image: np.ndarray) -> np.ndarray:
    """The image as (3, H, W), padded by reflection to sides divisible by 4."""
    height, width = image.shape[:2]
    padding = [(0, max(_LEAST_SIDE, -(-side // 4) * 4) - side) for side in (height, width)]
    planes = np.broadcast_to(np.atleast_3d(image), (height, width, 3))
    return np.pad(np.moveaxis(planes, -1, 0), [(0, 0), *padding], mode="reflect")
