"""Fitting of a style from stage files or feature files, and the acceptance test of generators."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from mer_features.core.clips import IMAGE_SUFFIXES
from mer_features.core.quality import Status
from mer_features.features import open_features
from mer_features.stages.options import Style
from mer_features.stages.store import ShardReader
from mer_features.stages.style.fitted import Fitted, Source, fit

log = logging.getLogger(__name__)


def shard_onsets(paths: Iterable[Path]) -> Iterator[np.ndarray]:
    """Onset crops (S, S, C), uint8, of the clips in faces shards that were not rejected."""
    for path in paths:
        with ShardReader(path) as reader:
            for clip_id in reader.clip_ids:
                if reader.status(clip_id) is not Status.REJECTED:
                    view = reader.view(clip_id)
                    yield view["crops"][int(view.attrs["onset"])]


def fit_shards(
    paths: Sequence[Path],
    options: Style,
    *,
    seed: int,
    databases: Sequence[str] = (),
    weights: Path | None = None,
) -> Fitted:
    """Fit a style to the onset crops of faces shards.

    Parameters
    ----------
    paths
        Stage files of the faces stage of every database that ``options.fit_on`` allows.
    options
        ``method``, ``fit_on``, ``clusters``.
    seed
        Seed of k-means.
    databases
        Names of the databases, which are stored with the fit.
    weights
        With ``cyclegan``, the generators. They are tested on some of the crops. If they bend faces, the statistical
        method is used, with a warning.

    Raises
    ------
    ValueError
        If ``cyclegan`` has no generators.
    """
    source = Source(options.fit_on, tuple(databases))
    method = "histogram" if options.method == "histogram" else "statistical"
    fitted = fit(shard_onsets(paths), method=method, clusters=options.clusters, seed=seed, source=source)
    if options.method != "cyclegan":
        return fitted
    if weights is None:
        raise ValueError("style method cyclegan: there are no generators")
    return with_generators(fitted, list(shard_onsets(paths)), weights)


def with_generators(fitted: Fitted, crops: Sequence[np.ndarray], weights: Path) -> Fitted:
    """The fit with generators, or without them if they fail the acceptance test on these crops."""
    from mer_features.stages.style import generators  # noqa: PLC0415  # torch, only where generators are used

    model, sha256 = generators.load(weights), generators.digest(weights)
    # The crops are sorted by content, so that the test does not depend on the shards.
    displacement = generators.bending(sorted(crops, key=lambda crop: crop.tobytes()), model)
    tested = replace(fitted, weights=weights.as_posix(), weights_sha256=sha256, displacement_px=round(displacement, 4))
    if displacement < generators.LIMIT_PX:
        return replace(tested, method="cyclegan")
    refused = f"the generators bend faces: {displacement:.2f} px, at most {generators.LIMIT_PX:g} are accepted"
    log.warning("%s: %s; the statistical method is used instead", weights, refused)
    return replace(tested, refused=refused)


def training_crops(paths: Sequence[Path]) -> np.ndarray:
    """Onset crops for the training of generators, (N, S, S, 3), uint8; grey crops have three equal channels.

    Parameters
    ----------
    paths
        Each is a faces shard, a feature file, or a folder of face images of one size.

    Raises
    ------
    ValueError
        If there are no crops, or if they differ in size.
    """
    crops = [_three_channels(crop) for path in paths for crop in _crops(path)]
    sizes = {crop.shape for crop in crops}
    if len(sizes) != 1:
        raise ValueError(f"training of style generators: found crops of {sorted(sizes) or 'no size'}, expected one")
    return np.stack(crops)


def _crops(path: Path) -> Iterator[np.ndarray]:
    if path.is_dir():
        for file in sorted(item for item in path.rglob("*") if item.suffix.lower() in IMAGE_SUFFIXES):
            picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
            if picture is None:
                raise ValueError(f"{file}: not a readable image")
            yield picture[..., ::-1]
        return
    try:
        features = open_features(path)
    except ValueError:  # not a feature file, so it must be a shard
        yield from shard_onsets([path])
        return
    with features:
        features.require("faces", purpose="the training of style generators")
        onsets = features["faces/onset"]
        yield from (onsets[row] for row in range(len(onsets)))


def _three_channels(crop: np.ndarray) -> np.ndarray:
    return np.repeat(crop, 3, axis=2) if crop.shape[2] == 1 else crop
