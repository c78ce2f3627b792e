from pathlib import Path

from mer_features.core.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features import features as feature_file
    from mer_features.core import clips
    from mer_features.features.options import Cache

    feature_file.build(
        Path(snakemake.output[0]),
        clips.read(snakemake.input.clips),
        {stage: [Path(path) for path in snakemake.input[stage]] for stage in snakemake.params.stages},
        Cache.model_validate(snakemake.params.options),
        snakemake.params.provenance,
    )
