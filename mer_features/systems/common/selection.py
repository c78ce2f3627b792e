"""Choice of the best epoch on training subjects that are set aside; the held-out subject is never used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mer_features.protocols.folds import balanced_folds
from mer_features.systems.common import engine
from mer_features.systems.common.contract import Examples


def hold_out(examples: Examples, share: float, seed: int, group: str = "") -> tuple[Examples, Examples]:
    """Split clips by subject into clips to learn from and held-out clips.

    Parameters
    ----------
    examples
        All clips.
    share
        About this share of the subjects, 0 to 0.5, is held out, balanced by clips and classes.
    seed
        Decides between subjects that are equally suitable.
    group
        Name that the subjects have in common; another name decides ties in another way.

    Raises
    ------
    ValueError
        If there is only one subject.
    """
    owners = [(group, str(number)) for number in examples.subjects]
    parts = min(max(round(1 / share), 2), len(set(owners)))
    if parts < 2:
        raise ValueError("cannot hold out subjects: there is only one subject; give more subjects, or a share of 0")
    fold = balanced_folds(owners, [str(label) for label in examples.labels], parts, seed)
    held_out = [index for index, owner in enumerate(owners) if fold[owner] == 0]
    rest = [index for index, owner in enumerate(owners) if fold[owner] != 0]
    return examples.take(rest), examples.take(held_out)


class Selecting(engine.Network):
    """A network that ends with the weights of the epoch with the best accuracy on the :attr:`validation` clips.

    Of epochs with equal accuracy the later one is used, because it was trained longer. Without validation clips the
    last epoch is used. An epoch is evaluated when the next one starts. A checkpoint is written at the end of an epoch,
    so a resumed training starts before this evaluation.
    """

    def __init__(self, epochs: int) -> None:
        super().__init__(epochs)
        self.validation: Examples | None = None
        self._best: dict[str, Any] = {"accuracy": -1.0, "weights": {}}

    def on_train_epoch_start(self) -> None:
        """Evaluate the previous epoch."""
        super().on_train_epoch_start()
        if self.current_epoch > 0:
            self._evaluate()

    def on_fit_end(self) -> None:
        """Evaluate the last epoch and load the weights of the best one."""
        if self.validation is not None:
            self._evaluate()
            self.load_state_dict(self._best["weights"])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the best epoch so far."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["best"] = self._best

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Restore the best epoch so far."""
        super().on_load_checkpoint(checkpoint)
        self._best = checkpoint["best"]

    def _evaluate(self) -> None:
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
        batches = torch.arange(len(examples)).split(engine.EVALUATED_TOGETHER)
        with torch.no_grad():
            classes = [self._classes({name: values[i] for name, values in features.items()}) for i in batches]
        self.train(training)
        return float((torch.cat(classes) == torch.from_numpy(examples.labels)).float().mean())

    def _classes(self, batch: engine.Batch) -> Tensor:
        inputs = {name: values.to(self.device) for name, values in batch.items()}
        return self.scores(inputs).argmax(dim=1).cpu()
