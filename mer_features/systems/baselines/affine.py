"""Base of the classifiers whose fitted parameters are one matrix and one vector."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from mer_features.systems.common.contract import Arrays, Plain

#: Score of a class without training clips. It is finite, and such a class is never chosen.
_ABSENT = -1e9


class Affine(Plain):
    """Scores of K classes as an affine function of one named input of P values.

    Parameters
    ----------
    name
        Name of the input, (N, P).
    classes
        Number of classes, K.
    """

    def __init__(self, name: str, classes: int) -> None:
        self._name, self._classes = name, classes
        self._weight = np.zeros((0, classes))
        self._bias = np.zeros(classes)

    def set(self, weight: np.ndarray, bias: np.ndarray, present: np.ndarray) -> None:
        """Set the fitted matrix (P, k) and vector (k,) for the k classes ``present`` in the training clips."""
        self._weight = np.zeros((len(weight), self._classes))
        self._bias = np.full(self._classes, _ABSENT)
        self._weight[:, present], self._bias[present] = weight, bias

    def predict(self, features: Arrays) -> np.ndarray:
        """Softmax of the scores, (N, K) float64; rows sum to 1, and the largest entry is the predicted class."""
        scores = features[self._name] @ self._weight + self._bias
        exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)

    def save(self, path: Path) -> None:
        """Write the matrix and the vector as npz."""
        with path.open("wb") as handle:
            np.savez(handle, weight=self._weight, bias=self._bias)

    def load(self, path: Path) -> None:
        """Load the matrix and the vector from a file written by :meth:`save`; any other file raises ``ValueError``."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                self._weight, self._bias = stored["weight"], stored["bias"]
        except (ValueError, KeyError, EOFError, AttributeError, zipfile.BadZipFile) as error:
            # numpy's own message advises to unpickle the file, which would be unsafe.
            reason = "a pickle" if "pickle" in str(error) else error
            raise ValueError(
                f"{path}: expected an npz file with a matrix and a vector, found something else ({reason})"
            ) from error
