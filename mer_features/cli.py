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
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from mer_features import __version__

out = Console()
err = Console(stderr=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = _parser().parse_args(argv)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    logging.basicConfig(level=logging.INFO if arguments.verbose else logging.ERROR, format="%(message)s")
    try:
        return int(arguments.run_command(arguments))
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
    _add_train_magnifier(commands)
    _add_magnify(commands)
    _add_file_commands(commands)
    _add_explain(commands)
    _add_train_style(commands)
    _add_forget(commands)
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
    command.set_defaults(run_command=_extract)


def _add_synth(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("synth", help="render the embedded database with its truth")
    command.add_argument("folder", type=Path, help="where to render; must be empty or an earlier rendering")
    command.add_argument("--preset", default="demo", help="tiny, small, demo, macro, cde-smic, cde-casme2 or cde-samm")
    command.add_argument("--seed", type=int, default=0, help="source of every random choice")
    command.add_argument("-j", "--threads", type=int, default=1, help="clips rendered at once")
    command.set_defaults(run_command=_synth)


def _add_check(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("check", help="look at a configuration's databases before any work")
    command.add_argument("config", type=Path, nargs="?", default=Path("config/config.yaml"), help="YAML file")
    command.add_argument("--json", action="store_true", help="print one JSON document instead of tables")
    command.set_defaults(run_command=_check)


def _add_train_magnifier(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("train-magnifier", help="train the learned magnifier; goes on where it was stopped")
    command.add_argument("folder", type=Path, nargs="?", help="photographs; default: those of scikit-image")
    command.add_argument("-o", "--output", type=Path, required=True, help="the weights to write (.safetensors)")
    for name, kind in (("steps", int), ("size", int), ("batch", int), ("rate", float), ("seed", int)):
        command.add_argument(f"--{name}", type=kind, help=f"`train_magnifier.{name}` of the configuration")
    command.add_argument("--start", type=Path, metavar="FILE", help="weights to go on from (default: none)")
    command.add_argument("--config", type=Path, metavar="YAML", help="file with a `train_magnifier` section")
    command.add_argument("--device", choices=["auto", "cpu", "gpu"], default="auto", help="default: a GPU if any")
    command.add_argument("-j", "--threads", type=int, default=1, help="samples trained on at once on a CPU")
    command.add_argument("--workers", type=int, default=0, help="processes that make samples (default: none extra)")
    command.set_defaults(run_command=_train_magnifier)


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
    command.set_defaults(run_command=_magnify)


def _add_file_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    show = commands.add_parser("show", help="what is inside a feature file")
    show.add_argument("file", type=Path)
    show.set_defaults(run_command=_show)
    validate = commands.add_parser("validate", help="check feature files against the documented format")
    validate.add_argument("files", type=Path, nargs="+", metavar="FILE")
    validate.set_defaults(run_command=_validate)
    export = commands.add_parser("export", help="feature file to csv, npz or png")
    export.add_argument("file", type=Path)
    export.add_argument("format", choices=["csv", "npz", "png"])
    export.add_argument("-o", "--output", type=Path, required=True, help="a file for csv, a folder otherwise")
    export.set_defaults(run_command=_export)


def _add_explain(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("explain", help="what a trained system makes of one clip, and what it looked at")
    command.add_argument("run", type=Path, metavar="RUN", help="results/runs/<protocol>/<system>")
    command.add_argument("clip", metavar="CLIP", help="<subject>/<name> or <database>/<subject>/<name>")
    command.add_argument("-o", "--output", type=Path, default=Path("explained"), help="folder for the pictures")
    command.set_defaults(run_command=_explain)


def _add_train_style(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("train-style", help="train the generators of learned style aggregation")
    command.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="a feature file, or a folder of face crops"
    )
    command.add_argument("-o", "--output", type=Path, required=True, help="the model to write (.pt)")
    command.add_argument("--config", type=Path, metavar="YAML", help="sections style, train_style, resources, seed")
    command.set_defaults(run_command=_train_style)


def _add_forget(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("forget", help="remove a subject from everything that a workflow made")
    command.add_argument("subject", metavar="SUBJECT", help="as results/clips/<database>.tsv names it")
    command.add_argument("--database", metavar="NAME", help="needed only if several databases have such a subject")
    command.add_argument("--results", type=Path, default=Path("results"), help="folder of results (default results)")
    command.set_defaults(run_command=_forget)


def _forget(arguments: argparse.Namespace) -> int:
    from mer_features.commands import forget

    done = forget.forget(arguments.subject, arguments.results, arguments.database)
    for said, paths in (("rewritten", done.rewritten), ("removed", done.removed), ("STILL NAMES A CLIP", done.left)):
        shown = [path for path in paths if ".snakemake" not in path.parts or path in done.left]
        for path in shown:
            out.print(f"{said:10} {path}", highlight=False, markup=False, soft_wrap=True)
        if len(paths) > len(shown):
            out.print(f"{said:10} {len(paths) - len(shown)} of Snakemake's records", highlight=False)
    out.print(
        f"{len(done.clips)} clips of {arguments.subject} are gone from {done.database}; trained systems that saw them "
        "were removed and are trained again by the next run.\nThe files of the database itself were not touched. "
        f"To keep the subject out of other folders of results, too, write into the configuration\n"
        f"  databases: {{{done.database}: {{exclude_subjects: [{json.dumps(arguments.subject)}]}}}}",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip
    return 1 if done.left else 0


def _train_style(arguments: argparse.Namespace) -> int:
    from mer_features.systems.common.contract import Execution
    from mer_features.training.style import fitting, training
    from mer_features.workflow import config

    options = config.load_for_command(arguments.config)
    training.train(
        arguments.output,
        fitting.training_crops(arguments.paths),
        options.train_style,
        clusters=options.style.clusters,
        seed=options.seed,
        execution=Execution(device=options.resources.device, threads=options.resources.train_threads),
    )
    folder = arguments.output.with_suffix(".training")
    out.print(f"wrote {arguments.output}; losses and sample sheets are in {folder}", highlight=False, soft_wrap=True)
    return 0


def _extract(arguments: argparse.Namespace) -> int:
    from mer_features.commands import extract
    from mer_features.core.quality import Status
    from mer_features.workflow import config

    options = config.load_for_command(arguments.config)
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
    from mer_features.synthetic import renderer

    renderer.render(
        "synthetic",
        root=arguments.folder,
        preset=arguments.preset,
        seed=arguments.seed,
        table=arguments.folder / "clips.tsv",
        threads=arguments.threads,
    )
    out.print(f"rendered {arguments.preset} into {arguments.folder}", highlight=False)
    return 0


def _train_magnifier(arguments: argparse.Namespace) -> int:
    from mer_features.systems.common.contract import Execution
    from mer_features.training.options import MagnifierTraining
    from mer_features.workflow import config

    configured = config.load_for_command(arguments.config).train_magnifier.model_dump()
    given = {name: name for name in ("folder", "start", "steps", "batch", "rate", "seed")} | {"size": "size_px"}
    chosen = {key: value for name, key in given.items() if (value := getattr(arguments, name)) is not None}
    options = MagnifierTraining.model_validate(configured | chosen)
    try:
        from mer_features.training.magnifier import train
    except ModuleNotFoundError as error:
        raise RuntimeError(f"training needs {error.name}: pip install 'mer-features[train]'") from None

    execution = Execution(device=arguments.device, threads=arguments.threads, workers=arguments.workers)
    train.train(options, arguments.output, execution)
    out.print(f"wrote {arguments.output}", highlight=False, soft_wrap=True)
    return 0


def _magnify(arguments: argparse.Namespace) -> int:
    from mer_features.commands import magnify_video
    from mer_features.stages.magnify.temporal import Band
    from mer_features.stages.options import Magnify

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
    from mer_features.commands import check
    from mer_features.workflow import config

    found = check.check(config.load(arguments.config))
    print(json.dumps(found.as_dict(), indent=2, ensure_ascii=False) if arguments.json else check.text(found))
    return 1 if found.problems else 0


def _explain(arguments: argparse.Namespace) -> int:
    from mer_features.commands import explain

    said = explain.explain_clip(arguments.run, arguments.clip, arguments.output)
    known = "held out from this model" if said["held_out"] else "its subject trained this model"
    out.print(f"{said['clip']}: {known}", highlight=False)
    for name, probability in said["probabilities"].items():
        out.print(f"  {name:12} {probability:.3f}", highlight=False)
    for path in said["pictures"]:
        out.print(f"wrote {path}", highlight=False, soft_wrap=True)
    if not said["pictures"]:
        out.print("This system makes no pictures of a clip.", highlight=False)
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from mer_features import features as feature_file

    out.print(feature_file.describe(arguments.file), highlight=False, markup=False, soft_wrap=True)
    return 0


def _validate(arguments: argparse.Namespace) -> int:
    from mer_features import features as feature_file

    bad = 0
    for file in arguments.files:
        violations = feature_file.validate(file)
        bad += bool(violations)
        out.print(f"{file}: {'valid' if not violations else f'{len(violations)} violations'}", highlight=False)
        for violation in violations:
            out.print(f"  {violation}", highlight=False, markup=False)
    return 1 if bad else 0


def _export(arguments: argparse.Namespace) -> int:
    from mer_features.features import export

    write = {"csv": export.to_csv, "npz": export.to_npz, "png": export.to_png}[arguments.format]
    write(arguments.file, arguments.output)
    out.print(f"wrote {arguments.output}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
