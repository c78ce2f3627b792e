from pathlib import Path

from mer_features.core.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features.systems.common.contract import Execution
    from mer_features.training.magnifier import train
    from mer_features.training.options import MagnifierTraining

    train.train(
        MagnifierTraining.model_validate(snakemake.params.options),
        Path(snakemake.output.weights),
        Execution(device=snakemake.config["execution"]["device"], threads=snakemake.threads),
    )
