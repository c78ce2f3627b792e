"""What leave one subject out over the 442 clips of MEGC 2019 costs, and how near it is to what the libraries can do.

For each system that reads flow: one fold is trained as the workflow trains it, in as many processes at once as are
asked for, on random planes of the size of the real ones. A training of one epoch and one of all epochs tell what a
step costs and what a fold costs beside its steps. A seed is 68 folds, shared by the processes.

The floor of a training step is the time of its kernels alone: every convolution, matrix product, pooling and batch
normalisation of one step, forward and backward, and the fused optimiser, each repeated alone on the step's own
arrays. What is beyond the floor is autograd, activations, copies, the loop, and starting a fold. `traffic` is the time
that the weights and the optimiser's state take through memory, once each way, at the speed of a copy; a step that does
nothing else cannot be faster. Both are measured in the same run, alternating with the training.

    python benchmarks/loso.py [--only NAME ...] [--processes 2] [--epochs N] [--rounds 3]

Prints a Markdown table.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mer_features.systems import registry
from mer_features.systems.common import engine
from mer_features.systems.common.contract import Examples, Setup
from mer_features.training.loop import module_of

CLIPS, SUBJECTS = 442, 68
CASES = {
    "fr": ("fr", None),
    "basic-inception": ("fr", "Basic Inception"),
    "off-apexnet": ("off_apexnet", None),
    "ststnet": ("ststnet", None),
    "dual-inception": ("dual_inception", None),
}
#: Operations whose time no code around them can save.
KERNELS = {
    "convolution", "convolution_backward", "mm", "addmm", "max_pool2d_with_indices", "max_pool2d_with_indices_backward",
    "avg_pool2d", "avg_pool2d_backward", "native_batch_norm", "native_batch_norm_backward", "_fused_adam_",
}  # fmt: skip


class Recorder(TorchDispatchMode):
    """Keeps the calls of kernels with their arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Callable[..., object], tuple, dict]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in KERNELS:
            self.calls.append((func, args, kwargs or {}))
        return func(*args, **(kwargs or {}))


def examples(name: str, epochs: int | None) -> tuple[registry.Recipe, Examples]:
    """The recipe of a case, and random training clips of one fold: all but those of one subject."""
    system, ablation = CASES[name]
    recipe = registry.recipe(system, {} if epochs is None else {"epochs": epochs}, ablation)
    rng = np.random.default_rng(0)
    count = CLIPS - CLIPS // SUBJECTS
    planes = 3 if system == "ststnet" else 2
    flow = rng.random((count, planes, 28, 28), dtype=np.float32)
    return recipe, Examples({"flow": flow}, rng.integers(0, 3, count), np.arange(count) % (SUBJECTS - 1))


def fold(name: str, epochs: int | None) -> tuple[float, int]:
    """Seconds to build, train and test one fold, and its number of steps."""
    recipe, clips = examples(name, epochs)
    started = time.perf_counter()
    system = module_of(CASES[name][0]).build(recipe, 3, Setup(0))
    system.fit(clips)
    system.predict({"flow": clips.features["flow"][:6]})
    return time.perf_counter() - started, recipe.epochs * len(system.network.batches(clips))


def floor(name: str) -> tuple[float, float]:
    """Seconds of the kernels of one step alone, and of its weights and optimiser's state through memory."""
    recipe, clips = examples(name, None)
    torch.set_num_threads(1)
    system = module_of(CASES[name][0]).build(recipe, 3, Setup(0))
    network = system.network.train()
    batch = next(iter(network.batches(clips)))
    optimiser = network.configure_optimizers()

    def step() -> None:
        loss = network.training_step(batch)
        (loss["loss"] if isinstance(loss, dict) else loss).backward()
        optimiser.step()
        optimiser.zero_grad()

    step()
    with Recorder() as recorder:
        step()
    kernels = sum(alone(lambda call=call: call[0](*call[1], **call[2])) for call in recorder.calls)
    values = torch.rand(engine.parameters(network))
    copied = torch.empty_like(values)
    # Weights forward and backward, slopes out and in, and weights and two moments in and out: ten passes, and a copy
    # is two.
    return kernels, 5 * alone(lambda: copied.copy_(values))


def alone(call: Callable[[], object], repeats: int = 7) -> float:
    """Median of the seconds of a call; gradients are off, and the first call is not counted."""
    times = []
    with torch.no_grad():
        for _ in range(repeats + 1):
            started = time.perf_counter()
            call()
            times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--processes", type=int, default=2, help="folds trained at the same time")
    parser.add_argument("--epochs", type=int, help="train so many epochs instead of the recipe's, at least 2")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print("| system | epochs | steps a fold | ms a step | floor, ms | share | traffic, ms | minutes a seed |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    with ProcessPoolExecutor(arguments.processes, mp_context=get_context("spawn")) as pool:
        for name in arguments.only:
            epochs = examples(name, None)[0].epochs
            steps, floors, traffics, starts = [], [], [], []
            for _ in range(arguments.rounds):
                runs = {}
                for trained in (1, arguments.epochs or epochs):
                    running = [pool.submit(fold, name, trained) for _ in range(arguments.processes)]
                    runs[trained] = [item.result() for item in running]
                for (short, few), (long, many) in zip(*runs.values(), strict=True):
                    steps.append((long - short) / (many - few))
                    starts.append(short - few * steps[-1])
                    per_epoch = few
                running = [pool.submit(floor, name) for _ in range(arguments.processes)]
                for item in running:
                    kernels, traffic = item.result()
                    floors.append(kernels)
                    traffics.append(traffic)
            step, start, kernels, traffic = map(statistics.median, (steps, starts, floors, traffics))
            seed = SUBJECTS * (start + epochs * per_epoch * step) / arguments.processes / 60
            times = [f"{1000 * value:.1f}" for value in (step, kernels)]
            cells = [name, epochs, epochs * per_epoch, *times, f"{kernels / step:.2f}", f"{1000 * traffic:.1f}"]
            print(f"| {' | '.join(map(str, cells))} | {seed:.1f} |", flush=True)


if __name__ == "__main__":
    main()
