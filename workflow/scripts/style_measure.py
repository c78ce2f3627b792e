import json
from pathlib import Path

from mer_features.core.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features.core import files
    from mer_features.workflow.assess import style

    found = style.measure(
        {Path(path).stem: Path(path) for path in snakemake.input.caches},
        {name: Path(root) for name, root in snakemake.params.truths.items()},
        threads=snakemake.threads,
    )
    files.write_text(snakemake.output[0], json.dumps(found, indent=1))
