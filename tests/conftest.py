"""Settings of all tests: one thread per kernel, as in the workflow's jobs; the owners' releases; what is quick."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

#: Folders and files of tests that take long; all others have the mark `quick`. Every room keeps tests that are quick.
SLOW = (
    "cluster/", "workflow/", "cache/test_build.py", "cache/test_dataset.py", "cache/test_export.py",
    "cache/test_magnified.py", "hostile/test_concurrency.py", "hostile/test_forget.py", "hostile/test_fuzz.py",
    "hostile/test_inputs.py", "hostile/test_safety.py", "magnify/test_train.py", "style/test_peers.py",
    "style/test_stage.py", "style/test_training.py", "synthetic/test_store.py", "synthetic/test_recordings.py",
    "systems/test_baselines.py",
    "systems/test_capsulenet.py", "systems/test_eidnet.py", "systems/test_every_key.py", "systems/test_fr.py",
    "systems/test_imagenet_flow.py", "systems/test_ma2mi.py", "systems/test_map_mer.py", "systems/test_sa_at",
    "test_cli.py", "test_flow.py", "test_magnify_video.py",
    "cache/test_flow_maps.py", "databases/test_flow_maps.py", "test_metrics.py", "test_real_maps.py", "test_report.py",
    "test_report_style.py", "test_repository.py", "test_training.py",
    "test_tvl1.py", "test_without_torch.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tests = Path(__file__).parent
    for item in items:
        if not item.path.relative_to(tests).as_posix().startswith(SLOW):
            item.add_marker(pytest.mark.quick)


@pytest.fixture(autouse=True)
def usual_floats() -> Iterator[None]:
    """Trainings round denormal numbers to zero in the whole process, which would change what is rendered after them."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


@pytest.fixture(scope="session")
def owners(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Root of each release that the shared generator makes, with all its clips; nobody may write there."""
    from tests.databases.trees import releases

    return releases(tmp_path_factory.mktemp("owners"))
