"""The region spotter on generated signals: what it finds, where, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mer_features.spotting.filters import blinks, frames_at, pieces, runs, speech
from mer_features.spotting.options import RegionSpotter
from mer_features.spotting.regions import Finding, measure, spot_film
from mer_features.stages.signals import REGIONS, Signals

from .films import FROWN, SMILE, Movement, film, without

OPTIONS = RegionSpotter(tune=False)
MICRO = Movement(3.0, 0.15, 0.05, 0.2, 0.006)
SHORT = Movement(13.0, 0.1, 0.0, 0.15, 0.012, SMILE, 0.3)
MACRO = Movement(7.0, 0.5, 1.0, 0.6, 0.03, SMILE, -2.0)


def _spots(signals: Signals, options: RegionSpotter = OPTIONS) -> list[Finding]:
    return spot_film(signals, "s/a", options)


def _seconds(signals: Signals, found: Finding) -> list[float]:
    """Onset, apex and offset in seconds."""
    frames = [found.spot.onset, found.spot.apex, found.spot.offset]
    return np.interp(frames, signals.number, signals.time_s).tolist()


@pytest.mark.parametrize("fps", [25, 30, 50, 60, 200])
def test_events_are_found_where_they_are(fps: int):
    signals = film(20, fps, [MICRO, MACRO, SHORT], drift=0.001)
    found = _spots(signals)
    assert [spotted.spot.kind for spotted in found] == ["micro", "macro", "micro"]
    for spotted, moved in zip(found, [MICRO, MACRO, SHORT], strict=True):
        onset, apex, offset = _seconds(signals, spotted)
        assert (onset, offset) == pytest.approx((moved.ends[0], moved.ends[2]), abs=0.1)
        assert moved.start + moved.rise - 0.1 < apex < moved.start + moved.rise + moved.plateau + 0.1
        assert spotted.peak == pytest.approx(moved.height, rel=0.35)
        assert 0 < spotted.noise < 0.0012
        assert spotted.rise_s == pytest.approx(moved.rise, abs=0.12)
        assert spotted.duration_s == pytest.approx(offset - onset, abs=2 / fps)
        assert 0 < spotted.spot.score < 1
        assert set(spotted.regions) <= set(moved.regions)
        assert len(spotted.regions) >= 2


def test_the_frame_rate_changes_no_second():
    coarse, fine = (film(20, fps, [MICRO, MACRO, SHORT], noise=0.0002) for fps in (25, 50))
    pairs = list(zip(_spots(coarse), _spots(fine), strict=True))
    assert len(pairs) == 3
    for one, other in pairs:
        assert _seconds(coarse, one)[::2] == pytest.approx(_seconds(fine, other)[::2], abs=0.05)
        assert one.spot.kind == other.spot.kind


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    "nuisance",
    [{}, {"noise": 0.002}, {"drift": 0.01}, {"blinks": (2, 4, 7.3, 11, 15, 21)}, {"speech": ((4, 9), (18, 20))}],
)
def test_nothing_is_found_without_an_event(nuisance: dict, seed: int):
    assert _spots(film(24, 30, seed=seed, **nuisance)) == []


def test_the_threshold_follows_the_noise_not_the_largest_motion():
    """A weak event is found beside a strong one, and the same event in strong noise is not."""
    beside = _spots(film(20, 30, [MICRO, replace(MACRO, height=0.1)]))
    assert [spotted.spot.kind for spotted in beside] == ["micro", "macro"]
    assert _spots(film(20, 30, [MICRO], noise=0.003)) == []


def test_frame_numbers_are_those_of_the_recording():
    signals = film(20, 50, [SHORT])
    shifted = replace(signals, number=1000 + 4 * np.arange(len(signals.number)))  # every 4th of a film of 200 Hz
    (one,), (other,) = _spots(signals), _spots(shifted)
    for end in ("onset", "apex", "offset"):
        assert getattr(other.spot, end) == pytest.approx(1000 + 4 * (getattr(one.spot, end) - 1), abs=2)


def test_a_change_of_the_pose_is_no_event():
    """Regions move to another place and stay there, and the nose with them."""
    signals = film(30, 30)
    step = 0.03 * Movement(12, 0.6, 30, 1, 1.0).profile(signals.time_s)
    assert _spots(replace(signals, motion=(signals.motion + step[:, None, None]).astype(np.float32))) == []


def test_what_the_nose_does_is_the_head():
    signals = film(20, 30, [replace(MACRO, regions=REGIONS)])
    assert _spots(signals) == []
    assert len(_spots(film(20, 30, [MACRO]))) == 1


def test_motion_around_the_eyes_counts_less_in_a_blink():
    weak = replace(MICRO, height=0.0045)
    assert len(_spots(film(20, 30, [weak], noise=0.0002))) == 1
    blink = film(20, 30, [weak], noise=0.0002, blinks=[weak.start + 0.05])
    assert _spots(replace(blink, motion=film(20, 30, [weak], noise=0.0002).motion)) == []
    mouth = replace(weak, regions=SMILE[:2])
    assert len(_spots(film(20, 30, [mouth], noise=0.0002, blinks=[mouth.start + 0.05]))) == 1


def test_a_wink_is_not_a_blink():
    signals = film(20, 30, blinks=[5, 9])
    both = blinks(pieces(signals, 5, 50))
    assert both.mean(axis=1) == pytest.approx([5.1, 9.1], abs=0.06)
    open_eye = signals.lids.copy()
    open_eye[:, 0] = 0
    assert len(blinks(pieces(replace(signals, lids=open_eye), 5, 50))) == 0


def test_an_expression_larger_than_speech_is_found_in_it():
    talking = film(20, 30, [replace(MACRO, regions=(*SMILE, "lower_lip", "chin"), height=0.08)], speech=[(4, 12)])
    found = _spots(talking)
    assert [spotted.spot.kind for spotted in found] == ["macro"]
    (part,) = pieces(talking, 5, 50)
    size = speech(part)[:, REGIONS.index("lower_lip")]
    assert size[part.time_s < 2.4].max() == 0
    assert 0.02 < np.median(size[(part.time_s > 5) & (part.time_s < 11)]) < 0.06
    assert len(_spots(film(20, 30, speech=[(4, 12)]), RegionSpotter(tune=False, speech_factor=0))) > 5


def test_a_badly_registered_head_is_no_event():
    signals = film(20, 30, [MACRO])
    residual = signals.residual.copy()
    residual[230:240] = 0.02
    assert len(_spots(signals)) == 1
    assert _spots(replace(signals, residual=residual)) == []


def test_short_gaps_are_bridged_and_long_ones_are_not_crossed():
    signals = film(20, 30, [MICRO, MACRO])
    assert len(_spots(without(signals, slice(216, 219)))) == 2
    longer = _spots(without(signals, slice(225, 240)))
    assert [spotted.spot.kind for spotted in longer] == ["micro"]
    repeated = signals.repeated.copy()
    repeated[95] = True
    motion = signals.motion.copy()
    motion[95] = 1
    assert len(_spots(replace(signals, repeated=repeated, motion=motion))) == 2


def test_no_spot_crosses_a_segment():
    """In every segment, motion begins anew at 0."""
    signals = film(20, 30, [MICRO])
    segment = np.where(signals.time_s < 10, 0, 1).astype(np.int32)
    motion = signals.motion + (0.2 * segment)[:, None, None]
    found = _spots(replace(signals, segment=segment, motion=motion.astype(np.float32)))
    assert len(found) == 1
    cut = np.where(signals.time_s < 3.2, 0, 1).astype(np.int32)
    numbers = signals.number[cut == 1]
    for spotted in _spots(replace(signals, segment=cut)):
        assert spotted.spot.offset < numbers[0] or spotted.spot.onset >= numbers[0]


def test_a_region_that_is_never_measured_counts_for_nothing():
    signals = film(20, 30, [MICRO])
    motion = signals.motion.copy()
    motion[:, REGIONS.index(FROWN[0])] = np.nan
    (spotted,) = _spots(replace(signals, motion=motion))
    assert FROWN[0] not in spotted.regions
    assert _spots(replace(signals, motion=np.full_like(motion, np.nan))) == []


def test_neighbours_are_split_and_regions_are_joined():
    pair = [replace(MACRO, start=6, plateau=0.2), replace(MACRO, start=7.5, plateau=0.2)]
    found = _spots(film(20, 30, pair, noise=0.0003))
    assert len(found) == 2
    assert found[0].spot.offset <= found[1].spot.onset + 3
    assert all(len(spotted.regions) == 4 for spotted in found)


def test_a_movement_to_the_other_side_is_another_one():
    there, back = (
        replace(MACRO, start=5, plateau=0.3),
        replace(MACRO, start=8.5, height=0.012, angle=MACRO.angle + np.pi),
    )
    signals = film(20, 30, [there, back], drift=0.001)
    assert [_seconds(signals, spotted)[::2] for spotted in _spots(signals)] == [
        pytest.approx([moved.ends[0], moved.ends[2]], abs=0.15) for moved in (there, back)
    ]


def test_a_micro_expression_on_top_of_a_macro_expression():
    long = Movement(5, 0.5, 3, 0.6, 0.03, SMILE)
    found = _spots(film(20, 30, [long, replace(MICRO, start=6.8)], noise=0.0004))
    assert sorted(spotted.spot.kind for spotted in found) == ["macro", "micro"]


def test_the_kind_may_follow_from_the_rise():
    slow_fall = Movement(5, 0.15, 0.1, 0.9, 0.02)
    by_rise = RegionSpotter(tune=False, kind_rule="rise", values={"micro_s": 0.27})
    assert [spotted.spot.kind for spotted in _spots(film(20, 30, [slow_fall]))] == ["macro"]
    assert [spotted.spot.kind for spotted in _spots(film(20, 30, [slow_fall]), by_rise)] == ["micro"]


@pytest.mark.parametrize("boundary", [0.1, 0.2, 0.3, 0.45])
def test_the_ends_of_a_cosine_do_not_depend_on_the_boundary(boundary: float):
    moved = Movement(2.0, 0.4, 0.3, 0.8, 1.0)
    time = np.arange(600) / 100
    shape = measure(moved.profile(time), 250, 300, boundary, 0.33)
    assert shape is not None
    assert (shape.onset / 100, shape.offset / 100) == pytest.approx((moved.ends[0], moved.ends[2]), abs=0.005)
    assert shape.height == 1
    assert measure(time, 250, 200, boundary, 0.33) is None


def test_frames_between_analysed_frames_are_interpolated():
    signals = replace(film(2, 50), number=np.arange(1, 401, 4))
    assert frames_at(signals, np.array([0, 0.01, 0.02, 99])).tolist() == [1, 3, 5, 397]


def test_runs():
    assert list(runs(np.array([1, 1, 0, 0, 1], dtype=bool))) == [(0, 2), (4, 5)]
    assert list(runs(np.zeros(3, dtype=bool))) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"macro_window_s": 2, "micro_window_s": 3}, "not longer than micro_window_s 3"),
        ({"grid": {"noise_factor": range(1, 30)}}, "6264 combinations .* at most 500"),
        ({"grid": {"boundary": (0.7,)}}, "less than 0.5"),
        ({"values": {"overlap": 0}}, "greater than 0"),
    ],
)
def test_options_out_of_bounds(options: dict, words: str):
    with pytest.raises(ValueError, match=words):
        RegionSpotter(**options)
