from pathlib import Path

from mer_features.jobs import job_log


def by_name(paths):
    return {Path(path).stem: Path(path) for path in paths}


def by_run(name):
    return {Path(path).parts[-3:-1]: Path(path) for path in snakemake.input[name]}


with job_log(snakemake.log[0]):
    from mer_features import report

    metrics, embeddings = by_run("metrics"), by_run("embeddings")
    report.build(
        Path(snakemake.output[0]),
        clips=by_name(snakemake.input.clips),
        caches=by_name(snakemake.input.caches),
        assess=by_name(snakemake.input.assess),
        protocols=by_name(snakemake.input.protocols),
        runs={run: {"metrics": metrics[run], "embedding": embeddings[run]} for run in metrics},
        config=snakemake.params.config,
    )
