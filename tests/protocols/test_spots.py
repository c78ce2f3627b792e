"""Spotted clips in a protocol: recognised by the model without their subject, never trained on, never of two folds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from mer_features import protocols
from mer_features.core.clips import Clip
from mer_features.protocols import metrics
from mer_features.protocols.options import Protocol
from mer_features.protocols.table import trains
from mer_features.training.evaluation import read_runs, read_spots

WORDS = ("disgust", "happiness", "surprise")
PROTOCOL = Protocol(databases=("events",), spots={"spots": "events"})


def clip(database: str, subject: str, name: str, emotion: str = "", film: str | None = None) -> Clip:
    return Clip(f"{subject}/{name}", database, subject, film or f"films/{subject}", emotion=emotion)


def annotated(subjects: int = 3) -> list[Clip]:
    return [clip("events", f"s{s}", word, word) for s in range(subjects) for word in WORDS]


def spotted() -> list[Clip]:
    """Three spots of two subjects, of whom one has no annotated event."""
    return [clip("spots", "s1", "a"), clip("spots", "s1", "b"), clip("spots", "s9", "a")]


def test_a_spot_is_in_the_fold_of_its_subject_and_trains_in_none():
    table = protocols.build("p", [*annotated(), *spotted()], PROTOCOL, 0)
    spots = [row for row in table.rows if not row.label]
    assert [(row.database, row.clip_id, row.fold) for row in spots] == [
        ("spots", "s1/a", "events/s1"), ("spots", "s1/b", "events/s1"), ("spots", "s9/a", "events/s9"),
    ]  # fmt: skip
    assert table.folds == ("events/s0", "events/s1", "events/s2", "events/s9")
    assert table.classes == ("negative", "positive", "surprise")
    for fold in table.folds:
        used = [row for row, is_used in zip(table.rows, trains(table.rows, fold), strict=True) if is_used]
        assert {row.database for row in used} == {"events"}
        assert f"s{fold[-1]}" not in {row.subject for row in used}


def test_spots_change_neither_the_annotated_clips_nor_the_counts():
    table = protocols.build("p", [*annotated(), *spotted()], PROTOCOL, 0)
    alone = protocols.build("p", annotated(), Protocol(databases=("events",)), 0)
    assert table.annotated.rows == table.tested == alone.rows
    assert table.counts() == alone.counts()


def test_a_recording_on_both_sides_is_refused():
    """A spot of s1's film that another name of a subject would move to another fold."""
    planted = replace(clip("spots", "s7", "planted"), source="films/s1")
    with pytest.raises(ValueError, match=r"events/s1/\w+ and spots/s7/planted are of the same recording, .*films/s1"):
        protocols.build("p", [*annotated(), *spotted(), planted], PROTOCOL, 0)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"folds": 3}, "spots: needs `folds: loso`"),
        ({"spots": {"spots": "films"}}, "spots: films is not in `databases`"),
        ({"spots": {"events": "events"}}, "spots: events cannot be in `databases`"),
    ],
)
def test_keys_that_do_not_fit(keys: dict[str, object], message: str):
    with pytest.raises(ValidationError, match=message):
        Protocol.model_validate({"databases": ["events"], "spots": {"spots": "events"}} | keys)


def test_predictions_for_spots_are_kept_apart(tmp_path: Path):
    table = protocols.build("p", [*annotated(), *spotted()], PROTOCOL, 0)
    rows = [
        metrics.Prediction(row.clip_id, row.database, row.subject, row.fold, 0, row.label, "positive", (0.2, 0.5, 0.3))
        for row in table.rows
    ]
    metrics.write_predictions(tmp_path / "p.tsv", rows, table.classes)
    paths = [tmp_path / "p.tsv"]
    assert [item.clip_id for item in read_spots(paths, table)[0]] == ["s1/a", "s1/b", "s9/a"]
    assert [item.truth for item in read_runs(paths, table)[0]] == ["negative", "positive", "surprise"] * 3
    metrics.write_predictions(tmp_path / "p.tsv", rows[:-1], table.classes)
    with pytest.raises(ValueError, match="1 clips without a prediction"):
        read_spots(paths, table)
