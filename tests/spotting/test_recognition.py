"""Scores of spot-then-recognise, and what STRS-Metric prints, in worked examples."""

from __future__ import annotations

import math
from typing import Any

import pytest

from mer_features.spotting import Event, Matching, Pair, Recording, Spot, match
from mer_features.spotting.evaluators import printed_strs
from mer_features.spotting.metrics import Counts
from mer_features.spotting.recognition import analyse, joint, strs

CLASSES = ("negative", "positive", "surprise")
WORDS = {"N": "negative", "P": "positive", "S": "surprise", "J": "joy", "o": "others"}

Row = tuple[str, int, int, str]  # recording, onset, offset, class


def _hits(predicted: str, actual: str) -> tuple[list[Row], list[Row]]:
    """Spots and events that hit each other exactly, by their classes."""
    place = [("s1/1", 100 * number, 100 * number + 10) for number in range(len(actual))]
    spots = [(*ends, word) for ends, word in zip(place, predicted, strict=True)]
    return spots, [(*ends, word) for ends, word in zip(place, actual, strict=True)]


#: Case -> spots and events; F1 of spotting; F1 of the analysis and STRS, over all classes and over those hit; joint F1;
#: what STRS-Metric prints.
NAN = math.nan
EXAMPLES: dict[str, tuple[tuple[list[Row], list[Row]], float, tuple[float, ...], float, dict[str, Any]]] = {
    "one wrong class": (
        _hits("NNNS", "NNPS"), 1, (0.6061, 0.6061, 0.6061, 0.6061), 0.75,
        {"precision": 0.5556, "recall": 0.6667, "uf1": 0.6, "uar": 0.5556, "strs": 0.6061, "fp": 1, "fn": 1},
    ),
    "spots in a recording without an event": (
        (_hits("NPS", "NPS")[0] + [("s1/2", 20 * k, 20 * k + 10, "N") for k in range(7)], _hits("NPS", "NPS")[1]),
        0.4615, (1, 0.4615, 1, 0.4615), 0.4615, {"strs": 1, "FP": 0, "uar": 1},
    ),
    "a subject without a spot": (
        (_hits("N", "N")[0], [*_hits("N", "N")[1], ("s2/1", 5, 15, "N")]),
        0.6667, (0.3333, 0.2222, 1, 0.6667), 0.6667, {"FN": 0, "F1": 1, "strs": NAN},
    ),
    "a wide spot": (
        ([("s1/1", 1, 20, "N"), ("s1/1", 100, 110, "N"), ("s1/1", 200, 210, "N")],
         [("s1/1", 1, 10, "N"), ("s1/1", 11, 20, "N"), ("s1/1", 100, 110, "N"), ("s1/1", 200, 210, "N")]),
        0.8571, (0.3333, 0.2857, 1, 0.8571), 0.8571, {"TP": 4, "FP": 0, "FN": 0},
    ),
    "a class outside predicted": (
        _hits("JN", "NN"), 1, (0.2222, 0.2222, 0.6667, 0.6667), 0.5, {"fn": 0, "uar": 0.3333, "recall": 0.1667},
    ),
    "a class outside annotated": (_hits("NN", "oN"), 1, (0.3333, 0.3333, 1, 1), 1, {"strs": NAN}),
    "one class": (_hits("NN", "NN"), 1, (0.3333, 0.3333, 1, 1), 1, {"precision": 0, "recall": 0, "strs": NAN}),
    "two classes": (_hits("NP", "NP"), 1, (0.6667, 0.6667, 1, 1), 1, {"strs": 0.6667}),
    "no hit": (([("s1/1", 100, 120, "N")], [("s1/1", 10, 20, "N")]), 0, (NAN, 0, NAN, 0), 0, {"error": "KeyError"}),
    "no spot": (([], [("s1/1", 10, 20, "N")]), 0, (NAN, 0, NAN, 0), 0, {"error": "KeyError"}),
    "all wrong": (_hits("P", "N"), 1, (0, 0, 0, 0), 0, {"strs": NAN}),
}  # fmt: skip


def _tables(case: str) -> tuple[list[Recording], list[Event], list[Spot]]:
    (found, annotated), *_ = EXAMPLES[case]
    films = [Recording(name, name[:2]) for name in ("s1/1", "s1/2", "s2/1")]
    events = [Event(name, onset, offset, emotion=WORDS[word]) for name, onset, offset, word in annotated]
    return films, events, [Spot(name, onset, offset, emotion=WORDS[word]) for name, onset, offset, word in found]


@pytest.mark.parametrize("case", EXAMPLES)
def test_scores_of_the_worked_examples(case: str):
    _, f1, (fixed, strs_fixed, present, strs_present), together, _ = EXAMPLES[case]
    _, events, spots = _tables(case)
    matching = match(events, spots)
    assert matching.counts.f1 == pytest.approx(f1, abs=5e-5)
    for variant, analysis_f1, product in (("fixed", fixed, strs_fixed), ("present", present, strs_present)):
        analysis = analyse(matching.pairs, CLASSES, variant)
        assert analysis.f1 == pytest.approx(analysis_f1, abs=5e-5, nan_ok=True)
        assert strs(matching.counts, analysis) == pytest.approx(product, abs=5e-5)
    assert joint(matching, CLASSES).f1 == pytest.approx(together, abs=5e-5)


@pytest.mark.parametrize("case", EXAMPLES)
def test_what_strs_metric_prints(case: str):
    expected = dict(EXAMPLES[case][-1])
    printed = printed_strs(*_tables(case), CLASSES)
    if "error" in expected:
        assert printed.error.startswith(expected["error"])
        return
    counts = printed.counts["micro"]
    found = printed.values | {"TP": counts.tp, "FP": counts.fp, "FN": counts.fn, "F1": counts.f1}
    assert {key: found[key] for key in expected} == pytest.approx(expected, abs=5e-5, nan_ok=True)


def test_all_measures_of_an_analysis():
    _, events, spots = _tables("one wrong class")
    analysis = analyse(match(events, spots).pairs, CLASSES)
    assert (analysis.precision, analysis.recall, analysis.uf1) == pytest.approx((5 / 9, 2 / 3, 0.6))
    _, events, spots = _tables("a class outside annotated")
    analysis = analyse(match(events, spots).pairs, CLASSES)
    assert (analysis.clips, analysis.outside) == (1, 1)


def test_published_products():
    """MEAN on CAS(ME)2 and SAMM Long Videos: the printed STRS is the product of the two printed F1."""
    assert [round(a * b, 4) for a, b in ((0.1214, 0.6667), (0.0949, 0.5263))] == [0.0809, 0.0499]
    hit = Event("r", 1, 9, emotion="N")
    analysis = analyse([Pair(hit, Spot("r", 1, 9, emotion="N"))], ["N"])
    assert strs(Counts(3, 1, 1), analysis) == pytest.approx(0.75)


def test_nothing_at_all_has_no_score():
    nothing = Matching((), (), ())
    assert math.isnan(strs(nothing.counts, analyse((), CLASSES)))
    assert math.isnan(joint(nothing, CLASSES).f1)
