from pathlib import Path

from mer_features.core.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features.systems.common.contract import Execution
    from mer_features.training.options import TrainStyle
    from mer_features.training.style import fitting, training

    training.train(
        Path(snakemake.output[0]),
        fitting.training_crops([Path(path) for path in snakemake.input.faces]),
        TrainStyle.model_validate(snakemake.params.training["recipe"]),
        clusters=snakemake.params.training["clusters"],
        seed=snakemake.params.training["seed"],
        execution=Execution(device=snakemake.config["execution"]["device"], threads=snakemake.threads),
    )
