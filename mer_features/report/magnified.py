"""Motion magnification: the amplified apex next to the onset and the apex, and the flow to both apexes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mer_features import features as feature_file
from mer_features.features import ClipRow, Features
from mer_features.report import contact, plots
from mer_features.report.data import Database
from mer_features.report.gallery import chosen_clips
from mer_features.report.inline import Picture, jpeg, png, svg

#: Number of clips shown.
ROWS = 6
_SIDE = 144  # pixels
#: Frame pairs before and after magnification, by the headings of their columns.
PAIRS = {"flow to the apex": "onset_apex", "flow to the amplified apex": "onset_amplified"}


@dataclass(frozen=True)
class Row:
    """Images of one clip, and the ratio of flow lengths after and before magnification."""

    clip: ClipRow
    pictures: Sequence[Picture]
    ratio: float | None


@dataclass(frozen=True)
class Wheel:
    """Legend of one column of flow images: the colour wheel and the flow length at its edge, in pixels."""

    name: str
    picture: Picture
    max_px: float


@dataclass(frozen=True)
class Magnified:
    """Contents of the section for one database."""

    database: str
    method: str
    factor: float
    columns: Sequence[str]
    rows: Sequence[Row]
    wheels: Sequence[Wheel]
    ratio: tuple[float, float, float] | None  # median, lower and upper quartile over all clips
    ratio_chart: Picture | None


def build(database: Database) -> Magnified | None:
    """The section for one database; ``None`` if nothing was magnified."""
    if not database.used:
        return None
    with feature_file.open_features(database.cache) as features:
        if "magnified/apex" not in features.variables():
            return None
        chosen = chosen_clips(database.used, ROWS)
        pairs = {name: pair for name, pair in PAIRS.items() if pair in features.labels("flow/pair")}
        scales = {name: _scale(features, chosen, pair) for name, pair in pairs.items()}
        ratios = features["magnified/flow_ratio"][:]
        known = ratios[np.isfinite(ratios)]
        attrs = features.group_attrs("magnified")
        factor = float(np.ravel(attrs["factor"])[0])
        return Magnified(
            database=database.name,
            method=str(attrs["method"]),
            factor=factor,
            columns=("onset", "apex", "amplified apex", *pairs),
            rows=[_row(features, row, pairs, scales, float(ratios[row])) for row in chosen],
            wheels=[_wheel(name, scale) for name, scale in scales.items()],
            ratio=_quartiles(known) if len(known) else None,
            ratio_chart=_chart(known, factor) if len(known) else None,
        )


def _scale(features: Features, rows: Sequence[int], pair: str) -> float:
    return contact.scale_of(contact.magnitude(features.flow(features.clips[row].clip_id, pair)) for row in rows)


def _row(features: Features, row: int, pairs: dict[str, str], scales: dict[str, float], ratio: float) -> Row:
    clip = features.clips[row]
    images = {
        "onset crop": features["faces/onset"][row],
        "apex crop": features["faces/apex"][row],
        "amplified apex": features["magnified/apex"][row],
    }
    images |= {
        name: contact.flow_to_rgb(features.flow(clip.clip_id, pair), scales[name]) for name, pair in pairs.items()
    }
    pictures = [
        jpeg(contact.thumbnail(image, _SIDE), f"{clip.clip_id}: {name}", quality=90) for name, image in images.items()
    ]
    return Row(clip, pictures, ratio if np.isfinite(ratio) else None)


def _quartiles(values: np.ndarray) -> tuple[float, float, float]:
    middle, low, high = np.percentile(values, (50, 25, 75))
    return float(middle), float(low), float(high)


def _wheel(name: str, max_px: float) -> Wheel:
    alt = f"Colour wheel of {name}: red right, yellow-green down, cyan left, violet up"
    return Wheel(name, png(contact.flow_wheel(72), alt), max_px)


def _chart(ratios: np.ndarray, factor: float) -> Picture:
    label = f"flow onset to amplified apex / flow onset to apex (factor {factor:g})"
    return svg(plots.strips({"clips": ratios.tolist()}, label), f"{label}, one dot per clip; the median is in the text")
