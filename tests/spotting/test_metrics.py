"""Matching and metrics of spotting, against worked examples, brute force and published counts."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mer_features.spotting import Counts, Event, Pair, Recording, Spot, average_precision, match, metrics, score
from mer_features.spotting.metrics import apex_errors, boundary_errors, f1_interval, false_per_minute, frame_counts, iou
from mer_features.spotting.recognition import VARIANTS, analyse, joint, strs

from .cases import CASES, rows

RIGHT = {
    "equality": (1, 0, 0, 1), "10 of 19": (1, 0, 0, 1), "wide over two": (1, 0, 1, 2 / 3),
    "overlapping events": (1, 0, 1, 2 / 3), "double": (1, 1, 0, 2 / 3), "order": (2, 0, 0, 1),
    "without event": (1, 3, 0, 0.4), "silent": (1, 0, 1, 2 / 3), "poor then good": (1, 1, 0, 2 / 3),
    "one frame": (1, 0, 0, 1), "greedy": (2, 0, 0, 1),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_counts_of_the_worked_examples(case: str):
    _, events, spots = rows(CASES[case])
    counts = match(events, spots).counts
    assert (counts.tp, counts.fp, counts.fn, counts.f1) == pytest.approx(RIGHT[case])


def test_the_overlap_counts_both_ends():
    assert iou(Event("r", 10, 30), Spot("r", 16, 36)) == Fraction(15, 27)
    assert iou(Event("r", 10, 30), Spot("r", 31, 36)) == 0


def test_published_counts_give_the_published_f1():
    mdmd = Counts(130, 6558 - 130, 357 - 130)  # MDMD on CAS(ME)2, both kinds
    assert round(mdmd.f1, 4) == 0.0376
    casme3, samm = Counts(4, 6, 32), Counts(6, 65, 25)  # 3D-CNN baseline of MEGC 2022
    assert [round(part.f1, 4) for part in (casme3, samm, casme3 + samm)] == [0.1739, 0.1176, 0.1351]
    assert round(Counts(18, 327, 39).f1, 4) == 0.0896  # SOFTNet's published weights on CAS(ME)2


def test_ratios_without_denominator():
    assert math.isnan(Counts(0, 0, 3).precision)
    assert Counts(0, 0, 3).f1 == Counts(0, 3, 0).f1 == Counts(0, 0, 3).recall == 0
    assert math.isnan(Counts(0, 3, 0).recall)
    assert math.isnan(Counts().f1)


def test_a_spot_hits_events_of_its_kind_only():
    events, spots = [Event("r", 10, 20, "macro")], [Spot("r", 10, 20, "micro")]
    matching = match(events, spots)
    assert matching.of_kind("micro").counts == Counts(0, 1, 0)
    assert matching.of_kind("macro").counts == Counts(0, 0, 1)
    assert matching.counts == Counts(0, 1, 1)
    regardless = match(events, spots, kinds=False)
    assert regardless.counts == Counts(1, 0, 0)
    assert regardless.of_kind("macro").counts == Counts(1, 0, 0)  # as if the spot had the kind of its event
    assert regardless.of_kind("micro").counts == Counts()


def _brute(events: list[Event], spots: list[Spot], least: Fraction) -> tuple[int, Fraction]:
    """Largest number of hits and, for it, the largest sum of IoU, by trying all assignments."""
    if not events:
        return 0, Fraction(0)
    best = _brute(events[1:], spots, least)
    for position, spot in enumerate(spots):
        if (overlap := iou(events[0], spot)) >= least:
            hits, total = _brute(events[1:], spots[:position] + spots[position + 1 :], least)
            best = max(best, (hits + 1, total + overlap))
    return best


def test_the_assignment_is_the_best_of_all():
    rng = random.Random(0)
    sizes = set()
    for _ in range(1000):
        threshold = rng.choice([0.2, 0.3, 0.5, 0.55])
        events, spots = (
            [kind("r", onset, onset + rng.randint(0, 9)) for onset in rng.choices(range(16), k=rng.randint(0, 5))]
            for kind in (Event, Spot)
        )
        pairs = match(events, spots, threshold).pairs
        total = sum((iou(pair.event, pair.spot) for pair in pairs), Fraction(0))
        assert (len(pairs), total) == _brute(events, spots, Fraction(str(threshold)))
        sizes.add(len(pairs))
    assert sizes == {0, 1, 2, 3, 4, 5}


def test_thresholds_are_exact_and_bounded():
    events, spots = [Event("r", 1, 20)], [Spot("r", 1, 11)]
    assert match(events, spots, 0.55).counts.tp == 1  # 11/20, which no float is
    assert match(events, spots, 0.551).counts.tp == 0
    assert match(events, spots, 1.0).counts.tp == 0
    for wrong in (0, 1.1, -0.5):
        with pytest.raises(ValueError, match="above 0 and at most 1"):
            match(events, spots, wrong)


# Properties of any result.

_ENDS = st.tuples(st.integers(1, 40), st.integers(0, 12))
_KIND = st.sampled_from(["micro", "macro"])
_NAME = st.sampled_from(["a/1", "a/2", "b/1"])
WORDS = ["positive", "negative"]
_WORD = st.sampled_from(["", *WORDS])
EVENT = st.builds(
    lambda name, ends, kind, word, apex: Event(name, ends[0], sum(ends), kind, ends[0] + apex, word),
    _NAME, _ENDS, _KIND, _WORD, st.integers(0, 3),
)  # fmt: skip
SPOT = st.builds(
    lambda name, ends, kind, word, value: Spot(name, ends[0], sum(ends), kind, ends[0], word, score=value / 8),
    _NAME, _ENDS, _KIND, _WORD, st.integers(0, 8),
)  # fmt: skip
EVENTS, SPOTS = st.lists(EVENT, max_size=8), st.lists(SPOT, max_size=8)
FILMS = [Recording(name, name[0], first=1, last=60, fps=30.0) for name in ("a/1", "a/2", "b/1", "b/2")]


def _all(events: list[Event], spots: list[Spot]) -> dict[str, Any]:
    return score(events, spots, FILMS, WORDS)


def _equal(one: Any, other: Any) -> bool:
    """Equality in which NaN equals NaN."""
    return repr(one) == repr(other)


@settings(max_examples=30, deadline=None)
@given(EVENTS, SPOTS, st.randoms(use_true_random=False))
def test_the_order_of_the_tables_changes_nothing(events: list[Event], spots: list[Spot], rng: random.Random):
    before = _all(events, spots)
    rng.shuffle(events)
    rng.shuffle(spots)
    assert _equal(_all(events, spots), before)


@settings(max_examples=30, deadline=None)
@given(st.lists(EVENT, min_size=1, max_size=8))
def test_the_events_themselves_score_one(events: list[Event]):
    spots = [Spot(e.recording_id, e.onset, e.offset, e.kind, e.apex, e.emotion, 1.0) for e in events]
    result = _all(events, spots)
    for kind in {event.kind for event in events} | {"overall"}:
        part = result["spotting"][kind]
        assert part["f1"] == part["f1_strict"] == part["average_precision"] == part["frames"]["f1"] == 1
        assert part["false_per_minute"] == 0
    if result["recognition"] is not None:
        assert result["recognition"]["joint"]["f1"] == result["recognition"]["present"]["strs"] == 1


@settings(max_examples=150, deadline=None)
@given(EVENTS, SPOTS, _KIND, st.integers(0, 8))
def test_a_false_spot_never_helps(events: list[Event], spots: list[Spot], kind: str, value: int):
    more = [*spots, Spot("b/1", 200, 210, kind, 205, "positive", value / 8)]  # meets no event
    for kinds in (True, False):
        before, after = match(events, spots, kinds=kinds), match(events, more, kinds=kinds)
        assert after.pairs == before.pairs
        assert not after.counts.precision > before.counts.precision
        assert not after.counts.f1 > before.counts.f1
    assert not average_precision(events, more) > average_precision(events, spots)
    assert not joint(match(events, more), WORDS).f1 > joint(match(events, spots), WORDS).f1
    for variant in VARIANTS:
        one, other = (
            strs(matching.counts, analyse(matching.pairs, WORDS, variant))
            for matching in (match(events, spots), match(events, more))
        )
        assert not other > one


@settings(max_examples=150, deadline=None)
@given(EVENTS, SPOTS, SPOT)
def test_another_spot_hits_at_most_one_more_event(events: list[Event], spots: list[Spot], another: Spot):
    before, after = match(events, spots).counts, match(events, [*spots, another]).counts
    assert after.tp - before.tp in {0, 1}
    if after.tp == before.tp and before.events + before.spots:
        assert after.f1 <= before.f1


@settings(max_examples=100, deadline=None)
@given(EVENTS, SPOTS, st.integers(-5, 10**8))
def test_counts_add_up_and_do_not_depend_on_the_start(events: list[Event], spots: list[Spot], shift: int):
    counts = match(events, spots).counts
    parts = [
        match([e for e in events if e.recording_id == film.recording_id], [
            s for s in spots if s.recording_id == film.recording_id
        ]).counts
        for film in FILMS
    ]  # fmt: skip
    assert sum(parts, Counts()) == counts
    assert counts.tp <= min(len(events), len(spots))
    moved = (
        [replace(row, onset=row.onset + shift, offset=row.offset + shift) for row in table] for table in (events, spots)
    )
    assert match(*moved).counts == counts  # type: ignore[arg-type]


# Single measures.


def test_average_precision_of_three_spots():
    events = [Event("r", 1, 10), Event("r", 31, 40)]
    spots = [Spot("r", 1, 10, score=0.9), Spot("r", 11, 20, score=0.8), Spot("r", 31, 40, score=0.7)]
    assert average_precision(events, spots) == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)
    late = [replace(spot, score=value) for spot, value in zip(spots, (0.7, 0.9, 0.8), strict=True)]
    assert average_precision(events, late) == pytest.approx(2 / 3)  # 2 of 3 at full recall, more than 1 of 2 before
    tied = [replace(spot, score=0.5) for spot in spots]
    assert average_precision(events, tied) == pytest.approx(2 / 3)
    assert average_precision(events, []) == 0
    assert math.isnan(average_precision([], spots))
    with pytest.raises(ValueError, match="score of every spot"):
        average_precision(events, [Spot("r", 1, 10)])


def test_a_better_scored_spot_takes_the_event_and_the_next_one_the_other():
    events = [Event("r", 1, 30), Event("r", 1, 40)]
    spots = [Spot("r", 1, 30, score=0.9), Spot("r", 2, 32, score=0.8), Spot("r", 1, 40, score=0.7)]
    assert average_precision(events, spots) == 1  # the first two hit both events


def test_false_spots_per_minute():
    films = [Recording("a", first=1, last=1800, fps=30.0), Recording("b", first=0, last=3599, fps=30.0)]
    false = [Spot("a", 1, 2), Spot("b", 1, 2), Spot("b", 5, 6)]
    assert false_per_minute(false, films) == pytest.approx(3 / 3)
    assert false_per_minute(false, films[1:]) == pytest.approx(2 / 2)
    assert math.isnan(false_per_minute(false, []))
    assert math.isnan(false_per_minute(false, [*films, Recording("c", first=1, last=9)]))


def test_errors_of_boundaries_and_apexes():
    films = {name: Recording(name, fps=rate) for name, rate in (("a", 30.0), ("b", 200.0))}
    pairs = [
        Pair(Event("a", 10, 30, apex=15), Spot("a", 12, 29, apex=14)),
        Pair(Event("b", 100, 200, apex=None), Spot("b", 90, 200, apex=120)),
        Pair(Event("a", 50, 60, apex=70), Spot("a", 50, 63, apex=62)),  # an apex outside its event
    ]
    apex = apex_errors(pairs[:1], films)
    assert apex == {"n": 1, "frames": 1, "s": pytest.approx(1 / 30), "relative": pytest.approx(1 / 21), "inside": 1}
    assert apex_errors(pairs, films) == {
        "n": 2, "frames": 1.5, "s": pytest.approx(0.05), "inside": 0.5,
        "relative": pytest.approx((1 / 21 + 2 / 11) / 2),
    }  # fmt: skip
    errors = boundary_errors(pairs, films)
    assert errors["onset"]["median_frames"] == 0
    assert errors["onset"]["median_absolute_frames"] == 2
    assert errors["onset"]["median_absolute_s"] == pytest.approx(0.05)  # 2/30, 10/200 and 0 s
    assert errors["offset"]["median_frames"] == 0
    unknown = boundary_errors(pairs, films | {"b": Recording("b")})
    assert unknown["onset"]["median_frames"] == 0
    assert math.isnan(unknown["onset"]["median_s"])
    assert math.isnan(boundary_errors([], films)["onset"]["median_frames"])


def test_counts_of_frames():
    counts = frame_counts([Event("r", 10, 20)], [Spot("r", 15, 24)])
    assert (counts.tp, counts.fp, counts.fn) == (6, 4, 5)
    assert counts.f1 == pytest.approx(12 / 21)
    twice = frame_counts([Event("r", 10, 20), Event("r", 15, 25)], [Spot("q", 10, 20)])
    assert (twice.tp, twice.fp, twice.fn) == (0, 11, 16)  # a frame counts once


def test_the_interval_draws_whole_subjects():
    same = {f"s{number}": Counts(3, 1, 1) for number in range(5)}
    assert f1_interval(same) == (0.75, 0.75)
    low, high = f1_interval(same | {"bad": Counts(0, 20, 5)})
    assert low < Counts(15, 25, 10).f1 < high
    assert f1_interval({"a": Counts(1, 0, 0), "quiet": Counts()}) == (1, 1)  # draws of the quiet one alone are left out
    assert all(map(math.isnan, f1_interval({"quiet": Counts()})))
    assert all(map(math.isnan, f1_interval({})))


def test_a_reversed_interval_is_refused_where_it_is_made():
    with pytest.raises(ValueError, match="offset 9 comes before onset 10"):
        Spot("r", 10, 9)
    with pytest.raises(ValueError, match="'mikro' is not a kind"):
        Event("r", 1, 2, "mikro")


def test_many_spots_are_fast_enough():
    """A spotter that fires all the time, as the baseline of MEGC 2020: thousands of spots in one recording."""
    events = [Event("r", 300 * number, 300 * number + 20) for number in range(60)]
    spots = [Spot("r", 4 * number, 4 * number + 20) for number in range(4500)]
    assert metrics.match(events, spots).counts == Counts(60, 4440, 0)
