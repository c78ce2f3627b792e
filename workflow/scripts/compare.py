import json
from pathlib import Path

from mer_features.core.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features.core import files
    from mer_features.training import comparison

    predictions = {}
    for path in map(Path, snakemake.input.predictions):
        predictions.setdefault(path.parts[-4], []).append(path)
    compared = comparison.compare(
        predictions,
        Path(snakemake.input.protocol),
        name=snakemake.wildcards.protocol,
        measured_on=snakemake.params.measured_on,
        seed=snakemake.params.seed,
    )
    files.write_text(snakemake.output[0], json.dumps(compared, indent=1))
