import json

from mer_features.core.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features.core import clips, files
    from mer_features.stages.options import Magnify
    from mer_features.workflow.assess import magnification, stages

    root, listed = snakemake.params.root, clips.read(snakemake.input.clips)
    settings = Magnify.model_validate(snakemake.params.magnify)
    errors = stages.assess(
        root,
        snakemake.input.faces,
        snakemake.input.apex,
        listed,
        snakemake.params.flow_method,
        threads=snakemake.threads,
    )
    if settings.method != "none":
        errors["magnification"] = magnification.assess(
            root, snakemake.input.faces, listed, settings, threads=snakemake.threads
        )
    files.write_text(snakemake.output[0], json.dumps(errors, indent=1))
