from pathlib import Path

from mer_features.core.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features.stages.options import Style
    from mer_features.stages.style import fitted
    from mer_features.training.style import fitting
    from mer_features.workflow import plan as workflow

    options = Style.model_validate(snakemake.params.fit["options"])
    found = fitting.fit_shards(
        [Path(path) for path in snakemake.input.faces],
        options,
        seed=snakemake.params.fit["seed"],
        databases=workflow.databases_of(snakemake.input.faces),
        weights=next((Path(path) for path in snakemake.input.weights), None),
    )
    fitted.write(snakemake.output[0], found)
