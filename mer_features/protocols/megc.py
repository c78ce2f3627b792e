"""Result logs in the format of the MEGC 2019 challenge: one line per subject, followed by one line per clip.

::

    casme2 sub01
    EP02_01f 1 1

The line of a clip holds its name, its true class and the predicted class: 0 negative, 1 positive, 2 surprise.
Subjects and clips are written as in the list of the challenge: ``sub01``, ``s01`` with ``s01_ne_01``, ``006``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from mer_features.core.files import write_text
from mer_features.protocols.metrics import Prediction

#: Classes of the challenge in the order of their codes, which is alphabetical.
CLASSES = ("negative", "positive", "surprise")

#: Name of a database in the challenge -> format of a subject's number.
_SUBJECTS = {"casme2": "sub{:02d}", "smic": "s{:02d}", "samm": "{:03d}"}


def subject_name(database: str, subject: str) -> str:
    """Name of a subject in the challenge, from the owner's ``sub01``, ``s1`` or ``006`` or from a bare number ``6``.

    Raises
    ------
    ValueError
        If the database is not part of the challenge or the subject has no number.
    """
    if database not in _SUBJECTS:
        raise ValueError(f"database {database!r} is not in MEGC 2019; it has {', '.join(_SUBJECTS)}")
    digits = re.fullmatch(r"[^\W\d]*(\d+)", subject)
    if digits is None:
        raise ValueError(f"{database} subject {subject!r}: expected a name that ends in its number")
    return _SUBJECTS[database].format(int(digits[1]))


def clip_name(database: str, clip: str) -> str:
    """Name of a clip in the challenge: ``s1_ne_01`` of SMIC becomes ``s01_ne_01``, others are unchanged."""
    if database != "smic":
        return clip
    subject, _, rest = clip.partition("_")
    return f"{subject_name(database, subject)}_{rest}"


def write_log(path: Path | str, predictions: Sequence[Prediction], databases: Mapping[str, str]) -> None:
    """Write the log of one run atomically, with the subjects in the order of their first clips.

    Parameters
    ----------
    path
        File to write.
    predictions
        Predictions of one seed, with the classes of :data:`CLASSES`.
    databases
        Name of each database in the predictions -> its name in the challenge: ``casme2``, ``smic`` or ``samm``.

    Raises
    ------
    ValueError
        If the predictions have several seeds, a database that is not in ``databases``, or another class.
    """
    if len(seeds := {item.seed for item in predictions}) > 1:
        raise ValueError(f"a log holds one run; found seeds {', '.join(map(str, sorted(seeds)))}")
    groups: dict[tuple[str, str], list[str]] = {}
    for item in predictions:
        if item.database not in databases:
            raise ValueError(f"no name given for database {item.database!r}; given: {', '.join(databases) or 'none'}")
        official = databases[item.database]
        clip = clip_name(official, item.clip_id.split("/", 1)[-1])
        line = f"{clip} {_code(item.clip_id, item.truth)} {_code(item.clip_id, item.prediction)}"
        groups.setdefault((official, subject_name(official, item.subject)), []).append(line)
    lines = [line for (database, subject), clips in groups.items() for line in (f"{database} {subject}", *clips)]
    write_text(path, "".join(f"{line}\n" for line in lines))


def _code(clip_id: str, label: str) -> int:
    if label not in CLASSES:
        raise ValueError(f"clip {clip_id!r}: {label!r} is not a class of MEGC 2019; it has {', '.join(CLASSES)}")
    return CLASSES.index(label)


def read_log(path: Path | str) -> tuple[Prediction, ...]:
    """Predictions of a log, in the order of its lines. A log has no probabilities and no seed: they are () and 0.

    Raises
    ------
    ValueError
        If a line is neither a subject nor a clip, or a clip comes before the first subject; the message names the file
        and the line.
    """
    predictions: list[Prediction] = []
    database = subject = ""
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        match line.split():
            case []:
                continue
            case [database, subject] if database in _SUBJECTS:
                continue
            case [clip, truth, prediction] if database and {truth, prediction} <= {"0", "1", "2"}:
                labels = CLASSES[int(truth)], CLASSES[int(prediction)]
                fold = f"{database}/{subject}"
                predictions.append(Prediction(f"{subject}/{clip}", database, subject, fold, 0, *labels, ()))
            case _:
                raise ValueError(f"{path}:{number}: expected `database subject` or `clip truth prediction`: {line!r}")
    return tuple(predictions)
