from pathlib import Path

from mer_features.core.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features.spotting import clips

    clips.cut_clips(
        Path(snakemake.input.recordings),
        Path(snakemake.input.intervals),
        Path(snakemake.output[0]),
        database=snakemake.wildcards.database,
        **snakemake.params.cut,
    )
