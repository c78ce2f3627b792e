from mer_features.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features import clips, config, protocols
    from mer_features.cache.usable import usable_clips

    protocols.write(
        snakemake.output.table,
        protocols.build(
            snakemake.wildcards.protocol,
            usable_clips(snakemake.input.clips, snakemake.input.caches),
            config.Protocol.model_validate(snakemake.params.protocol),
            snakemake.params.seed,
            listed=[clip for table in snakemake.input.clips for clip in clips.read(table)],
        ),
    )
