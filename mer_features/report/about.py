"""The first section of the page: summary, versions, settings, machine and source files."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from mer_features import __version__
from mer_features.core import fingerprint
from mer_features.core.jobs import counted
from mer_features.report.data import Database, Kind, Run
from mer_features.stages.options import STAGES


@dataclass(frozen=True)
class Version:
    """Releases of a library: on this machine, and the one that computed the features if it differs."""

    name: str
    here: str
    features: str


@dataclass(frozen=True)
class Card:
    """One number of the summary."""

    value: str
    label: str
    detail: str = ""


@dataclass(frozen=True)
class SourceFile:
    """A file that the page was generated from."""

    path: str
    written: str
    size: str


@dataclass(frozen=True)
class About:
    """Contents of the section."""

    generated: str
    cards: Sequence[Card]
    synthetic_only: bool
    has_synthetic: bool
    versions: Sequence[Version]
    hardware: Sequence[tuple[str, str]]
    config_yaml: str
    files: Sequence[SourceFile]


def build(
    config: Mapping[str, Any], databases: Sequence[Database], runs: Sequence[Run], files: Sequence[Path]
) -> About:
    """The section, from the configuration and the data read."""
    synthetic = [database.synthetic for database in databases]
    return About(
        generated=_when(datetime.now(UTC)),
        cards=_cards(databases, runs),
        synthetic_only=bool(synthetic) and all(synthetic),
        has_synthetic=any(synthetic),
        versions=_versions(databases),
        hardware=_hardware(),
        config_yaml=yaml.safe_dump(_used(config, databases), sort_keys=False, allow_unicode=True, width=100),
        files=[_source(path) for path in files],
    )


def _used(config: Mapping[str, Any], databases: Sequence[Database]) -> dict[str, Any]:
    """The configuration without the stages, if every database is of published flow maps, which have no stages."""
    if not databases or not all(database.published_maps for database in databases):
        return dict(config)
    return {
        name: section for name, section in config.items() if name not in (*STAGES, "train_style", "train_magnifier")
    }


def _when(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def _cards(databases: Sequence[Database], runs: Sequence[Run]) -> list[Card]:
    listed = sum(len(database.listed) for database in databases)
    used = sum(len(database.used) for database in databases)
    flagged = sum(clip.status != "ok" for database in databases for clip in database.used)
    rejected = sum(len(database.rejected) for database in databases)
    subjects = sum(len({clip.subject for clip in database.listed}) for database in databases)
    cards = [
        Card(
            str(listed),
            "clip" if listed == 1 else "clips",
            f"{counted(subjects, 'subject')}, {counted(len(databases), 'database')}",
        ),
        Card(str(used), "used", f"{flagged} of them with warnings"),
        Card(str(rejected), "rejected", "see the reasons below" if rejected else "no clips were excluded"),
    ]
    if competing := [run for run in runs if run.kind is Kind.SYSTEM]:
        best = max(competing, key=lambda run: run.scores["uf1"].mean)
        score = best.scores["uf1"]
        protocols = counted(len({run.protocol for run in runs}), "protocol")
        cards.append(
            Card(str(len(runs)), "run evaluated" if len(runs) == 1 else "runs evaluated", f"under {protocols}")
        )
        cards.append(
            Card(f"{score.mean:.3f}", "highest UF1 of any system", f"{best.name}, measured on: {best.measured_on}")
        )
    return cards


def _versions(databases: Sequence[Database]) -> list[Version]:
    recorded: dict[str, set[str]] = {}
    for database in databases:
        for name, release in database.versions.items():
            recorded.setdefault(name, set()).add(str(release))
    here = {"mer-features": __version__, "python": platform.python_version()}
    here |= _snakemake() | fingerprint.versions()
    names = dict.fromkeys([*here, *sorted(recorded)])
    return [
        Version(name, here.get(name, "not installed"), ", ".join(sorted(recorded.get(name, set()) - {here.get(name)})))
        for name in names
    ]


def _snakemake() -> dict[str, str]:
    """The release of Snakemake; empty if the report is built without it."""
    try:
        return {"snakemake": version("snakemake")}
    except PackageNotFoundError:
        return {}


def _hardware() -> list[tuple[str, str]]:
    rows = [("system", platform.platform()), ("processor", _processor()), ("cores", str(os.cpu_count()))]
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        rows.append(("memory", f"{memory / 2**30:.1f} GiB"))
    return rows


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _source(path: Path) -> SourceFile:
    status = path.stat()
    return SourceFile(path.as_posix(), _when(datetime.fromtimestamp(status.st_mtime, UTC)), _size(status.st_size))


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
