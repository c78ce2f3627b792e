# What the rules ask of the package; no rule here, and no logic but the naming of files.
from mer_features import workflow as workflow_package
from mer_features.workflow import Plan

workflow_package.let_jobs_import_it()
plan = Plan(config, refresh=workflow.is_main_process)

# Scripts find here what must not reach `params`: it cannot change a result.
config["execution"] = plan.execution


wildcard_constraints:
    database="|".join(plan.databases),
    shard=r"s\d+",
    protocol=r"[\w-]+",
    system=r"[\w-]+",
    seed=r"\d+",
    batch=r"b\d+",


def stage_files(stage):
    """Input function: a stage's files for all shards of a database."""

    return lambda wildcards: database_stage_files(stage, wildcards.database)


def database_stage_files(stage, database):
    """A stage's files for all shards of one database, known once the database is split."""
    table = checkpoints.ingest.get(database=database).output.table
    shards = plan.shard_names(table, database)
    return expand(f"results/{stage}/{database}/{{shard}}.h5", shard=shards)


def style_faces(wildcards):
    """Input function: faces of every shard of the databases that a style may be fitted on."""
    return [
        file
        for database in plan.style_databases
        for file in database_stage_files("faces", database)
    ]


def protocol_files(pattern):
    """Input function: one file for each database of a protocol."""

    def files(wildcards):
        names = plan.config.protocols[wildcards.protocol].databases
        return expand(pattern, database=names)

    return files


def run_files(name):
    """Input function: one file for each seed and fold batch of a run."""

    def files(wildcards):
        table = checkpoints.protocol.get(protocol=wildcards.protocol).output.table
        return expand(
            f"results/runs/{wildcards.protocol}/{wildcards.system}/seed{{seed}}/{{batch}}/{name}",
            seed=plan.config.systems[wildcards.system].seeds,
            batch=plan.fold_batches(table, wildcards.system),
        )

    return files


def embedding_files(wildcards):
    """Input function: the features to picture, where they are wanted."""
    wanted = plan.config.systems[wildcards.system].embedding
    return [f"results/runs/{wildcards.protocol}/{wildcards.system}/half.npz"] * wanted
