from pathlib import Path

from mer_features.core.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features.databases import ingest

    ingest.split_recordings(
        Path(snakemake.input[0]),
        Path(snakemake.output.table),
        Path(snakemake.output.shards),
        shards=snakemake.params.shards,
    )
