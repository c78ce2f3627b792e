from mer_features.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features import cache, config, protocols

    protocols.write(
        snakemake.output.table,
        protocols.build(
            snakemake.wildcards.protocol,
            cache.usable_clips(snakemake.input.clips, snakemake.input.caches),
            config.Protocol.model_validate(snakemake.params.protocol),
            snakemake.params.seed,
        ),
    )
