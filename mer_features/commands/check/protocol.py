"""One protocol: the clips it would take, beside the published numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mer_features import protocols
from mer_features.core import quality
from mer_features.core.clips import Clip
from mer_features.core.quality import Status
from mer_features.workflow.config import Config


@dataclass
class ProtocolCheck:
    """What a protocol comes out as with every clip that nothing speaks against yet."""

    name: str
    preset: str = ""
    error: str = ""  # why training would not start
    note: str = ""
    counts: dict[str, dict[str, int]] = field(default_factory=dict)  # database -> class or "subjects" -> number
    published: dict[str, Mapping[str, int]] = field(default_factory=dict)  # the same; empty without a preset
    folds: int = 0

    @property
    def usable(self) -> bool:
        """Whether training would start."""
        return not self.error

    @property
    def problems(self) -> list[str]:
        """What has to be looked at before a run, one line each."""
        return [self.error.splitlines()[0]] if self.error else []

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for machines."""
        return asdict(self) | {"usable": self.usable, "problems": self.problems}


def check_protocol(config: Config, name: str, clips: Mapping[str, tuple[Clip, ...]]) -> ProtocolCheck:
    """Look at one protocol.

    Parameters
    ----------
    config
        The configuration.
    name
        Of the protocol.
    clips
        Clips of each database that could be read.
    """
    protocol = config.protocols[name]
    result = ProtocolCheck(name, protocol.preset or "", published=protocols.published(protocol))
    if missing := [database for database in protocol.databases if database not in clips]:
        result.note = f"cannot be told before {', '.join(missing)} can be read"
        return result
    listed = [clip for database in protocol.databases for clip in clips[database]]
    usable = [clip for clip in listed if quality.status(clip.issues) is not Status.REJECTED]
    try:
        table = protocols.build(name, usable, protocol.model_copy(update={"accept_counts": True}), config.seed)
        result.counts, result.folds = table.counts(), len(table.folds)
        if result.published and result.counts != result.published:
            protocols.build(name, usable, protocol, config.seed, listed=listed)
            result.note = "not the published list; `accept_counts: true` goes on with it"
    except ValueError as error:
        result.error = str(error).removeprefix(f"protocol {name!r}: ")
    return result
