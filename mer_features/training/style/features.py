"""Style-discriminative features: renderings of faces, a ResNet-18 that classifies them, clusters of its features."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits
from torch.nn import functional as F

from mer_features.core import tensors
from mer_features.stages.style.networks import ResNet18, pictures
from mer_features.training.options import TrainStyle

#: Names of :func:`renderings`, in its order.
NAMES = ("original", "grey", "light", "sketch")
_GAMMA = 0.6
_SKETCH_SHARE = 1 / 24  # blur of the colour dodge, as a share of the side


def renderings(image: np.ndarray) -> np.ndarray:
    """The four renderings that SAN made with photo software.

    Parameters
    ----------
    image : ndarray, shape (H, W, 3), uint8
        RGB.

    Returns
    -------
    ndarray, shape (4, H, W, 3), uint8
        The image; grey; light (gamma 0.6, highlights rolled off towards white); sketch (grey over its inverted blur, a
        colour dodge).
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    lifted = (image / 255.0) ** _GAMMA
    light = 1 - (1 - lifted) ** 1.5
    blurred = cv2.GaussianBlur(255 - grey, (0, 0), _SKETCH_SHARE * min(grey.shape))
    sketch = np.minimum(255, 256 * grey / np.maximum(256 - blurred, 1))
    flat = [np.repeat(plane[..., None], 3, axis=2) for plane in (grey, sketch)]
    return np.stack(
        [np.clip(np.rint(item), 0, 255).astype(np.uint8) for item in (image, flat[0], 255 * light, flat[1])]
    )


_MOMENTUM, _DECAY = 0.9, 5e-4


class RenderingClassifier:
    """Training of the feature network, step by step.

    Parameters
    ----------
    crops : ndarray, shape (N, H, W, 3), uint8
    recipe
        Settings; only the keys that begin with ``feature_`` are used.
    seed
        Seed of initial weights and order.
    device
        A torch device.
    """

    def __init__(self, crops: np.ndarray, recipe: TrainStyle, *, seed: int, device: str = "cpu") -> None:
        self._recipe, self._seed, self._device = recipe, seed, device
        side = recipe.feature_size
        small = [cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA) for crop in crops]
        self._small = torch.from_numpy(np.stack(small))
        examples = torch.from_numpy(np.concatenate([renderings(crop) for crop in small]))
        self._examples, self._labels = examples, torch.arange(len(NAMES)).repeat(len(small))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = ResNet18(len(NAMES), recipe.feature_width)
        if recipe.feature_weights is not None:
            _start_from(self.network, recipe.feature_weights)
        self.network.to(device)
        self._optimiser = torch.optim.SGD(
            self.network.parameters(), recipe.feature_learning_rate, _MOMENTUM, weight_decay=_DECAY
        )
        self.epoch_steps = -(-len(examples) // recipe.feature_batch_size)
        self.steps = recipe.feature_epochs * self.epoch_steps

    def step(self, number: int) -> dict[str, float]:
        """Do one step; returns its loss and accuracy."""
        epoch, place = divmod(number, self.epoch_steps)
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._examples))
        # Batch norm cannot use a batch of one, so the last batch is filled with the first examples of the epoch.
        chosen = torch.from_numpy(np.resize(order, (self.epoch_steps, self._recipe.feature_batch_size))[place])
        labels = self._labels[chosen].to(self._device)
        self.network.train()
        scores = self.network(pictures(self._examples[chosen].to(self._device)))
        loss = F.cross_entropy(scores, labels)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self._optimiser.step()
        accuracy = (scores.argmax(1) == labels).float().mean()
        return {"rendering_loss": loss.item(), "rendering_accuracy": accuracy.item()}

    def state(self) -> dict[str, Any]:
        """State for the next step."""
        return {"network": self.network.state_dict(), "optimiser": self._optimiser.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a :meth:`state`."""
        self.network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(state["optimiser"])

    def samples(self) -> np.ndarray:
        """Images (R, 4, H, W, 3), uint8: the renderings of up to three crops."""
        return self._examples[: 3 * len(NAMES)].view(-1, len(NAMES), *self._examples.shape[1:]).numpy()

    @torch.inference_mode()
    def features(self) -> np.ndarray:
        """Pooled features (N, 8 width), float64, of the original crops."""
        self.network.eval()
        parts = [self.network.features(pictures(part.to(self._device))) for part in self._small.split(64)]
        return torch.cat(parts).cpu().numpy().astype(np.float64)


def _start_from(network: ResNet18, path: Path) -> None:
    """Load weights of torchvision's resnet18 without its last layer; nothing in the file is executed."""
    stored = tensors.read(path)
    if not isinstance(stored, Mapping):
        raise ValueError(f"{path}: found {type(stored).__name__}, expected the named tensors of a resnet18")
    wanted = {name: value for name, value in stored.items() if not name.startswith("fc.")}
    try:
        mismatch = network.load_state_dict(wanted, strict=False)
    except RuntimeError as error:
        raise ValueError(f"{path}: not weights of a resnet18 of this width ({error})") from error
    if mismatch.unexpected_keys or {name for name in mismatch.missing_keys if not name.startswith("fc.")}:
        raise ValueError(
            f"{path}: not weights of a resnet18: layers {mismatch.unexpected_keys} {mismatch.missing_keys}"
        )


def clusters(features: np.ndarray, k: int, seed: int) -> list[np.ndarray]:
    """Hidden styles by k-means, the smallest first; each is an array of row numbers of ``features``.

    Raises
    ------
    ValueError
        If there are fewer than two clusters.
    """
    distinct = len(np.unique(features.round(9), axis=0))
    if min(k, distinct) < 2:
        raise ValueError(f"generators need two styles at least, found {distinct} different crops and k = {k}")
    with threadpool_limits(1):  # the last bits of sums depend on the number of threads
        labels = KMeans(min(k, distinct), n_init=10, random_state=seed).fit(features).labels_
    members_by_style = [np.flatnonzero(labels == one) for one in range(labels.max() + 1)]
    return sorted(members_by_style, key=lambda members: (len(members), members[0]))
