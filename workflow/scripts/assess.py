import json

from mer_features.core.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features.assess import magnification as assess_magnify
    from mer_features.assess import stages as assess
    from mer_features.core import clips, files

    root, listed = snakemake.params.root, clips.read(snakemake.input.clips)
    errors = assess.assess(
        root, snakemake.input.faces, snakemake.input.apex, listed, snakemake.params.options, threads=snakemake.threads
    )
    if snakemake.params.magnify["method"] != "none":
        errors["magnification"] = assess_magnify.assess(
            root, snakemake.input.faces, listed, snakemake.params.magnify, threads=snakemake.threads
        )
    files.write_text(snakemake.output[0], json.dumps(errors, indent=1))
