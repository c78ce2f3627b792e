"""Settings of all tests: one thread a kernel, as in the workflow's jobs. And the owners' releases, made once."""

import os
from pathlib import Path

import pytest

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")


@pytest.fixture(scope="session")
def owners(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Root of each release that the shared generator makes, with all its clips; nobody may write there."""
    from tests.databases.trees import releases

    return releases(tmp_path_factory.mktemp("owners"))
