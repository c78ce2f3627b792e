from pathlib import Path

from mer_features.core.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features.training import recognition

    recognition.score_spots(
        recognition.SpotTables(
            **{name: Path(snakemake.input[name]) for name in ("recordings", "events", "spots", "protocol")}
        ),
        [Path(path) for path in snakemake.input.predictions],
        Path(snakemake.output[0]),
        **snakemake.params.names,
        seed=snakemake.params.seed,
    )
