"""What every workflow job does around its one call: write its log, keep warnings, say why it failed."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
