"""Linear support vector machine on a handcrafted descriptor, for rows of the papers' tables such as LBP-TOP."""

from __future__ import annotations

import numpy as np
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from mer_features.systems.baselines.affine import Affine
from mer_features.systems.baselines.recipe import SvmRecipe
from mer_features.systems.common.contract import Arrays, Examples, Setup


def variables(recipe: SvmRecipe) -> tuple[str, ...]:
    """Name of the feature-file variable of the descriptor."""
    return (f"descriptors/{recipe.descriptor}",)


def prepare(recipe: SvmRecipe, clip: Arrays) -> dict[str, np.ndarray]:
    """``descriptor``: (P,), as stored in the feature file."""
    return {"descriptor": clip[f"descriptors/{recipe.descriptor}"]}


class SvmSystem(Affine):
    """Standardised descriptors; one machine per class against the rest."""

    def __init__(self, recipe: SvmRecipe, classes: int) -> None:
        super().__init__("descriptor", classes)
        self._recipe = recipe

    def fit(self, examples: Examples) -> None:
        """Fit the scaler and the machines on these clips."""
        descriptors = examples.features["descriptor"].astype(np.float64)  # (N, P)
        scaler = StandardScaler().fit(descriptors)
        machines = OneVsRestClassifier(SVC(kernel="linear", C=self._recipe.C))
        machines.fit(scaler.transform(descriptors), examples.labels)
        coefficients = np.concatenate([machine.coef_ for machine in machines.estimators_])  # (k, P)
        intercept = np.concatenate([machine.intercept_ for machine in machines.estimators_])
        if len(machines.classes_) == 2:  # scikit-learn stores one machine, for the second class
            coefficients, intercept = np.concatenate([-coefficients, coefficients]), np.append(-intercept, intercept)
        weight = (coefficients / scaler.scale_).T
        self.set(weight, intercept - scaler.mean_ @ weight, present=machines.classes_)


def build(recipe: SvmRecipe, classes: int, setup: Setup) -> SvmSystem:  # noqa: ARG001  # nothing in it is random
    """An unfitted system for ``classes`` classes; it always runs on the CPU."""
    return SvmSystem(recipe, classes)
