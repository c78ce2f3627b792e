"""Training of the magnifier: its losses, its steps, and that neither a kill nor a machine's width changes a bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")
safetensors = pytest.importorskip("safetensors.torch", reason="the train extra is not installed")

from mer_features import cli
from mer_features.stages.magnify import learned
from mer_features.stages.magnify.network import (
    Codes,
    MagnificationNet,
)
from mer_features.systems.common.contract import Execution
from mer_features.training.magnifier import train
from mer_features.training.magnifier.train import (
    Batch,
)
from mer_features.training.options import MagnifierTraining

OPTIONS = MagnifierTraining(steps=4, size_px=32, face_share=0.0, warmup_steps=2, seed=5)


@pytest.fixture(autouse=True)
def _few_pairs_for_the_gain(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(train, "_GAIN_PAIRS", 2)


def _batch(size: int = 16) -> Batch:
    source = torch.Generator().manual_seed(0)
    frames = [torch.rand((2, 3, size, size), generator=source) * 2 - 1 for _ in range(5)]
    return Batch(*frames, torch.tensor([3.0, 7.0]), torch.ones((2, 1, size, size)), torch.ones((2, 1, 1, 1)))


def _fixed(picture: torch.Tensor, codes: Codes) -> SimpleNamespace:
    """Codes and a picture that are given, not made."""
    return SimpleNamespace(
        encoder=lambda _: codes,
        manipulator=lambda _, moved, __: moved,
        decoder=lambda _, __: picture,
    )


def test_the_optimum_has_no_loss():
    batch, same = _batch(), torch.ones((2, 32, 4, 4))
    terms = train.losses(
        _fixed(torch.cat([batch.target, batch.still]), Codes(same.repeat(4, 1, 1, 1), same.repeat(4, 1, 1, 1))), batch
    )
    assert [float(term) for term in terms] == [0, 0, 0, 0, 0]


def test_each_loss_compares_its_own_pair():
    batch = _batch()
    level = torch.tensor([1.0, 2.0, 4.0, 8.0]).repeat_interleave(2).reshape(8, 1, 1, 1)  # of A, B, C, Y
    pictures = torch.cat([batch.target + 0.5, batch.still + 0.25])
    terms = train.losses(_fixed(pictures, Codes(level, 10 * level)), batch)
    assert [float(term) for term in terms] == pytest.approx([0.375, 0.25, 4 - 1, 8 - 2, 10 * (4 - 2)])
    assert float(terms.total(0.1)) == pytest.approx(0.375 + 0.25 + 0.1 * (3 + 6 + 20))


def test_pictures_count_by_the_weights_of_their_pixels():
    batch, same = _batch(), torch.ones((2, 32, 4, 4))
    left = torch.zeros_like(batch.weight)
    left[..., :8] = 3.0
    wrong = torch.zeros_like(batch.target)
    wrong[..., :4], wrong[..., 8:] = 0.5, 9.0  # the right half has no weight
    pictures = torch.cat([batch.target + wrong, batch.still])
    codes = Codes(same.repeat(4, 1, 1, 1), same.repeat(4, 1, 1, 1))
    terms = train.losses(_fixed(pictures, codes), batch._replace(weight=left))
    assert [float(term) for term in terms[:2]] == pytest.approx([3 * 0.5 / 4 / 2, 3 * 0.5 / 4])


def test_weights_of_pixels_go_with_the_contrast():
    made = train.recipe(OPTIONS)
    options = [OPTIONS.model_copy(update={"detail": detail}) for detail in (0.0, 1.0, 2.0)]
    plain, once, twice = (train.Samples(each)[0].weight for each in options)
    assert (plain == 1).all()
    assert once.shape == (1, 32, 32)
    assert once.max() > 2 * once.min()
    torch.testing.assert_close(twice, once**2)
    slope = train.pairs.local_slope(train.pairs.make(made, 0).still)
    assert np.corrcoef(slope.ravel(), once.numpy().ravel())[0, 1] < -0.5


def test_the_change_counts_by_its_emphasis_and_nothing_else_does():
    batch, same = _batch(), torch.ones((2, 32, 4, 4))
    codes = Codes(same.repeat(4, 1, 1, 1), same.repeat(4, 1, 1, 1))
    pictures = torch.cat([batch.target + 0.5, batch.still])
    emphasis = torch.tensor([3.0, 1.0]).reshape(2, 1, 1, 1)
    plain, raised = (train.losses(_fixed(pictures, codes), each) for each in (batch, batch._replace(emphasis=emphasis)))
    assert float(raised.change) == pytest.approx(2 * float(plain.change))
    assert float(raised.picture) == float(plain.picture)


def test_small_motions_are_emphasised_by_what_magnification_adds_to_them():
    options = OPTIONS.model_copy(update={"small_motion": 1.0, "steps": 20})
    for index in range(20):
        pair = train.pairs.make(train.recipe(options), index)
        added = (pair.factor - 1) * np.hypot(*pair.motion).max()
        expected = 2.5 / (added + 0.5) if pair.motion.any() else 1.0
        assert float(train.Samples(options)[index].emphasis) == pytest.approx(expected, rel=1e-5)
    assert float(train.Samples(OPTIONS)[0].emphasis) == 1


def test_code_losses_ignore_the_decoder():
    net = MagnificationNet()
    train.initialise(net, 0)
    terms = train.losses(net, _batch())
    for term in terms[2:]:
        found = torch.autograd.grad(term, list(net.parameters()), retain_graph=True, allow_unused=True)
        reached = {
            name.split(".")[0]
            for (name, _), grad in zip(net.named_parameters(), found, strict=True)
            if grad is not None
        }
        assert reached == {"encoder"}


def test_every_weight_gets_a_finite_gradient_from_every_loss_that_it_serves():
    net = MagnificationNet()
    train.initialise(net, 0)
    train.losses(net, _batch()).total(0.1).backward()
    for name, weight in net.named_parameters():
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all(), name
        assert weight.grad.abs().sum() > 0, name


def test_weights_start_so_that_blocks_are_nearly_the_identity():
    net = MagnificationNet()
    train.initialise(net, 0)
    picture = torch.rand((1, 3, 32, 32), generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        trunk = net.encoder.trunk[:4](picture)
        for block in [*net.encoder.trunk[4], *net.encoder.shape]:
            change = block(trunk) - trunk
            assert 0 < change.std() < 0.3 * trunk.std()
        assert 0.2 < trunk.std() / picture.std() < 5


def test_the_rate_rises_stays_and_falls():
    options = MagnifierTraining(steps=1000, rate=1e-3, warmup_steps=10, decay_share=0.2)
    rates = [train.rate_at(options, step) for step in range(1000)]
    assert rates[0] == pytest.approx(1e-4)
    assert rates[9:801] == [1e-3] * 792
    assert rates[900] == pytest.approx(5e-4)
    assert rates[-1] == pytest.approx(1e-3 / 200)


def test_two_runs_give_the_same_bits_on_any_number_of_threads_and_processes(tmp_path: Path):
    outputs = [tmp_path / f"{name}.safetensors" for name in ("one", "two")]
    train.train(OPTIONS, outputs[0], Execution("cpu", threads=1))
    train.train(OPTIONS, outputs[1], Execution("cpu", threads=2, workers=1))
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    train.train(OPTIONS.model_copy(update={"seed": 6}), outputs[1], Execution("cpu"))
    assert outputs[0].read_bytes() != outputs[1].read_bytes()


class _Killed(BaseException):
    """Nothing that the code under test could catch."""


def test_a_killed_run_goes_on_at_its_step_and_ends_with_the_same_bits(tmp_path: Path, monkeypatch):
    whole, cut = tmp_path / "whole.safetensors", tmp_path / "cut.safetensors"
    train.train(OPTIONS, whole, Execution("cpu"), checkpoint_steps=2)
    drawn: list[int] = []
    make = train.pairs.make

    def stops(recipe, index):
        drawn.append(index)
        if index == 6:  # the fourth step's first sample
            raise _Killed
        return make(recipe, index)

    monkeypatch.setattr(train.pairs, "make", stops)
    with pytest.raises(_Killed):
        train.train(OPTIONS, cut, Execution("cpu"), checkpoint_steps=2)
    assert not cut.exists()
    drawn.clear()
    monkeypatch.setattr(train.pairs, "make", lambda recipe, index: drawn.append(index) or make(recipe, index))
    train.train(OPTIONS, cut, Execution("cpu"), checkpoint_steps=2)
    assert drawn == [4, 5, 6, 7]
    assert cut.read_bytes() == whole.read_bytes()
    curves = [path.with_name(f"{path.name}.csv").read_text() for path in (whole, cut)]
    assert curves[0] == curves[1]
    assert curves[0].splitlines()[0] == "step,picture,change,texture_reference,texture_moved,shape"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f"{path.name}{end}" for path in (whole, cut) for end in ("", ".csv")
    )


def _stopped(path: Path, options: MagnifierTraining) -> train._Run:
    """A run with a checkpoint after two steps."""
    run = train._Run(options, path, Execution("cpu"))
    run.step = 2
    run._write_checkpoint()
    return run


def test_more_steps_may_be_asked_for_before_the_rate_falls(tmp_path: Path):
    path = tmp_path / "w.safetensors"
    _stopped(path, OPTIONS)
    assert train._Run(OPTIONS.model_copy(update={"steps": 9}), path, Execution("cpu")).step == 2
    late = OPTIONS.model_copy(update={"steps": 2, "decay_share": 1.0})
    with pytest.raises(ValueError, match="other options"):
        train._Run(late, path, Execution("cpu"))


def test_training_goes_on_from_given_weights(tmp_path: Path):
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    train.train(OPTIONS.model_copy(update={"g_kernel": 7}), first, Execution("cpu"))
    onward = OPTIONS.model_copy(update={"start": first, "rate": 1e-9, "steps": 2})
    train.train(onward, second, Execution("cpu"))
    before, after = (learned.network(path).state_dict() for path in (first, second))
    assert before["manipulator.g.weight"].shape[-1] == 7
    for name, weight in before.items():
        assert (after[name] - weight).abs().max() < 1e-7
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no weights")
    with pytest.raises(ValueError, match=r"broken\.safetensors: not a safetensors file"):
        train.train(onward.model_copy(update={"start": broken}), tmp_path / "w.safetensors", Execution("cpu"))


class _Linear:
    """A network that shows a share of the linear answer, shape being the picture itself."""

    def __init__(self, share: float) -> None:
        self.share = share

    def eval(self):
        return self

    def requires_grad_(self, _):
        return self

    def encoder(self, image):
        return Codes(image, image)

    def manipulator(self, reference, moved, factor):
        return moved + self.share * (factor - 1) * (moved - reference)

    def decoder(self, _, shape):
        return shape


@pytest.mark.parametrize("share", [1.0, 0.8, 0.6, 0.1])
def test_the_gain_makes_up_for_what_a_network_falls_short_of(share: float, monkeypatch):
    """Motions so small and free of noise that the linear answer is right."""
    monkeypatch.setattr(train, "_NOISE", 0.0)
    monkeypatch.setattr(train, "_GAIN_PAIRS", 8)
    made = train.recipe(OPTIONS)
    clean = replace(made, quantised=False, motion_px=(0.05, 0.05), reach_px=0.5, factor=(2.0, 6.0))
    monkeypatch.setattr(train, "recipe", lambda _: clean)
    found = train.measure_gain(_Linear(share), OPTIONS)
    assert found == pytest.approx(min(1 / share, learned.MOST_GAIN), rel=0.08)


def test_a_file_states_its_gain_and_the_magnifier_asks_for_that_much_more(tmp_path: Path):
    net = MagnificationNet()
    train.initialise(net, 0)
    random = np.random.default_rng(0)
    reference, moved = random.integers(0, 255, (2, 16, 16, 3), np.uint8)
    for name, about in (("plain", {}), ("stated", {learned.GAIN: 1.5})):
        train.save(net, tmp_path / name, about)
    plain, stated = (learned.load(tmp_path / name) for name in ("plain", "stated"))
    assert (plain.gain, stated.gain) == (1.0, 1.5)
    np.testing.assert_array_equal(stated(reference, moved, 3.0), plain(reference, moved, 4.0))
    np.testing.assert_array_equal(stated(reference, moved, 1.0), moved)


@pytest.mark.parametrize("about", ['{"gain": NaN}', '{"gain": 0.5}', '{"gain": 3}', '{"gain": []}', "[]", "gain"])
def test_a_gain_that_is_none_is_refused(about: str, tmp_path: Path):
    safetensors.save_file(MagnificationNet().state_dict(), tmp_path / "w", {learned.ABOUT: about})
    with pytest.raises(learned.WeightsError, match="expected a gain"):
        learned.load(tmp_path / "w")


@pytest.mark.parametrize("key", ["objects", "object_radius"])
@pytest.mark.parametrize("value", [(3, 1), (-1, 2)])
def test_ranges_that_are_none_are_refused(key: str, value: tuple[int, int]):
    with pytest.raises(ValueError, match="smallest <= largest"):
        MagnifierTraining.model_validate({key: value})


def test_objects_are_drawn_as_the_options_say():
    found = train.recipe(OPTIONS.model_copy(update={"objects": (0, 4), "object_radius": (0.1, 0.5)}))
    assert (found.objects, found.object_radius) == ((0, 4), (0.1, 0.5))
    assert train.recipe(OPTIONS.model_copy(update={"lamp": 0.1})).lamp == 0.1


def test_a_checkpoint_of_other_options_is_refused(tmp_path: Path):
    path = tmp_path / "w.safetensors"
    _stopped(path, OPTIONS)
    with pytest.raises(ValueError, match="other options"):
        train.train(OPTIONS.model_copy(update={"seed": 1}), path, Execution("cpu"))


def test_a_checkpoint_is_not_unpickled(tmp_path: Path):
    path = tmp_path / "w.safetensors"
    torch.save({"step": Path("x")}, tmp_path / "w.safetensors.checkpoint")
    with pytest.raises(Exception, match=r"[Ww]eights.only"):
        train.train(OPTIONS, path, Execution("cpu"))


def test_losses_that_blow_up_stop_the_run(tmp_path: Path):
    run = _stopped(tmp_path / "w.safetensors", OPTIONS)
    run.step, run.sums = 4, torch.full((5,), float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        run._write_checkpoint()


def test_the_command_line_trains_on_a_folder_and_its_weights_load(tmp_path: Path, capsys):
    random = np.random.default_rng(0)
    for number in range(2):
        cv2.imwrite(str(tmp_path / f"{number}.png"), random.integers(0, 255, (64, 64, 3), np.uint8))
    config = tmp_path / "c.yaml"
    config.write_text("train_magnifier: {steps: 9, face_share: 0.0, batch: 1}\n")
    output = tmp_path / "own" / "w.safetensors"
    command = ["train-magnifier", str(tmp_path), "-o", str(output), "--steps", "2", "--size", "32", "--seed", "1"]
    assert cli.main([*command, "--config", str(config), "--device", "cpu"]) == 0
    assert "wrote" in capsys.readouterr().out
    picture = random.integers(0, 255, (20, 20, 3), np.uint8)
    assert learned.load(output)(picture, picture, 4.0).shape == picture.shape
    assert cli.main(["train-magnifier", str(tmp_path / "own"), "-o", str(output), "--steps", "1"]) == 2
    assert "no image found" in " ".join(capsys.readouterr().err.split())


def test_a_checkpoint_of_other_code_is_not_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "w.safetensors"
    run = train._Run(OPTIONS, path, Execution("cpu"))
    run.step = 1
    run._write_checkpoint()
    assert train._Run(OPTIONS, path, Execution("cpu")).step == 1
    monkeypatch.setattr(train.fingerprint, "of", lambda *_: "edited")
    assert train._Run(OPTIONS, path, Execution("cpu")).step == 0
