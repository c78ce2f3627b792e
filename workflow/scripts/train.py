from pathlib import Path

from mer_features.core.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features import training
    from mer_features.stages.options import Style
    from mer_features.training.options import System

    training.train_folds(
        training.Sources(
            {Path(path).stem: Path(path) for path in snakemake.input.caches},
            Path(snakemake.input.protocol),
            next(map(Path, snakemake.input.pretrained), None),
            Style.model_validate(snakemake.params.style) if snakemake.params.style else None,
        ),
        System.model_validate(snakemake.params.system),
        folds=snakemake.params.folds,
        seed=int(snakemake.wildcards.seed),
        output_dir=Path(snakemake.output.predictions).parent,
        execution=training.Execution(threads=snakemake.threads, **snakemake.config["execution"]),
    )
