import shutil
from pathlib import Path

from mer_features.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features import config
    from mer_features.files import atomic_path
    from mer_features.style import fitting, training

    model = training.train(
        fitting.training_crops([Path(path) for path in snakemake.input.faces]),
        config.TrainStyle.model_validate(snakemake.params.training["recipe"]),
        clusters=snakemake.params.training["clusters"],
        seed=snakemake.params.training["seed"],
        folder=Path(snakemake.output[0]).parent / "training",
        device=snakemake.config["execution"]["device"],
        threads=snakemake.threads,
    )
    with atomic_path(snakemake.output[0]) as temporary:
        shutil.copyfile(model, temporary)
