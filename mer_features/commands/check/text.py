"""The result of a check as text for a terminal or a log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from mer_features.commands.check.cost import Cost
from mer_features.commands.check.database import DatabaseCheck
from mer_features.commands.check.protocol import ProtocolCheck
from mer_features.commands.check.recordings import lines as recording_lines
from mer_features.core.jobs import counted
from mer_features.core.quality import CODES

if TYPE_CHECKING:
    from mer_features.commands.check import Check

_CLIPS_SHOWN = 8
_NOTES_SHOWN = 25
_INDENT = 2
_WIDTH = 12  # of the names on the left, in characters


def text(check: Check) -> str:
    """Every database, all recordings, every protocol, and at the end the problems to resolve."""
    lines: list[str] = []
    for database in check.databases:
        lines += [*_database(database), ""]
    for recordings in check.recordings:
        lines += [*recording_lines(recordings), ""]
    for protocol in check.protocols:
        lines += [*_protocol(protocol), ""]
    lines += [*_cost(check.cost), ""]
    if check.problems:
        lines += ["Problems to resolve before a run:", *(f"  {problem}" for problem in check.problems)]
    else:
        lines.append("No problems found. Ready to run.")
    return "\n".join(lines)


def _cost(cost: Cost) -> Iterator[str]:
    yield "a run from nothing, estimated from measured rates (docs/scale.md, docs/systems/README.md)"
    yield _line("jobs", f"{sum(cost.jobs.values())}: " + ", ".join(f"{n} {name}" for name, n in cost.jobs.items() if n))
    hours = ", ".join(f"{name} {_hours(value)}" for name, value in cost.hours.items())
    yield _line("CPU time", f"{_hours(cost.total_hours)} of one core{f': {hours}' if hours else ''}")
    yield _line("disk", f"{cost.gigabytes:.1f} GB of stage and feature files")
    if cost.unknown:
        yield _line("not counted", ", ".join(cost.unknown))
    yield from (_line("note", remark) for remark in cost.remarks)


def _hours(value: float) -> str:
    return f"{value * 60:.0f} min" if value < 2 else f"{value:,.0f} h" if value < 100 else f"{value / 24:,.0f} days"


def _line(name: str, value: str) -> str:
    return f"{'':{_INDENT}}{name:{_WIDTH}}{value}"


def _database(result: DatabaseCheck) -> Iterator[str]:
    yield f"database {result.name}: {result.root}"
    if result.error or result.note:
        yield _line("error" if result.error else "note", result.error or result.note)
        return
    published = "" if result.published_subjects is None else f", published {result.published_subjects}"
    yield _line("clips", f"{result.clips} listed: {result.found} found, {result.missing} missing; "
                f"on disk but not listed: {result.unlisted}; listed twice: {result.duplicates}")  # fmt: skip
    yield _line("subjects", f"{result.subjects}{published}")
    yield _line("states", ", ".join(f"{number} {state}" for state, number in result.states.items()))
    if result.frames:  # not of published flow maps
        yield from _frames(result)
    yield from _labels(result)
    yield from _issues(result.issues)
    yield from _notes(result.notes)


def _frames(result: DatabaseCheck) -> Iterator[str]:
    spotter = f" (will be spotted by {result.spotter})" if result.apexes["not annotated"] else ""
    problems = ", ".join(f"{number} {code}" for code, number in result.apexes.items() if code[:5] == "apex_" and number)
    yield _line("frames", f"{counted(result.frames['files'], 'file')}; "
                f"{counted(result.frames['missing'], 'frame number')} missing within clips, "
                f"{counted(result.frames['foreign'], 'foreign file')}")  # fmt: skip
    yield _line("apexes", f"{result.apexes['annotated']} annotated, {result.apexes['not annotated']} not annotated"
                f"{spotter}{f'; {problems}' if problems else ''}")  # fmt: skip
    yield _line("errata", f"{counted(result.errata, 'value')} replaced")


def _labels(result: DatabaseCheck) -> Iterator[str]:
    known = result.edition and result.labels[0].published is not None
    rows = [("labels", "found", *([f"published ({result.edition})"] if known else []))]
    for label in result.labels:
        mark = "" if not known or label.found == label.published else "   differs"
        rows.append((label.emotion, str(label.found), *([f"{label.published}{mark}"] if known else [])))
    if result.edition:
        rows.append(("all", str(result.clips), f"{result.published_clips}{'' if known else f' ({result.edition})'}"))
    width = max(len(row[0]) for row in rows) + 2
    for first, number, *rest in rows:
        yield f"{'':{_INDENT}}{first:{max(width, _WIDTH)}}{number:>7}{'   ' if rest else ''}{''.join(rest)}"


def _issues(issues: Sequence[Mapping[str, str]]) -> Iterator[str]:
    groups: dict[str, list[str]] = {}
    for issue in issues:
        groups.setdefault(issue["code"], []).append(f"{issue['clip']}: {issue['detail']}".removesuffix(": "))
    order = list(CODES)
    for code in sorted(groups, key=lambda name: (CODES[name].severity != "rejected", order.index(name))):
        lines = groups[code]
        yield f"{'':{_INDENT}}{CODES[code].severity}: {code}, {counted(len(lines), 'time')} ({CODES[code].meaning})"
        yield from _shown(lines, _CLIPS_SHOWN)


def _notes(notes: Sequence[Mapping[str, str]]) -> Iterator[str]:
    if notes:
        yield f"{'':{_INDENT}}notes"
        yield from _shown([f"{note['kind']}: {note['detail']}" for note in notes], _NOTES_SHOWN)


def _shown(lines: Sequence[str], most: int) -> Iterator[str]:
    yield from (f"{'':{2 * _INDENT}}{line}" for line in lines[:most])
    if len(lines) > most:
        yield f"{'':{2 * _INDENT}}... and {len(lines) - most} more (--json lists all)"


def _protocol(result: ProtocolCheck) -> Iterator[str]:
    clips = sum(number for part in result.counts.values() for what, number in part.items() if what != "subjects")
    size = f": {counted(clips, 'clip')}, {counted(result.folds, 'fold')}" if result.counts else ""
    yield f"protocol {result.name}{f' ({result.preset})' if result.preset else ''}{size}"
    yield from _counts(result)
    if result.note:
        yield _line("note", result.note)
    yield from (f"{'':{_INDENT}}{line}" for line in result.leaks[:_CLIPS_SHOWN])
    if len(result.leaks) > _CLIPS_SHOWN:
        yield f"{'':{_INDENT}}... and {len(result.leaks) - _CLIPS_SHOWN} more (--json lists all)"
    if result.error:
        yield from (f"{'':{_INDENT}}{line}" for line in result.error.splitlines())


def _counts(result: ProtocolCheck) -> Iterator[str]:
    names = list(dict.fromkeys(what for part in result.counts.values() for what in part))
    rows = [("", names)] if names else []
    for database, part in result.counts.items():
        rows.append((database, [str(part.get(what, 0)) for what in names]))
        if database in result.published:
            expected = result.published[database]
            rows.append(("  published", [str(expected.get(what, 0)) for what in names]))
    left = max((len(first) for first, _ in rows), default=0) + 2
    for first, cells in rows:
        yield f"{'':{_INDENT}}{first:{left}}" + "".join(
            f"{cell:>{len(what) + 3}}" for cell, what in zip(cells, names, strict=True)
        )
