"""Checks the databases, recordings and protocols of a configuration before a run: what is found, missing or unusual.

The check reads annotation sheets and lists folders. It opens no images but published flow maps, which are small, so a
whole database takes seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from mer_features import databases
from mer_features.commands.check.cost import Cost, cost
from mer_features.commands.check.database import DatabaseCheck, check_database, rendered
from mer_features.commands.check.protocol import ProtocolCheck, check_protocol
from mer_features.commands.check.recordings import RecordingsCheck, check_recordings
from mer_features.commands.check.text import text
from mer_features.core.clips import Clip
from mer_features.databases import DatabaseError
from mer_features.databases.listing import RecordedListing
from mer_features.databases.options import SyntheticRecordings
from mer_features.databases.recordings import read_recordings
from mer_features.synthetic.recordings.listing import listed
from mer_features.training.options import used_pretrainings
from mer_features.workflow.config import Config

__all__ = ["Check", "Cost", "DatabaseCheck", "ProtocolCheck", "RecordingsCheck", "check", "text"]


@dataclass(frozen=True)
class Check:
    """Every database, database of recordings, and protocol of a configuration."""

    databases: list[DatabaseCheck]
    protocols: list[ProtocolCheck]
    cost: Cost
    missing_files: list[str] = field(default_factory=list)
    recordings: list[RecordingsCheck] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """Problems to resolve before a run, one line each; empty if there are none.

        Warnings are not included: a clip with a warning is used, and the report lists it.
        """
        return [
            *(f"database {item.name}: {problem}" for item in self.databases for problem in item.problems),
            *(f"recordings {item.name}: {problem}" for item in self.recordings for problem in item.problems),
            *(f"protocol {item.name}: {problem}" for item in self.protocols for problem in item.problems),
            *self.missing_files,
        ]

    def as_dict(self) -> dict[str, Any]:
        """The results as plain values, ready for JSON."""
        return {
            "problems": self.problems,
            "databases": [item.as_dict() for item in self.databases],
            "recordings": [item.as_dict() for item in self.recordings],
            "protocols": [item.as_dict() for item in self.protocols],
            "cost": self.cost.as_dict(),
        }


def check(config: Config) -> Check:
    """Check every database, protocol and named file of a configuration, and estimate what a run costs."""
    clips: dict[str, tuple[Clip, ...]] = {}
    listings = databases.read_all({name: item for name, item in config.databases.items() if rendered(config, name)})
    checked = [check_database(config, name, listings.get(name), clips) for name in config.databases]
    protocols = [check_protocol(config, name, clips) for name in config.protocols]
    recordings = [_check_recordings(config, name) for name in config.recordings]
    return Check(checked, protocols, cost(config, clips, protocols), _missing_files(config), recordings)


def _check_recordings(config: Config, name: str) -> RecordingsCheck:
    database = config.recordings[name]
    root = database.folder(name)
    listing: RecordedListing | DatabaseError
    if isinstance(database, SyntheticRecordings):  # what will be rendered is known before
        films, events = listed(name, root, database.preset, config.synthetic_seed(name))
        listing = RecordedListing(tuple(films), tuple(events), ())
    else:
        try:
            listing = read_recordings(name, database)
        except DatabaseError as error:
            listing = error
    return check_recordings(name, str(root), listing)


def _missing_files(config: Config) -> list[str]:
    """Files of weights and models that the configuration names and that are not there, with what needs each."""
    sections: dict[str, BaseModel] = {
        "faces": config.faces,
        "magnify": config.magnify,
        "style": config.style,
        "train_style": config.train_style,
    }
    sections |= {f"systems.{name}": item.full_recipe for name, item in config.systems.items()}
    needed = used_pretrainings(config.systems, config.pretraining) if config.systems else config.pretraining
    sections |= {f"pretraining.{name}": config.pretraining[name].full_recipe for name in needed}
    named: dict[Path, list[str]] = {}
    for place, section in sections.items():
        for key in type(section).model_fields:
            if isinstance(path := getattr(section, key), Path) and not path.is_file():
                named.setdefault(path, []).append(f"{place}.{key}")
    return [f"{path}: no such file; needed by {', '.join(places)}" for path, places in named.items()]
