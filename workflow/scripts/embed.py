from pathlib import Path

from mer_features.core.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features import training
    from mer_features.stages.options import Style
    from mer_features.training import half
    from mer_features.training.options import System

    half.embed_half(
        training.Sources(
            {Path(path).stem: Path(path) for path in snakemake.input.caches},
            Path(snakemake.input.protocol),
            next(map(Path, snakemake.input.pretrained), None),
            Style.model_validate(snakemake.params.style) if snakemake.params.style else None,
        ),
        System.model_validate(snakemake.params.system),
        seed=snakemake.params.seed,
        files=half.HalfFiles(**{name: Path(path) for name, path in snakemake.output.items()}),
        execution=training.Execution(threads=snakemake.threads, **snakemake.config["execution"]),
    )
