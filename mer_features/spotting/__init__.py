"""Spotting: events in recordings, the matching of spots with them, and scores.

An event is an annotated interval of a recording, the ground truth; a spot is an interval that a method found
(:mod:`~mer_features.spotting.events`). :func:`match` assigns them to each other, :func:`score` gives all measures, and
:mod:`~mer_features.spotting.evaluators` what public scripts print for the same intervals. ``docs/spotting.md`` explains
every measure. The spotters read the signals of a recording: :mod:`~mer_features.spotting.regions` without training,
:mod:`~mer_features.spotting.network` with; :mod:`~mer_features.spotting.tuning` runs any of them with one subject held
out at a time, :mod:`~mer_features.spotting.blind` has the baselines.
"""

from mer_features.spotting.events import KINDS, Event, Interval, Recording, Spot
from mer_features.spotting.metrics import Counts, Matching, Pair, average_precision, match
from mer_features.spotting.scores import score
from mer_features.spotting.tables import TableError, read_events, read_recordings, read_spots

__all__ = [
    "KINDS",
    "Counts",
    "Event",
    "Interval",
    "Matching",
    "Pair",
    "Recording",
    "Spot",
    "TableError",
    "average_precision",
    "match",
    "read_events",
    "read_recordings",
    "read_spots",
    "score",
]
