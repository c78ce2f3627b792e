"""Rendered recordings: films of 20 to 60 s with many events, or none, and complete ground truth.

:func:`plan` draws what happens in the recordings of a preset, :func:`render_recording` renders one of them frame by
frame, :func:`write_recordings` writes all of them with their sheets, and :func:`read_recording_truth` reads the ground
truth. Faces, action units, light and camera are those of the rendered clips.
"""

from mer_features.synthetic.recordings.course import Course, RecordingTruth
from mer_features.synthetic.recordings.listing import render
from mer_features.synthetic.recordings.movements import BlinkPlan, EventPlan, Movement, RecordingPlan
from mer_features.synthetic.recordings.planning import plan
from mer_features.synthetic.recordings.presets import PRESETS, RecordingPreset, recording_preset
from mer_features.synthetic.recordings.render import RenderedRecording, render_recording
from mer_features.synthetic.recordings.store import SHEETS, read_recording_truth, sheets, write_recordings

__all__ = [
    "PRESETS",
    "SHEETS",
    "BlinkPlan",
    "Course",
    "EventPlan",
    "Movement",
    "RecordingPlan",
    "RecordingPreset",
    "RecordingTruth",
    "RenderedRecording",
    "plan",
    "read_recording_truth",
    "recording_preset",
    "render",
    "render_recording",
    "sheets",
    "write_recordings",
]
