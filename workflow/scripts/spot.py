from pathlib import Path

from mer_features.core.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features.spotting import run

    run.spot_files(
        run.Inputs(
            Path(snakemake.input.recordings),
            Path(snakemake.input.events),
            [Path(path) for path in snakemake.input.signals],
        ),
        snakemake.params.spotter,
        run.Outputs(**{name: Path(path) for name, path in snakemake.output.items()}),
        names=(snakemake.wildcards.recordings, snakemake.wildcards.spotter),
        **snakemake.params.about,
        seed=snakemake.params.seed,
    )
