"""Which epoch's weights are kept, decided on training subjects set aside; the held-out subject is out of reach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mer_features.protocols.folds import balanced_folds
from mer_features.systems.common import engine
from mer_features.systems.common.contract import Examples


def set_aside(examples: Examples, share: float, seed: int) -> tuple[Examples, Examples]:
    """Training clips parted into those to learn from and those to choose an epoch by, whole subjects each.

    Parameters
    ----------
    examples
        All training clips.
    share
        About this part of the clips, 0 .. 0.5, is set aside, classes balanced.
    seed
        Decides between subjects alike.

    Raises
    ------
    ValueError
        If there is but one subject.
    """
    owners = [("", str(number)) for number in examples.subjects]
    parts = min(max(round(1 / share), 2), len(set(owners)))
    if parts < 2:
        raise ValueError("one training subject cannot be parted into one to learn from and one to choose an epoch by")
    fold = balanced_folds(owners, [str(label) for label in examples.labels], parts, seed)
    aside = [index for index, owner in enumerate(owners) if fold[owner] == 0]
    kept = [index for index, owner in enumerate(owners) if fold[owner] != 0]
    return examples.take(kept), examples.take(aside)


class Selecting(engine.Network):
    """A network that, with :attr:`validation` clips, ends with the weights of the epoch that did best on them.

    Accuracy decides; of equals the later epoch, which learned more. Without clips the last epoch stays. An epoch is
    judged when the next one starts, so that a checkpoint, written at its end, resumes before the judgement.
    """

    def __init__(self, epochs: int) -> None:
        super().__init__(epochs)
        self.validation: Examples | None = None
        self._best: dict[str, Any] = {"accuracy": -1.0, "weights": {}}

    def on_train_epoch_start(self) -> None:
        """Judge the epoch before."""
        super().on_train_epoch_start()
        if self.current_epoch > 0:
            self._judge()

    def on_fit_end(self) -> None:
        """Judge the last epoch and take the best one's weights."""
        if self.validation is not None:
            self._judge()
            self.load_state_dict(self._best["weights"])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the best epoch so far."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["best"] = self._best

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Go on from the best epoch so far."""
        super().on_load_checkpoint(checkpoint)
        self._best = checkpoint["best"]

    def _judge(self) -> None:
        if self.validation is None:
            return
        accuracy = self._accuracy(self.validation)
        if accuracy >= self._best["accuracy"]:
            weights = {name: value.detach().clone() for name, value in self.state_dict().items()}
            self._best = {"accuracy": accuracy, "weights": weights}

    def _accuracy(self, examples: Examples) -> float:
        training = self.training
        self.eval()
        features = engine.tensors(examples.features)
        places = torch.arange(len(examples)).split(engine.EVALUATED_TOGETHER)
        with torch.no_grad():
            found = [self._classes({name: values[i] for name, values in features.items()}) for i in places]
        self.train(training)
        return float((torch.cat(found) == torch.from_numpy(examples.labels)).float().mean())

    def _classes(self, batch: engine.Batch) -> Tensor:
        there = {name: values.to(self.device) for name, values in batch.items()}
        return self.scores(there).argmax(dim=1).cpu()
