import json
from pathlib import Path

from mer_features.core.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features import training
    from mer_features.core import files
    from mer_features.training import evaluation
    from mer_features.training.options import System

    metrics = training.evaluate(
        [Path(path) for path in snakemake.input.predictions],
        Path(snakemake.input.protocol),
        System.model_validate(snakemake.params.system),
        setting=snakemake.params.setting,
        names=(snakemake.wildcards.protocol, snakemake.wildcards.system),
        measured_on=snakemake.params.measured_on,
        seed=snakemake.params.seed,
    )
    files.write_text(snakemake.output.metrics, json.dumps(metrics, indent=1))
    embedding = evaluation.project([Path(path) for path in snakemake.input.embedding], seed=snakemake.params.seed)
    files.write_text(snakemake.output.embedding, json.dumps(embedding))
