import json
from pathlib import Path

from mer_features.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features import files
    from mer_features.style import measure

    found = measure.measure(
        {Path(path).stem: Path(path) for path in snakemake.input.caches},
        {name: Path(root) for name, root in snakemake.params.truths.items()},
        threads=snakemake.threads,
    )
    files.write_text(snakemake.output[0], json.dumps(found, indent=1))
