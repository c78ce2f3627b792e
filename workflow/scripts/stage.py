from pathlib import Path

from mer_features.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features import clips, stages

    stages.run(
        snakemake.rule,
        clips.read(snakemake.input.clips),
        {stage: Path(path) for stage, path in snakemake.input.items() if stage not in {"clips", "weights"}},
        Path(snakemake.output[0]),
        snakemake.params.options,
        threads=snakemake.threads,
    )
