from mer_features.core.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features.synthetic import renderer

    renderer.render(
        snakemake.wildcards.database,
        table=snakemake.output[0],
        threads=snakemake.threads,
        **snakemake.params.database,
    )
