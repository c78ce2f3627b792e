from pathlib import Path

from mer_features.core.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features.features import recordings

    recordings.write_file(
        Path(snakemake.output[0]),
        recordings=Path(snakemake.input.recordings),
        events=Path(snakemake.input.events),
        spots={name: Path(snakemake.input[f"spots_{name}"]) for name in snakemake.params.spotters},
        signals=[Path(path) for path in snakemake.input.signals],
        provenance=snakemake.params.provenance,
    )
