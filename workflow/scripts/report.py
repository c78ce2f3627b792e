from pathlib import Path

from mer_features.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features import report

    named = {
        kind: {Path(path).stem: Path(path) for path in snakemake.input[kind]}
        for kind in ("clips", "caches", "assess", "protocols")
    }
    folders = {Path(path).parts[-3:-1]: Path(path).parent for path in snakemake.input.metrics}
    report.build(
        Path(snakemake.output[0]),
        **named,
        runs={
            run: {"metrics": folder / "metrics.json", "embedding": folder / "embedding.json"}
            for run, folder in folders.items()
        },
        config=snakemake.params.config,
        style_measured=next((Path(path) for path in snakemake.input.style), None),
    )
