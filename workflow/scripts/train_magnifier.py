from pathlib import Path

from mer_features.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features.config.magnifier import MagnifierTraining
    from mer_features.magnify import train

    train.train(
        MagnifierTraining.model_validate(snakemake.params.options),
        Path(snakemake.output.weights),
        train.Execution(device=snakemake.config["execution"]["device"], threads=snakemake.threads),
    )
