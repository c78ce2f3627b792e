"""What the Snakefile asks about recordings: how they are rendered, measured, searched, cut and recognised."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mer_features.core import clips as clip_tables
from mer_features.core import fingerprint
from mer_features.core import recordings as tables
from mer_features.databases.options import RecordingClips, SyntheticRecordings
from mer_features.features.options import Provenance
from mer_features.stages.run import plain
from mer_features.synthetic.recordings.store import RENDERER
from mer_features.workflow.config import Config

#: Options of recordings that say how their events are read.
CONVENTIONS = ("variant", "offset_zero", "onset_zero", "overlaps")
_NETWORK = ("mer_features.spotting.network", "mer_features.spotting.convolutions")


class RecordingsPlan:
    """The recordings of a configuration.

    Parameters
    ----------
    config
        The whole configuration.
    scripts
        Scripts of a step, as files whose edit runs it again.
    """

    def __init__(self, config: Config, scripts: Callable[[str], tuple[Path, ...]]) -> None:
        self._config, self._scripts = config, scripts

    @property
    def names(self) -> list[str]:
        """Names of all sets of recordings."""
        return list(self._config.recordings)

    @property
    def embedded(self) -> list[str]:
        """Names of the embedded sets of recordings."""
        return [name for name, item in self._config.recordings.items() if isinstance(item, SyntheticRecordings)]

    def film(self, recordings: str) -> dict[str, Any]:
        """What embedded recordings are rendered from."""
        item = self._config.recordings[recordings]
        assert isinstance(item, SyntheticRecordings)
        seed = self._config.synthetic_seed(recordings)
        return {"root": str(item.folder(recordings)), "preset": item.preset, "seed": seed, "release": RENDERER}

    def shards(self, table: str | Path, recordings: str) -> list[str]:
        """Shards that hold recordings of a set."""
        number = self._config.recordings[recordings].shards
        return sorted({clip_tables.shard_of(film.subject, number) for film in tables.read(table)})

    # Signals

    @property
    def signals(self) -> dict[str, Any]:
        """Options of the signals of all recordings."""
        return {name: plain(getattr(self._config, name)) for name in ("signals", "faces")}

    @property
    def weights(self) -> dict[str, str]:
        """Digests of the files of weights that the options of the faces name."""
        return fingerprint.of_files(self._config.faces)

    @property
    def signals_code(self) -> str:
        """Fingerprint of the code that measures signals."""
        return fingerprint.of("mer_features.stages.signals.shard", scripts=self._scripts("signals"))

    @property
    def provenance(self) -> Provenance:
        """Where the feature file of a set of recordings comes from."""
        return {
            "config": json.dumps(self.signals, sort_keys=True),
            "fingerprints": {"signals": self.signals_code},
            "versions": fingerprint.versions(),
            "seed": self._config.seed,
        }

    # Spotting

    @property
    def searched(self) -> list[tuple[str, str]]:
        """Every (recordings, spotter) to run."""
        return [(films, name) for name, item in self._config.spotting.items() for films in item.recordings]

    def spotters(self, recordings: str) -> list[str]:
        """Names of the spotters that search in a set of recordings."""
        return [name for films, name in self.searched if films == recordings]

    def spot_tables(self, recordings: str) -> dict[str, str]:
        """Table of the spots of each spotter, by ``spots_<name>``: names of inputs must not mean anything else."""
        return {f"spots_{name}": _spots(recordings, name) for name in self.spotters(recordings)}

    def spotter(self, name: str) -> dict[str, Any]:
        """Options of a spotter with all their defaults."""
        return self._config.spotting[name].spotter.model_dump(mode="json")

    def spotter_code(self, name: str) -> str:
        """Fingerprint of the code of a spotter; that of the network is left out where it does not run."""
        scripts = self._scripts("spot")
        if self._config.spotting[name].spotter.method == "network":
            return fingerprint.of("mer_features.spotting.run", *_NETWORK, scripts=scripts)
        return fingerprint.of("mer_features.spotting.run", without=_NETWORK, scripts=scripts)

    def spotter_environment(self) -> str:
        """Conda environment of the spotters, as seen from their rule's file: with torch only for the network."""
        methods = {item.spotter.method for item in self._config.spotting.values()}
        return f"../../envs/{'train' if 'network' in methods else 'features'}.yaml"

    def about(self, recordings: str) -> dict[str, Any]:
        """What recordings are, and the conventions of their events that change the scores."""
        item = self._config.recordings[recordings]
        chosen = {key: getattr(item, key) for key in CONVENTIONS if key in type(item).model_fields}
        notes = [f"{key}: {value} (docs/databases/{item.adapter}.md)" for key, value in chosen.items()]
        embedded = isinstance(item, SyntheticRecordings)
        return {"measured_on": "rendered recordings" if embedded else f"{recordings} ({item.adapter})", "notes": notes}

    # Clips of events and spots

    @property
    def databases(self) -> list[str]:
        """Names of the databases that are cut from recordings."""
        return [name for name, item in self._config.databases.items() if isinstance(item, RecordingClips)]

    def may_be_empty(self, database: str) -> bool:
        """Whether a database may have no clip, because a spotter found nothing, or nothing is annotated."""
        return database in self.databases

    def cut(self, database: str) -> dict[str, Any]:
        """How a database is cut from recordings."""
        item = self._cut(database)
        return {"spots": item.spotter is not None, "kinds": list(item.kinds), "margin_s": item.margin_s}

    def cut_inputs(self, database: str) -> dict[str, str]:
        """Tables of the recordings, and of the events or spots that a database is cut from."""
        item = self._cut(database)
        intervals = _events(item.recordings) if item.spotter is None else _spots(item.recordings, item.spotter)
        return {"recordings": f"results/recordings/{item.recordings}.tsv", "intervals": intervals}

    def _cut(self, database: str) -> RecordingClips:
        item = self._config.databases[database]
        assert isinstance(item, RecordingClips)
        return item

    # Recognition of spots

    @property
    def recognised(self) -> list[tuple[str, str]]:
        """Every (protocol, system) that recognises spots."""
        return [
            (protocol, name)
            for name, system in self._config.systems.items()
            for protocol in system.protocols
            if self._config.protocols[protocol].spots
        ]

    def recognition_inputs(self, protocol: str) -> dict[str, str]:
        """Tables that the recognition of the spots of a protocol is scored with."""
        spots, events = self._pair(protocol)
        return {
            "recordings": self.cut_inputs(spots)["recordings"],
            "spots": self.cut_inputs(spots)["intervals"],
            "events": self.cut_inputs(events)["intervals"],
        }

    def recognition(self, protocol: str, system: str) -> dict[str, Any]:
        """Names and kinds that the recognition of spots is scored with."""
        spots, events = self._pair(protocol)
        item = self._cut(spots)
        return {
            "names": (item.recordings, item.spotter, protocol, system),
            "databases": (events, spots),
            "kinds": (list(self._cut(events).kinds), list(item.kinds)),
        }

    def _pair(self, protocol: str) -> tuple[str, str]:
        """Databases of the spots and of the annotated clips of a protocol."""
        ((spots, events),) = self._config.protocols[protocol].spots.items()
        return spots, events


def _events(recordings: str) -> str:
    return f"results/sources/recordings/{recordings}/events.tsv"


def _spots(recordings: str, spotter: str) -> str:
    return f"results/spotting/{recordings}/{spotter}/spots.tsv"
