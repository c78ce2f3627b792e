"""Images of the contents of a feature file: flow and strain in colour, and contact sheets of clips."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure

from mer_features import features as feature_file
from mer_features.core.files import atomic_path
from mer_features.core.grey import levels
from mer_features.core.jobs import counted
from mer_features.stages.flow import light

#: Grey levels of the difference image per grey level of difference.
GAIN = 8.0

_HEAT = mpl.colormaps["magma"]


@dataclass(frozen=True)
class ClipPicture:
    """Contents of one row of a contact sheet.

    ``onset`` and ``apex`` are crops (S, S, 1 or 3), uint8. ``flow`` (2, S, S), in pixels, and ``strain`` (S, S) are
    those from onset to apex, or ``None`` if the file has no such pair.
    """

    clip_id: str
    caption: str
    onset: np.ndarray
    apex: np.ndarray
    flow: np.ndarray | None = None
    strain: np.ndarray | None = None


def flow_to_rgb(flow: np.ndarray, max_px: float) -> np.ndarray:
    """Flow as colours: the hue is the direction, the saturation the length.

    Parameters
    ----------
    flow : ndarray, shape (2, H, W)
        u (right) and v (down), pixels.
    max_px
        Length shown with full saturation, > 0; longer vectors have the same colour.

    Returns
    -------
    ndarray, shape (H, W, 3), uint8
        RGB. White: no motion; red: motion to the right; yellow-green: down; cyan: left; violet: up. Values that are
        not finite are black.

    Raises
    ------
    ValueError
        If ``max_px`` is not positive.
    """
    _require_positive("max_px", max_px)
    known = np.isfinite(flow).all(axis=0)
    u, v = np.where(known, flow, 0)
    hue = np.arctan2(v, u) / (2 * np.pi) % 1
    saturation = np.minimum(np.hypot(u, v) / max_px, 1)
    rgb = hsv_to_rgb(np.stack([hue, saturation, np.ones_like(hue)], axis=-1))
    return np.where(known[..., None], np.rint(255 * rgb), 0).astype(np.uint8)


def flow_wheel(side: int) -> np.ndarray:
    """Legend of :func:`flow_to_rgb`: all directions, full length at the edge; shape (side, side, 3), uint8 RGB."""
    axis = np.linspace(-1, 1, side)
    flow = np.stack(np.meshgrid(axis, axis))
    inside = np.hypot(*flow) <= 1
    return np.where(inside[..., None], flow_to_rgb(flow, 1.0), 255).astype(np.uint8)


def strain_to_rgb(strain: np.ndarray, max_strain: float) -> np.ndarray:
    """Strain as colours from black (0) to pale yellow.

    Parameters
    ----------
    strain : ndarray, shape (H, W)
        Optical strain, >= 0.
    max_strain
        Strain shown with the brightest colour, > 0.

    Returns
    -------
    ndarray, shape (H, W, 3), uint8
        RGB, matplotlib's colour map ``magma``.

    Raises
    ------
    ValueError
        If ``max_strain`` is not positive.
    """
    _require_positive("max_strain", max_strain)
    return np.asarray(_HEAT(np.clip(strain / max_strain, 0, 1), bytes=True)[..., :3])


def difference_to_rgb(onset: np.ndarray, apex: np.ndarray, gain: float = GAIN) -> np.ndarray:
    """Amplified change of brightness from onset to apex.

    Parameters
    ----------
    onset, apex : ndarray, shape (H, W, 1 or 3), uint8
        Crops; colour is reduced to luma.
    gain
        Grey levels per grey level of change.

    Returns
    -------
    ndarray, shape (H, W, 3), uint8
        Mid-grey (128) where nothing changed, brighter where the apex is brighter. The lighting of the apex is matched
        to that of the onset first, because flicker would hide the movement.
    """
    change = 255 * light.match(onset, apex) - levels(onset)
    return _rgb(np.rint(np.clip(128 + gain * change, 0, 255)).astype(np.uint8))


def scale_of(fields: Iterable[np.ndarray], percentile: float = 99.0) -> float:
    """Upper end of a common colour scale for several non-negative fields (S, S), a round number.

    It is the upper quartile, over the fields, of the given percentile of each field's central part, rounded up to two
    digits; 1 if all values are zero. Shoulders and background at the border, and single clips with very large values,
    therefore do not darken all other clips; they saturate instead.
    """
    tops = [float(np.nanpercentile(_middle(field), percentile)) for field in fields]
    top = float(np.percentile(tops, 75)) if tops else 0.0
    if not top > 0:
        return 1.0
    step = 10.0 ** (math.floor(math.log10(top)) - 1)
    return float(f"{math.ceil(round(top / step, 6)) * step:.2g}")


def _middle(field: np.ndarray) -> np.ndarray:
    """The central three quarters of a field, which contain the face."""
    margin = field.shape[0] // 8
    return field[margin : field.shape[0] - margin, margin : field.shape[1] - margin]


def magnitude(flow: np.ndarray) -> np.ndarray:
    """Length of the flow vectors (2, H, W), shape (H, W)."""
    return np.hypot(flow[0], flow[1])


#: Columns of a contact sheet.
COLUMNS = ("onset", "apex", f"apex − onset, ×{GAIN:g}", "flow", "strain")


def panels(picture: ClipPicture, max_px: float, max_strain: float) -> list[np.ndarray]:
    """The images of one clip, RGB, in the order of :data:`COLUMNS`; flow and strain only if the clip has them."""
    images = [_rgb(picture.onset), _rgb(picture.apex), difference_to_rgb(picture.onset, picture.apex)]
    if picture.flow is not None and picture.strain is not None:
        images += [flow_to_rgb(picture.flow, max_px), strain_to_rgb(picture.strain, max_strain)]
    return images


def thumbnail(image: np.ndarray, side: int) -> np.ndarray:
    """A square image resized to ``side`` pixels, RGB; area averaging if it becomes smaller."""
    interpolation = cv2.INTER_AREA if side < image.shape[0] else cv2.INTER_LINEAR
    return cv2.resize(_rgb(image), (side, side), interpolation=interpolation)


def mosaic(images: Sequence[np.ndarray], side: int, columns: int, gap: int = 2) -> np.ndarray:
    """Square images in rows and columns on white; shape (H, W, 3), uint8 RGB.

    Raises
    ------
    ValueError
        If there are no images.
    """
    if not images:
        raise ValueError("a mosaic needs at least one image")
    columns = min(columns, len(images))
    rows, step = -(-len(images) // columns), side + gap
    out = np.full((rows * step - gap, columns * step - gap, 3), 255, np.uint8)
    for index, image in enumerate(images):
        y, x = index // columns * step, index % columns * step
        out[y : y + side, x : x + side] = thumbnail(image, side)
    return out


_MARGIN, _TOP, _LABEL, _GAP, _FOOT = 16, 64, 190, 6, 110


def contact_sheet(pictures: Sequence[ClipPicture], *, title: str, max_px: float, max_strain: float) -> Figure:
    """A page with one row per clip (onset, apex, amplified difference, flow, strain) and a legend of the colours.

    Parameters
    ----------
    pictures
        The clips, at least one.
    title
        Line above the rows.
    max_px, max_strain
        Upper ends of the two colour scales: flow length in pixels, and strain.

    Returns
    -------
    matplotlib.figure.Figure
        The page; saved at its own resolution, one figure pixel is one image pixel.
    """
    side = 150
    width = 2 * _MARGIN + _LABEL + len(COLUMNS) * (side + _GAP)
    height = _TOP + len(pictures) * (side + _GAP) + _FOOT
    canvas = np.full((height, width, 3), 255, np.uint8)
    page = Figure(figsize=(width / 100, height / 100), dpi=100)
    left = _MARGIN + _LABEL
    _text(page, _MARGIN, height - 18, title, size=11, weight="bold")
    for number, name in enumerate(COLUMNS):
        _text(page, left + number * (side + _GAP) + side / 2, height - 46, name, horizontalalignment="center")
    for row, picture in enumerate(pictures):
        top = _TOP + row * (side + _GAP)
        for number, panel in enumerate(panels(picture, max_px, max_strain)):
            x = left + number * (side + _GAP)
            canvas[top - 1 : top + side + 1, x - 1 : x + side + 1] = 215  # still flow is as white as the page
            canvas[top : top + side, x : x + side] = thumbnail(panel, side)
        _text(page, _MARGIN, height - top - 14, _shorten(picture.clip_id, 26), weight="bold")
        _text(page, _MARGIN, height - top - 32, picture.caption, verticalalignment="top")
    _legend(page, canvas, left, max_px, max_strain)
    page.figimage(canvas, 0, 0, origin="upper", zorder=-1)
    return page


def picture_of(features: feature_file.Features, row: int, pair: str = "onset_apex") -> ClipPicture:
    """One clip of an open feature file."""
    clip = features.clips[row]
    frames = f"frames {clip.onset} – {clip.apex} – {clip.offset}"
    lines = [clip.emotion, frames, f"apex: {clip.apex_source}", "" if clip.status == "ok" else clip.status]
    onset, apex = features["faces/onset"][row], features["faces/apex"][row]
    caption = "\n".join(filter(None, lines))
    try:
        strain = features[f"flow/strain[{pair}]"][row]
    except KeyError:  # the pair is a choice of the configuration
        return ClipPicture(clip.clip_id, caption, onset, apex)
    return ClipPicture(clip.clip_id, caption, onset, apex, features.flow(clip.clip_id, pair), strain)


def enlarged(plane: np.ndarray, side: int) -> np.ndarray:
    """A small plane (H, W) uint8 enlarged without smoothing by the largest whole factor that fits ``side`` pixels."""
    factor = max(1, side // max(plane.shape))
    return np.kron(plane, np.ones((factor, factor), np.uint8))


def spread(count: int, wanted: int) -> list[int]:
    """At most ``wanted`` evenly spaced positions out of 0..count-1, including the first."""
    return [index * count // wanted for index in range(wanted)] if count > wanted else list(range(count))


def scales(features: feature_file.Features, rows: Sequence[int]) -> tuple[float, float]:
    """Upper ends of the colour scales of flow (px) and strain for some clips of a feature file."""
    pictures = [picture_of(features, row) for row in rows]
    max_px = scale_of(magnitude(picture.flow) for picture in pictures if picture.flow is not None)
    return max_px, scale_of(picture.strain for picture in pictures if picture.strain is not None)


def write_sheet(cache_file: Path, output: Path, *, per_page: int = 24) -> list[Path]:
    """Write contact sheets of all clips of a feature file, all with the same colour scales.

    Parameters
    ----------
    cache_file
        The feature file.
    output
        PNG file to write. Further pages are written to the same folder as ``<stem>-2.png``, ``<stem>-3.png``, etc.
    per_page
        Clips per page.

    Returns
    -------
    list of Path
        The pages written, each atomically; empty for a file without clips.
    """
    written = []
    with feature_file.open_features(cache_file) as features:
        features.require("faces", purpose="a contact sheet")
        count = len(features.clips)
        max_px, max_strain = scales(features, spread(count, 48))
        for number, start in enumerate(range(0, count, per_page), start=1):
            path = output if number == 1 else output.with_name(f"{output.stem}-{number}{output.suffix}")
            pages = -(-count // per_page)
            title = f"{cache_file.name}: {counted(count, 'clip')}"
            title += f", page {number} of {pages}" if pages > 1 else ""
            rows = [picture_of(features, row) for row in range(start, min(start + per_page, count))]
            with atomic_path(path) as temporary:
                page = contact_sheet(rows, title=title, max_px=max_px, max_strain=max_strain)
                page.savefig(temporary, format="png")
            written.append(path)
    return written


def _text(page: Figure, x: float, y: float, text: str, size: float = 8.5, **style: Any) -> None:
    """Draw text at a position in pixels from the lower left corner, without interpreting it as a formula."""
    options: dict[str, Any] = {"verticalalignment": "center", "parse_math": False, "color": "#222"} | style
    page.text(x / page.bbox.width, y / page.bbox.height, text, fontsize=size, **options)


def _legend(page: Figure, canvas: np.ndarray, left: int, max_px: float, max_strain: float) -> None:
    height, side = canvas.shape[0], 84
    top = height - side - 12
    canvas[top : top + side, left : left + side] = flow_wheel(side)
    _text(
        page,
        left + side + 10,
        height - top - side / 2,
        f"flow: the colour is the direction,\nthe edge is {max_px:g} px",
    )
    x, bar = left + 2 * 156, 200
    canvas[top + 30 : top + 44, x : x + bar] = strain_to_rgb(np.linspace(0, 1, bar)[None].repeat(14, 0), 1.0)
    _text(page, x, height - top - 20, "strain (pixels per pixel)")
    _text(page, x, height - top - 54, "0")
    _text(page, x + bar, height - top - 54, f"{max_strain:g}", horizontalalignment="right")


def _rgb(image: np.ndarray) -> np.ndarray:
    """A grey image (H, W) or (H, W, 1) as RGB; an RGB image unchanged."""
    image = image if image.ndim == 3 else image[..., None]
    return np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _require_positive(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"found {name} {value}, expected a number greater than 0")
