"""What all torch systems share: batches, runs, resumption after a kill, predictions that do not depend on company."""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")
pytest.importorskip("lightning", reason="needs the extra `train`")

from torch import Tensor, nn
from torch.nn import functional as F

from mer_features.systems.common import engine
from mer_features.systems.common.contract import (
    Examples,
    Execution,
    Setup,
)


class Small(engine.Network):
    """Batch norm, dropout and noise: whatever a resumed training could get wrong."""

    def __init__(self, epochs: int = 6, stop_after: int | None = None) -> None:
        super().__init__(epochs)
        self.net = nn.Sequential(nn.Linear(5, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3))
        self.stop_after = stop_after

    def batches(self, examples: Examples) -> engine.Batches:
        return engine.Batches(examples, 4, fewest=2)

    def training_step(self, batch: engine.Batch) -> dict[str, Tensor]:
        if self.stop_after is not None and self.current_epoch >= self.stop_after:
            raise KeyboardInterrupt
        noisy = batch["x"] + 0.1 * torch.randn_like(batch["x"])
        loss = F.cross_entropy(self.net(noisy), batch["label"])
        return {"loss": loss, "twice": 2 * loss}

    def configure_optimizers(self) -> dict:
        optimiser = torch.optim.Adam(self.parameters(), 0.01)
        return {"optimizer": optimiser, "lr_scheduler": torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.8)}

    def scores(self, batch: engine.Batch) -> Tensor:
        return F.softmax(self.net(batch["x"]), dim=1)

    def layers(self, batch: engine.Batch) -> engine.Batch:
        return {"hidden": self.net[:3](batch["x"])}

    def pictures(self, batch: engine.Batch) -> dict[str, np.ndarray]:
        with torch.enable_grad():
            x = batch["x"].clone().requires_grad_()
            (slope,) = torch.autograd.grad(self.net(x).sum(), x)
        return {
            "slope": np.broadcast_to(
                slope.abs().sum(1).numpy().astype(np.uint8)[:, None, None, None], (len(x), 4, 4, 3)
            )
        }


def clips(n: int = 13) -> Examples:
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 3
    features = rng.normal(size=(n, 5)) + 3 * np.eye(5)[labels]
    return Examples({"x": features.astype(np.float32)}, labels, np.arange(n))


def weights(system: engine.TorchSystem) -> np.ndarray:
    return np.concatenate([value.numpy().ravel() for value in system.network.state_dict().values()])


def system(setup: Setup, **keys: int) -> engine.TorchSystem:
    return engine.TorchSystem(lambda: Small(**keys), setup)


@pytest.mark.parametrize("killed_in", [1, 3, 5])
def test_a_killed_training_goes_on_bit_for_bit(tmp_path: Path, killed_in: int):
    execution = Execution(checkpoint_s=0)
    whole = system(Setup(7, execution, state=tmp_path / "a"))
    whole.fit(clips())
    killed = system(Setup(7, execution, state=tmp_path / "b"), stop_after=killed_in)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        killed.fit(clips())
    torch.rand(3)  # another process: its generator is elsewhere
    resumed = system(Setup(7, execution, state=tmp_path / "b"))
    seen = []
    resumed.network.on_train_batch_start = lambda *_: seen.append(resumed.network.current_epoch)  # type: ignore[method-assign]
    resumed.fit(clips())
    assert min(seen) == killed_in  # finished epochs are not trained again
    np.testing.assert_array_equal(weights(resumed), weights(whole))
    assert resumed.losses() == whole.losses()
    assert len(whole.losses()) == 6


def test_without_a_folder_no_checkpoint_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    system(Setup(0, Execution(checkpoint_s=0))).fit(clips())
    assert list(tmp_path.iterdir()) == []


def test_checkpoints_keep_their_distance(tmp_path: Path):
    system(Setup(0, Execution(checkpoint_s=1e6), state=tmp_path / "s")).fit(clips())
    assert not (tmp_path / "s").exists()


def test_a_checkpoint_that_executes_code_is_refused(tmp_path: Path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "owned",))

    (tmp_path / "last.ckpt").write_bytes(pickle.dumps({"state_dict": Evil()}))
    with pytest.raises(Exception, match=r"[Uu]npickl|[Ww]eights.only"):
        system(Setup(0, state=tmp_path)).fit(clips())
    (tmp_path / "weights.pt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ValueError, match=r"weights\.pt: no weights"):
        system(Setup(0)).load(tmp_path / "weights.pt")
    assert not (tmp_path / "owned").exists()


def test_losses_are_means_over_the_batches_of_an_epoch():
    made = system(Setup(1), epochs=3)
    made.fit(clips())
    assert [set(epoch) for epoch in made.losses()] == [{"loss", "twice"}] * 3
    for epoch in made.losses():
        assert epoch["twice"] == pytest.approx(2 * epoch["loss"])


def test_a_term_that_some_batches_lack_is_the_mean_over_the_others():
    made = system(Setup(1), epochs=2)
    step, seen = made.network.training_step, []

    def rare(batch: dict) -> dict[str, Tensor]:
        seen.append(torch.tensor(float(len(seen))))
        return step(batch) | ({"rare": seen[-1]} if len(seen) in (2, 3) else {})

    made.network.training_step = rare  # type: ignore[method-assign]
    made.fit(clips())  # three batches an epoch; a last one of a single clip is left out
    assert len(seen) == 6
    assert made.losses()[0]["rare"] == 1.5
    assert "rare" not in made.losses()[1]


def test_a_loss_that_is_not_finite_stops_the_training():
    made = system(Setup(1))
    broken = clips()
    broken.features["x"][0] = np.nan
    with pytest.raises(ValueError, match="training diverged: loss nan in epoch 0"):
        made.fit(broken)


@pytest.mark.parametrize("n", [1, 31, 32, 33, 70])
def test_one_clip_alone_and_many_together_get_the_same_answer(n: int):
    made = system(Setup(2))
    made.fit(clips())
    features = {"x": np.random.default_rng(1).normal(size=(n, 5)).astype(np.float32)}
    together = made.predict(features)
    assert together.shape == (n, 3)
    alone = np.concatenate([made.predict({"x": features["x"][i : i + 1]}) for i in range(n)])
    np.testing.assert_allclose(alone, together, atol=1e-6)
    assert made.embed(features)["hidden"].shape == (n, 16)
    assert made.explain(features)["slope"].shape == (n, 4, 4, 3)


def test_the_global_generator_is_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    system(Setup(5)).fit(clips())
    torch.testing.assert_close(torch.rand(4), expected)


def test_batches_show_every_clip_once_in_a_new_order():
    labels = np.arange(10)
    batches = engine.Batches(Examples({"x": np.arange(10.0)}, labels, labels), 4)
    torch.manual_seed(0)
    passes = [[batch["label"].tolist() for batch in batches] for _ in range(2)]
    assert len(batches) == 3
    assert [len(batch) for batch in passes[0]] == [4, 4, 2]
    assert all(sorted(itertools.chain(*one)) == list(range(10)) for one in passes)
    assert passes[0] != passes[1]
    for batch in batches:
        assert batch["x"].tolist() == batch["index"].tolist() == batch["label"].tolist()


@pytest.mark.parametrize(
    ("clips_", "fewest", "sizes"), [(9, 2, [4, 4]), (9, 1, [4, 4, 1]), (10, 2, [4, 4, 2]), (1, 2, [1])]
)
def test_a_last_batch_too_small_for_batch_norm_is_left_out(clips_: int, fewest: int, sizes: list[int]):
    labels = np.arange(clips_)
    batches = engine.Batches(Examples({"x": labels}, labels, labels), 4, fewest=fewest)
    assert [len(batch["label"]) for batch in batches] == sizes
    assert len(batches) == len(sizes)


@pytest.mark.parametrize(("method", "said"), [("batches", "no labelled clips"), ("scores", "no classes")])
def test_a_network_that_was_not_told_how_says_what_is_missing(method: str, said: str):
    class Silent(engine.Network):
        pass

    with pytest.raises(TypeError, match=f"Silent .*{said}.*`{method}`"):
        getattr(Silent(1), method)(None)
