"""Linear classifier on principal components, the simplest reference for the scores of the networks."""

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

_FACES = {"pixel_difference": ("faces/onset", "faces/apex"), "onset_face": ("faces/onset",)}


def variables(recipe: LinearRecipe) -> tuple[str, ...]:
    """Names of the feature-file variables of a clip that :func:`prepare` reads."""
    return inputs.flow_variables(recipe, ("u", "v")) if recipe.feature == "flow" else _FACES[recipe.feature]


def prepare(recipe: LinearRecipe, clip: Arrays) -> dict[str, np.ndarray]:
    """``planes``: one clip as a vector (planes x size²,) float32.

    `flow`: u and v in pixels, or as published minus their medians, which estimate no motion; `pixel_difference`: grey
    apex minus onset; `onset_face`: grey onset, which shows no movement, so that its score measures identity and
    recording conditions. Planes are reduced to area means.
    """
    planes = [clip[name] for name in variables(recipe)]
    if recipe.feature != "flow":
        planes = [inputs.grey(image) for image in planes]
    elif recipe.source == "flow_maps":
        planes = [plane - np.median(plane) for plane in planes]
    if recipe.feature == "pixel_difference":
        planes = [planes[1] - planes[0]]
    return {"planes": np.stack([inputs.resized(plane, recipe.size, average=True) for plane in planes]).ravel()}


class LinearSystem(Affine):
    """Standardise, project, classify. All three steps are affine, so the fitted system is one matrix and one vector."""

    def __init__(self, recipe: LinearRecipe, classes: int, *, seed: int) -> None:
        super().__init__("planes", classes)
        self._recipe, self._seed = recipe, seed

    def fit(self, examples: Examples) -> None:
        """Fit the scaler, the components and the logistic regression on these clips."""
        planes = examples.features["planes"].astype(np.float64)  # (N, P)
        pipeline = self.pipeline(len(planes)).fit(planes, examples.labels)
        self.set(*_affine(pipeline), present=pipeline.classes_)

    def pipeline(self, clips: int) -> Pipeline:
        """The unfitted scikit-learn pipeline for this number of training clips."""
        recipe = self._recipe
        return make_pipeline(
            StandardScaler(),
            PCA(min(recipe.components, clips - 1), svd_solver="full"),
            LogisticRegression(C=recipe.C, max_iter=2000, random_state=self._seed),
        )


def _affine(pipeline: Pipeline) -> tuple[np.ndarray, np.ndarray]:
    """Matrix (P, K) and vector (K,); the softmax of their scores is the fitted pipeline's probabilities."""
    scaler, pca, classifier = (step for _, step in pipeline.steps)
    coefficients, intercept = classifier.coef_, classifier.intercept_
    if len(coefficients) == 1:  # for two classes scikit-learn stores only the score of the second one
        coefficients = np.vstack([np.zeros_like(coefficients), coefficients])
        intercept = np.concatenate([[0.0], intercept])
    weight = (coefficients @ pca.components_ / scaler.scale_).T
    return weight, intercept - scaler.mean_ @ weight - coefficients @ (pca.components_ @ pca.mean_)


def build(recipe: LinearRecipe, classes: int, setup: Setup) -> LinearSystem:
    """An unfitted system for ``classes`` classes; it always runs on the CPU."""
    return LinearSystem(recipe, classes, seed=setup.seed)
