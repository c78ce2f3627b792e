# What the rules ask of the package; no rule here, and no logic but the naming of files.
from mer_features.workflow.plan import Plan, let_jobs_import_it

let_jobs_import_it()
plan = Plan(
    config,
    refresh=workflow.is_main_process,
    config_files=workflow.configfiles,
    scripts=f"{workflow.basedir}/workflow/scripts",
)

# Scripts find here what must not reach `params`: it cannot change a result.
config["execution"] = plan.execution


wildcard_constraints:
    database="|".join(plan.databases) or "(?!)",
    recordings="|".join(plan.recordings.names) or "(?!)",
    spotter="|".join(plan.config.spotting) or "(?!)",
    shard=r"s\d+",
    protocol=r"[\w-]+",
    system=r"[\w-]+",
    task=r"[\w-]+",
    seed=r"\d+",
    batch=r"b\d+",


def stage_inputs(stage):
    """Input function: the stage files that a stage reads for a shard, by name."""

    def files(wildcards):
        names = plan.stage_inputs(stage, wildcards.database)
        return {
            name: path.format(shard=wildcards.shard) for name, path in names.items()
        }

    return files


def shard_files(stage, database):
    """A stage's files for all shards of a database, known once it is ingested."""
    table = checkpoints.ingest.get(database=database).output.table
    shards = plan.shard_names(table, database)
    return expand(f"results/{stage}/{database}/{{shard}}.h5", shard=shards)


def signal_files(wildcards):
    """Input function: the signals of all shards of a set of recordings, known once they are listed."""
    name = wildcards.recordings
    table = checkpoints.recordings.get(recordings=name).output.table
    shards = plan.recordings.shards(table, name)
    return expand(f"results/signals/{name}/{{shard}}.h5", shard=shards)


def stage_files(stage):
    """Input function: a stage's files for all shards of a database; none where it is off."""

    def files(wildcards):
        runs = stage in plan.features(wildcards.database).stages
        return shard_files(stage, wildcards.database) if runs else []

    return files


def style_faces(wildcards):
    """Input function: faces of every shard of the databases that a style may be fitted on."""
    return [
        file
        for database in plan.style_databases
        for file in shard_files("faces", database)
    ]


def filled(databases):
    """The databases that have clips: of those cut from recordings, this is known once they are ingested."""

    def is_empty(name):
        return plan.recordings.may_be_empty(name) and not plan.shard_names(
            checkpoints.ingest.get(database=name).output.table, name
        )

    return [name for name in databases if not is_empty(name)]


def filled_files(pattern):
    """Input function: one file for each database that has clips."""
    return lambda wildcards: expand(pattern, database=filled(plan.databases))


def protocol_files(pattern):
    """Input function: one file for each database of a protocol."""

    def files(wildcards):
        names = plan.config.protocols[wildcards.protocol].all_databases
        return expand(pattern, database=filled(names))

    return files


def batch_files(protocol, system, name):
    """One file for each seed and fold batch of a run, known once the protocol is there."""
    table = checkpoints.protocol.get(protocol=protocol).output.table
    return expand(
        f"results/runs/{protocol}/{system}/seed{{seed}}/{{batch}}/{name}",
        seed=plan.config.systems[system].seeds,
        batch=plan.fold_batches(table, system),
    )


def run_files(name):
    """Input function: one file for each seed and fold batch of a run."""
    return lambda wildcards: batch_files(wildcards.protocol, wildcards.system, name)


def compared_predictions(wildcards):
    """Input function: predictions of all runs under a protocol."""
    return [
        file
        for protocol, system in plan.runs
        if protocol == wildcards.protocol
        for file in batch_files(protocol, system, "predictions.tsv")
    ]


def pretrained_file(wildcards):
    """Input function: the pre-training a system starts from, if it does."""
    wanted = plan.config.systems[wildcards.system].pretrained
    return [f"results/pretraining/{wanted}/weights.pt"] if wanted else []


def compared_pretrained(wildcards):
    """Input function: the pre-trainings that the systems under a protocol start from."""
    names = [name for protocol, name in plan.runs if protocol == wildcards.protocol]
    wanted = dict.fromkeys(plan.config.systems[name].pretrained for name in names)
    return [f"results/pretraining/{name}/weights.pt" for name in wanted if name]


def pretraining_protocol(wildcards):
    """Input function: the protocol whose clips a pre-training learns from, if they are labelled."""
    wanted = plan.config.pretraining[wildcards.task].protocol
    return [f"results/protocols/{wanted}.tsv"] if wanted else []


def pretraining_caches(wildcards):
    """Input function: the caches of that protocol."""
    return [
        f"results/features/{database}.h5"
        for database in plan.pretraining_databases(wildcards.task)
    ]


def pretraining_faces(wildcards):
    """Input function: crops of every frame of the databases a pre-training learns from without labels."""
    return [
        file
        for database in plan.config.pretraining[wildcards.task].databases
        for file in shard_files("faces", database)
    ]


def pretraining_start(wildcards):
    """Input function: the pre-training that this one builds on, if it does."""
    wanted = plan.config.pretraining[wildcards.task].pretrained
    return [f"results/pretraining/{wanted}/weights.pt"] if wanted else []


def embedding_files(wildcards):
    """Input function: the features to picture, where they are wanted."""
    wanted = plan.config.systems[wildcards.system].embedding
    return [f"results/runs/{wildcards.protocol}/{wildcards.system}/half.npz"] * wanted
