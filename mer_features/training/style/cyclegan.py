"""CycleGAN between two hidden styles, as in SAN.

Zhu, Park, Isola and Efros, "Unpaired image-to-image translation using cycle-consistent adversarial networks", 2017, as
used by Dong, Yan, Ouyang and Yang, "Style aggregated network for facial landmark detection", 2018. The
domains have their names: ``ab`` renders images of A in the style of B.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mer_features.stages.style.networks import Discriminator, Generator, initialise, pictures
from mer_features.training.options import TrainStyle
from mer_features.training.style import losses


class Pool:
    """Past fakes, which replace half of the new fakes shown to a discriminator (Shrivastava et al. 2017)."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.stored: list[Tensor] = []

    def exchange(self, fakes: Tensor, random: np.random.Generator) -> Tensor:
        """Fakes (N, 3, H, W) to show; if the pool is full, an old fake replaces a new one with probability 1/2."""
        shown = []
        for fake in fakes.detach():
            if len(self.stored) < self._size:
                self.stored.append(fake.clone())
                shown.append(fake)
            elif self._size and random.random() < 0.5:
                place = int(random.integers(self._size))
                shown.append(self.stored[place])
                self.stored[place] = fake.clone()
            else:
                shown.append(fake)
        return torch.stack(shown)


class CycleGAN:
    """Two generators and two discriminators, and their training step by step.

    Parameters
    ----------
    a, b : Tensor, shape (N, H, W, 3), uint8
        Crops of the two styles.
    recipe
        Sizes, weights of the losses, learning rate and epochs.
    seed
        Seed of initial weights, order, mirroring and pool. Each step has its own generator, so that a resumed training
        draws the same numbers as an uninterrupted one.
    device
        A torch device.
    """

    def __init__(self, a: Tensor, b: Tensor, recipe: TrainStyle, *, seed: int, device: str = "cpu") -> None:
        self.recipe, self._seed, self._device = recipe, seed, device
        self._domains = (a, b)
        self.epoch_steps = -(-max(len(a), len(b)) // recipe.batch_size)
        self.steps = (recipe.epochs + recipe.decay_epochs) * self.epoch_steps
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.networks = nn.ModuleDict({"ab": Generator(recipe.width, recipe.blocks)})
            self.networks["ba"] = Generator(recipe.width, recipe.blocks)
            self.networks["judge_a"] = Discriminator(recipe.width)
            self.networks["judge_b"] = Discriminator(recipe.width)
            initialise(self.networks)
        self.networks.to(device)
        self.pools = (Pool(recipe.pool), Pool(recipe.pool))
        self._optimisers = {
            "generators": self._adam("ab", "ba"),
            "judges": self._adam("judge_a", "judge_b"),
        }

    def _adam(self, *names: str) -> torch.optim.Adam:
        weights = chain.from_iterable(self.networks[name].parameters() for name in names)
        return torch.optim.Adam(weights, lr=self.recipe.learning_rate, betas=(0.5, 0.999))

    def step(self, number: int) -> dict[str, float]:
        """Do one step of the generators, then one of the discriminators; returns the losses by name.

        Parameters
        ----------
        number
            Number of the step: 0, 1, ... :attr:`steps` - 1.
        """
        for optimiser in self._optimisers.values():
            optimiser.param_groups[0]["lr"] = self.learning_rate(number // self.epoch_steps)
        a, b = (self.batch(domain, number) for domain in (0, 1))
        generator_terms, fakes = self.step_generators(a, b)
        randoms = [self._random(number, 2 + domain) for domain in (0, 1)]
        shown = [pool.exchange(fake, random) for pool, fake, random in zip(self.pools, fakes, randoms, strict=True)]
        return generator_terms | self.step_judges((a, b), (shown[0], shown[1]))

    def step_generators(self, a: Tensor, b: Tensor) -> tuple[dict[str, float], tuple[Tensor, Tensor]]:
        """Train both generators on a batch; returns the losses by name and the fakes of A and of B."""
        self.networks.requires_grad_(False)
        for name in ("ab", "ba"):
            self.networks[name].requires_grad_(True)
        terms, fakes = self.generator_losses(a, b)
        weights = self.weights()
        total = torch.stack([weights[name] * value for name, value in terms.items() if weights[name]]).sum()
        self._descend("generators", total)
        return {name: value.item() for name, value in terms.items()}, fakes

    def generator_losses(self, a: Tensor, b: Tensor) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor]]:
        """Unweighted losses of the generators on a batch, and the fakes of A and of B."""
        ab, ba = self.networks["ab"], self.networks["ba"]
        fake_b, fake_a = ab(a), ba(b)
        terms = {
            "fool_b": losses.fooled(self.networks["judge_b"](fake_b)),
            "fool_a": losses.fooled(self.networks["judge_a"](fake_a)),
            "cycle_a": (ba(fake_b) - a).abs().mean(),
            "cycle_b": (ab(fake_a) - b).abs().mean(),
        }
        if self.recipe.identity_weight:
            terms |= {"identity_b": (ab(b) - b).abs().mean(), "identity_a": (ba(a) - a).abs().mean()}
        if self.recipe.geometry_weight:
            terms |= {"turned_b": losses.turned_edges(a, fake_b), "turned_a": losses.turned_edges(b, fake_a)}
        return terms, (fake_a, fake_b)

    def weights(self) -> dict[str, float]:
        """Weights of the losses of the generators."""
        recipe = self.recipe
        identity = recipe.identity_weight * recipe.cycle_weight
        kinds = {"fool": 1.0, "cycle": recipe.cycle_weight, "identity": identity, "turned": recipe.geometry_weight}
        return {f"{kind}_{domain}": weight for kind, weight in kinds.items() for domain in "ab"}

    def step_judges(self, reals: tuple[Tensor, Tensor], fakes: tuple[Tensor, Tensor]) -> dict[str, float]:
        """Train both discriminators on real images and fakes of A and B; returns the losses by name."""
        self.networks.requires_grad_(False)
        terms = {}
        for name, real, fake in zip(("judge_a", "judge_b"), reals, fakes, strict=True):
            judge = self.networks[name].requires_grad_(True)
            terms[name] = losses.real_or_fake(judge(real), judge(fake.detach()))
        self._descend("judges", torch.stack(list(terms.values())).sum())
        return {name: value.item() for name, value in terms.items()}

    def _descend(self, name: str, loss: Tensor) -> None:
        self._optimisers[name].zero_grad(set_to_none=True)
        loss.backward()
        self._optimisers[name].step()

    def learning_rate(self, epoch: int) -> float:
        """Learning rate of an epoch: constant, then linear to 0 after the last epoch."""
        decayed = max(0, epoch + 1 - self.recipe.epochs)
        return self.recipe.learning_rate * (1 - decayed / (self.recipe.decay_epochs + 1))

    def batch(self, domain: int, number: int) -> Tensor:
        """Images (N, 3, H, W) of a step, some of them mirrored; an epoch has each crop of the larger style once."""
        crops = self._domains[domain]
        epoch, place = divmod(number, self.epoch_steps)
        random = self._random(epoch, 10 + domain)
        passes = -(-self.epoch_steps * self.recipe.batch_size // len(crops))
        order = np.concatenate([random.permutation(len(crops)) for _ in range(passes)])
        chosen = order[place * self.recipe.batch_size : (place + 1) * self.recipe.batch_size]
        images = pictures(crops[torch.from_numpy(chosen)].to(self._device))
        mirrored = torch.from_numpy(self._random(number, domain).random(len(chosen)) < 0.5).to(self._device)
        return torch.where(mirrored.view(-1, 1, 1, 1), images.flip(3), images)

    def _random(self, *numbers: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, *numbers])

    def state(self) -> dict[str, Any]:
        """State for the next step, as tensors and plain values."""
        return {
            "networks": self.networks.state_dict(),
            "optimisers": {name: item.state_dict() for name, item in self._optimisers.items()},
            "pools": [list(pool.stored) for pool in self.pools],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a :meth:`state`."""
        self.networks.load_state_dict(state["networks"])
        for name, item in self._optimisers.items():
            item.load_state_dict(state["optimisers"][name])
        for pool, stored in zip(self.pools, state["pools"], strict=True):
            pool.stored = [fake.to(self._device) for fake in stored]

    @torch.inference_mode()
    def samples(self) -> np.ndarray:
        """Images (R, 3, H, W, 3), uint8: up to three crops of each style, their renderings, and the way back."""
        rows = []
        for domain, (forth, back) in enumerate((("ab", "ba"), ("ba", "ab"))):
            crops = pictures(self._domains[domain][:3].to(self._device))
            rendered = self.networks[forth](crops)
            rows.append(torch.stack([crops, rendered, self.networks[back](rendered)], dim=1))
        levels = ((torch.cat(rows) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return levels.permute(0, 1, 3, 4, 2).cpu().numpy()
