"""A check as text for a terminal or a log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from mer_features.commands.check.database import DatabaseCheck
from mer_features.commands.check.protocol import ProtocolCheck
from mer_features.core.quality import CODES

if TYPE_CHECKING:
    from mer_features.commands.check import Check

_CLIPS_SHOWN = 8
_NOTES_SHOWN = 25
_INDENT = 2
_WIDTH = 12  # of the names on the left


def text(check: Check) -> str:
    """Every database, every protocol, and last what has to be looked at."""
    lines: list[str] = []
    for database in check.databases:
        lines += [*_database(database), ""]
    for protocol in check.protocols:
        lines += [*_protocol(protocol), ""]
    if check.problems:
        lines += ["look at these before a run:", *(f"  {problem}" for problem in check.problems)]
    else:
        lines.append("nothing speaks against a run")
    return "\n".join(lines)


def _line(name: str, value: str) -> str:
    return f"{'':{_INDENT}}{name:{_WIDTH}}{value}"


def _database(found: DatabaseCheck) -> Iterator[str]:
    yield f"database {found.name}: {found.root}"
    if found.error or found.note:
        yield _line("error" if found.error else "note", found.error or found.note)
        return
    published = "" if found.published_subjects is None else f", published {found.published_subjects}"
    spotted = f" ({found.spotter} finds it)" if found.apexes["not annotated"] else ""
    odd = ", ".join(f"{number} {code}" for code, number in found.apexes.items() if code[:5] == "apex_" and number)
    yield _line("clips", f"{found.clips} listed: {found.found} found, {found.missing} missing; "
                f"{found.unlisted} on disk are not listed, {found.duplicates} are listed twice")  # fmt: skip
    yield _line("subjects", f"{found.subjects}{published}")
    yield _line("states", ", ".join(f"{number} {state}" for state, number in found.states.items()))
    yield _line("frames", f"{found.frames['files']} files; {found.frames['missing']} numbers missing inside clips, "
                f"{found.frames['foreign']} foreign files")  # fmt: skip
    yield _line("apexes", f"{found.apexes['annotated']} annotated, {found.apexes['not annotated']} not"
                f"{spotted}{f'; {odd}' if odd else ''}")  # fmt: skip
    yield _line("errata", f"{found.errata} values replaced")
    yield from _labels(found)
    yield from _issues(found.issues)
    yield from _notes(found.notes)


def _labels(found: DatabaseCheck) -> Iterator[str]:
    known = found.edition and found.labels[0].published is not None
    rows = [("labels", "found", *([f"published ({found.edition})"] if known else []))]
    for label in found.labels:
        mark = "" if not known or label.found == label.published else "   differs"
        rows.append((label.emotion, str(label.found), *([f"{label.published}{mark}"] if known else [])))
    if found.edition:
        rows.append(("all", str(found.clips), f"{found.published_clips}{'' if known else f' ({found.edition})'}"))
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
        yield f"{'':{_INDENT}}{CODES[code].severity}: {code}, {len(lines)} times ({CODES[code].meaning})"
        yield from _shown(lines, _CLIPS_SHOWN)


def _notes(notes: Sequence[Mapping[str, str]]) -> Iterator[str]:
    if notes:
        yield f"{'':{_INDENT}}notes"
        yield from _shown([f"{note['kind']}: {note['detail']}" for note in notes], _NOTES_SHOWN)


def _shown(lines: Sequence[str], most: int) -> Iterator[str]:
    yield from (f"{'':{2 * _INDENT}}{line}" for line in lines[:most])
    if len(lines) > most:
        yield f"{'':{2 * _INDENT}}... and {len(lines) - most} more; --json lists all"


def _protocol(found: ProtocolCheck) -> Iterator[str]:
    clips = sum(number for part in found.counts.values() for what, number in part.items() if what != "subjects")
    size = f": {clips} clips, {found.folds} folds" if found.counts else ""
    yield f"protocol {found.name}{f' ({found.preset})' if found.preset else ''}{size}"
    yield from _counts(found)
    if found.note:
        yield _line("note", found.note)
    if found.error:
        yield from (f"{'':{_INDENT}}{line}" for line in found.error.splitlines())


def _counts(found: ProtocolCheck) -> Iterator[str]:
    names = list(dict.fromkeys(what for part in found.counts.values() for what in part))
    rows = [("", names)] if names else []
    for database, part in found.counts.items():
        rows.append((database, [str(part.get(what, 0)) for what in names]))
        if database in found.published:
            expected = found.published[database]
            rows.append(("  published", [str(expected.get(what, 0)) for what in names]))
    left = max((len(first) for first, _ in rows), default=0) + 2
    for first, cells in rows:
        yield f"{'':{_INDENT}}{first:{left}}" + "".join(
            f"{cell:>{len(what) + 3}}" for cell, what in zip(cells, names, strict=True)
        )
