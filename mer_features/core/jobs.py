"""What every workflow job does around its one call: write its log, keep warnings, say why it failed."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def job_log(path: Path | str) -> Iterator[None]:
    """Send this process's log, warnings and the traceback of a failure to the job's log file."""
    # Kernels run one thread each; the job's parallelism is its worker processes.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    # Nobody reads a file that is still written (it has a temporary name), so locks, which some network file systems
    # refuse or forget to give back, protect nothing.
    os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        filename=path,
        filemode="w",
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=True,
    )
    logging.captureWarnings(capture=True)
    try:
        yield
    except BaseException as error:
        logging.getLogger("mer_features").exception("job failed")
        print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201  # the line a person sees first
        sys.exit(1)


# Progress on a terminal, plain log lines everywhere else.

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


def counted(number: int, noun: str) -> str:
    """A number with its noun, e.g. ``1 clip`` and ``2 clips``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
