from mer_features.core.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features.databases import ingest

    ingest.split_table(
        snakemake.input[0], snakemake.output.table, snakemake.output.shards, shards=snakemake.params.shards
    )
