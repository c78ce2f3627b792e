from pathlib import Path

from mer_features.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features import config, explain, training

    explain.embed_half(
        training.Sources(
            {Path(path).stem: Path(path) for path in snakemake.input.caches},
            Path(snakemake.input.protocol),
            next(map(Path, snakemake.input.pretrained), None),
            config.Style.model_validate(snakemake.params.style) if snakemake.params.style else None,
        ),
        config.System.model_validate(snakemake.params.system),
        seed=snakemake.params.seed,
        files=explain.HalfFiles(**{name: Path(path) for name, path in snakemake.output.items()}),
        execution=training.Execution(threads=snakemake.threads, **snakemake.config["execution"]),
    )
