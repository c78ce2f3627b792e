"""What each stage adds to the feature file: one part per group, written clip by clip.

A part first scans all clips for the sizes of its dimensions and then writes one row per clip, so that memory does not
grow with the database. A new stage adds its part to :func:`all_parts` and its group to the schema.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol

import h5py
import numpy as np

from mer_features.core.quality import Issue
from mer_features.features import layout
from mer_features.features.layout import text
from mer_features.features.options import Cache
from mer_features.features.schema import (
    DESCRIPTORS,
    FACES,
    FLOW,
    FLOW_MAPS,
    MAGNIFIED,
    SPOTTING,
    STAGE_ATTRIBUTES,
    STYLE,
    CacheError,
    Group,
)
from mer_features.features.sources import Views
from mer_features.frames import flow_map
from mer_features.stages.store import ClipRecord, ClipView


class Part(Protocol):
    """One group of the feature file."""

    group: Group

    def scan(self, views: Views) -> None:
        """Read the dimension sizes of one clip; raises :class:`CacheError` if they differ from those of other clips."""

    def sizes(self) -> dict[str, int]:
        """Lengths of the group's dimensions, known after the scan."""

    def labels(self) -> dict[str, np.ndarray]:
        """Coordinate variables of the group."""

    def attributes(self) -> dict[str, Any]:
        """Attributes of the group in addition to those of all stages, known after the scan."""
        return {}

    def write(self, out: h5py.Group, row: int, views: Views) -> list[Issue]:
        """Write one clip and return the issues found."""


def all_parts(options: Cache, stages: Collection[str]) -> list[Part]:
    """Parts of a feature file for the stages that ran, in the order of their groups."""
    parts: dict[str, Part] = {
        "faces": FacesPart(options.keyframes),
        "apex": SpottingPart(),
        "magnify": MagnifiedPart(),
        "flow": FlowPart(),
        "style": StylePart(),
        "descriptors": DescriptorsPart(),
    }
    return [part for stage, part in parts.items() if stage in stages]


def _same(known: Any, value: Any, what: str) -> Any:
    """The value of a clip, which must be the known value of the clips before."""
    if known is not None and known != value:
        raise CacheError(f"{what} {value}, but {known} in the clips before")
    return value


class FacesPart(Part):
    """Key-frame crops, landmarks and transform."""

    group = FACES

    def __init__(self, keyframes: int) -> None:
        self._keyframes = keyframes
        self._size: tuple[int, int] | None = None
        self._channels = 1

    def scan(self, views: Views) -> None:
        """Crop size (the same for all) and whether any clip is in colour."""
        _, height, width, channels = views["faces"]["crops"].shape
        self._size = _same(self._size, (height, width), "face crops are")
        self._channels = max(self._channels, channels)

    def sizes(self) -> dict[str, int]:
        """Dimensions of the group."""
        assert self._size is not None
        sizes = {"y": self._size[0], "x": self._size[1], "channel": self._channels, "keyframe": self._keyframes}
        return sizes | {"landmark": 68, "xy": 2, "row": 2, "column": 3}

    def labels(self) -> dict[str, np.ndarray]:
        """No coordinates."""
        return {}

    def write(self, out: h5py.Group, row: int, views: Views) -> list[Issue]:
        """Write one clip."""
        faces, apex = views["faces"], int(views["apex"].attrs["apex"])
        crops, numbers = faces["crops"], faces["numbers"][()]
        positions = {"onset": int(faces.attrs["onset"]), "apex": apex, "offset": int(faces.attrs["offset"])}
        window = window_around(apex, len(numbers), self._keyframes)
        level = out["keyframes"].compression_opts
        # Each image is compressed once, although the apex and often the onset and offset are stored twice.
        streams = {
            position: layout.images(_channels(crops[position], self._channels), level)
            for position in {*positions.values(), *window}
        }
        for name, position in positions.items():
            layout.put(out[name], (row,), streams[position])
        for place, position in enumerate(window):
            layout.put(out["keyframes"], (row, place), streams[position])
        out["keyframe_number"][row] = numbers[window]
        out["landmarks"][row] = faces["landmarks"][()]
        out["transform"][row] = faces["transform"][()]
        return []


def _channels(image: np.ndarray, channels: int) -> np.ndarray:
    """A crop with this number of channels; a grey channel is repeated."""
    return image if image.shape[-1] == channels else np.repeat(image, channels, axis=-1)


def window_around(centre: int, length: int, width: int) -> list[int]:
    """Positions of ``width`` frames around ``centre``, inside a clip of ``length`` frames.

    Near the start or the end of the clip the window is shifted, so that it still has ``width`` different frames and
    includes the centre. The last frame is repeated only if the clip is shorter than the window.
    """
    start = min(max(centre - width // 2, 0), max(length - width, 0))
    return [min(start + step, length - 1) for step in range(width)]


class SpottingPart(Part):
    """Curve and apex of each spotter."""

    group = SPOTTING

    def __init__(self) -> None:
        self._spotters: list[str] | None = None
        self._frames = 0

    def scan(self, views: Views) -> None:
        """Names of the spotters (the same for all) and the length of the longest clip."""
        prefix = "spotted_"
        names = sorted(name.removeprefix(prefix) for name in views["apex"].attrs if name.startswith(prefix))
        self._spotters = _same(self._spotters, names, "spotters are")
        self._frames = max(self._frames, views["faces"]["numbers"].shape[0])

    def sizes(self) -> dict[str, int]:
        """Dimensions of the group."""
        return {"spotter": len(self._spotters or ()), "frame": self._frames}

    def labels(self) -> dict[str, np.ndarray]:
        """Names of the spotters."""
        return {"spotter": text(self._spotters or ())}

    def write(self, out: h5py.Group, row: int, views: Views) -> list[Issue]:
        """Write one clip."""
        assert self._spotters is not None
        apex, numbers = views["apex"], views["faces"]["numbers"][()]
        curves = np.full((len(self._spotters), self._frames), np.nan, np.float32)
        for line, name in enumerate(self._spotters):
            curves[line, : len(numbers)] = apex[f"curve_{name}"][()]
        spotted = [int(apex.attrs[f"spotted_{name}"]) for name in self._spotters]
        out["curve"][row] = curves
        out["spotted"][row] = numbers[spotted]
        out["frame_number"][row] = np.pad(numbers, (0, self._frames - len(numbers)), constant_values=-1)
        return []


class MagnifiedPart(Part):
    """The amplified apex, and its magnification measured by the flow."""

    group = MAGNIFIED

    def __init__(self) -> None:
        self._size: tuple[int, int] | None = None
        self._channels = 1
        self._settings: tuple[float, str] | None = None

    def scan(self, views: Views) -> None:
        """Crop size, factor and model (the same for all) and whether any clip is in colour."""
        magnified = views["magnify"]
        _, height, width, channels = magnified["apex"].shape
        self._size = _same(self._size, (height, width), "amplified crops are")
        settings = (float(magnified.attrs["factor"]), str(magnified.attrs["model_digest"]))
        self._settings = _same(self._settings, settings, "factor and model are")
        self._channels = max(self._channels, channels)

    def sizes(self) -> dict[str, int]:
        """Dimensions of the group."""
        assert self._size is not None
        return {"y": self._size[0], "x": self._size[1], "channel": self._channels}

    def labels(self) -> dict[str, np.ndarray]:
        """No coordinates."""
        return {}

    def attributes(self) -> dict[str, Any]:
        """Factor and digest of the network's weights (empty for methods without a network)."""
        assert self._settings is not None
        return {"factor": np.float64(self._settings[0]), "model_digest": self._settings[1]}

    def write(self, out: h5py.Group, row: int, views: Views) -> list[Issue]:
        """Write one clip."""
        out["apex"][row] = _channels(views["magnify"]["apex"][0], self._channels)
        out["flow_ratio"][row] = views["flow"].attrs.get("magnified_by", np.nan)
        return []


class FlowPart(Part):
    """Flow and strain, packed."""

    group = FLOW

    def __init__(self) -> None:
        self._pairs: list[str] | None = None
        self._size: tuple[int, int] | None = None

    def scan(self, views: Views) -> None:
        """Pairs and field size, the same for all."""
        flow = views["flow"]
        self._pairs = _same(self._pairs, str(flow.attrs["pairs"]).split(","), "flow pairs are")
        self._size = _same(self._size, tuple(flow["flow"].shape[-2:]), "flow fields are")

    def sizes(self) -> dict[str, int]:
        """Dimensions of the group."""
        assert self._size is not None
        return {"pair": len(self._pairs or ()), "y": self._size[0], "x": self._size[1]}

    def labels(self) -> dict[str, np.ndarray]:
        """Names of the pairs."""
        return {"pair": text(self._pairs or ())}

    def write(self, out: h5py.Group, row: int, views: Views) -> list[Issue]:
        """Write one clip; values outside the packed range are clipped and reported."""
        issues = []
        for index, pair in enumerate(self._pairs or ()):
            for name, field in _fields(views["flow"], index).items():
                variable = FLOW.variable(name)
                assert variable.scale is not None
                assert variable.limit is not None
                packed, peak = layout.pack(field, variable.scale, variable.limit)
                layout.put(out[name], (row, index), layout.fields(packed))
                if peak > variable.limit:
                    detail = f"{name} of {pair} reaches {peak:.4g}, clipped to {variable.limit:g}"
                    issues.append(Issue("flow_out_of_range", detail))
        return issues


def _fields(flow: ClipView | ClipRecord, index: int) -> dict[str, np.ndarray]:
    """Horizontal and vertical flow and strain of one pair."""
    u, v = flow["flow"][index]
    return {"u": u, "v": v, "strain": flow["strain"][index]}


class StylePart(Part):
    """Style-aggregated crops of onset and apex."""

    group = STYLE
    _OWN = tuple(name for name in STYLE.attributes if name not in STAGE_ATTRIBUTES)

    def __init__(self) -> None:
        self._size: tuple[int, int] | None = None
        self._channels = 1
        self._settings: dict[str, Any] | None = None

    def scan(self, views: Views) -> None:
        """Crop size and style attributes, the same for all clips, and whether any clip is in colour."""
        height, width, channels = views["style"]["onset"].shape
        self._size = _same(self._size, (height, width), "style crops are")
        self._channels = max(self._channels, channels)
        self._settings = _same(
            self._settings, {name: str(views["style"].attrs[name]) for name in self._OWN}, "style is"
        )

    def sizes(self) -> dict[str, int]:
        """Dimensions of the group."""
        assert self._size is not None
        return {"y": self._size[0], "x": self._size[1], "channel": self._channels}

    def attributes(self) -> dict[str, Any]:
        """The style method, the digest of its fit and the faces it was fitted on."""
        return dict(self._settings or {})

    def labels(self) -> dict[str, np.ndarray]:
        """No coordinates."""
        return {}

    def write(self, out: h5py.Group, row: int, views: Views) -> list[Issue]:
        """Write one clip."""
        for name in ("onset", "apex"):
            out[name][row] = _channels(views["style"][name][()], self._channels)
        return []


class FlowMapsPart(Part):
    """Published flow maps as they are."""

    group = FLOW_MAPS

    def __init__(self) -> None:
        self._size: tuple[int, int] | None = None

    def scan(self, views: Views) -> None:
        """Size of the maps, the same for all."""
        self._size = _same(self._size, views["flow_maps"]["maps"].shape[1:], "flow maps are")

    def sizes(self) -> dict[str, int]:
        """Dimensions of the group."""
        assert self._size is not None
        return {"channel": len(flow_map.CHANNELS), "y": self._size[0], "x": self._size[1]}

    def labels(self) -> dict[str, np.ndarray]:
        """Names of the channels."""
        return {"channel": text(flow_map.CHANNELS)}

    def attributes(self) -> dict[str, Any]:
        """What is known of the scale."""
        return {"scale": "unknown"}

    def write(self, out: h5py.Group, row: int, views: Views) -> list[Issue]:
        """Write one clip."""
        out["maps"][row] = views["flow_maps"]["maps"]
        return []


class DescriptorsPart(Part):
    """The handcrafted descriptors that were computed."""

    group = DESCRIPTORS

    def __init__(self) -> None:
        self._lengths: dict[str, int] | None = None

    def scan(self, views: Views) -> None:
        """Names and lengths of the descriptors, the same for all clips."""
        view = views["descriptors"]
        lengths = {item.name: view[item.name].shape[0] for item in DESCRIPTORS.variables if item.name in view}
        self._lengths = _same(self._lengths, lengths, "descriptors are")

    def sizes(self) -> dict[str, int]:
        """Dimensions of the group."""
        return {f"{name}_value": length for name, length in (self._lengths or {}).items()}

    def labels(self) -> dict[str, np.ndarray]:
        """No coordinates."""
        return {}

    def write(self, out: h5py.Group, row: int, views: Views) -> list[Issue]:
        """Write one clip."""
        for name in self._lengths or ():
            out[name][row] = views["descriptors"][name][()]
        return []
