"""The temporal network: its inputs, targets and decoding in closed form, and that it learns on a small set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mer_features.spotting import Event, Recording, Spot, convolutions, match, network
from mer_features.spotting.network import CHANNELS, Film, Stretches, decode, mirrored, prepare, scale, targets
from mer_features.spotting.options import Network
from mer_features.spotting.tuning import spot_by_subject
from mer_features.stages.signals import EXPRESSION

from .films import FROWN, Movement, events_of, film, without

TOY = Network(
    width=8, dilations=(1, 2, 4, 8), epochs=6, batches=10, batch=4, stretch_s=6, learning_rate=0.02, dropout=0,
    averaged_epochs=2,
)  # fmt: skip


def _toy(seconds: float = 30) -> tuple[dict, list[Recording], list[Event]]:
    """Four subjects with one recording, large events; the last without an event."""
    rng = np.random.default_rng(0)
    signals, recordings, events = {}, [], []
    for number in range(4):
        name = f"s{number}/a"
        moved = [
            Movement(2.0 + 3 * step + rng.uniform(0, 1), 0.15, 0.05, 0.15, 0.02) if step % 2 else
            Movement(2.0 + 3 * step + rng.uniform(0, 0.5), 0.4, 0.6, 0.4, 0.05, ("mouth_corner_right", "cheek_right"))
            for step in range(8)
        ]  # fmt: skip
        moved = moved if number < 3 else []
        signals[name] = film(seconds, 30, moved, seed=number)
        recordings.append(Recording(name, f"s{number}", "films", 1, round(seconds * 30), 30))
        events += events_of(name, moved, 30)
    return signals, recordings, events


def test_inputs_are_resampled_and_zero_where_the_face_was_lost():
    signals = without(film(20, 60, [Movement(5, 0.2, 0.1, 0.2, 0.02)], noise=0.0), slice(600, 660))
    inputs = prepare(signals, 25.0)
    assert inputs.values.shape == (CHANNELS, 500) == (65, 500)
    lost = inputs.values[-1] == 0
    assert np.flatnonzero(lost)[[0, -1]].tolist() == [250, 274]
    assert not inputs.values[:, lost].any()
    slow = inputs.values[30:60].reshape(15, 2, -1)[EXPRESSION.index(FROWN[0])]
    assert np.hypot(*slow).max() == pytest.approx(0.02, rel=0.05)
    assert np.hypot(*slow).argmax() / 25 == pytest.approx(5.25, abs=0.05)
    assert np.abs(inputs.values[:60].reshape(2, 15, 2, -1)[:, EXPRESSION.index("chin")]).max() < 1e-6


def test_nothing_folds_into_the_band():
    """Flicker of 24 Hz would become 1 Hz at 25 samples per second."""
    signals = film(20, 60, noise=0.0)
    flicker = 0.01 * np.sin(2 * np.pi * 24 * signals.time_s)
    inputs = prepare(replace(signals, motion=signals.motion + flicker[:, None, None].astype(np.float32)), 25.0)
    assert np.abs(inputs.values[:60, 50:-50]).max() < 0.0005


def test_the_mirrored_face_moves_to_the_other_side():
    one = film(10, 30, [Movement(4, 0.2, 0.1, 0.2, 0.02, ("brow_inner_right",), 0.4)], noise=0.0)
    other = film(10, 30, [Movement(4, 0.2, 0.1, 0.2, 0.02, ("brow_inner_left",), np.pi - 0.4)], noise=0.0)
    a, b = (prepare(replace(signals, lids=one.lids, residual=one.residual), 25.0).values for signals in (one, other))
    assert np.allclose(mirrored(a), b, atol=1e-6)
    assert np.array_equal(mirrored(mirrored(a)), a)
    size = scale([Film(a, 25.0, one)])
    assert np.allclose(np.abs(mirrored(size)), size)


def test_targets_are_one_in_an_event_and_peak_at_its_moments():
    inputs = prepare(film(20, 25), 25.0)
    events = [Event("r", 101, 111, "micro", 105), Event("r", 301, 351, "macro", None)]
    wanted, weights = targets(inputs, events)
    wanted, weights = wanted.reshape(2, 4, -1), weights.reshape(2, 4, -1)
    assert np.flatnonzero(wanted[0, 0]).tolist() == list(range(100, 111))
    assert np.flatnonzero(wanted[1, 0]).tolist() == list(range(300, 351))
    assert [int(values.argmax()) for values in wanted[0, 1:]] == [100, 104, 110]
    assert wanted[0, 1, 101] == pytest.approx(np.exp(-0.5), abs=1e-4)
    assert not wanted[1, 2].any()
    assert np.flatnonzero(weights[1, 2] == 0).tolist() == list(range(300, 351))
    assert weights[0].min() == 1


def test_perfect_outputs_are_decoded_to_the_events():
    signals = replace(film(20, 50), number=np.arange(1, 4001, 4))
    inputs = prepare(signals, 25.0)
    events = [
        Event("r", 401, 481, "micro", 441),
        Event("r", 600, 680, "micro", 640),
        Event("r", 1201, 2201, "macro", 1601),
    ]
    wanted, _ = targets(inputs, events)
    for kind in ("micro", "macro"):
        found = decode(wanted, inputs, "r", kind, 0.5)
        own = [event for event in events if event.kind == kind]
        assert len(found) == len(own)
        for spot, event in zip(found, own, strict=True):
            for end in ("onset", "apex", "offset"):
                assert getattr(spot, end) == pytest.approx(getattr(event, end), abs=8)
            assert spot.score == 1
    assert decode(np.zeros_like(wanted), inputs, "r", "micro", 0.5) == []


def test_decoding_ignores_what_was_not_seen_and_has_no_fixed_number():
    inputs = prepare(without(film(20, 25), slice(250, 300)), 25.0)
    outputs = np.zeros((8, 500), dtype=np.float32)
    outputs[0, 5::25] = outputs[0, 6::25] = outputs[0, 7::25] = outputs[0, 8::25] = 0.9
    found = decode(outputs, inputs, "r", "micro", 0.5)
    assert len(found) == 18
    assert all(isinstance(spot, Spot) and spot.score == pytest.approx(0.9) for spot in found)


def test_the_loss_is_the_focal_loss():
    logits, wanted = torch.tensor([[[0.0, 2.0]]]), torch.tensor([[[1.0, 0.0]]])
    p = 1 / (1 + np.exp(-2.0))
    expected = (4 * 0.25 * np.log(2) + p**2 * -np.log(1 - p)) / 2
    assert convolutions.loss(logits, wanted, torch.ones(1, 1, 2)).item() == pytest.approx(expected, rel=1e-5)
    half = convolutions.loss(logits, wanted, torch.tensor([[[1.0, 0.0]]])).item()
    assert half == pytest.approx(np.log(2), rel=1e-5)


def test_the_network_sees_ten_seconds_and_does_not_normalise_over_time():
    model = convolutions.Model(CHANNELS, 8, Network()).eval()
    for values in model.parameters():
        torch.nn.init.constant_(values, 0.01)  # every unit is active, so the gradient reaches all that is seen
    x = torch.zeros(1, CHANNELS, 601)
    x.requires_grad_(True)
    model(x)[0, 0, 300].backward()
    seen = torch.nonzero(x.grad[0].abs().sum(0)).flatten()
    assert (seen[0].item(), seen[-1].item()) == (300 - 126, 300 + 126)
    quiet = torch.randn(1, CHANNELS, 600)
    loud = torch.cat([quiet, 50 * torch.ones(1, CHANNELS, 600)], dim=2)
    with torch.inference_mode():
        assert torch.allclose(model(quiet)[..., :400], model(loud)[..., :400], atol=1e-5)


def test_half_of_the_stretches_have_an_event_and_others_come_from_everywhere():
    signals, _, events = _toy()
    films = {name: prepare(own, 25.0) for name, own in signals.items()}
    own = {name: [event for event in events if event.recording_id == name] for name in films}
    stretches = Stretches(films, own, TOY, [0])
    inputs, wanted, weights = stretches.batch()
    assert inputs.shape == (4, CHANNELS, 150)
    assert wanted.shape == weights.shape == (4, 8, 150)
    assert inputs.dtype == wanted.dtype == weights.dtype == np.float32
    assert wanted[::2, [0, 4]].max(axis=(1, 2)).min() > 0.9
    none = Stretches(films, {name: [] for name in films}, TOY, [0])
    assert not none.batch()[1].any()
    again = Stretches(films, own, TOY, [0]).batch()
    assert np.array_equal(again[0], inputs)
    assert not np.array_equal(stretches.batch()[0], inputs)


@pytest.fixture(scope="module")
def learnt():
    signals, recordings, events = _toy()
    return spot_by_subject(signals, recordings, events, TOY, 1)


def test_it_learns_and_is_quiet_without_events(learnt):
    _, recordings, events = _toy()
    counts = match(events, learnt.all()).counts
    assert counts.f1 > 0.6
    assert len(learnt.spots["s3/a"]) <= 1
    assert set(learnt.values["films/s0"]) == {"micro", "macro"}
    assert list(learnt.spots) == [recording.recording_id for recording in recordings]


def test_own_events_change_nothing_and_a_seed_gives_the_same(learnt):
    """One run with the events of the subject deleted shows both."""
    signals, recordings, events = _toy()
    others = [event for event in events if event.recording_id != "s1/a"]
    films = {name: prepare(own, TOY.rate_hz) for name, own in signals.items()}
    training = [recording for recording in recordings if recording.subject != "s1"]
    trained = network.train(films, training, others, TOY, 1)
    assert trained.spots(films["s1/a"], "s1/a") == learnt.spots["s1/a"]
    assert trained.thresholds == learnt.values["films/s1"]
    other = network.train(films, training, others, TOY.model_copy(update={"epochs": 1}), 2)
    assert not np.array_equal(trained.probabilities(films["s1/a"]), other.probabilities(films["s1/a"]))


def test_too_few_subjects():
    signals, recordings, events = _toy(10)
    films = {name: prepare(own, TOY.rate_hz) for name, own in signals.items()}
    with pytest.raises(ValueError, match="learn from 1 subject; expected at least 2"):
        network.train(films, recordings[:1], events, TOY, 0)
    lost = prepare(without(signals["s0/a"], slice(None)), 25.0)
    with pytest.raises(ValueError, match="followed in none of the training recordings"):
        scale([lost])
