"""What can be wrong with a clip, and what happens to it.

Every clip ends a run in exactly one state: ``ok``, ``warned`` (used, flagged) or ``rejected`` (not used, the
reason recorded). Stages report :class:`Issue` objects or raise :class:`ClipRejectedError`; nobody else decides.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum


class Status(StrEnum):
    """The state in which a clip leaves a stage."""

    OK = "ok"
    WARNED = "warned"
    REJECTED = "rejected"


@dataclass(frozen=True)
class Code:
    """One kind of problem: its severity and what it means to a reader of the report."""

    severity: Status
    meaning: str


_W, _R = Status.WARNED, Status.REJECTED

#: Every code a stage may report. The order is the bit order of the cache's ``quality`` flags: append only.
CODES: dict[str, Code] = {
    "source_missing": Code(_R, "the clip's folder or file does not exist"),
    "unsafe_path": Code(_R, "the clip's path leaves the database root"),
    "no_frames": Code(_R, "no readable frame in the clip's folder or file"),
    "few_frames": Code(_R, "fewer than two frames: there is no movement to measure"),
    "unreadable_frame": Code(_R, "a frame cannot be decoded"),
    "missing_frame": Code(_W, "a frame number between the first and the last has no file"),
    "frame_size_changed": Code(_R, "a frame differs in size from the clip's first frame"),
    "truncated_video": Code(_W, "the video ends before its header says"),
    "variable_frame_rate": Code(_W, "the video's frames are not equally spaced in time"),
    "duplicate_clip": Code(_R, "the same clip is listed twice"),
    "no_face": Code(_R, "no face on the onset frame"),
    "several_faces": Code(_W, "more than one face on the onset frame; the largest was taken"),
    "face_at_border": Code(_W, "the face crop leaves the picture"),
    "low_face_score": Code(_W, "the face detector is unsure"),
    "landmarks_off": Code(_W, "the landmarks do not form a frontal face"),
    "head_motion": Code(_W, "the head moves more between onset and apex than the flow method bears"),
    "registration_failed": Code(_W, "rigid registration found too few points on some frame"),
    "onset_missing": Code(_W, "no onset annotated; the first frame is used"),
    "offset_missing": Code(_W, "no offset annotated; the last frame is used"),
    "frame_not_on_disk": Code(_W, "an annotated onset, apex or offset has no file; the nearest frame was taken"),
    "apex_outside": Code(_W, "the annotated apex lies outside onset..offset; clips take a spotted one"),
    "apex_equals_onset": Code(_W, "the apex is the onset: the onset-apex flow is zero"),
    "apex_equals_offset": Code(_W, "the apex is the offset"),
    "static_clip": Code(_W, "no frame differs from the onset; the spotted apex is arbitrary"),
    "empty_cell": Code(_W, "a cell of the annotation sheet is empty"),
    "bad_cell": Code(_W, "a cell of the annotation sheet cannot be read"),
    "flow_out_of_range": Code(_W, "flow beyond ±31 px or strain beyond 7.99 was clipped in the packed cache"),
    "internal_error": Code(_R, "the stage failed on this clip; the job's log has the traceback"),
    "range_reversed": Code(_W, "the annotated offset lies before the onset; the whole clip is used"),
    "erratum_applied": Code(_W, "a value of the annotation sheet that is known to be wrong was replaced"),
    "duplicate_frame": Code(_R, "two files of the clip claim the same frame number"),
    "empty_descriptor": Code(
        _W, "a descriptor is all zeros: nothing moves from onset to apex, or landmarks are missing"
    ),
    "bad_map": Code(_R, "the flow map is not an 8-bit RGB PNG of the size of the others, or its name names no clip"),
    "label_conflict": Code(_R, "two labels are given for the clip"),
    "same_picture": Code(_W, "a clip of another person has exactly the same flow map"),
    "empty_channel": Code(_W, "a channel of the flow map has one value everywhere"),
    "several_frames": Code(_R, "the database is one of still images, and the source has more than one frame"),
    "offset_assumed": Code(_W, "no offset is annotated for the event; it follows from a rule of the configuration"),
    "onset_before_film": Code(_W, "the event began before the film; its onset is the first frame"),
    "event_cut": Code(_W, "the event reaches beyond the film and was cut there"),
}


@dataclass(frozen=True)
class Issue:
    """One problem of one clip: a code of :data:`CODES` and what was found where."""

    code: str
    detail: str = ""

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"unknown quality code {self.code!r}; known: {', '.join(CODES)}")

    @property
    def severity(self) -> Status:
        """Whether the clip is used in spite of this."""
        return CODES[self.code].severity


class ClipRejectedError(Exception):
    """Raised by a stage that cannot use a clip; carries the issue that says why."""

    def __init__(self, code: str, detail: str = "") -> None:
        self.issue = Issue(code, detail)
        super().__init__(f"{code}: {detail}" if detail else code)


def status(issues: Iterable[Issue]) -> Status:
    """State of a clip with these issues: the worst of them, ``ok`` if there are none."""
    severities = {issue.severity for issue in issues}
    if Status.REJECTED in severities:
        return Status.REJECTED
    return Status.WARNED if severities else Status.OK


def flags(issues: Iterable[Issue]) -> int:
    """Bit field of the codes present, bit i for the i-th entry of :data:`CODES`."""
    order = list(CODES)
    return sum(1 << order.index(code) for code in {issue.code for issue in issues})


def dumps(issues: Iterable[Issue]) -> str:
    """Issues as one JSON text without line breaks."""
    return json.dumps([asdict(issue) for issue in issues], ensure_ascii=False)


def loads(text: str) -> tuple[Issue, ...]:
    """Issues from the text of :func:`dumps`; an empty text gives no issues."""
    return tuple(Issue(**item) for item in json.loads(text)) if text else ()
