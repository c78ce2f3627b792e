import json

from mer_features.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features import assess, clips, files

    errors = assess.assess(
        snakemake.params.root,
        snakemake.input.faces,
        snakemake.input.apex,
        clips.read(snakemake.input.clips),
        snakemake.params.options,
        threads=snakemake.threads,
    )
    files.write_text(snakemake.output[0], json.dumps(errors, indent=1))
