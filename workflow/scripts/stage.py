from pathlib import Path

from mer_features.core.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features.core import clips
    from mer_features.stages import run as stages

    stages.run(
        snakemake.rule,
        clips.read(snakemake.input.clips),
        {stage: Path(path) for stage, path in snakemake.input.items() if stage in stages.SPECS},
        Path(snakemake.output[0]),
        stages.SPECS[snakemake.rule].options.model_validate(snakemake.params.options),
        threads=snakemake.threads,
    )
