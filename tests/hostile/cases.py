"""What a broken input is: how it is made, and in which state it must end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

#: States of a clip, and `error`: no clip, but a file that stops its command with one sentence.
STATES = ("ok", "warned", "rejected", "error")


@dataclass(frozen=True)
class Case:
    """One broken input.

    ``make`` writes it into an empty folder and gives the path to open. ``state`` and ``code`` are what a clip must end
    with beyond what its undamaged twin ends with; of an error, ``code`` is part of the sentence.
    """

    kind: str
    name: str
    make: Callable[[Path], Path]
    state: str
    code: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}".replace(" ", "_")


def written(name: str, data: bytes) -> Callable[[Path], Path]:
    """A maker of one file with these bytes."""

    def make(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return make
