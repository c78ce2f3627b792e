"""Base of the classifiers that are one matrix and one vector once they are fitted."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from mer_features.systems.common.contract import Arrays, Plain

#: Score of a class that no training clip had: never chosen, and finite.
_ABSENT = -1e9


class Affine(Plain):
    """Scores of K classes as an affine function of one named input of P values.

    Parameters
    ----------
    name
        The input, (N, P).
    classes
        K.
    """

    def __init__(self, name: str, classes: int) -> None:
        self._name, self._classes = name, classes
        self._weight = np.zeros((0, classes))
        self._bias = np.zeros(classes)

    def set(self, weight: np.ndarray, bias: np.ndarray, present: np.ndarray) -> None:
        """Take a fitted matrix (P, k) and vector (k,) for the k classes that the training clips had."""
        self._weight = np.zeros((len(weight), self._classes))
        self._bias = np.full(self._classes, _ABSENT)
        self._weight[:, present], self._bias[present] = weight, bias

    def predict(self, features: Arrays) -> np.ndarray:
        """Softmax of the scores, (N, K) float64, rows sum to 1; its largest entry is the classifier's decision."""
        scores = features[self._name] @ self._weight + self._bias
        exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)

    def save(self, path: Path) -> None:
        """Write matrix and vector as npz."""
        with path.open("wb") as handle:
            np.savez(handle, weight=self._weight, bias=self._bias)

    def load(self, path: Path) -> None:
        """Take matrix and vector from a file of :meth:`save`; raises ``ValueError`` for another file."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                self._weight, self._bias = stored["weight"], stored["bias"]
        except (ValueError, KeyError, EOFError, AttributeError, zipfile.BadZipFile) as error:
            # numpy's own message advises to unpickle: that is what must not be done.
            reason = "a pickle" if "pickle" in str(error) else error
            raise ValueError(f"{path}: no matrix and vector can be read from it ({reason})") from error
