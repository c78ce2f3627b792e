"""What the Snakefile asks the package: validated options, code fingerprints, names of files to make."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mer_features import databases, protocols
from mer_features.core import clips as clip_tables
from mer_features.core import files, fingerprint
from mer_features.databases.options import FlowMapsDatabase, SyntheticDatabase
from mer_features.databases.recordings import refresh_recordings
from mer_features.features.options import FeatureConfig, Provenance
from mer_features.stages import run as stages
from mer_features.stages.options import STAGES, Stage
from mer_features.synthetic import renderer
from mer_features.training.options import PUBLISHED_MAPS, SYNTHETIC, used_pretrainings
from mer_features.workflow import config as configuration
from mer_features.workflow import needs
from mer_features.workflow.config import Config
from mer_features.workflow.recordings import RecordingsPlan
from mer_features.workflow.setting import setting as run_setting

#: Modules whose changes rerun a step, for the steps that are not stages.
_CODE = {
    "ingest": ("mer_features.databases.ingest",),
    "recordings": ("mer_features.databases.ingest",),
    "cut": ("mer_features.spotting.clips",),
    "recognise": ("mer_features.training.recognition",),
    "style_fit": ("mer_features.training.style.fitting",),
    "style_measure": ("mer_features.workflow.assess.style",),
    "train_style": ("mer_features.training.style.training", "mer_features.training.style.fitting"),
    "cache": ("mer_features.features.writer",),
    "recording_cache": ("mer_features.features.recordings",),
    "protocol": ("mer_features.protocols.rules", "mer_features.features.reader"),
    "embed": ("mer_features.training.half",),
    "evaluate": ("mer_features.training.evaluation",),
    "compare": ("mer_features.training.comparison",),
    "train_magnifier": ("mer_features.training.magnifier.train",),
    "assess": (
        "mer_features.workflow.assess.stages",
        "mer_features.workflow.assess.magnification",
        *stages.NETWORK,  # measured wherever it can run, whatever the run's own method
    ),
    "report": ("mer_features.report",),
}


#: Scripts of the rules, where the workflow is run from its repository.
SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"


def let_jobs_import_it() -> None:
    """Let jobs that run in their own environment import this same package."""
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(filter(None, paths)))


def another_runs() -> bool:
    """Whether a workflow runs in this folder already, or was killed: Snakemake refuses then, and nothing may change."""
    return any(Path(".snakemake/locks").glob("*"))


def databases_of(stage_files: Iterable[str]) -> tuple[str, ...]:
    """Names of the databases of stage files (``results/<stage>/<database>/<shard>.h5``), each once."""
    return tuple(dict.fromkeys(Path(path).parent.name for path in stage_files))


class Plan:
    """The workflow's view of a configuration.

    Parameters
    ----------
    tree
        Snakemake's merged configuration.
    refresh
        Look at the databases' files and bring their source tables up to date; remove temporary files that a kill
        left. Only the main process does so, and not while another workflow runs in this folder; the processes of single
        jobs must not.
    config_files
        The configuration files behind the tree; what they include is added below the tree, and a key given twice in
        one of them is refused.
    scripts
        Folder of the rules' scripts.
    """

    def __init__(
        self,
        tree: Mapping[str, Any],
        *,
        refresh: bool,
        config_files: Iterable[Path | str] = (),
        scripts: Path | str = SCRIPTS,
    ) -> None:
        self._script_folder = Path(scripts)
        self.config: Config = configuration.validate(configuration.completed(tree, config_files))
        #: What concerns recordings.
        self.recordings = RecordingsPlan(self.config, self._scripts)
        if refresh and not another_runs():
            files.sweep("results", skip=("data",))
            databases.refresh_sources(self.config.databases)
            refresh_recordings(self.config.recordings)

    @property
    def databases(self) -> list[str]:
        """Names of all databases."""
        return list(self.config.databases)

    @property
    def synthetic(self) -> list[str]:
        """Names of the embedded databases."""
        return [name for name, item in self.config.databases.items() if isinstance(item, SyntheticDatabase)]

    @property
    def runs(self) -> list[tuple[str, str]]:
        """Every (protocol, system) to train and evaluate."""
        return [(protocol, name) for name, item in self.config.systems.items() for protocol in item.protocols]

    @property
    def compared_protocols(self) -> list[str]:
        """The protocols under which at least two systems run."""
        count = Counter(protocol for protocol, _ in self.runs)
        return [protocol for protocol in self.config.protocols if count[protocol] > 1]

    @property
    def used_pretrainings(self) -> list[str]:
        """The pre-trainings that systems need, each after the one that it builds on."""
        return used_pretrainings(self.config.systems, self.config.pretraining)

    @property
    def pictured_runs(self) -> list[tuple[str, str]]:
        """The runs for which one model is trained to make pictures."""
        return [(protocol, name) for protocol, name in self.runs if self.config.systems[name].embedding]

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages that at least one database goes through."""
        run = {stage for name in self.databases for stage in self.features(name).stages}
        return tuple(stage for stage in STAGES if stage in run)

    @property
    def style_files(self) -> list[str]:
        """What the style stage reads besides crops: the fit, and the generators where they are used."""
        style = self.config.style
        if not style.fits:
            return []
        return [self._style_fit, *self.style_weights]

    @property
    def style_weights(self) -> list[str]:
        """The generators: the user's, or those that the workflow trains."""
        style = self.config.style
        return [str(style.model or "results/style/model.pt")] if style.method == "cyclegan" else []

    @property
    def _style_fit(self) -> str:
        given = self.config.style.model is not None and self.config.style.method != "cyclegan"
        return str(self.config.style.model) if given else "results/style/fitted.json"

    @property
    def style_databases(self) -> list[str]:
        """Databases whose faces are used to fit reference styles and generators."""
        return list(self.config.style.databases) or self.databases_with("faces")

    def databases_with(self, group: str) -> list[str]:
        """Databases whose feature files will have a group."""
        return [name for name in self.databases if group in self.features(name).groups]

    def style_fit(self) -> dict[str, Any]:
        """What a fit depends on besides its faces and generators."""
        keys = {"method", "fit_on", "clusters", "databases"}
        return {"options": self.config.style.model_dump(mode="json", include=keys), "seed": self.config.seed}

    @property
    def style_environment(self) -> str:
        """Conda environment of the style rules, as seen from their file: with torch only for generators."""
        return f"../../envs/{'train' if self.config.style.method == 'cyclegan' else 'features'}.yaml"

    def train_style(self) -> dict[str, Any]:
        """What a training of generators depends on besides its faces."""
        recipe = self.config.train_style.model_dump(mode="json")
        return {"recipe": recipe, "clusters": self.config.style.clusters, "seed": self.config.seed}

    @property
    def execution(self) -> dict[str, Any]:
        """How training runs; reaches the jobs, but none of the parameters that decide what runs again."""
        names = {"device", "devices", "precision", "checkpoint_s", "keep_weights"}  # precision also decides reruns
        return self.config.resources.model_dump(include=names)

    def needs(self, step: str) -> dict[str, Any]:
        """Resources of a rule, for Snakemake to call where they depend on the shard or the attempt."""
        asked = self.config.resources
        if step in needs.SECONDS_PER_FRAME:
            return needs.of_stage(step, asked.stage_mem_mb)
        if step not in needs.TRAINING_MINUTES:
            return needs.of_step(*needs.STEPS[step])
        gpus = asked.devices if step == "pretrain" else 1
        return needs.of_step(asked.train_mem_mb, needs.TRAINING_MINUTES[step]) | (
            {"gpu": gpus} if asked.device == "gpu" else {}
        )

    @property
    def magnify_environment(self) -> str:
        """Name of the environment with what the magnification of every database needs."""
        methods = {self.features(name).magnify.method for name in self.databases}
        return "train" if "learned" in methods else "features"

    def measured_on(self, protocol: str) -> str:
        """What the results of a protocol were measured on; synthetic ones are not comparable with a paper."""
        names = self.config.protocols[protocol].databases
        embedded = [name for name in names if self.config.embedded(name)]
        if embedded:
            return SYNTHETIC[embedded != list(names)]
        maps = [name for name in names if isinstance(self.config.databases[name], FlowMapsDatabase)]
        return f"{PUBLISHED_MAPS} of {', '.join(names)}" if maps == list(names) else ", ".join(names)

    def code(self, step: str) -> str:
        """Fingerprint of the code of a step of the workflow that is not a stage, its script included."""
        return fingerprint.of(*_CODE[step], scripts=self._scripts(step))

    def stage_code(self, stage: Stage, database: str) -> str:
        """Fingerprint of the code of a stage under the options of one database."""
        return stages.code_fingerprint(stage, self.features(database).options(stage), self._scripts("stage"))

    def stage_weights(self, stage: Stage, database: str) -> dict[str, str]:
        """Digests of the files of weights that a stage's options name; the style stage's fit is an input instead."""
        return fingerprint.of_files(self.config.features_of(database).options(stage))

    def stage_inputs(self, stage: Stage, database: str) -> dict[str, str]:
        """Stage files that a stage reads, by stage, still with the wildcard ``{shard}``."""
        options = self.features(database).options(stage)
        return {name: f"results/{name}/{database}/{{shard}}.h5" for name in stages.inputs(stage, options)}

    def stage(self, stage: Stage, database: str) -> dict[str, Any]:
        """Options of a stage for one database, for the parameters of its rule."""
        return stages.plain(self.features(database).options(stage))

    def features(self, database: str) -> FeatureConfig:
        """Stages and feature file of one database: overrides applied, the file of the style fit filled in."""
        return self.config.features_of(database).with_style_fit(Path(self._style_fit))

    def provenance(self, database: str) -> Provenance:
        """Where a feature file comes from, for its attributes."""
        return self.features(database).provenance()

    def _scripts(self, step: str) -> tuple[Path, ...]:
        script = self._script_folder / f"{step}.py"
        return (script,) if script.exists() else ()

    def synth(self, database: str) -> dict[str, Any]:
        """What an embedded database is rendered from."""
        item = self.config.databases[database]
        assert isinstance(item, SyntheticDatabase)
        root = str(self.config.database_root(database))
        look = item.look.model_dump(exclude_none=True)
        seed = self.config.synthetic_seed(database)
        return {"root": root, "preset": item.preset, "seed": seed, "look": look, "release": renderer.RELEASE}

    def system(self, name: str, protocol: str) -> dict[str, Any]:
        """What a training run depends on besides its inputs; the recipe with all its defaults and sources settled."""
        item = self.config.systems[name].reading(self.config.groups_of(self.config.protocols[protocol].all_databases))
        chosen = {name: getattr(item, name) for name in ("system", "ablation", "pretrained", "shuffle_labels")}
        return chosen | {"recipe": item.full_recipe.model_dump(mode="json"), "protocols": [protocol]}

    def setting(self, name: str, protocol: str) -> dict[str, Any]:
        """What the results of a run depend on, for comparison with a printed row."""
        return run_setting(self.config, name, protocol)

    def fold_style(self, name: str) -> dict[str, Any]:
        """Style aggregation that a system's training fits in every fold; empty if it fits none."""
        style = self.config.style
        needed = style.per_fold and "style" in self.config.systems[name].full_recipe.groups
        return style.model_dump(mode="json") if needed else {}

    def system_code(self, name: str, step: str = "train") -> str:
        """Fingerprint of the code of one system's training, or of the model that is trained for its pictures."""
        return self.config.systems[name].code(
            *_CODE.get(step, ()), style=bool(self.fold_style(name)), scripts=self._scripts(step)
        )

    def system_weights(self, name: str) -> dict[str, str]:
        """Digests of the files of weights that a system's recipe names."""
        return fingerprint.of_files(self.config.systems[name].full_recipe)

    def pretraining(self, name: str) -> dict[str, Any]:
        """What a pre-training depends on besides its inputs; the recipe with all its defaults filled in."""
        item = self.config.pretraining[name]
        return item.model_dump(mode="json") | {"recipe": item.full_recipe.model_dump(mode="json")}

    def pretraining_databases(self, name: str) -> tuple[str, ...]:
        """Databases whose caches a pre-training on labelled clips reads."""
        protocol = self.config.pretraining[name].protocol
        return self.config.protocols[protocol].databases if protocol else ()

    def pretraining_code(self, name: str) -> str:
        """Fingerprint of the code of one pre-training task."""
        return self.config.pretraining[name].code(self._scripts("pretrain"))

    def pretraining_weights(self, name: str) -> dict[str, str]:
        """Digests of the files of weights that a pre-training's recipe names."""
        return fingerprint.of_files(self.config.pretraining[name].full_recipe)

    @property
    def train_style_weights(self) -> dict[str, str]:
        """Digests of the files of weights that the training of generators starts from."""
        return fingerprint.of_files(self.config.train_style)

    @property
    def magnifier_weights(self) -> dict[str, str]:
        """Digests of the files of weights that the training of the learned magnifier starts from."""
        return fingerprint.of_files(self.config.train_magnifier)

    @property
    def magnifier_start(self) -> list[str]:
        """The weights from which training of the learned magnifier continues, if any."""
        start = self.config.train_magnifier.start
        return [str(start)] if start else []

    @property
    def magnifier_training(self) -> dict[str, Any]:
        """What the weights of the learned magnifier depend on."""
        options = self.config.train_magnifier
        seed = self.config.seed if options.seed is None else options.seed
        return options.model_dump(mode="json") | {"seed": seed}

    def shard_names(self, table: str | Path, database: str) -> list[str]:
        """Shards that hold clips of a database."""
        return list(clip_tables.split(clip_tables.read(table), self.config.databases[database].shards))

    def fold_batches(self, table: str | Path, system: str) -> list[str]:
        """Names of the batches in which a protocol's folds are trained."""
        folds = protocols.fold_names(Path(table))
        return [f"b{number:03d}" for number in range(-(-len(folds) // self.config.systems[system].folds_per_job))]

    def batch_folds(self, table: str | Path, system: str, batch: str) -> list[str]:
        """Folds of one batch."""
        size = self.config.systems[system].folds_per_job
        start = int(batch.removeprefix("b")) * size
        return protocols.fold_names(Path(table))[start : start + size]

    def dump(self) -> dict[str, Any]:
        """The whole configuration with its defaults, for the report and the cache."""
        return self.config.model_dump(mode="json", by_alias=True)
