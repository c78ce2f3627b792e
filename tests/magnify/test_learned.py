"""The learned magnifier as others call it, and what it does with weights it should not trust."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")
safetensors = pytest.importorskip("safetensors.torch", reason="the train extra is not installed")

from mer_features.stages.magnify import learned
from mer_features.stages.magnify.learned import WeightsError
from mer_features.stages.magnify.network import MagnificationNet
from mer_features.training.magnifier import pairs
from mer_features.training.magnifier.pairs import Recipe


def _save(path: Path, kernel: int = 3) -> Path:
    torch.manual_seed(0)
    net = MagnificationNet(kernel)
    for weight in net.parameters():
        torch.nn.init.normal_(weight, std=0.05)
    safetensors.save_file(net.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights: what must hold for any."""
    return _save(tmp_path_factory.mktemp("weights") / "any.safetensors")


@pytest.fixture(scope="module")
def magnifier(weights: Path) -> learned.Magnifier:
    return learned.load(weights)


def _pair(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(2)
    return random.integers(0, 256, shape, np.uint8), random.integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("shape", [(24, 24, 3), (25, 30, 3), (23, 17), (18, 21, 1), (3, 5, 3), (1, 1), (9, 40)])
def test_any_size_keeps_its_shape(magnifier: learned.Magnifier, shape: tuple[int, ...]):
    reference, moved = _pair(shape)
    out = magnifier(reference, moved, 6.0)
    assert out.shape == shape
    assert out.dtype == np.uint8


@pytest.mark.parametrize("shape", [(26, 31, 3), (26, 31)])
def test_a_factor_of_one_gives_the_moved_frame(magnifier: learned.Magnifier, shape: tuple[int, ...]):
    reference, moved = _pair(shape)
    np.testing.assert_array_equal(magnifier(reference, moved, 1), moved)


def test_near_one_is_near_the_moved_frame(magnifier: learned.Magnifier):
    reference, moved = _pair((24, 24, 3))
    assert np.abs(magnifier(reference, moved, 1.0001).astype(int) - moved).max() <= 1


@pytest.mark.parametrize("factor", [2.0, 6.0, 40.0])
def test_a_static_pair_stays(magnifier: learned.Magnifier, factor: float):
    _, moved = _pair((22, 27, 3))
    np.testing.assert_array_equal(magnifier(moved, moved, factor), moved)


def test_grey_is_treated_as_equal_channels(magnifier: learned.Magnifier):
    reference, moved = _pair((24, 28))
    grey = magnifier(reference, moved, 3.0)
    np.testing.assert_array_equal(grey, magnifier(reference[..., None], moved[..., None], 3.0)[..., 0])
    assert (grey != moved).any()


@pytest.mark.parametrize(
    ("reference", "moved", "factor", "said"),
    [
        (np.zeros((8, 8), np.uint8), np.zeros((8, 9), np.uint8), 2, "equal shapes"),
        (np.zeros((8, 8)), np.zeros((8, 8)), 2, "uint8"),
        (np.zeros((8, 8, 2), np.uint8), np.zeros((8, 8, 2), np.uint8), 2, r"\(H, W, 3\)"),
        (np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.uint8), 0.5, "at least 1"),
        (np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.uint8), float("nan"), "at least 1"),
    ],
)
def test_wrong_frames_are_refused(magnifier, reference, moved, factor, said: str):
    with pytest.raises(ValueError, match=said):
        magnifier(reference, moved, factor)


def test_own_weights_load_unpinned_and_report_their_digest(weights: Path, magnifier: learned.Magnifier):
    assert magnifier.digest == hashlib.sha256(weights.read_bytes()).hexdigest()


def test_both_kernels_of_g_load(tmp_path: Path):
    reference, moved = _pair((16, 16, 3))
    assert learned.load(_save(tmp_path / "wide.safetensors", 7))(reference, moved, 2.0).shape == (16, 16, 3)


def test_a_pickle_is_refused(tmp_path: Path):
    path, trace = tmp_path / "evil.safetensors", tmp_path / "executed"

    class Payload:
        def __reduce__(self):
            return Path.touch, (trace,)

    torch.save({"manipulator.g.weight": Payload()}, path)
    with pytest.raises(WeightsError, match=r"evil\.safetensors: not a safetensors file"):
        learned.load(path)
    assert not trace.exists()


def test_weights_of_another_network_are_refused(tmp_path: Path):
    path = tmp_path / "other.safetensors"
    state = MagnificationNet().state_dict()
    safetensors.save_file({**state, "decoder.head.2.weight": torch.zeros(3, 16, 7, 7)}, path)
    with pytest.raises(WeightsError, match=r"other\.safetensors: found \(3, 16, 7, 7\).*expected \(3, 32, 7, 7\)"):
        learned.load(path)
    del state["encoder.trunk.0.weight"]
    safetensors.save_file(state, path)
    with pytest.raises(WeightsError, match=r"found nothing for encoder\.trunk\.0\.weight"):
        learned.load(path)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        learned.load(tmp_path / "none.safetensors")


def test_importing_loads_no_torch_and_loading_says_what_is_missing(tmp_path: Path):
    code = """
import sys
from pathlib import Path
from mer_features.stages.magnify import learned
assert "torch" not in sys.modules
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
try:
    learned.load(Path(sys.argv[1]))
except RuntimeError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, _save(tmp_path / "w.safetensors")], capture_output=True, text=True, check=False
    )
    assert "pip install 'mer-features[train]'" in done.stdout, done.stderr


# ---------------------------------------------------------------- the shipped weights


@pytest.fixture(scope="module")
def shipped() -> learned.Magnifier:
    return learned.load()


def test_the_shipped_file_is_small_and_its_card_names_its_checksum(shipped: learned.Magnifier):
    assert learned.SHIPPED.stat().st_size < 8 * 2**20
    assert hashlib.sha256(learned.SHIPPED.read_bytes()).hexdigest() == shipped.digest
    assert shipped.digest in learned.SHIPPED.with_suffix(".md").read_text()


def test_a_damaged_shipped_file_is_refused(tmp_path: Path, monkeypatch):
    damaged = tmp_path / learned.SHIPPED.name
    content = bytearray(learned.SHIPPED.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    monkeypatch.setattr(learned, "SHIPPED", damaged)
    with pytest.raises(WeightsError, match="magnifier-v3") as caught:
        learned.load()
    assert hashlib.sha256(content).hexdigest() in str(caught.value)
    assert learned._expected() in str(caught.value)


def test_the_shipped_weights_magnify_faces(shipped: learned.Magnifier):
    """Faces and expressions that training did not draw: nearer to the truth than neither and than linear."""
    recipe = Recipe(seed=991, face=1.0, static=0.0, recoloured=0.0, noise=(0.1, 0.1), factor=(6.0, 12.0))
    errors: dict[str, list[float]] = {"learned": [], "linear": [], "none": []}
    gains = []
    for index in range(8):
        pair = pairs.make(recipe, index)
        first, second = (np.moveaxis(frame, 0, -1) for frame in (pair.first, pair.second))
        target, still = (np.moveaxis(frame, 0, -1) for frame in (pair.target, pair.still))
        out = shipped(first.astype(np.uint8), second.astype(np.uint8), pair.factor)
        linear = np.clip(first + pair.factor * (second - first), 0, 255)
        for name, answer in (("learned", out), ("linear", linear), ("none", second)):
            errors[name].append(np.mean((answer - target) ** 2))
        wanted = target - still
        gains.append(((out - second) * wanted).sum() / (wanted**2).sum())
    means = {name: np.mean(values) for name, values in errors.items()}
    assert means["learned"] < 0.5 * means["none"]
    assert means["learned"] < 0.5 * means["linear"]
    assert 0.5 < np.median(gains) < 1.1
