"""Training engine of the torch systems: batches, training, resuming after a kill, predictions.

A system is a :class:`Network` wrapped by a :class:`TorchSystem`. A :class:`Network` is a LightningModule that also
defines its batches and its outputs. Lightning runs the training loop. This module adds two things that many small
trainings need: the state of the random generators in the checkpoints, so that a resumed training continues bit for
bit, and the losses by epoch without a logger.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, nn

from mer_features.core import tensors as tensor_files
from mer_features.systems.common.contract import Arrays, Companions, Examples, Execution, Setup
from mer_features.systems.common.recipe import Initialisation

log = logging.getLogger(__name__)

Batch = dict[str, Tensor]

#: Number of clips in one batch during prediction.
EVALUATED_TOGETHER = 32


class Network(lightning.LightningModule):
    """Base of all trained networks: the methods that Lightning's loop and a :class:`TorchSystem` call.

    Subclasses define ``training_step``, ``configure_optimizers`` and the methods below. ``training_step`` returns the
    total loss, or a dict with ``loss`` and further terms, which are recorded; a batch may lack a term. N clips, K
    classes.
    """

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self.epochs = epochs
        self._generators: dict[str, Any] | None = None

    def batches(self, examples: Examples) -> Iterable[Batch]:  # noqa: ARG002
        """Batches of one epoch; each pass draws them again from torch's generator.

        Raises
        ------
        TypeError
            If the subclass does not define it. A network that learns from video, or that is never trained, has no
            batches of labelled clips.
        """
        raise TypeError(f"{type(self).__name__} takes no labelled clips; a system must define `batches`")

    def callbacks(self) -> list[Callback]:
        """Lightning callbacks of the training, such as the choice of an epoch; called after :meth:`batches`."""
        return []

    def scores(self, batch: Batch) -> Tensor:  # noqa: ARG002
        """Class probabilities (N, K) of the clips; called in evaluation mode without gradients.

        Raises
        ------
        TypeError
            If the subclass does not define it. A network that is only pre-trained has no classes.
        """
        raise TypeError(f"{type(self).__name__} has no classes; a system must define `scores`")

    def layers(self, batch: Batch) -> Batch:  # noqa: ARG002
        """Named features (N, width) for plots; none by default."""
        return {}

    def pictures(self, batch: Batch) -> dict[str, np.ndarray]:  # noqa: ARG002
        """Named images (N, H, W, 3) uint8; none by default. Called in evaluation mode; gradients are allowed."""
        return {}

    # Lightning stores weights, optimisers and its counters. With the states of the generators, a resumed training draws
    # the same random numbers as an uninterrupted one.
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the states of the random generators."""
        devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        checkpoint["generators"] = {"cpu": torch.get_rng_state(), "cuda": devices}

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Keep the states of the generators until the first epoch starts."""
        self._generators = checkpoint["generators"]

    def on_train_epoch_start(self) -> None:
        """Restore the generators from the checkpoint, if there was one."""
        if self._generators is not None:
            torch.set_rng_state(self._generators["cpu"].cpu())
            if self._generators["cuda"] and torch.cuda.is_available():
                torch.cuda.set_rng_state_all([state.cpu() for state in self._generators["cuda"]])
            self._generators = None


def initialise(network: nn.Module, how: Initialisation) -> None:
    """Draw the weights of all convolutions and linear layers again, from torch's generator.

    `keras`: as Keras 2.2.4 does by default, Glorot uniform (Glorot and Bengio 2010, Eq. 16) with biases of 0; the parts
    of a :class:`Merged` convolution are drawn one by one. `torch`: the weights stay as PyTorch has drawn them.
    """
    if how == "torch":
        return
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            parts = layer.parts if isinstance(layer, Merged) else (len(layer.weight),)
            for weight in layer.weight.split(parts):
                nn.init.xavier_uniform_(weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class Merged(nn.Conv2d):
    """Several convolutions of the same input as one, which takes less time; ``parts`` are their numbers of filters."""

    def __init__(self, channels: int, parts: Sequence[int], kernel: int, padding: int) -> None:
        super().__init__(channels, sum(parts), kernel, padding=padding)
        self.parts = tuple(parts)


class Batches:
    """Shuffled batches of tensors held in memory; every pass draws a new order.

    Yields dicts with the named features, ``label`` (N,) int64 and ``index`` (N,), the positions in ``examples``.

    Parameters
    ----------
    examples
        The clips.
    size
        Clips per batch; the last batch may hold fewer.
    fewest
        A last batch of fewer clips is left out, unless it is the only one. Batch normalisation needs 2.
    """

    def __init__(self, examples: Examples, size: int, *, fewest: int = 1) -> None:
        self.features = tensors(examples.features)
        self.labels = torch.from_numpy(examples.labels)
        self.size, self.fewest = size, fewest

    def __len__(self) -> int:
        whole, rest = divmod(len(self.labels), self.size)
        return max(whole + (rest >= self.fewest and rest > 0), 1)

    def __iter__(self) -> Iterator[Batch]:
        for chosen in torch.randperm(len(self.labels)).split(self.size)[: len(self)]:
            yield self.take(chosen)

    def take(self, chosen: Tensor) -> Batch:
        """The clips at these positions as one batch."""
        features = {name: values[chosen] for name, values in self.features.items()}
        return {**features, "label": self.labels[chosen], "index": chosen}


class TorchSystem:
    """A :class:`Network` with the interface of all systems, :class:`mer_features.systems.common.contract.System`.

    Parameters
    ----------
    make
        Builds the untrained network; torch's generator is seeded when it is called.
    setup
        Seed, device, folder of the checkpoints. ``setup.execution.threads`` applies to all torch work of this process.
    """

    def __init__(self, make: Callable[[], Network], setup: Setup) -> None:
        torch.set_num_threads(setup.execution.threads)
        # Gradients through a softmax over a thousand features are so small that their squares are denormal numbers,
        # which a CPU takes many times longer to multiply.
        torch.set_flush_denormal(True)
        self._setup = setup
        self._losses: list[dict[str, float]] = []
        with seeded(setup.seed):
            self.network = make()

    def fit(self, examples: Examples) -> None:
        """Train for the network's number of epochs, or resume a killed training with the same setup."""
        with seeded(self._setup.seed):
            batches = self.network.batches(examples)
            callbacks = self.network.callbacks()
            self._losses = run(self.network, batches, self.network.epochs, self._setup, callbacks=callbacks)

    def losses(self) -> list[dict[str, float]]:
        """Mean of each loss in each epoch."""
        return self._losses

    def predict(self, features: Arrays) -> np.ndarray:
        """Class probabilities, (N, K) float32; each row sums to 1."""
        return self._each(features, lambda batch: {"": self.network.scores(batch)})[""]

    def embed(self, features: Arrays) -> dict[str, np.ndarray]:
        """Named features, (N, width) float32."""
        return self._each(features, self.network.layers)

    def embed_frames(self, features: Arrays) -> dict[str, np.ndarray]:  # noqa: ARG002
        """No features: most systems read whole clips."""
        return {}

    def companions(self) -> Companions | None:
        """No further clips."""
        return None

    def explain(self, features: Arrays) -> dict[str, np.ndarray]:
        """Named images, (N, H, W, 3) uint8."""
        network = self.network.to(tensor_files.device(self._setup.execution.device)).eval()
        parts = [network.pictures(batch) for batch in _chunks(features, network.device)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def save(self, path: Path) -> None:
        """Write the weights."""
        torch.save(self.network.state_dict(), path)

    def load(self, path: Path) -> None:
        """Load the weights from a file written by :meth:`save`; nothing in the file is executed."""
        self.network.load_state_dict(read_weights(path))

    def _each(self, features: Arrays, answer: Callable[[Batch], Batch]) -> dict[str, np.ndarray]:
        return answers(self.network.to(tensor_files.device(self._setup.execution.device)), features, answer)


def answers(network: Network, features: Arrays, answer: Callable[[Batch], Batch]) -> dict[str, np.ndarray]:
    """Outputs of a network for all clips, computed in small batches so that memory does not grow with their number.

    Parameters
    ----------
    network
        Runs in evaluation mode without gradients; its mode is restored afterwards.
    features
        Named inputs, one row per clip.
    answer
        Function from one batch to named tensors with one row per clip.

    Returns
    -------
    dict
        Named arrays, float32.
    """
    training = network.training
    network.eval()
    with torch.inference_mode():
        parts = [answer(batch) for batch in _chunks(features, network.device)]
    network.train(training)
    return {name: torch.cat([part[name] for part in parts]).float().cpu().numpy() for name in parts[0]}


def run(
    network: lightning.LightningModule,
    batches: Iterable[Any],
    epochs: int,
    setup: Setup,
    *,
    devices: int = 1,
    callbacks: Iterable[Callback] = (),
) -> list[dict[str, float]]:
    """Train a network, or resume a killed training from its checkpoint.

    Parameters
    ----------
    network
        The network, trained in place.
    batches
        An iterable of batches or a ``DataLoader``; one pass over it is an epoch.
    epochs
        Number of passes.
    setup
        Device, precision and folder of the checkpoint.
    devices
        Number of GPUs or processes. More than 1 requires a ``DataLoader``; Lightning distributes its samples.
    callbacks
        Further Lightning callbacks.

    Returns
    -------
    list of dict
        For each epoch, the mean of the loss and of every other value that ``training_step`` returned, over the batches
        for which it returned the value. Empty without epochs.

    Raises
    ------
    ValueError
        If a loss is not finite; the training cannot continue.
    """
    history = _Losses()
    checkpoints = [] if setup.state is None else [_Checkpoints(setup.state, setup.execution.checkpoint_s)]
    trainer = _trainer(epochs, setup.execution, devices, [history, *callbacks, *checkpoints])
    last = None if setup.state is None else _last_checkpoint(setup.state)
    with warnings.catch_warnings():
        # Lightning's advice on loggers, workers and devices does not apply to a loop over folds in memory.
        warnings.filterwarnings("ignore", module="lightning")
        trainer.fit(network, batches, ckpt_path=last, weights_only=True)
    return history.epochs


def _trainer(epochs: int, execution: Execution, devices: int, callbacks: list[Callback]) -> lightning.Trainer:
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return lightning.Trainer(
        accelerator=execution.device,
        devices=devices,
        precision=execution.precision,
        max_epochs=epochs,
        # "warn", because a GPU has no deterministic max-pool gradient; on the CPU every operation is deterministic.
        deterministic="warn",
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=True,
        # The workflow gives a training one task on one machine, and Lightning starts a process for each of its GPUs.
        # By default Lightning would require srun wherever Slurm is installed.
        plugins=[LightningEnvironment()],
    )


class _Losses(Callback):
    """Records the means of the values of ``training_step`` by epoch; logs about ten lines per training."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []
        self._values: dict[str, list[Tensor]] = {}

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epochs = list(state_dict["epochs"])

    def on_train_batch_end(self, _trainer: Any, _module: Any, outputs: Any, *_: Any) -> None:
        terms = outputs if isinstance(outputs, Mapping) else {"loss": outputs}
        for name, value in terms.items():
            number = value.detach() if isinstance(value, Tensor) else torch.tensor(float(value))
            self._values.setdefault(name, []).append(number)

    def on_train_epoch_end(self, trainer: lightning.Trainer, _module: Any) -> None:
        means = {name: float(torch.stack(values).mean()) for name, values in self._values.items()}
        self._values = {}
        if not np.isfinite(means["loss"]):
            raise ValueError(f"training diverged: loss {means['loss']} in epoch {trainer.current_epoch}")
        self.epochs.append(means)
        total = trainer.max_epochs or 0
        if total and (trainer.current_epoch + 1) % max(1, total // 10) == 0:
            log.info("epoch %d of %d: loss %.4f", trainer.current_epoch + 1, total, means["loss"])


class _Checkpoints(Callback):
    """Writes a checkpoint at the end of an epoch, but not more often than every ``every_s`` seconds."""

    def __init__(self, folder: Path, every_s: float) -> None:
        self._folder, self._every_s = folder, every_s
        self._written = time.monotonic()

    def on_train_epoch_end(self, trainer: lightning.Trainer, _module: Any) -> None:
        if time.monotonic() - self._written < self._every_s:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._folder / ".last.ckpt.tmp"
        trainer.save_checkpoint(temporary)
        if trainer.is_global_zero:
            temporary.replace(self._folder / "last.ckpt")
        self._written = time.monotonic()


def _last_checkpoint(folder: Path) -> Path | None:
    path = folder / "last.ckpt"
    if not path.exists():
        return None
    log.info("resuming from %s", path)
    return path


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's generator inside the block; restore the previous state afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def tensors(features: Arrays) -> Batch:
    """Convert arrays to tensors that share their memory."""
    return {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in features.items()}


def read_weights(path: Path) -> dict[str, Tensor]:
    """Weights of a file written by :meth:`TorchSystem.save` or :func:`write_weights`; nothing in it is executed.

    Raises
    ------
    ValueError
        If the file is missing or damaged, or holds anything other than named tensors.
    """
    weights = tensor_files.read(path)
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise ValueError(f"{path}: found {type(weights).__name__}, expected named tensors")
    return weights


def write_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write named tensors, atomically."""
    tensor_files.write(path, {name: value.detach().cpu() for name, value in weights.items()})


def first_process() -> bool:
    """Whether this process writes the results; a training on several devices has one process per device."""
    return rank_zero_only.rank == 0


def _chunks(features: Arrays, device: torch.device) -> Iterator[Batch]:
    whole = tensors(features)
    count = len(next(iter(whole.values())))
    for start in range(0, max(count, 1), EVALUATED_TOGETHER):
        yield {name: values[start : start + EVALUATED_TOGETHER].to(device) for name, values in whole.items()}


def parameters(network: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(value.numel() for value in network.parameters() if value.requires_grad)
