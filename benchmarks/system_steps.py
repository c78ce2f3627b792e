"""What a training step of every system costs at the paper's size: seconds and memory, and what an epoch would take.

Each case trains the default recipe (the paper's, as far as it prints one) on random inputs held in memory: drawing the
batch, augmentation, loss, slopes, optimiser; Lightning's bookkeeping and reading files are not in it. Each runs in a
process of its own, so that its peak resident memory is its own. One step warms up, during which the bytes that autograd
keeps for the backward pass are counted; of the others the least CPU time counts, as a shared machine only ever adds.
Where the paper's batch would not fit beside other work, a smaller one is measured and its cost scaled by the clips.

The GPU's memory is an estimate, no GPU was used: weights, slopes and the optimiser's moments, what autograd keeps for
the paper's batch in 32 bits, and 1 GiB for the driver's context and workspace.

    python benchmarks/system_steps.py [--steps 2] [--threads 1] [--only NAME ...] [--batch N]

Prints a Markdown table of the cases at the paper's size; ``--only`` takes the others, too.
"""

import argparse
import math
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mer_features.systems.baselines import dual_inception, off_apexnet, ststnet
from mer_features.systems.common import macro, video_draws
from mer_features.systems.common.contract import Examples
from mer_features.systems.eidnet import disentangling as eidnet_disentangling
from mer_features.systems.eidnet import network as eidnet_images
from mer_features.systems.eidnet import train as eidnet
from mer_features.systems.fr import train as fr
from mer_features.systems.ma2mi import autoencoder, pretraining, train
from mer_features.systems.map_mer import train as map_mer
from mer_features.systems.registry import PRETRAINING, RECIPES
from mer_features.systems.sa_at import network as sa_at_network
from mer_features.systems.sa_at import teacher as sa_at_teacher
from mer_features.systems.sa_at import train as sa_at

GIB = 2**30
CONTEXT_GIB = 1.0
#: Expression frames of a clip in EIDNet's training.
KEYFRAMES = 5
#: All videos of DFEW, with `unlabelled: true`.
DFEW = 16_372


@dataclass(frozen=True)
class Case:
    """One row: who makes the network and its batches, and what an epoch of the paper's holds."""

    make: Callable[..., Any]
    batch: int  # the paper's, samples a step
    samples: int = 0  # an epoch's
    of: str = ""  # where they come from
    measured: int | None = None  # a smaller batch that is measured instead
    keys: dict[str, Any] = field(default_factory=dict)  # changed keys of the recipe
    listed: bool = True  # among the cases without --only


# ---------------------------------------------------------------- systems


def examples(n: int, shapes: dict[str, tuple[int, ...]], kind: type, classes: int) -> Examples:
    """Random clips; ``uint8`` in 0..255, floats in 0..1."""
    rng = np.random.default_rng(0)
    top = 255 if kind is np.uint8 else 1
    features = {name: (rng.random((n, *shape), np.float32) * top).astype(kind) for name, shape in shapes.items()}
    return Examples(features, np.arange(n) % classes, np.arange(n))


def on_flow(network, name, planes, batch, keys):
    """FR and the small networks on flow."""
    recipe = RECIPES[name](batch_size=batch, **keys)
    made = network(recipe, 3)
    return made, made.batches(examples(batch, {"flow": (planes, 28, 28)}, np.float32, 3))


def teacher(batch, keys):
    """SA-AT's teacher."""
    recipe = PRETRAINING["sa_at"](batch_size=batch, **keys)
    network = sa_at_teacher.Network(recipe, 3)
    return network, network.batches(examples(batch, {"image": (3, recipe.size, recipe.size)}, np.uint8, 3))


def student(batch, keys):
    """SA-AT's student beside its teacher."""
    recipe, theirs = RECIPES["sa_at"](batch_size=batch, **keys), PRETRAINING["sa_at"]()
    guide = sa_at_network.Recogniser(theirs.network, 3, stem=theirs.stem, scale=theirs.scale, std=theirs.init_std)
    network = sa_at.Student(recipe, 3, macro.Frozen(guide))
    return network, network.batches(examples(batch, {"image": (3, recipe.size, recipe.size)}, np.uint8, 3))


def _faces(recipe, batch):
    """Clips of five keyframes, together one batch of EIDNet or a little more."""
    side = eidnet_images.stored_side(recipe.size)
    shapes = {"neutral": (3, side, side), "expression": (KEYFRAMES, 3, side, side)}
    return examples(math.ceil(batch / KEYFRAMES), shapes, np.uint8, 3)


def disentangling(batch, keys):
    """EIDNet's phase I."""
    recipe = RECIPES["eidnet"](batch_size=batch, **keys)
    network = eidnet_disentangling.Network(recipe, 3)
    return network, first(network.batches(_faces(recipe, batch)))


def tuning(batch, keys):
    """EIDNet's phase II against a MacroNet of random weights."""
    recipe = RECIPES["eidnet"](batch_size=batch, **keys)
    clips = _faces(recipe, batch)
    names = ("negative", "positive", "surprise")
    faces = torch.from_numpy(clips.features["expression"]).flatten(0, 1)
    labels = torch.from_numpy(clips.labels).repeat_interleave(KEYFRAMES)
    about = {"task": "eidnet", "classes": names, "backbone": recipe.backbone, "size": recipe.size}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "macronet.pt"
        weights = eidnet_disentangling.EIDNet(recipe.backbone, 3).state_dict()
        macro.write(path, {**weights, "faces": faces, "labels": labels}, about)
        theirs = eidnet.Macro(path, names, recipe)
    network = eidnet.Tuning(recipe, eidnet_disentangling.EIDNet(recipe.backbone, 3), theirs)
    return network, first(network.batches(clips))


def first(batches):
    """The first batch of every pass: five frames a clip do not always make whole batches."""

    class First:
        def __iter__(self):
            yield next(iter(batches))

    return First()


def future(batch, keys):
    """MA2MI's pre-training."""
    recipe = PRETRAINING["ma2mi"](batch_size=batch, **keys)
    images = torch.randint(0, 255, (2, batch, 3, recipe.size, recipe.size), dtype=torch.uint8)
    codes = torch.randn(2, batch, 4, recipe.size // 8, recipe.size // 8)
    tau = torch.eye(2, 3).expand(batch, -1, -1)
    made = {"first": images[0], "second": images[1], "from": codes[0], "to": codes[1], "tau": tau}
    return pretraining.Network(recipe, video_draws.Order(batch, 0)), [made]


def fine_tuning(batch, keys):
    """MA2MI on micro-expressions."""
    recipe = RECIPES["ma2mi"](pretrain="none", batch_size=batch, **keys)
    network = train.Network(recipe, 5, None)
    shape = (3, recipe.size, recipe.size)
    return network, network.batches(examples(batch, {"first": shape, "second": shape}, np.uint8, 5))


def dual_branch(batch, keys):
    """MAP-MER."""
    recipe = RECIPES["map_mer"](batch_size=batch, **keys)
    network = map_mer.Network(recipe, 5)
    made = examples(batch, {"planes": (3, recipe.image_size, recipe.image_size)}, np.uint8, 5)
    made.features["units"] = np.random.default_rng(1).integers(0, 2, (batch, map_mer.A)).astype(np.uint8)
    return network, network.batches(made)


def coding(batch, keys):
    """Frames into an autoencoder's latents: no training."""
    kinds = {"small": lambda: autoencoder.Small(32), "stable_diffusion": autoencoder.StableDiffusion}
    codec = autoencoder.Codec(kinds[keys["kind"]](), {"scale": 1.0})
    return codec, torch.rand(batch, 3, 256, 256) * 2 - 1


def flow_case(network, name, planes, batch):
    """A network on flow under the composite protocol."""
    return Case(lambda size, keys: on_flow(network, name, planes, size, keys), batch, 442, "CDE")


DEMO_DIT = {"dit_width": 192, "dit_depth": 4, "dit_heads": 3}
SMALL = {"backbone": "small"}
CASES = {
    "FR": flow_case(fr.Network, "fr", 2, 32),
    "SA-AT, teacher": Case(teacher, 64, 16_478, "BU-3DFE", measured=4),
    "SA-AT, student": Case(student, 16, 442, "CDE", measured=4),
    "EIDNet, phase I": Case(disentangling, 32, 442 * KEYFRAMES, "CDE, five frames a clip"),
    "EIDNet, phase II": Case(tuning, 32, 442 * KEYFRAMES, "CDE, five frames a clip"),
    "MA2MI, pre-training": Case(future, 32, DFEW, "DFEW, unlabelled clips too", measured=8),
    "MA2MI, fine-tuning": Case(fine_tuning, 16, 249, "CASME II"),
    "MAP-MER": Case(dual_branch, 128, 246, "CASME II", measured=32),
    "OFF-ApexNet": flow_case(off_apexnet.OffApexNet, "off_apexnet", 2, 32),
    "STSTNet": flow_case(ststnet.StstNet, "ststnet", 3, 256),
    "Dual-Inception": flow_case(dual_inception.DualInception, "dual_inception", 2, 3),
    # Smaller ones and other ways, for docs/systems/train.md.
    "MA2MI, pixels": Case(future, 32, DFEW, "DFEW", 2, {"space": "pixel"}, listed=False),
    "MA2MI, DiT 192 x 4": Case(future, 32, DFEW, "DFEW", 8, DEMO_DIT, listed=False),
    "MA2MI, DiT 192 x 4, small": Case(future, 32, DFEW, "DFEW", 8, DEMO_DIT | SMALL, listed=False),
    "MA2MI, fine-tuning, small": Case(fine_tuning, 16, 249, "CASME II", keys=SMALL, listed=False),
    "latents, small autoencoder": Case(coding, 16, keys={"kind": "small"}, listed=False),
    "latents, Stable Diffusion's": Case(coding, 16, keys={"kind": "stable_diffusion"}, listed=False),
}


# ---------------------------------------------------------------- measuring

COLUMNS = (
    "system", "weights trained", "batch", "CPU s a step", "peak GiB", "samples an epoch", "CPU s an epoch",
    "kept MiB a sample", "GPU GiB, estimate",
)  # fmt: skip


@dataclass
class Training:
    """Steps of a network on its batches, as Lightning takes them without its bookkeeping."""

    network: Any
    batches: Any

    def __post_init__(self) -> None:
        found = self.network.configure_optimizers()
        several = found if isinstance(found, list) else [found]
        self.optimisers = [item["optimizer"] if isinstance(item, dict) else item for item in several]
        # What Lightning gives a network that takes its steps itself.
        self.network.optimizers = lambda: self.optimisers
        self.network.manual_backward = lambda loss: loss.backward()
        self.network.train()

    def __call__(self) -> None:
        """Take one step."""
        for batch in self.batches:
            if not self.network.automatic_optimization:
                self.network.training_step(batch)
                continue
            (optimiser,) = self.optimisers
            optimiser.zero_grad()
            found = self.network.training_step(batch)
            (found["loss"] if isinstance(found, dict) else found).backward()
            optimiser.step()

    def trained(self) -> int:
        """Weights that are trained."""
        held = [
            weight for optimiser in self.optimisers for group in optimiser.param_groups for weight in group["params"]
        ]
        return sum(weight.numel() for weight in held if weight.requires_grad)

    def fixed_bytes(self) -> int:
        """Bytes of all weights, of slopes, and of the optimisers' moments after a step; frozen networks included."""
        modules = [self.network, *frozen(self.network)]
        weights = [value for module in modules for value in module.state_dict().values()]
        moments = [value for item in self.optimisers for state in item.state.values() for value in state.values()]
        held = [*weights, *(value for value in moments if isinstance(value, torch.Tensor))]
        return 4 * self.trained() + sum(value.numel() * value.element_size() for value in held)


def frozen(network: Any) -> list[torch.nn.Module]:
    """What a network asks without training it: SA-AT's teacher, EIDNet's MacroNet."""
    if (guide := getattr(network, "teacher", None)) is not None:
        return [guide.network]
    if (theirs := getattr(network, "macro", None)) is not None:
        return [theirs.network.network]
    return []


class Kept:
    """Bytes that autograd keeps for the backward pass while this is open, weights not counted."""

    def __init__(self, weights) -> None:
        self._known = {weight.untyped_storage().data_ptr() for weight in weights}
        self.bytes = 0
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._keep, lambda tensor: tensor)

    def _keep(self, tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._known:
            self._known.add(storage.data_ptr())
            self.bytes += storage.nbytes()
        return tensor

    def __enter__(self):
        self._hooks.__enter__()
        return self

    def __exit__(self, *rest):
        self._hooks.__exit__(*rest)


def measure(name: str, batch: int, steps: int, threads: int) -> None:
    """Print one row of the table."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    case = CASES[name]
    made, batches = case.make(batch, case.keys)
    if case.make is coding:
        busy, peak = timed(lambda: made.encode(batches), steps)
        weights = sum(value.numel() for value in made.weights().values())
        print(f"| {name} | {weights:,} | {batch} | {busy:.2f} | {peak:.2f} | | | | |")
        return
    step = Training(made, batches)
    with Kept(made.parameters()) as kept:
        step()
    busy, peak = timed(step, steps)
    scale = case.batch / batch
    gpu = (step.fixed_bytes() + kept.bytes * scale) / GIB + CONTEXT_GIB
    size = str(case.batch) if scale == 1 else f"{case.batch} (measured: {batch})"
    epoch = busy / batch * case.samples
    cells = [
        name, f"{step.trained():,}", size, f"{busy * scale:.3g}", f"{peak:.2f}", f"{case.samples:,} ({case.of})",
        f"{epoch:.3g}", f"{kept.bytes / batch / 2**20:.3g}", f"{gpu:.1f}",
    ]  # fmt: skip
    print("|", " | ".join(cells), "|", flush=True)


def timed(step: Callable[[], Any], steps: int) -> tuple[float, float]:
    """Least CPU seconds of a step and this process's peak resident memory, GiB."""
    times = []
    for _ in range(steps):
        start = time.process_time()
        step()
        times.append(time.process_time() - start)
    return min(times), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Run every case in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, help="measured instead of a case's own")
    parser.add_argument("--only", choices=CASES, nargs="+", help="these cases")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    names = asked.only or [name for name, case in CASES.items() if case.listed]
    if asked.here:
        measure(names[0], asked.batch, asked.steps, asked.threads)
        return
    load = os.getloadavg()[0]
    print(f"{platform.machine()}, {os.cpu_count()} cores, {asked.threads} threads, load {load:.1f}\n")
    print("|", " | ".join(COLUMNS), "|")
    print("|", " | ".join("---" for _ in COLUMNS), "|", flush=True)
    for name in names:
        batch = asked.batch or CASES[name].measured or CASES[name].batch
        own = ["--here", "--only", name, "--batch", batch, "--steps", asked.steps, "--threads", asked.threads]
        subprocess.run([sys.executable, __file__, *map(str, own)], check=False)


if __name__ == "__main__":
    main()
