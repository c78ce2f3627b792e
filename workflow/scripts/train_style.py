from pathlib import Path

from mer_features.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features import config
    from mer_features.style import fitting, training

    training.train(
        Path(snakemake.output[0]),
        fitting.training_crops([Path(path) for path in snakemake.input.faces]),
        config.TrainStyle.model_validate(snakemake.params.training["recipe"]),
        clusters=snakemake.params.training["clusters"],
        seed=snakemake.params.training["seed"],
        device=snakemake.config["execution"]["device"],
        threads=snakemake.threads,
    )
