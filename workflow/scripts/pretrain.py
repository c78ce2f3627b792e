from pathlib import Path

from mer_features.core.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features import training
    from mer_features.training.options import Pretraining

    training.pretrain(
        Pretraining.model_validate(snakemake.params.task),
        caches={Path(path).stem: Path(path) for path in snakemake.input.caches},
        protocol_tsv=next(map(Path, snakemake.input.protocol), None),
        faces=[Path(path) for path in snakemake.input.faces],
        output_dir=Path(snakemake.output.weights).parent,
        execution=training.Execution(threads=snakemake.threads, **snakemake.config["execution"]),
        start=next(map(Path, snakemake.input.start), None),
    )
