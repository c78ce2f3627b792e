"""The features need no torch: everything but training works where torch and Lightning cannot be imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from skimage import data, io

BLOCK = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "lightning", "pytorch_lightning", "torchmetrics", "torchvision"}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
"""


def _python(code: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd, check=False)


def test_importing_the_package_loads_nothing_heavy():
    done = _python("import sys, mer_features; print(sorted({'torch', 'cv2', 'numpy', 'lightning'} & set(sys.modules)))")
    assert done.stdout.strip() == "[]", done.stderr


MODULES = (
    "workflow.plan",
    "stages.run",
    "stages.style",
    "training.style.fitting",
    "workflow.assess.style",
    "features",
    "stages.faces",
    "stages.apex",
    "stages.flow",
    "report",
    "protocols",
    "spotting.tuning",
    "workflow.assess.stages",
    "cli",
)


@pytest.mark.parametrize("module", MODULES)
def test_modules_import_without_torch(module: str):
    done = _python(f"{BLOCK}\nimport mer_features.{module}")
    assert done.returncode == 0, done.stderr


def test_extract_and_read_without_torch(tmp_path: Path):
    frames = tmp_path / "frames"
    frames.mkdir()
    portrait = data.astronaut()[:300, 80:380]
    for number in range(3):
        io.imsave(frames / f"img{number}.png", np.roll(portrait, number, axis=1), check_contrast=False)
    code = (
        f"{BLOCK}\nfrom mer_features import cli, features\n"
        "assert cli.main(['extract', 'frames', '-o', 'out.h5']) == 0\n"
        "assert cli.main(['validate', 'out.h5']) == 0\n"
        "with features.open_features('out.h5') as f: print(f['flow/u'][0].shape)\n"
    )
    done = _python(code, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "(1, 2, 256, 256)" in done.stdout or "(2, 256, 256)" in done.stdout
