"""Check of one protocol: counts of the clips that it would use, next to the published counts."""

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
    """Counts of one protocol, assuming that every clip not rejected so far can be used."""

    name: str
    preset: str = ""
    error: str = ""  # the reason why training would not start
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
        """Problems to resolve before a run, one line each."""
        return [self.error.splitlines()[0]] if self.error else []

    def as_dict(self) -> dict[str, Any]:
        """The results as plain values, ready for JSON."""
        return asdict(self) | {"usable": self.usable, "problems": self.problems}


def check_protocol(config: Config, name: str, clips: Mapping[str, tuple[Clip, ...]]) -> ProtocolCheck:
    """Check one protocol.

    Parameters
    ----------
    config
        The configuration.
    name
        Name of the protocol in the configuration.
    clips
        Clips of each database that could be read.
    """
    protocol = config.protocols[name]
    result = ProtocolCheck(name, protocol.preset or "", published=protocols.published(protocol))
    if missing := [database for database in protocol.databases if database not in clips]:
        result.note = f"not checked, because these databases could not be read: {', '.join(missing)}"
        return result
    listed = [clip for database in protocol.databases for clip in clips[database]]
    usable = [clip for clip in listed if quality.status(clip.issues) is not Status.REJECTED]
    try:
        table = protocols.build(name, usable, protocol.model_copy(update={"accept_counts": True}), config.seed)
        result.counts, result.folds = table.counts(), len(table.folds)
        if result.published and result.counts != result.published:
            protocols.build(name, usable, protocol, config.seed, listed=listed)
            result.note = "differs from the published list; accepted because of `accept_counts: true`"
    except ValueError as error:
        result.error = str(error).removeprefix(f"protocol {name!r}: ")
    return result
