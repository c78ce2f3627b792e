"""The command line: everything that does not need the workflow.

Exit codes: 0, success; 1, a clip was rejected or a check failed (the output gives the details); 2, wrong usage or
configuration; 130, interrupted.
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
from mer_features.core.jobs import counted

#: The one option of ``train-magnifier`` whose key in the configuration has another name.
_SIZE_KEY = {"size": "size_px"}

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
        message = f"mer-features {arguments.command}: {error}"
        err.print(message, style="red", markup=False, highlight=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        err.print("interrupted")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mer-features",
        description="Micro-expression features: face crops, apex, optical flow and strain in one documented HDF5 file.",
        epilog="Use `snakemake` to run the whole workflow, including training; see the README.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_extract(commands)
    _add_find(commands)
    _add_synth(commands)
    _add_check(commands)
    _add_train_magnifier(commands)
    _add_magnify(commands)
    _add_file_commands(commands)
    _add_explain(commands)
    _add_train_style(commands)
    _add_forget(commands)
    _add_score(commands)
    for command in commands.choices.values():
        command.add_argument("-v", "--verbose", action="store_true", help="print more, including tracebacks")
    return parser


def _add_extract(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("extract", help="compute the features of videos or image folders")
    command.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="video, folder of frames or table of clips"
    )
    command.add_argument("-o", "--output", type=Path, required=True, help="feature file to write (.h5)")
    command.add_argument("--root", type=Path, metavar="FOLDER", help="folder that paths in a table are relative to")
    command.add_argument("--contact-sheet", type=Path, metavar="PNG", help="also write an overview image of all clips")
    command.add_argument("--config", type=Path, metavar="YAML", help="file with stage sections, as for the workflow")
    command.add_argument("-j", "--threads", type=int, default=1, help="clips to process in parallel (default 1)")
    command.set_defaults(run_command=_extract)


def _add_find(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("find", help="find the micro- and macro-expressions in recordings of a face")
    command.add_argument("paths", nargs="+", type=Path, metavar="VIDEO", help="a video or a folder of frames")
    command.add_argument(
        "-o", "--output", type=Path, default=Path(), metavar="FOLDER", help="where to make the folders `<name>-found`"
    )
    command.add_argument("--fps", type=float, help="frame rate of folders of frames, in frames per second")
    command.add_argument("--clips", action="store_true", help="also write what was found as clips for the workflow")
    command.set_defaults(run_command=_find)


def _add_synth(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("synth", help="render the embedded synthetic database with its ground truth")
    command.add_argument("folder", type=Path, help="output folder; must be empty or hold an earlier rendering")
    command.add_argument("--preset", default="demo", help="tiny, small, demo, macro, cde-smic, cde-casme2 or cde-samm")
    command.add_argument("--seed", type=int, default=0, help="random seed (default 0)")
    command.add_argument("-j", "--threads", type=int, default=1, help="clips to render in parallel (default 1)")
    command.set_defaults(run_command=_synth)


def _add_check(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("check", help="check the databases and protocols of a configuration before a run")
    command.add_argument(
        "config", type=Path, nargs="?", default=Path("config/config.yaml"), help="YAML file (default %(default)s)"
    )
    command.add_argument("--json", action="store_true", help="print JSON instead of tables")
    command.set_defaults(run_command=_check)


def _add_train_magnifier(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("train-magnifier", help="train the learned magnifier, or resume its training")
    command.add_argument("folder", type=Path, nargs="?", help="folder of photographs (default: those of scikit-image)")
    command.add_argument("-o", "--output", type=Path, required=True, help="weights file to write (.safetensors)")
    for name, kind in (("steps", int), ("size", int), ("batch", int), ("rate", float), ("seed", int)):
        command.add_argument(f"--{name}", type=kind, help=f"overrides `train_magnifier.{_SIZE_KEY.get(name, name)}`")
    command.add_argument("--start", type=Path, metavar="FILE", help="initial weights (default: random)")
    command.add_argument("--config", type=Path, metavar="YAML", help="file with a `train_magnifier` section")
    command.add_argument(
        "--device", choices=["auto", "cpu", "gpu"], default="auto", help="auto (the default) uses a GPU if there is one"
    )
    command.add_argument(
        "-j", "--threads", type=int, default=1, help="samples to train on in parallel on a CPU (default 1)"
    )
    command.add_argument("--workers", type=int, default=0, help="extra processes that prepare samples (default 0)")
    command.set_defaults(run_command=_train_magnifier)


def _add_magnify(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("magnify", help="magnify the small movements in a video")
    command.add_argument("source", type=Path, help="a video or a folder of frames (a folder also needs --fps)")
    command.add_argument(
        "-o", "--output", type=Path, required=True, help="video to write: .mp4 or .mov (H.264), .mkv (lossless)"
    )
    command.add_argument("--factor", type=float, default=6.0, help="magnification factor (1 = unchanged; default 6)")
    command.add_argument(
        "--method", choices=["phase", "eulerian", "learned"], default="phase", help="default: %(default)s"
    )
    command.add_argument(
        "--low",
        type=float,
        metavar="HZ",
        help="do not magnify motion slower than this (default 0.5); 0 magnifies all motion since the first frame",
    )
    command.add_argument(
        "--high", type=float, metavar="HZ", help="do not magnify motion faster than this (default: no upper limit)"
    )
    command.add_argument("--fps", type=float, help="frame rate of a folder of frames, in frames per second")
    command.add_argument(
        "--smoothing-px",
        type=float,
        default=6.0,
        help="for phase: smoothing of the displacement, in pixels; larger values tolerate more noise (default 6)",
    )
    command.add_argument(
        "--motion-px",
        type=float,
        default=1.0,
        help="for eulerian: largest expected motion before magnification, in pixels (default 1)",
    )
    command.add_argument("--weights", type=Path, help="for learned: use these weights instead of the built-in ones")
    command.set_defaults(run_command=_magnify)


def _add_file_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    show = commands.add_parser("show", help="list the contents of a feature file")
    show.add_argument("file", type=Path)
    show.set_defaults(run_command=_show)
    validate = commands.add_parser("validate", help="check feature files against the documented format")
    validate.add_argument("files", type=Path, nargs="+", metavar="FILE")
    validate.set_defaults(run_command=_validate)
    export = commands.add_parser("export", help="convert a feature file to csv, npz or png")
    export.add_argument("file", type=Path)
    export.add_argument("format", choices=["csv", "npz", "png"])
    export.add_argument("-o", "--output", type=Path, required=True, help="a file for csv, a folder for npz and png")
    export.set_defaults(run_command=_export)


def _add_explain(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("explain", help="show how a trained system classifies one clip and what it used")
    command.add_argument("run", type=Path, metavar="RUN", help="folder of the run, results/runs/<protocol>/<system>")
    command.add_argument("clip", metavar="CLIP", help="<subject>/<name> or <database>/<subject>/<name>")
    command.add_argument(
        "-o", "--output", type=Path, default=Path("explained"), help="output folder for images (default %(default)s)"
    )
    command.set_defaults(run_command=_explain)


def _add_train_style(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("train-style", help="train the generators for learned style aggregation")
    command.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a feature file or a folder of face crops")
    command.add_argument("-o", "--output", type=Path, required=True, help="model file to write (.pt)")
    command.add_argument(
        "--config", type=Path, metavar="YAML", help="file with the sections style, train_style, resources and seed"
    )
    command.set_defaults(run_command=_train_style)


def _add_forget(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("forget", help="remove a subject from all results of the workflow")
    command.add_argument("subject", metavar="SUBJECT", help="name of the subject in results/clips/<database>.tsv")
    command.add_argument(
        "--database", metavar="NAME", help="needed only if several databases have a subject of this name"
    )
    command.add_argument(
        "--results", type=Path, default=Path("results"), help="folder of results (default %(default)s)"
    )
    command.set_defaults(run_command=_forget)


def _add_score(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("score", help="score the spots found in long recordings against annotated events")
    command.add_argument("result", type=Path, metavar="RESULT", help="table of spots, a TSV or CSV (docs/spotting.md)")
    command.add_argument("--events", type=Path, required=True, metavar="TABLE", help="table of the annotated events")
    command.add_argument(
        "--recordings",
        type=Path,
        metavar="TABLE",
        help="table of all recordings to count, with their first and last frame (default: those with an event)",
    )
    command.add_argument("--fps", type=float, help="frame rate of recordings for which the table has none")
    command.add_argument(
        "--classes", metavar="A,B,...", help="classes of spot-then-recognise (default: all emotions of the events)"
    )
    command.add_argument(
        "--labels", metavar="MAP", help="label map that gives the class of each emotion, e.g. megc2019"
    )
    command.add_argument("--json", action="store_true", help="print JSON instead of tables")
    command.set_defaults(run_command=_score)


def _forget(arguments: argparse.Namespace) -> int:
    from mer_features.commands import forget

    outcome = forget.forget(arguments.subject, arguments.results, arguments.database)
    groups = (("rewritten", outcome.rewritten), ("removed", outcome.removed), ("not cleaned", outcome.left))
    for action, paths in groups:
        shown = [path for path in paths if ".snakemake" not in path.parts or path in outcome.left]
        for path in shown:
            out.print(f"{action:11} {path}", highlight=False, markup=False, soft_wrap=True)
        if hidden := len(paths) - len(shown):
            out.print(f"{action:11} {counted(hidden, 'Snakemake record')}", highlight=False)
    clips = counted(len(outcome.clips), "clip")
    out.print(
        f"Removed {clips} of {arguments.subject} from the results of {outcome.database}. Trained systems that used "
        "them were also removed; the next run trains them again.\n"
        "The files of the database itself were not changed. To keep the subject out of other result folders as well, "
        "add this to the configuration:\n"
        f"  databases: {{{outcome.database}: {{exclude_subjects: [{json.dumps(arguments.subject)}]}}}}",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip
    if outcome.left:
        out.print(
            'Files listed as "not cleaned" still contain the name of one of the clips or recordings.', highlight=False
        )
    return 1 if outcome.left else 0


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
    out.print(f"wrote {arguments.output}; losses and sample images are in {folder}", highlight=False, soft_wrap=True)
    return 0


def _extract(arguments: argparse.Namespace) -> int:
    from mer_features.commands import extract
    from mer_features.core.quality import Status
    from mer_features.workflow import config

    options = config.load_for_command(arguments.config)
    for note in extract.long_recordings(arguments.paths):
        err.print(note, style="yellow", markup=False, highlight=False, soft_wrap=True)
    outcome = extract.extract(
        arguments.paths,
        arguments.output,
        options,
        threads=arguments.threads,
        contact_sheet=arguments.contact_sheet,
        root=arguments.root,
    )
    for state, clips in outcome.items():
        for clip in clips:
            reasons = "; ".join(f"{issue.code}: {issue.detail}".rstrip(": ") for issue in clip.issues)
            colour = {Status.OK: "green", Status.WARNED: "yellow", Status.REJECTED: "red"}[state]
            out.print(f"[{colour}]{state:8}[/] {clip.source}  {reasons}", highlight=False, soft_wrap=True)
    used = outcome[Status.OK] or outcome[Status.WARNED]
    result = f"wrote {arguments.output}" if used else f"All clips were rejected; {arguments.output} was not written."
    out.print(result, highlight=False, soft_wrap=True)
    return 1 if outcome[Status.REJECTED] else 0


def _find(arguments: argparse.Namespace) -> int:
    from mer_features.commands import find

    rejected = False
    for outcome in find.find(arguments.paths, arguments.output, fps=arguments.fps, clips=arguments.clips):
        style = "red" if outcome.error else None
        out.print(outcome.text, style=style, markup=False, highlight=False, soft_wrap=True)
        rejected |= bool(outcome.error)
    return int(rejected)


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
    keys = {name: name for name in ("folder", "start", "steps", "batch", "rate", "seed")} | _SIZE_KEY
    overrides = {key: value for name, key in keys.items() if (value := getattr(arguments, name)) is not None}
    options = MagnifierTraining.model_validate(configured | overrides)
    try:
        from mer_features.training.magnifier import train
    except ModuleNotFoundError as error:
        raise RuntimeError(f"training needs {error.name}; run `pip install 'mer-features[train]'`") from None

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
    written = magnify_video.magnify_video(arguments.source, arguments.output, options, band=band, fps=arguments.fps)
    for issue in written.issues:
        err.print(f"{issue.code}: {issue.detail}", style="yellow", markup=False, highlight=False)
    frames = counted(written.frames, "frame")
    out.print(f"wrote {arguments.output}: {frames}", highlight=False, soft_wrap=True)
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from mer_features.commands import check
    from mer_features.workflow import config

    result = check.check(config.load(arguments.config))
    print(json.dumps(result.as_dict(), indent=2, ensure_ascii=False) if arguments.json else check.text(result))
    return 1 if result.problems else 0


def _explain(arguments: argparse.Namespace) -> int:
    from mer_features.commands import explain

    explanation = explain.explain_clip(arguments.run, arguments.clip, arguments.output)
    held_out = explanation["held_out"]
    origin = "not used in training" if held_out else "Caution: this subject was in the training set"
    out.print(f"{explanation['clip']}: {origin}", highlight=False)
    for name, probability in explanation["probabilities"].items():
        out.print(f"  {name:12} {probability:.3f}", highlight=False)
    for path in explanation["pictures"]:
        out.print(f"wrote {path}", highlight=False, soft_wrap=True)
    if not explanation["pictures"]:
        out.print("This system cannot show which image regions it used.", highlight=False)
    return 0


def _score(arguments: argparse.Namespace) -> int:
    from mer_features.commands import score

    classes = [name.strip() for name in (arguments.classes or "").split(",") if name.strip()]
    scores = score.score_files(
        arguments.result,
        arguments.events,
        recordings=arguments.recordings,
        fps=arguments.fps,
        classes=classes or None,
        labels=arguments.labels,
    )
    print(json.dumps(scores.as_dict(), indent=2, ensure_ascii=False) if arguments.json else score.text(scores))
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from mer_features import features as feature_file

    out.print(feature_file.describe(arguments.file), highlight=False, markup=False, soft_wrap=True)
    return 0


def _validate(arguments: argparse.Namespace) -> int:
    from mer_features import features as feature_file

    invalid = 0
    for file in arguments.files:
        violations = feature_file.validate(file)
        invalid += bool(violations)
        verdict = f"{counted(len(violations), 'violation')} of the format" if violations else "valid"
        out.print(f"{file}: {verdict}", highlight=False, markup=False, soft_wrap=True)
        for violation in violations:
            out.print(f"  {violation}", highlight=False, markup=False, soft_wrap=True)
    return 1 if invalid else 0


def _export(arguments: argparse.Namespace) -> int:
    from mer_features.features import export

    write = {"csv": export.to_csv, "npz": export.to_npz, "png": export.to_png}[arguments.format]
    write(arguments.file, arguments.output)
    out.print(f"wrote {arguments.output}", highlight=False, markup=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
