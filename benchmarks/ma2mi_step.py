"""What a training step of MA2MI costs: seconds and memory, at the paper's size and at the demo's.

Each case runs in a process of its own, so that its peak resident memory is its own. A step is loss, slopes and AdamW on
random images; reading video and making latents is not in it, the latter is a row of its own. One step warms up; of the
others the least CPU time and the least wall time count, as a shared machine only ever adds. With one thread an idle
machine's wall time is about the CPU time.

    python benchmarks/ma2mi_step.py [--steps 3] [--threads 1] [--batches 2 8 32] [--only NAME]

Prints a Markdown table.
"""

import argparse
import os
import platform
import resource
import subprocess
import sys
import time

import torch

from mer_features.systems import autoencoder_networks as networks
from mer_features.systems import ma2mi, ma2mi_pretraining, video_draws
from mer_features.systems.recipes.ma2mi import FutureFrameRecipe, MA2MIRecipe

DEMO = {"dit_width": 192, "dit_depth": 4, "dit_heads": 3}
SMALL = {"backbone": "small"}

#: Name of a case -> what is trained, changed keys of its recipe, batch sizes (None: those asked for).
CASES = {
    "pre-training, latent": ("future", {}, None),
    "pre-training, pixel": ("future", {"space": "pixel"}, (2,)),
    "pre-training, demo DiT (192 x 4)": ("future", DEMO, None),
    "pre-training, demo DiT, small backbone": ("future", DEMO | SMALL, None),
    "fine-tuning": ("tuning", {}, (16,)),
    "fine-tuning, small backbone": ("tuning", SMALL, (16,)),
    "latents of 16 frames, small autoencoder": ("latents", {}, (16,)),
    "latents of 16 frames, Stable Diffusion's": ("stable_diffusion", {}, (16,)),
}


def future(keys, batch):
    """A step of the pre-training."""
    recipe = FutureFrameRecipe(**keys)
    network = ma2mi_pretraining.Network(recipe, video_draws.Order(batch, 0))
    images = torch.randint(0, 255, (2, batch, 3, recipe.size, recipe.size), dtype=torch.uint8)
    codes = torch.randn(2, batch, 4, recipe.size // 8, recipe.size // 8)
    tau = torch.eye(2, 3).expand(batch, -1, -1)
    return trained(network, {"first": images[0], "second": images[1], "from": codes[0], "to": codes[1], "tau": tau})


def tuning(keys, batch):
    """A step of fine-tuning."""
    recipe = MA2MIRecipe(**keys, pretrain="none")
    images = torch.randint(0, 255, (2, batch, 3, recipe.size, recipe.size), dtype=torch.uint8)
    labels = torch.arange(batch) % 5
    return trained(ma2mi.Network(recipe, 5, None), {"first": images[0], "second": images[1], "label": labels})


def trained(network, batch):
    """A function that takes a step, and the number of weights."""
    optimiser = network.configure_optimizers()["optimizer"]

    def step():
        optimiser.zero_grad()
        network.training_step(batch)["loss"].backward()
        optimiser.step()

    return step, sum(weight.numel() for weight in network.parameters())


def latents(_keys, batch):
    """Frames into the small autoencoder."""
    return encoding(networks.Codec(networks.Small(32), {"scale": 1.0}), batch)


def stable_diffusion(_keys, batch):
    """Frames into Stable Diffusion's, with random weights."""
    return encoding(networks.Codec(networks.StableDiffusion(), {"scale": networks.STABLE_DIFFUSION_SCALE}), batch)


def encoding(codec, batch):
    """A function that encodes frames, and the number of weights."""
    frames = torch.rand(batch, 3, 256, 256) * 2 - 1
    return lambda: codec.encode(frames), sum(weight.numel() for weight in codec.weights().values())


def measure(name, batch, steps, threads):
    """Print one row of the table."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    what, keys, _ = CASES[name]
    step, weights = globals()[what](keys, batch)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step()
    times = []
    for _ in range(steps):
        start = time.process_time(), time.perf_counter()
        step()
        times.append((time.process_time() - start[0], time.perf_counter() - start[1]))
    busy, wall = map(min, zip(*times, strict=True))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cells = [
        name,
        batch,
        f"{weights:,}",
        *(f"{value:.2f}" for value in (busy, wall, peak / 2**20, (peak - before) / 2**20)),
    ]
    print("|", " | ".join(map(str, cells)), "|")


def main():
    """Run every case in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batches", type=int, nargs="+", default=[2, 8, 32])
    parser.add_argument("--only", choices=CASES, help="one case")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.here:
        measure(asked.only, asked.batches[0], asked.steps, asked.threads)
        return
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {asked.threads} threads", flush=True)
    print("| step | batch | weights | CPU s | wall s | peak memory, GiB | of it by the steps, GiB |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for name in [asked.only] if asked.only else CASES:
        for batch in CASES[name][2] or asked.batches:
            own = ["--here", "--only", name, "--batches", batch, "--steps", asked.steps, "--threads", asked.threads]
            subprocess.run([sys.executable, __file__, *map(str, own)], check=False)


if __name__ == "__main__":
    main()
