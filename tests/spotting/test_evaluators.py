"""What public evaluators print in the worked examples."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mer_features.spotting import Counts, Event, Recording, Spot, match
from mer_features.spotting.evaluators import EVALUATORS, Printed

from .cases import CASES, rows

RUN = {item.name: item.run for item in EVALUATORS}
NAMES = ("MEGC 2020", "SOFTNet, MEAN", "ME-TST", "ABPN", "AUW-GCN", "Zhao 2022", "STRS-Metric")
STOPS = None

#: Case -> TP, FP, FN of each evaluator, in the order of NAMES.
PRINTED = {
    "equality": [(1, 0, 0), (1, 0, 0), (1, 0, 0), (0, 1, 1), (0, 1, 1), (0, 1, 1), (1, 0, 0)],
    "10 of 19": [(1, 0, 0), (1, 0, 0), (1, 0, 0), (0, 1, 1), (0, 1, 1), (1, 0, 0), (1, 0, 0)],
    "wide over two": [(2, -1, 0), (1, 0, 1), (2, 0, 0), (0, 1, 2), (0, 1, 2), (0, 1, 2), (2, 0, 0)],
    "overlapping events": [(2, -1, 0), (1, 0, 1), (2, 0, 0), (1, 0, 1), (1, 0, 1), (2, -1, 0), (2, 0, 0)],
    "double": [(1, 1, 0), (1, 1, 0), (2, 0, -1), (1, 1, 0), (2, 0, -1), (1, 1, 0), (1, 1, 0)],
    "order": [(2, 0, 0), (2, 0, 0), (4, 0, -2), (2, 0, 0), (2, 0, 0), (2, 0, 0), (2, 1, 0)],
    "without event": [(1, 3, 0), (1, 0, 0), (1, 0, 0), (1, 3, 0), (1, 3, 0), (1, 3, 0), (1, 0, 0)],
    "silent": [(1, 0, 1), (1, 1, 1), (1, 1, 1), (1, 0, 1), (1, 0, 1), (1, 0, 1), (1, 0, 1)],
    "poor then good": [(1, 1, 0), (1, 1, 0), (1, 1, 0), (1, 1, 0), (1, 1, 0), (0, 2, 1), (1, 1, 0)],
    "one frame": [(0, 1, 1), (1, 0, 0), (1, 0, 0), (0, 1, 1), (0, 1, 1), STOPS, (1, 0, 0)],
    "greedy": [(2, 0, 0), (1, 1, 1), (4, 0, -2), (2, 0, 0), (2, 0, 0), (2, 0, 0), (2, 1, 0)],
}


@pytest.mark.parametrize("case", CASES)
def test_counts_of_the_worked_examples(case: str):
    films, events, spots = rows(CASES[case])
    for name, expected in zip(NAMES, PRINTED[case], strict=True):
        printed = RUN[name](films, events, spots)
        if expected is STOPS:
            assert printed.error.startswith("ZeroDivisionError")
        else:
            total = printed.counts.get("overall", printed.counts.get("micro"))
            assert total == Counts(*expected), name


def test_every_evaluator_is_checked():
    assert set(NAMES) == RUN.keys()
    assert all(len(row) == len(NAMES) for row in PRINTED.values())


def test_f1_above_one():
    films, events, spots = rows(CASES["wide over two"])
    assert RUN["MEGC 2020"](films, events, spots).counts["micro"].f1 == pytest.approx(4 / 3)


def _run(name: str, events: list[Event], spots: list[Spot], fps: float | None = 30.0) -> Printed:
    return RUN[name]([Recording("s/1", "s", fps=fps)], events, spots)


def test_kinds_are_matched_apart_but_by_zhao():
    events, spots = [Event("s/1", 10, 20, "macro")], [Spot("s/1", 10, 20, "micro")]
    for name in NAMES:
        if name not in {"Zhao 2022", "STRS-Metric"}:
            assert _run(name, events, spots).counts["overall"] == Counts(0, 1, 1)
    assert "KeyError" in _run("STRS-Metric", events, spots).error  # it sees the spot and no event
    assert _run("Zhao 2022", events, spots).counts["overall"] == Counts(1, 0, 0)
    by_length = _run("Zhao 2022", events, spots).counts
    assert (by_length["micro"], by_length["macro"]) == (Counts(1, 0, -1), Counts(0, 0, 1))


def test_kinds_by_length_need_the_frame_rate():
    long = (
        [Event("s/1", 10, 26, "micro")],
        [Spot("s/1", 10, 26, "micro")],
    )  # 16 steps: more than half a second at 30 fps
    assert _run("Zhao 2022", *long).counts["macro"] == Counts(1, 0, -1)
    assert _run("Zhao 2022", *long, fps=200.0).counts["micro"] == Counts(1, 0, 0)
    assert "frame rate" in _run("Zhao 2022", *long, fps=None).error


def test_a_single_frame_hides_other_spots_from_abpn():
    """Two intervals of one frame have an IoU of 0/0, and the maximum of a list that begins with NaN is NaN."""
    event, good = Event("s/1", 5, 5), Spot("s/1", 4, 6)
    assert _run("ABPN", [event], [Spot("s/1", 9, 9), good]).counts["micro"].tp == 0
    events = [Event("s/1", 10, 30)]
    assert _run("ABPN", events, [Spot("s/1", 9, 9), Spot("s/1", 10, 30)]).counts["micro"].tp == 1


def test_strs_metric_needs_subjects():
    printed = RUN["STRS-Metric"]([Recording("1")], [Event("1", 1, 9)], [Spot("1", 1, 9)])
    assert printed.error == "needs the subject of every recording"


def test_strs_metric_without_emotions_has_counts_alone():
    printed = _run("STRS-Metric", [Event("s/1", 1, 9)], [Spot("s/1", 1, 9)])
    assert (printed.counts, printed.values) == ({"micro": Counts(1, 0, 0)}, {})


def _cell(printed: Printed | Counts) -> str:
    if isinstance(printed, Printed) and printed.error:
        return "stops"
    counts = printed if isinstance(printed, Counts) else printed.counts.get("overall", printed.counts.get("micro"))
    assert counts is not None
    return "-".join(f"(−{-number})" if number < 0 else str(number) for number in (counts.tp, counts.fp, counts.fn))


def test_the_page_shows_what_is_computed():
    page = (Path(__file__).parents[2] / "docs" / "spotting.md").read_text(encoding="utf-8")
    table = [re.split(r"(?<!\\)\|", line)[1:-1] for line in page.splitlines() if re.match(r"\| (spots|\d+–).*→", line)]
    header, *lines = [[cell.strip().strip("*") for cell in row] for row in table]
    assert header[2:] == [item.name for item in EVALUATORS]
    assert len(lines) == len(CASES)
    for (shown, *cells), case in zip(lines, CASES.values(), strict=True):
        found, annotated = (
            [part.replace("none", "").replace(",", "").replace("–", "-").strip() for part in side.split("\\|")]
            for side in shown.split("→")
        )
        assert list(zip(found, annotated, strict=True)) == case
        films, events, spots = rows(case)
        right = _cell(match(events, spots).counts)
        assert cells == [right, *(_cell(item.run(films, events, spots)) for item in EVALUATORS)], shown
