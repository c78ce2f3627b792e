from pathlib import Path

from mer_features.core.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features import report

    named = {
        kind: {Path(path).stem: Path(path) for path in snakemake.input[kind]}
        for kind in ("clips", "caches", "assess", "protocols", "comparisons")
    }
    runs = {}
    for kind, paths in (
        ("metrics", snakemake.input.metrics),
        ("embedding", snakemake.input.embeddings),
        ("pictures", snakemake.input.pictures),
    ):
        for path in map(Path, paths):
            runs.setdefault(path.parts[-3:-1], {})[kind] = path
    report.build(
        Path(snakemake.output[0]),
        **named,
        runs=runs,
        pretrainings={Path(path).parent.name: Path(path) for path in snakemake.input.pretrainings},
        spotting=[Path(path) for path in snakemake.input.spotting],
        recognised=[Path(path) for path in snakemake.input.recognised],
        config=snakemake.params.config,
        style_measured=next((Path(path) for path in snakemake.input.style), None),
    )
