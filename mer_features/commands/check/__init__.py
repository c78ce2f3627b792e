"""Checks the databases and protocols of a configuration before a run: what is found, missing or unusual.

The check reads annotation sheets and lists folders. It opens no images but published flow maps, which are small, so a
whole database takes seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mer_features import databases
from mer_features.commands.check.cost import Cost, cost
from mer_features.commands.check.database import DatabaseCheck, check_database, rendered
from mer_features.commands.check.protocol import ProtocolCheck, check_protocol
from mer_features.commands.check.text import text
from mer_features.core.clips import Clip
from mer_features.workflow.config import Config

__all__ = ["Check", "Cost", "DatabaseCheck", "ProtocolCheck", "check", "text"]


@dataclass(frozen=True)
class Check:
    """Every database and protocol of a configuration."""

    databases: list[DatabaseCheck]
    protocols: list[ProtocolCheck]
    cost: Cost

    @property
    def problems(self) -> list[str]:
        """Problems to resolve before a run, one line each; empty if there are none.

        Warnings are not included: a clip with a warning is used, and the report lists it.
        """
        return [
            *(f"database {item.name}: {problem}" for item in self.databases for problem in item.problems),
            *(f"protocol {item.name}: {problem}" for item in self.protocols for problem in item.problems),
        ]

    def as_dict(self) -> dict[str, Any]:
        """The results as plain values, ready for JSON."""
        return {
            "problems": self.problems,
            "databases": [item.as_dict() for item in self.databases],
            "protocols": [item.as_dict() for item in self.protocols],
            "cost": self.cost.as_dict(),
        }


def check(config: Config) -> Check:
    """Check every database and protocol of a configuration, and reckon what a run costs."""
    clips: dict[str, tuple[Clip, ...]] = {}
    listings = databases.read_all({name: item for name, item in config.databases.items() if rendered(config, name)})
    checked = [check_database(config, name, listings.get(name), clips) for name in config.databases]
    protocols = [check_protocol(config, name, clips) for name in config.protocols]
    return Check(checked, protocols, cost(config, clips, protocols))
