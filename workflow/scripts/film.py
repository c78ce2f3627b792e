from pathlib import Path

from mer_features.core.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features.synthetic import recordings

    recordings.render(
        snakemake.wildcards.recordings,
        tables=Path(snakemake.output.recordings).parent,
        threads=snakemake.threads,
        **snakemake.params.recordings,
    )
