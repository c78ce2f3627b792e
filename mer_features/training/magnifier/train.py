"""Training of the learned magnifier.

Losses and optimiser follow Oh et al. 2018, section 3.4. These changes allow training with thousands of samples instead
of millions:

- Each sample is used with two factors, m and 1. The change of the image between them has its own loss, because
  :mod:`mer_features.stages.magnify.learned` uses this change. An error that is equal in both images does not matter.
- Pixels with low contrast can have a larger weight (option ``detail``).
- The initial weights preserve the size of the signal in each layer (:func:`initialise`); with the paper's weights it
  vanishes.
- The file of weights has a gain that corrects the underestimated motion (:func:`measure_gain`).
- The learning rate is larger than the paper's constant 1e-4 and falls at the end (:func:`rate_at`).

The loop does not use a trainer class. There is one network and one optimiser, there are no epochs and no validation,
and a resumed training must give the same bits.
"""

from __future__ import annotations

import csv
import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from mer_features.core import fingerprint, tensors
from mer_features.core.files import atomic_path
from mer_features.core.jobs import track
from mer_features.stages.magnify import learned
from mer_features.stages.magnify.network import MagnificationNet
from mer_features.systems.common.contract import Execution
from mer_features.training.magnifier import pairs
from mer_features.training.options import MagnifierTraining

log = logging.getLogger(__name__)

_GAIN_PAIRS = 32
_GAIN_ROUNDS = 3  # several rounds, because the network is not linear
_SHARES = tuple(number / 10 for number in range(17))
_GAIN_PX = 96  # side of the pairs; larger than a training sample, so that borders matter less
_BORDER = 10  # pixels at the border, where the network lacks context
_SLOPE, _LEAST_SLOPE = 8.0, 1.0  # grey levels per pixel: in a typical image; in an image with only noise
_ADDED_PX, _LEAST_ADDED_PX = 2.5, 0.5  # motion added to a typical sample; smaller motion is lost in noise
_NOISE = 0.09  # divided by the root of the grey level; one level at mid-grey


class Losses(NamedTuple):
    """The terms of the objective, each a mean absolute difference."""

    picture: Tensor  # Ŷ against Y, for m and for 1
    change: Tensor  # change of Ŷ against change of Y, between 1 and m
    texture_reference: Tensor  # V of A and C
    texture_moved: Tensor  # V of B and Y
    shape: Tensor  # M of B and C

    def total(self, code_weight: float) -> Tensor:
        """The objective, with weight λ on the codes."""
        return self.picture + self.change + code_weight * (self.texture_reference + self.texture_moved + self.shape)


class Batch(NamedTuple):
    """A, B, C, Y and Y for a factor of 1, (N, 3, H, W) in [-1, 1]; the factors (N,).

    ``weight``, (N, 1, H, W), is the weight of the pixels in the image losses. ``emphasis``, (N, 1, 1, 1), is the weight
    of the change between the two images.
    """

    first: Tensor
    second: Tensor
    second_plain: Tensor
    target: Tensor
    still: Tensor
    factor: Tensor
    weight: Tensor
    emphasis: Tensor


def losses(net: MagnificationNet, batch: Batch) -> Losses:
    """The image losses, and the three losses of section 3.4: frames with equal texture or shape have equal codes."""
    images = torch.cat([batch.first, batch.second, batch.second_plain, batch.target])
    texture, shape = (code.chunk(4) for code in net.encoder(images))
    enlarged = net.manipulator(shape[0], shape[1], batch.factor)
    textures, shapes = torch.cat([texture[1], texture[1]]), torch.cat([enlarged, shape[1]])
    magnified, still = net.decoder(textures, shapes).chunk(2)
    return Losses(
        (_weighted(magnified - batch.target, batch.weight) + _weighted(still - batch.still, batch.weight)) / 2,
        _weighted(magnified - still - (batch.target - batch.still), batch.emphasis * batch.weight),
        F.l1_loss(texture[0], texture[2]),
        F.l1_loss(texture[1], texture[3]),
        F.l1_loss(shape[1], shape[2]),
    )


def _weighted(difference: Tensor, weight: Tensor) -> Tensor:
    return (weight * difference.abs()).mean()


class Samples(Dataset):
    """Samples of a recipe by number, with the weights of the options."""

    def __init__(self, options: MagnifierTraining) -> None:
        self.recipe, self.options = recipe(options), options

    def __len__(self) -> int:
        return self.options.steps * self.options.batch

    def __getitem__(self, index: int) -> Batch:
        pair = pairs.make(self.recipe, index)
        frames = (pair.first, pair.second, pair.second_plain, pair.target, pair.still)
        images = [torch.from_numpy(frame / 127.5 - 1) for frame in frames]
        weight = (_SLOPE / (pairs.local_slope(pair.still) + _LEAST_SLOPE)) ** np.float32(self.options.detail)
        emphasis = torch.full((1, 1, 1), _emphasis(pair) ** self.options.small_motion)
        return Batch._make([*images, torch.tensor(pair.factor), torch.from_numpy(weight[None]), emphasis])


def _emphasis(pair: pairs.Pair) -> float:
    """Typical motion divided by the largest motion that magnification adds; 1 for a static sample."""
    added = (pair.factor - 1) * float(np.hypot(*pair.motion).max())
    return _ADDED_PX / (added + _LEAST_ADDED_PX) if pair.motion.any() else 1.0


def recipe(options: MagnifierTraining) -> pairs.Recipe:
    """Recipe of the samples for these options."""
    return pairs.Recipe(
        options.size_px,
        _seed(options),
        options.folder,
        objects=options.objects,
        object_radius=options.object_radius,
        face=options.face_share,
        lamp=options.lamp,
    )


def _seed(options: MagnifierTraining) -> int:
    return options.seed or 0


def rate_at(options: MagnifierTraining, step: int) -> float:
    """Learning rate of a step (0, 1, ...): it rises, stays constant and falls linearly to zero."""
    rise = (step + 1) / max(1, options.warmup_steps)
    fall = (options.steps - step) / max(1.0, options.decay_share * options.steps)
    return options.rate * min(1.0, rise, fall)


def initialise(net: MagnificationNet, seed: int) -> None:
    """Truncated normal weights whose standard deviation depends on the number of inputs (He et al. 2015).

    The second convolution of each residual block and the last one of the decoder start small, so that a block starts
    close to the identity. With the paper's standard deviation of 0.02 in every layer, almost nothing of the image is
    left after twenty layers, and a short training only increases the weights.
    """
    source = torch.Generator().manual_seed(seed)
    for name, weight in net.named_parameters():
        small = 0.1 if name.endswith((".second.weight", "decoder.head.2.weight")) else 1.0
        spread = small * math.sqrt(2 / weight[0].numel())
        torch.nn.init.trunc_normal_(weight, std=spread, a=-2 * spread, b=2 * spread, generator=source)


def train(
    options: MagnifierTraining,
    output: Path,
    execution: Execution = Execution(),  # noqa: B008  # frozen
    *,
    checkpoint_steps: int = 250,
) -> None:
    """Train, or resume a training, and write the weights and the loss curve.

    The mean losses between checkpoints are written to ``<output>.csv``. During training there is also
    ``<output>.checkpoint``. A killed run resumes from its last checkpoint and ends with the same bits as an
    uninterrupted one. The number of steps can be changed until the learning rate begins to fall.

    Raises
    ------
    ValueError
        If there is a checkpoint of a run with other options, or the initial weights belong to another network.
    """
    with tensors.deterministic():
        _Run(options, output, execution, checkpoint_steps).finish()


def _initial_network(options: MagnifierTraining) -> MagnificationNet:
    """The network before the first step."""
    if options.start is not None:
        return learned.network(options.start)
    net = MagnificationNet(options.g_kernel)
    initialise(net, _seed(options))
    return net


def _origin(options: MagnifierTraining) -> list[object]:
    """What decides the weights besides the options: code, and the content of the files that options name."""
    return [fingerprint.of("mer_features.training.magnifier.train"), fingerprint.of_files(options)]


class _Run:
    def __init__(
        self, options: MagnifierTraining, output: Path, execution: Execution, checkpoint_steps: int = 250
    ) -> None:
        self.options, self.output, self.execution = options, output, execution
        self.checkpoint_steps = checkpoint_steps
        self.device = tensors.device(execution.device)
        self.net = _initial_network(options).to(self.device)
        self.adam = torch.optim.Adam(self.net.parameters(), lr=options.rate, betas=(0.9, 0.999))
        self.checkpoint = output.with_name(f"{output.name}.checkpoint")
        self.step, self.curve, self.sums = 0, list[list[float]](), torch.zeros(len(Losses._fields), dtype=torch.float64)
        if self.checkpoint.exists():
            self._resume()

    def finish(self) -> None:
        """Do the remaining steps, then write the files."""
        self.net.train()
        remaining = self.options.steps - self.step
        with ThreadPoolExecutor(self.execution.threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for batch in track(self._batches(), remaining, "train-magnifier"):
                self._learn(batch, pool)
                self.step += 1
                if self.step % self.checkpoint_steps == 0 or self.step == self.options.steps:
                    self._write_checkpoint()
        gain = measure_gain(self.net.cpu(), self.options)
        log.info("gain %s", gain)
        save(self.net, self.output, {"steps": self.options.steps, learned.GAIN: round(gain, 3)})
        self.checkpoint.unlink(missing_ok=True)

    def _learn(self, batch: Batch, pool: Executor) -> None:
        """One step. On a CPU each sample gets its own gradient, so that the result does not depend on the threads."""
        one_by_one = self.device.type == "cpu"
        parts = (
            [Batch._make(part) for part in zip(*(t.split(1) for t in batch), strict=True)] if one_by_one else [batch]
        )
        results = list(pool.map(self._gradients, parts))
        for weight, *gradients in zip(self.net.parameters(), *(each for each, _ in results), strict=True):
            weight.grad = torch.stack(gradients).mean(dim=0)
        for group in self.adam.param_groups:
            group["lr"] = rate_at(self.options, self.step)
        self.adam.step()
        self.sums += torch.stack([values for _, values in results]).mean(dim=0).double().cpu()

    def _gradients(self, batch: Batch) -> tuple[tuple[Tensor, ...], Tensor]:
        """Gradients of the objective with respect to all weights, and the losses."""
        terms = losses(self.net, Batch._make(part.to(self.device) for part in batch))
        total = terms.total(self.options.code_weight)
        return torch.autograd.grad(total, list(self.net.parameters())), torch.stack(terms).detach()

    def _batches(self) -> Iterator[Batch]:
        size = self.options.batch
        workers = self.execution.workers
        loader = DataLoader(
            Samples(self.options),
            batch_size=size,
            sampler=range(self.step * size, self.options.steps * size),
            num_workers=workers,
            multiprocessing_context="spawn" if workers else None,
            prefetch_factor=8 if workers else None,
        )
        return iter(loader)

    def _write_checkpoint(self) -> None:
        """Write the loss curve and the checkpoint, and reset the sums."""
        since = self.step - (int(self.curve[-1][0]) if self.curve else 0)
        self.curve.append([self.step, *(self.sums / since).tolist()])
        self.sums.zero_()
        if not all(map(math.isfinite, self.curve[-1])):
            raise ValueError(f"the losses before step {self.step} are not finite; try a smaller rate")
        log.info("step %d: %s", self.step, " ".join(f"{value:.4f}" for value in self.curve[-1][1:]))
        with atomic_path(self.output.with_name(f"{self.output.name}.csv")) as path, path.open("w") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["step", *Losses._fields])
            rows.writerows([int(step), *(f"{value:.6f}" for value in values)] for step, *values in self.curve)
        state = {
            "step": self.step,
            "curve": self.curve,
            "options": self.options.model_dump(mode="json"),
            "origin": _origin(self.options),
            "net": self.net.state_dict(),
            "adam": self.adam.state_dict(),
        }
        tensors.write(self.checkpoint, state)

    def _resume(self) -> None:
        state = tensors.read(self.checkpoint, self.device)
        if state.get("origin") != _origin(self.options):
            log.warning("%s is from other code or other files; training starts again", self.checkpoint)
            return
        earlier = MagnifierTraining.model_validate(state["options"])
        same_past = all(rate_at(earlier, n) == rate_at(self.options, n) for n in range(state["step"]))
        if not same_past or earlier != self.options.model_copy(update={"steps": earlier.steps}):
            raise ValueError(f"{self.checkpoint} belongs to a run with other options; remove it to start again")
        self.net.load_state_dict(state["net"])
        self.adam.load_state_dict(state["adam"])
        self.step, self.curve = state["step"], state["curve"]
        log.info("resuming after step %d", self.step)


def save(net: MagnificationNet, path: Path, about: Mapping[str, float]) -> None:
    """Write the weights of a network and their description, atomically."""
    state = {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
    with atomic_path(path) as temporary:
        # A single entry, because safetensors writes several entries in an order that changes from run to run.
        safetensors.torch.save_file(state, temporary, metadata={learned.ABOUT: json.dumps(about, sort_keys=True)})


def measure_gain(net: MagnificationNet, options: MagnifierTraining) -> float:
    """Factor on m - 1 with which a trained network magnifies a motion m times (ours).

    A network that is trained to minimise the image error moves everything too little, by about the same share. This
    share is measured on pairs of the recipe that were not used in training (faces, if the recipe has faces), without
    recolouring and with noise of one grey level: it is the share whose true image is nearest to the output. The gain is
    increased until the median share is 1.

    Returns
    -------
    float
        At least 1, at most :data:`mer_features.stages.magnify.learned.MOST_GAIN`.
    """
    samples = recipe(options)
    samples = replace(
        samples,
        size=max(samples.size, _GAIN_PX),
        face=float(samples.face > 0),
        static=0.0,
        low_contrast=0.0,
        noise=(_NOISE, _NOISE),
        factor=(2.0, samples.factor[1]),
        reach_px=samples.reach_px / max(_SHARES),
    )
    series = [pairs.series(samples, index, _SHARES) for index in range(_GAIN_PAIRS)]
    gain = 1.0
    for _ in range(_GAIN_ROUNDS):
        share = float(np.median([_measured_share(net, each, gain) for each in series]))
        gain = min(learned.MOST_GAIN, max(1.0, gain / max(share, 1e-6)))
    return gain


def _measured_share(net: MagnificationNet, series: pairs.Series, gain: float) -> float:
    """Displacement that a network adds to a pair, as a share of the expected one (m - 1 times the motion)."""
    output = learned.Magnifier(net, "", gain).magnified(series.first, series.second, series.factor)
    inner = (..., slice(_BORDER, -_BORDER), slice(_BORDER, -_BORDER))
    errors = np.square((series.possible - output)[inner]).mean(axis=(1, 2, 3))
    return (_minimum(_SHARES, errors) * series.factor - 1) / (series.factor - 1)


def _minimum(at: Sequence[float], values: np.ndarray) -> float:
    """Position of the minimum of a parabola through the smallest value and its neighbours; ``at`` is evenly spaced."""
    least = int(values.argmin())
    if not 0 < least < len(values) - 1:
        return at[least]
    left, middle, right = values[least - 1 : least + 2]
    return at[least] + (at[1] - at[0]) * float((left - right) / (2 * (left - 2 * middle + right)))
