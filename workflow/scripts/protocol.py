from mer_features.core.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features import protocols
    from mer_features.core import clips
    from mer_features.features.reader import usable_clips
    from mer_features.protocols.options import Protocol

    protocols.write(
        snakemake.output.table,
        protocols.build(
            snakemake.wildcards.protocol,
            usable_clips(snakemake.input.clips, snakemake.input.caches),
            Protocol.model_validate(snakemake.params.protocol),
            snakemake.params.seed,
            listed=[clip for table in snakemake.input.clips for clip in clips.read(table)],
        ),
    )
