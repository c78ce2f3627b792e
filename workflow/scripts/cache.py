from pathlib import Path

from mer_features.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features import cache, clips, config

    cache.build(
        Path(snakemake.output[0]),
        clips.read(snakemake.input.clips),
        {
            stage: [Path(path) for path in snakemake.input[stage]]
            for stage in snakemake.params.stages
            if snakemake.input[stage]  # a stage may be off for this database
        },
        config.Cache.model_validate(snakemake.params.options),
        snakemake.params.provenance,
    )
