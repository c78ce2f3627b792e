"""Looks at the databases and protocols of a configuration before any work: what is found, missing or odd.

Sheets are read and folders listed; no picture is opened, so that a whole database takes seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mer_features.commands.check.database import DatabaseCheck, check_database
from mer_features.commands.check.protocol import ProtocolCheck, check_protocol
from mer_features.commands.check.text import text
from mer_features.core.clips import Clip
from mer_features.workflow.config import Config

__all__ = ["Check", "DatabaseCheck", "ProtocolCheck", "check", "text"]


@dataclass(frozen=True)
class Check:
    """Every database and protocol of a configuration."""

    databases: list[DatabaseCheck]
    protocols: list[ProtocolCheck]

    @property
    def problems(self) -> list[str]:
        """What has to be looked at before a run, one line each; empty if all is well.

        A warning does not stop a clip: it is used, and the report names it.
        """
        return [
            *(f"database {item.name}: {problem}" for item in self.databases for problem in item.problems),
            *(f"protocol {item.name}: {problem}" for item in self.protocols for problem in item.problems),
        ]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for machines."""
        return {
            "problems": self.problems,
            "databases": [item.as_dict() for item in self.databases],
            "protocols": [item.as_dict() for item in self.protocols],
        }


def check(config: Config) -> Check:
    """Check every database and protocol of a configuration."""
    clips: dict[str, tuple[Clip, ...]] = {}
    found = [check_database(config, name, clips) for name in config.databases]
    return Check(found, [check_protocol(config, name, clips) for name in config.protocols])
