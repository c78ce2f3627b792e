"""From stage files or feature files to a fit: which faces are seen, and whether generators may be used."""

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
    """Fit on the onset crops of faces shards.

    Parameters
    ----------
    paths
        Stage files of the faces stage of every database that ``options.fit_on`` allows.
    options
        ``method``, ``fit_on``, ``clusters``.
    seed
        Of k-means.
    databases
        Their names, for the record.
    weights
        With ``cyclegan``, the generators. They are tried on some of the crops; if they bend faces the fit is one of
        the statistical method, with a warning that says so.
    """
    source = Source(options.fit_on, tuple(databases))
    method = "histogram" if options.method == "histogram" else "statistical"
    fitted = fit(shard_onsets(paths), method=method, clusters=options.clusters, seed=seed, source=source)
    if options.method != "cyclegan":
        return fitted
    if weights is None:
        raise ValueError("style method cyclegan: no generators given")
    return with_generators(fitted, list(shard_onsets(paths)), weights)


def with_generators(fitted: Fitted, crops: Sequence[np.ndarray], weights: Path) -> Fitted:
    """The fit with generators, or without them if they fail the acceptance test on these crops."""
    from mer_features.stages.style import generators  # noqa: PLC0415  # torch, only where generators are used

    model, sha256 = generators.load(weights), generators.digest(weights)
    # Order of crops by content: the test must not depend on shards.
    moved = generators.bending(sorted(crops, key=lambda crop: crop.tobytes()), model)
    found = replace(fitted, weights=weights.as_posix(), weights_sha256=sha256, displacement_px=round(moved, 4))
    if moved < generators.LIMIT_PX:
        return replace(found, method="cyclegan")
    refused = f"the generators bend faces: {moved:.2f} px, at most {generators.LIMIT_PX:g} are accepted"
    log.warning("%s: %s; the statistical method is used instead", weights, refused)
    return replace(found, refused=refused)


def training_crops(paths: Sequence[Path]) -> np.ndarray:
    """Onset crops to train generators on, (N, S, S, 3), uint8; grey ones have three equal channels.

    Parameters
    ----------
    paths
        Each a faces shard, a feature file, or a folder of pictures (of faces, one size).

    Raises
    ------
    ValueError
        If there are none or they differ in size.
    """
    crops = [_three(crop) for path in paths for crop in _crops(path)]
    sizes = {crop.shape for crop in crops}
    if len(sizes) != 1:
        raise ValueError(f"training of style generators: found crops of {sorted(sizes) or 'no size'}, expected one")
    return np.stack(crops)


def _crops(path: Path) -> Iterator[np.ndarray]:
    if path.is_dir():
        for file in sorted(item for item in path.rglob("*") if item.suffix.lower() in IMAGE_SUFFIXES):
            picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
            if picture is None:
                raise ValueError(f"{file}: not a readable picture")
            yield picture[..., ::-1]
        return
    try:
        features = open_features(path)
    except ValueError:  # no feature file, then it must be a shard
        yield from shard_onsets([path])
        return
    with features:
        onsets = features["faces/onset"]
        yield from (onsets[row] for row in range(len(onsets)))


def _three(crop: np.ndarray) -> np.ndarray:
    return np.repeat(crop, 3, axis=2) if crop.shape[2] == 1 else crop
