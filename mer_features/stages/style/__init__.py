"""Style stage: converts the faces of all databases to one image style, without changing their geometry.

Systems that learn from face images (e.g. SA-AT) would otherwise learn the style of camera and lighting. See
``docs/style.md`` for the methods and their measured effects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from mer_features.core.clips import Clip
from mer_features.core.grey import levels
from mer_features.stages.options import Style
from mer_features.stages.store import ClipRecord, ClipView
from mer_features.stages.style import fitted as fits
from mer_features.stages.style import peers, statistical
from mer_features.stages.style.fitted import Fitted

__all__ = ["aggregate", "aggregate_pair", "process"]

_Change = Callable[[np.ndarray], np.ndarray]


def aggregate(
    image: np.ndarray, method: str = "statistical", fitted: Fitted | None = None, colour: str = "keep"
) -> np.ndarray:
    """Convert a face to the aggregated style.

    Parameters
    ----------
    image : ndarray, shape (H, W, 1) or (H, W, 3), uint8
        Face crop, grey or RGB.
    method
        Method of the section ``style``; ``none`` returns the image itself.
    fitted
        Result of a fit, from :func:`mer_features.stages.style.fitted.fit` or a file; not needed for ``none`` and
        ``clahe``.
    colour
        ``keep``, or ``grey``: the luma of the image (ITU-R BT.601) is aggregated in its place.

    Returns
    -------
    ndarray, uint8
        Image of the same shape; three equal channels remain equal, and with ``grey`` all three are.

    Raises
    ------
    ValueError
        For another shape or dtype, an unknown ``colour``, or if ``fitted`` is missing or was made for another method.
    """
    return aggregate_pair(image, image, method, fitted, colour)[0]


def aggregate_pair(
    onset: np.ndarray,
    apex: np.ndarray,
    method: str = "statistical",
    fitted: Fitted | None = None,
    colour: str = "keep",
) -> tuple[np.ndarray, np.ndarray]:
    """Apply one change of style, determined on the onset, to onset and apex of a clip; see :func:`aggregate`."""
    for name, image in (("onset", onset), ("apex", apex)):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3):
            raise ValueError(f"{name}: found {image.dtype} {image.shape}, expected uint8 (H, W, 1) or (H, W, 3)")
    if colour not in ("keep", "grey"):
        raise ValueError(f"found colour {colour!r}, expected keep or grey")
    if colour == "grey":
        # Before the change of style is determined, so that it is the same for a colour face and its grey copy.
        onset, apex = (np.broadcast_to(levels(image)[..., None], image.shape).copy() for image in (onset, apex))
    change = _change(onset, method, fitted)
    return change(onset), change(apex)


def _change(onset: np.ndarray, method: str, fitted: Fitted | None) -> _Change:
    """The function that is applied to every frame of the clip."""
    if method == "none":
        return np.copy
    if method == "clahe":
        return peers.clahe
    if fitted is None:
        raise ValueError(f"style method {method!r} needs a fit, but `fitted` is missing")
    # If generators were refused, the fit has the method `statistical` although `cyclegan` is configured.
    if method not in (fitted.method, "cyclegan"):
        raise ValueError(f"style method {method!r} does not match the fit, which is for {fitted.method!r}")
    if fitted.method == "histogram":
        tables = peers.histogram_tables(onset, fitted.histogram)
        return lambda image: peers.apply_tables(image, tables)
    if fitted.method == "statistical":
        transform = statistical.transform(onset, fitted.references)
        return lambda image: statistical.apply(image, transform)
    from mer_features.stages.style import generators  # noqa: PLC0415  # torch, only where generators are used

    model = generators.load(Path(fitted.weights), fitted.weights_sha256)
    return lambda image: generators.aggregate(image, model)


def process(clip: Clip, inputs: Mapping[str, ClipView], options: Style) -> ClipRecord:
    """Convert onset and apex of one clip to the aggregated style.

    Returns
    -------
    ClipRecord
        Arrays ``onset`` and ``apex``, (S, S, C), uint8; attributes ``style_method``, ``fit_on``, ``fit_databases``
        (joined by commas), ``model_sha256`` and ``refused``.
    """
    fitted = _fit(options)
    crops, position = inputs["faces"]["crops"], inputs["apex"].attrs
    onset, apex = (crops[int(position[name])] for name in ("onset", "apex"))
    pair = aggregate_pair(onset, apex, options.method, fitted, options.colour)
    arrays = dict(zip(("onset", "apex"), pair, strict=True))
    attrs = {"style_method": options.method, "fit_on": "", "fit_databases": "", "model_sha256": "", "refused": ""}
    if fitted is not None:
        attrs |= {"style_method": fitted.method, "fit_on": fitted.source.fit_on, "model_sha256": fitted.digest}
        attrs |= {"fit_databases": ",".join(fitted.source.databases), "refused": fitted.refused}
    return ClipRecord(clip.clip_id, arrays, attrs)


def _fit(options: Style) -> Fitted | None:
    if not options.fits:
        return None
    if options.model is None:
        raise ValueError(f"style method {options.method!r} needs a fit, but `model` is not set")
    state = options.model.stat()
    return _read(options.model, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=2)
def _read(path: Path, time: int, size: int) -> Fitted:  # noqa: ARG001  # a rewritten file is read again
    return fits.read(path)
