"""Networks and losses of the learned method against counts, closed forms and gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")

from torch import nn

from mer_features.stages.style.networks import (
    Discriminator,
    Generator,
    ResNet18,
    parameters,
)
from mer_features.training.options import TrainStyle
from mer_features.training.style import losses
from mer_features.training.style.cyclegan import (
    CycleGAN,
    Pool,
)

SMALL = TrainStyle(size=24, width=4, blocks=1, batch_size=2, epochs=2, decay_epochs=2, pool=3, feature_size=32)


def _gan(**changes) -> CycleGAN:
    random = torch.Generator().manual_seed(1)
    a, b = (torch.randint(0, 256, (count, 24, 24, 3), generator=random, dtype=torch.uint8) for count in (5, 3))
    return CycleGAN(a, b, SMALL.model_copy(update=changes), seed=0)


def _weights(gan: CycleGAN, *names: str) -> list[torch.Tensor]:
    return [item.detach().clone() for name in names for item in gan.networks[name].parameters()]


def _changed(before: list[torch.Tensor], after: list[torch.Tensor]) -> list[bool]:
    return [not torch.equal(one, other) for one, other in zip(before, after, strict=True)]


def test_networks_have_the_published_numbers_of_parameters():
    assert parameters(Generator()) == 7_837_699
    assert parameters(Discriminator()) == 2_764_737
    assert parameters(ResNet18(1000)) == 11_689_512


def test_shapes():
    x = torch.zeros(1, 3, 64, 64)
    assert Generator(4, 1)(x).shape == x.shape
    assert Discriminator(4)(x).shape == (1, 1, 6, 6)
    assert ResNet18(4, 8).features(x).shape == (1, 64)


def test_an_undecided_discriminator_costs_a_quarter():
    half = torch.full((2, 1, 5, 5), 0.5)
    assert losses.real_or_fake(half, half).item() == 0.25
    assert losses.fooled(half).item() == 0.25
    assert losses.real_or_fake(torch.ones(3), torch.zeros(3)).item() == 0
    assert losses.fooled(torch.ones(3)).item() == 0


def test_perfect_generators_cost_nothing_but_the_game():
    gan = _gan()
    gan.networks["ab"], gan.networks["ba"] = nn.Identity(), nn.Identity()
    terms, _ = gan.generator_losses(gan.batch(0, 0), gan.batch(1, 0))
    assert {name for name, value in terms.items() if value.item() == 0} == {
        "cycle_a", "cycle_b", "identity_a", "identity_b", "turned_a", "turned_b",
    }  # fmt: skip


def test_weights_of_the_losses_are_san_s():
    assert _gan().weights() == {
        "fool_a": 1, "fool_b": 1, "cycle_a": 10, "cycle_b": 10, "identity_a": 1, "identity_b": 1,
        "turned_a": 10, "turned_b": 10,
    }  # fmt: skip


def test_the_guard_measures_the_turn_of_edges():
    x = torch.linspace(-1, 1, 24)
    ramp = x.expand(1, 3, 24, 24)
    assert losses.turned_edges(ramp, ramp).item() == 0
    # Edges under a quarter turn: |n - n'| is 1 in both components; reversed: 2 in one of them.
    stripes = torch.sin(6 * x).expand(1, 3, 24, 24)
    turned = stripes.transpose(2, 3)
    assert losses.turned_edges(stripes, 0.5 * stripes).item() == pytest.approx(0, abs=0.02)
    assert losses.turned_edges(stripes, -stripes).item() == pytest.approx(1, abs=0.02)
    assert losses.turned_edges(stripes, turned).item() == pytest.approx(1, abs=0.25)


def test_sobel_of_a_ramp_is_its_slope():
    ramp = (0.1 * torch.arange(10.0)).expand(1, 3, 10, 10)
    found = losses.gradients(ramp)
    torch.testing.assert_close(found[0, 0], torch.full((8, 8), 0.1))
    torch.testing.assert_close(found[0, 1], torch.zeros(8, 8))


@pytest.mark.parametrize("flat", [False, True])
def test_gradients_of_every_loss_are_finite(flat: bool):
    gan = _gan()
    a, b = gan.batch(0, 0), gan.batch(1, 0)
    if flat:
        a, b = torch.zeros_like(a), torch.zeros_like(b)
    terms, fakes = gan.generator_losses(a, b)
    judged = {"judge": losses.real_or_fake(gan.networks["judge_a"](a), gan.networks["judge_a"](fakes[0]))}
    for value in (terms | judged).values():
        gan.networks.zero_grad()
        value.backward(retain_graph=True)
        assert all(item.grad is None or item.grad.isfinite().all() for item in gan.networks.parameters())


def test_a_step_changes_everybody_and_each_half_only_its_own():
    gan = _gan()
    makers, judges = ("ab", "ba"), ("judge_a", "judge_b")
    a, b = gan.batch(0, 0), gan.batch(1, 0)
    before = _weights(gan, *makers), _weights(gan, *judges)
    _, fakes = gan.step_generators(a, b)
    between = _weights(gan, *makers), _weights(gan, *judges)
    gan.step_judges((a, b), fakes)
    after = _weights(gan, *makers), _weights(gan, *judges)
    assert any(_changed(before[0], between[0]))
    assert not any(_changed(before[1], between[1]))
    assert any(_changed(between[1], after[1]))
    assert not any(_changed(between[0], after[0]))


def test_the_learning_rate_is_constant_then_falls_to_nothing():
    gan = _gan(epochs=2, decay_epochs=3, learning_rate=1.0)
    assert [gan.learning_rate(epoch) for epoch in range(5)] == pytest.approx([1, 1, 0.75, 0.5, 0.25])


def test_an_epoch_shows_every_crop_of_the_larger_style_once():
    gan = _gan()
    assert gan.epoch_steps == 3
    assert gan.steps == 12
    seen = torch.cat([gan.batch(0, number) for number in range(3)])[:5]
    originals = gan._domains[0].permute(0, 3, 1, 2).float() / 127.5 - 1
    either = [[torch.allclose(crop, item) or torch.allclose(crop.flip(2), item) for item in originals] for crop in seen]
    assert np.array(either).sum(axis=0).tolist() == [1] * 5


def test_a_pool_keeps_some_and_shows_old_ones():
    pool, random = Pool(2), np.random.default_rng(0)
    fakes = torch.arange(200.0).view(200, 1, 1, 1)
    shown = torch.cat([pool.exchange(part, random) for part in fakes.split(4)]).flatten()
    assert len(pool.stored) == 2
    assert shown[:2].tolist() == [0, 1]
    exchanged = (shown != fakes.flatten()).float().mean().item()
    assert abs(exchanged - 0.5) < 3 * math.sqrt(0.25 / 200)
    assert len(set(shown.tolist())) == 198  # the first two are shown twice, the two in store not yet
    passed = Pool(0).exchange(fakes, random)
    torch.testing.assert_close(passed, fakes)
