"""The yardstick: a linear classifier on principal components. What it reaches, no network needs to be praised for."""

from __future__ import annotations

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from mer_features.systems.baselines.affine import Affine
from mer_features.systems.baselines.recipe import LinearRecipe
from mer_features.systems.common import inputs
from mer_features.systems.common.contract import Arrays, Examples, Setup

_VARIABLES = {
    "flow": ("flow/u[onset_apex]", "flow/v[onset_apex]"),
    "pixel_difference": ("faces/onset", "faces/apex"),
    "onset_face": ("faces/onset",),
}


def variables(recipe: LinearRecipe) -> tuple[str, ...]:
    """Cache variables of a clip that :func:`prepare` reads."""
    return _VARIABLES[recipe.feature]


def prepare(recipe: LinearRecipe, clip: Arrays) -> dict[str, np.ndarray]:
    """``planes``: one clip as a vector (planes x size²,) float32.

    `flow`: u and v in pixels; `pixel_difference`: grey apex minus onset; `onset_face`: grey onset, which holds no
    movement, so that whatever it reaches is identity or recording. Planes are reduced by means over areas.
    """
    planes = [clip[name] for name in variables(recipe)]
    if recipe.feature != "flow":
        planes = [inputs.grey(image) for image in planes]
    if recipe.feature == "pixel_difference":
        planes = [planes[1] - planes[0]]
    return {"planes": np.stack([inputs.resized(plane, recipe.size, average=True) for plane in planes]).ravel()}


class LinearSystem(Affine):
    """Standardise, project, classify; all three are linear, so the fitted system is one matrix and one vector."""

    def __init__(self, recipe: LinearRecipe, classes: int, *, seed: int) -> None:
        super().__init__("planes", classes)
        self._recipe, self._seed = recipe, seed

    def fit(self, examples: Examples) -> None:
        """Fit scaler, components and logistic regression on these clips alone."""
        planes = examples.features["planes"].astype(np.float64)  # (N, P)
        fitted = self.pipeline(len(planes)).fit(planes, examples.labels)
        self.set(*_affine(fitted), present=fitted.classes_)

    def pipeline(self, clips: int) -> Pipeline:
        """The unfitted scikit-learn pipeline for so many training clips."""
        recipe = self._recipe
        return make_pipeline(
            StandardScaler(),
            PCA(min(recipe.components, clips - 1), svd_solver="full"),
            LogisticRegression(C=recipe.C, max_iter=2000, random_state=self._seed),
        )


def _affine(fitted: Pipeline) -> tuple[np.ndarray, np.ndarray]:
    """Matrix (P, K) and vector (K,) whose scores have the fitted pipeline's probabilities as their softmax."""
    scaler, pca, classifier = (step for _, step in fitted.steps)
    coefficients, intercept = classifier.coef_, classifier.intercept_
    if len(coefficients) == 1:  # two classes: scikit-learn keeps only the second one's score
        coefficients = np.vstack([np.zeros_like(coefficients), coefficients])
        intercept = np.concatenate([[0.0], intercept])
    weight = (coefficients @ pca.components_ / scaler.scale_).T
    return weight, intercept - scaler.mean_ @ weight - coefficients @ (pca.components_ @ pca.mean_)


def build(recipe: LinearRecipe, classes: int, setup: Setup) -> LinearSystem:
    """An unfitted system for ``classes`` classes; it runs on the CPU whatever the device."""
    return LinearSystem(recipe, classes, seed=setup.seed)
