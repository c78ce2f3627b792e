"""The magnification network: size, and what having no biases guarantees for any weights."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")

from mer_features.stages.magnify.network import (
    MagnificationNet,
    conv,
)


@pytest.fixture(scope="module")
def net():
    """Untrained, its weights large enough that every path counts."""
    torch.manual_seed(3)
    made = MagnificationNet()
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.08)
    return made.eval().requires_grad_(False)


def _image(seed: int, height: int = 24, width: int = 32) -> torch.Tensor:
    return torch.rand((1, 3, height, width), generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_parameter_counts_are_the_published_ones():
    counts = [sum(weight.numel() for weight in MagnificationNet(kernel).parameters()) for kernel in (3, 7)]
    assert counts == [877_968, 918_928]
    assert not [name for name, _ in MagnificationNet().named_parameters() if name.endswith("bias")]


def test_without_magnification_the_reference_is_not_seen(net):
    outputs = [net(_image(seed), _image(0), torch.tensor([1.0])) for seed in (1, 2)]
    assert torch.equal(*outputs)


def test_without_motion_the_factor_is_not_seen(net):
    outputs = [net(_image(0), _image(0), torch.tensor([m])) for m in (1.0, 3.0, 50.0)]
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])


def test_with_both_the_picture_changes(net):
    plain, magnified = (net(_image(1), _image(0), torch.tensor([m])) for m in (1.0, 3.0))
    assert (plain - magnified).abs().max() > 1e-3


def test_factors_of_a_batch_are_independent(net):
    first, second = torch.cat([_image(1), _image(2)]), torch.cat([_image(3), _image(4)])
    together = net(first, second, torch.tensor([2.0, 9.0]))
    alone = torch.cat([net(first[i : i + 1], second[i : i + 1], torch.tensor([m])) for i, m in ((0, 2.0), (1, 9.0))])
    assert (together - alone).abs().max() < 0.01 * alone.abs().max()  # other convolution kernels for other batches
    swapped = net(first, second, torch.tensor([9.0, 2.0]))
    assert (together - swapped).abs().max() > 0.1 * alone.abs().max()


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (7, 1), (3, 2)])
def test_a_flat_picture_has_no_border(kernel: int, stride: int):
    out = conv(2, 3, kernel, stride)(torch.full((1, 2, 16, 20), 0.7))
    assert out.shape == (1, 3, 16 // stride, 20 // stride)
    torch.testing.assert_close(out, out[:, :, :1, :1].expand_as(out))
