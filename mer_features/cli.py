"""The command line: everything that needs no workflow.

Exit codes: 0 all well; 1 something was rejected or found wrong (the output says what); 2 wrong usage or
configuration.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from mer_features import __version__

if TYPE_CHECKING:
    from mer_features.check import DatabaseCheck

out = Console()
err = Console(stderr=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = _parser().parse_args(argv)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    logging.basicConfig(level=logging.INFO if arguments.verbose else logging.ERROR, format="%(message)s")
    try:
        return int(arguments.run(arguments))
    except (ValueError, OSError, RuntimeError) as error:
        if arguments.verbose:
            err.print_exception()
        err.print(f"mer-features {arguments.command}: {error}", style="red", markup=False, highlight=False)
        return 2
    except KeyboardInterrupt:
        err.print("interrupted")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mer-features",
        description="Micro-expression features: crops, apex, optical flow and strain in one documented HDF5 file.",
        epilog="The whole pipeline, training included, runs with `snakemake`; see the README.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_extract(commands)
    _add_synth(commands)
    _add_check(commands)
    _add_magnify(commands)
    _add_file_commands(commands)
    for command in commands.choices.values():
        command.add_argument("-v", "--verbose", action="store_true", help="say more, with tracebacks")
    return parser


def _add_extract(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("extract", help="features of videos or frame folders into one file")
    command.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a video, or a folder of frames")
    command.add_argument("-o", "--output", type=Path, required=True, help="the feature file to write (.h5)")
    command.add_argument("--contact-sheet", type=Path, metavar="PNG", help="picture of every clip's features")
    command.add_argument("--config", type=Path, metavar="YAML", help="stage sections as in the workflow's config")
    command.add_argument("-j", "--threads", type=int, default=1, help="clips worked on at once (default 1)")
    command.set_defaults(run=_extract)


def _add_synth(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("synth", help="render the embedded database with its truth")
    command.add_argument("folder", type=Path, help="where to render; must be empty or an earlier rendering")
    command.add_argument("--preset", default="demo", help="tiny, demo, macro, cde-smic, cde-casme2 or cde-samm")
    command.add_argument("--seed", type=int, default=0, help="source of every random choice")
    command.add_argument("-j", "--threads", type=int, default=1, help="clips rendered at once")
    command.set_defaults(run=_synth)


def _add_check(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("check", help="look at a configuration's databases before any work")
    command.add_argument("config", type=Path, nargs="?", default=Path("config/config.yaml"), help="YAML file")
    command.add_argument("--json", action="store_true", help="print one JSON document instead of tables")
    command.set_defaults(run=_check)


def _add_magnify(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("magnify", help="a video with its small movements made larger")
    command.add_argument("source", type=Path, help="a video, or a folder of frames (then with --fps)")
    command.add_argument(
        "-o", "--output", type=Path, required=True, help="video to write: .mp4 or .mov (H.264), .mkv (lossless)"
    )
    command.add_argument("--factor", type=float, default=6.0, help="total motion; 1 changes nothing (default 6)")
    command.add_argument("--method", choices=["phase", "eulerian", "learned"], default="phase", help="default phase")
    command.add_argument(
        "--low", type=float, metavar="HZ", help="slower motion is left alone (default 0.5); 0: against the first frame"
    )
    command.add_argument("--high", type=float, metavar="HZ", help="faster motion is left alone (default: none is)")
    command.add_argument("--fps", type=float, help="frames a second, for a folder of frames")
    command.add_argument("--smoothing-px", type=float, default=6.0, help="phase: larger bears more noise (default 6)")
    command.add_argument("--motion-px", type=float, default=1.0, help="eulerian: largest motion expected (default 1)")
    command.add_argument("--weights", type=Path, help="learned: weights of your own")
    command.set_defaults(run=_magnify)


def _add_file_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    show = commands.add_parser("show", help="what is inside a feature file")
    show.add_argument("file", type=Path)
    show.set_defaults(run=_show)
    validate = commands.add_parser("validate", help="check feature files against the documented format")
    validate.add_argument("files", type=Path, nargs="+", metavar="FILE")
    validate.set_defaults(run=_validate)
    export = commands.add_parser("export", help="feature file to csv, npz or png")
    export.add_argument("file", type=Path)
    export.add_argument("format", choices=["csv", "npz", "png"])
    export.add_argument("-o", "--output", type=Path, required=True, help="a file for csv, a folder otherwise")
    export.set_defaults(run=_export)


def _extract(arguments: argparse.Namespace) -> int:
    from mer_features import config, extract
    from mer_features.quality import Status

    tree = config.read_tree(arguments.config) if arguments.config else {}
    try:
        options = extract.config_for_extraction(tree)
    except ValueError as error:
        raise config.ConfigError(f"{arguments.config}: {error}") from None
    outcome = extract.extract(
        arguments.paths,
        arguments.output,
        options,
        threads=arguments.threads,
        contact_sheet=arguments.contact_sheet,
    )
    for state, clips in outcome.items():
        for clip in clips:
            reasons = "; ".join(f"{issue.code}: {issue.detail}".rstrip(": ") for issue in clip.issues)
            colour = {Status.OK: "green", Status.WARNED: "yellow", Status.REJECTED: "red"}[state]
            out.print(f"[{colour}]{state:8}[/] {clip.source}  {reasons}", highlight=False, soft_wrap=True)
    used = outcome[Status.OK] or outcome[Status.WARNED]
    said = f"wrote {arguments.output}" if used else f"no clip could be used: {arguments.output} was not written"
    out.print(said, highlight=False, soft_wrap=True)
    return 1 if outcome[Status.REJECTED] else 0


def _synth(arguments: argparse.Namespace) -> int:
    from mer_features import fingerprint
    from mer_features.databases import render

    render.render(
        "synthetic",
        root=arguments.folder,
        preset=arguments.preset,
        seed=arguments.seed,
        code=fingerprint.of("mer_features.databases.synthetic"),
        table=arguments.folder / "clips.tsv",
        threads=arguments.threads,
    )
    out.print(f"rendered {arguments.preset} into {arguments.folder}", highlight=False)
    return 0


def _magnify(arguments: argparse.Namespace) -> int:
    from mer_features import magnify_video
    from mer_features.config import Magnify
    from mer_features.magnify.temporal import Band

    options = Magnify(
        method=arguments.method,
        factor=arguments.factor,
        phase_smoothing_px=arguments.smoothing_px,
        eulerian_motion_px=arguments.motion_px,
        weights=arguments.weights,
    )
    default_hz = 0.0 if arguments.method == "learned" else 0.5
    band = Band(default_hz if arguments.low is None else arguments.low, arguments.high)
    done = magnify_video.magnify_video(arguments.source, arguments.output, options, band=band, fps=arguments.fps)
    for issue in done.issues:
        err.print(f"{issue.code}: {issue.detail}", style="yellow", markup=False, highlight=False)
    out.print(f"wrote {arguments.output}: {done.frames} frames", highlight=False, soft_wrap=True)
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from mer_features import check, config

    found = check.check(config.load(arguments.config))
    if arguments.json:
        print(json.dumps(found.as_dict(), indent=2, ensure_ascii=False))
    else:
        for database in found.databases:
            _print_check(database)
        for protocol in found.protocols:
            said = protocol.error or protocol.note or f"{protocol.folds} folds; {_counts(protocol.counts)}"
            out.print(f"protocol {protocol.name}: {said}", highlight=False, markup=False, soft_wrap=True)
    return 0 if found.clean else 1


def _counts(counts: Mapping[str, Mapping[str, int]]) -> str:
    return "; ".join(f"{name}: {', '.join(f'{k} {n}' for k, n in part.items())}" for name, part in counts.items())


def _print_check(result: DatabaseCheck) -> None:
    table = Table(title=f"{result.name}: {result.root}", title_justify="left", show_header=False)
    if result.error or result.note:
        table.add_row("error" if result.error else "note", result.error or result.note)
    else:
        table.add_row("clips", str(result.clips))
        table.add_row("subjects", str(result.subjects))
        table.add_row("states", ", ".join(f"{n} {state}" for state, n in result.states.items()))
        table.add_row("emotions", ", ".join(f"{emotion} {n}" for emotion, n in result.emotions.items()))
    for issue in result.issues[:50]:
        table.add_row(issue["code"], f"{issue['clip']} {issue['detail']}")
    for note in result.notes[:50]:
        table.add_row(note["kind"], note["detail"])
    if len(result.issues) > 50:
        table.add_row("…", f"{len(result.issues) - 50} more; --json lists all")
    out.print(table)


def _show(arguments: argparse.Namespace) -> int:
    from mer_features import cache

    out.print(cache.describe(arguments.file), highlight=False, markup=False, soft_wrap=True)
    return 0


def _validate(arguments: argparse.Namespace) -> int:
    from mer_features import cache

    bad = 0
    for file in arguments.files:
        violations = cache.validate(file)
        bad += bool(violations)
        out.print(f"{file}: {'valid' if not violations else f'{len(violations)} violations'}", highlight=False)
        for violation in violations:
            out.print(f"  {violation}", highlight=False, markup=False)
    return 1 if bad else 0


def _export(arguments: argparse.Namespace) -> int:
    from mer_features import export

    write = {"csv": export.to_csv, "npz": export.to_npz, "png": export.to_png}[arguments.format]
    write(arguments.file, arguments.output)
    out.print(f"wrote {arguments.output}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
