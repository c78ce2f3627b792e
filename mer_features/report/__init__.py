"""The report: one self-contained HTML page.

:func:`build` reads the results of the workflow and writes the page. Each section has a module, which turns data into
a plain record, and a template of the same name, which renders that record. Sections without data are omitted.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from mer_features import protocols as fold_tables
from mer_features.core.files import write_text
from mer_features.protocols import PRESETS
from mer_features.report import (
    about,
    data,
    findings,
    gallery,
    graph,
    inline,
    magnified,
    methods,
    recordings,
    results,
    style,
    truth,
)
from mer_features.systems.fr.printed import CDE_TABLE

__all__ = ["build"]

#: Protocol and system of a run.
RunName = tuple[str, str]


def build(  # noqa: PLR0913  # one argument for each kind of file that the workflow writes
    output: Path,
    *,
    clips: Mapping[str, Path],
    caches: Mapping[str, Path],
    assess: Mapping[str, Path],
    protocols: Mapping[str, Path],
    runs: Mapping[RunName, Mapping[str, Path]],
    config: Mapping[str, Any],
    style_measured: Path | None = None,
    comparisons: Mapping[str, Path] | None = None,
    pretrainings: Mapping[str, Path] | None = None,
    spotting: Sequence[Path] = (),
    recognised: Sequence[Path] = (),
) -> None:
    """Write the report, atomically.

    Parameters
    ----------
    output
        The HTML page; it needs no other files and no network.
    clips, caches
        Clip table and feature file of every database, by name.
    assess
        Files of errors against the ground truth, for the databases that have one.
    protocols
        Fold table of every protocol, by name; may be empty.
    runs
        Files of every run, by protocol and system: ``metrics`` and, if they exist, ``embedding`` and ``pictures``.
        May be empty.
    config
        The whole configuration with its defaults.
    style_measured
        Measured effects of style aggregation, if it ran.
    comparisons
        Differences between the runs of a protocol, by protocol, for those that have them.
    pretrainings
        Summaries of the pre-trainings that systems use, by name.
    spotting, recognised
        Scores of spotters in recordings, and of the recognition of what they found.
    """
    databases = [data.read_database(name, path, caches[name], config) for name, path in clips.items()]
    tables = {name: fold_tables.read(path) for name, path in protocols.items()}
    evaluated = {key: data.read_run(*key, files["metrics"]) for key, files in runs.items()}
    units = {(base.name, clip.clip_id): clip.action_units_text for base in databases for clip in base.used}
    files = [*clips.values(), *caches.values(), *assess.values(), *protocols.values()]
    files += [path for item in runs.values() for path in item.values()]
    files += [style_measured] if style_measured else []
    compared = {name: data.read_comparison(path) for name, path in (comparisons or {}).items()}
    files += (comparisons or {}).values()
    summaries = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in (pretrainings or {}).items()}
    files += (pretrainings or {}).values()
    files += [*spotting, *recognised]
    everything = list(evaluated.values())
    context = {
        "about": about.build(config, databases, everything, files),
        "graph": graph.build(config, databases, everything),
        "findings": [findings.of_database(database) for database in databases],
        "left_out": [
            item for name, table in tables.items() if (item := findings.left_out(name, table, databases)).left
        ],
        "galleries": [section for database in databases if (section := gallery.build(database))],
        "magnified": [part for database in databases if (part := magnified.build(database))],
        "style": style.build(databases, style_measured),
        "truths": [truth.read(name, path, config) for name, path in assess.items()],
        "results": [
            results.build(
                name,
                table,
                [run for run in everything if run.protocol == name],
                _shown({system: files for (protocol, system), files in runs.items() if protocol == name}, units),
                config.get("protocols", {}).get(name),
                compared.get(name),
            )
            for name, table in tables.items()
        ],
        "recordings": recordings.build(spotting, recognised),
        "methods": methods.build(config, summaries),
        "cde": PRESETS["megc2019"].title,
        "cde_table": CDE_TABLE,
    }
    write_text(output, _page(context))


def _shown(runs: Mapping[str, Mapping[str, Path]], units: Mapping[tuple[str, str], str]) -> results.Shown:
    """Embeddings and pictures of the runs of one protocol; ``units`` are the clips' action units as text."""
    embeddings = {
        run: data.read_embedding(files["embedding"], units) for run, files in runs.items() if "embedding" in files
    }
    names = Counter(clip for _, clip in units)
    by_clip = {clip: text for (_, clip), text in units.items() if names[clip] == 1}
    pictures = {
        run: inline.build(run, files["pictures"], by_clip) for run, files in runs.items() if "pictures" in files
    }
    return results.Shown(
        {run: item for run, item in embeddings.items() if item}, {run: item for run, item in pictures.items() if item}
    )


def _page(context: Mapping[str, Any]) -> str:
    """Render the templates; all text is escaped, because sheets and file names may contain markup."""
    environment = Environment(
        loader=PackageLoader("mer_features.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja").render(context)
