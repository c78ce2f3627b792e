"""Progress on a terminal, plain log lines everywhere else."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

log = logging.getLogger(__name__)
T = TypeVar("T")


def track(items: Iterable[T], total: int | None, label: str) -> Iterator[T]:
    """Yield the items, showing a progress bar on a terminal and a log line every tenth of the way elsewhere.

    Where the total is unknown the bar only shows life, and every hundredth item is logged.
    """
    if sys.stderr.isatty():
        yield from _bar(items, total, label)
        return
    step = 100 if total is None else max(1, total // 10)
    for done, item in enumerate(items, start=1):
        yield item
        if done % step == 0 or done == total:
            log.info("%s: %d of %s", label, done, "?" if total is None else total)


def _bar(items: Iterable[T], total: int | None, label: str) -> Iterator[T]:
    from rich.console import Console  # noqa: PLC0415  # only where there is a terminal

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=total)
        for item in items:
            yield item
            progress.advance(task)
