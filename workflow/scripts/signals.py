from pathlib import Path

from mer_features.core.jobs import job_log

with job_log(snakemake.log[0]):
    from mer_features.core import recordings
    from mer_features.stages.options import Faces, SignalOptions
    from mer_features.stages.signals import shard

    shard.measure_shard(
        recordings.read(snakemake.input.table),
        Path(snakemake.output[0]),
        SignalOptions.model_validate(snakemake.params.options["signals"]),
        Faces.model_validate(snakemake.params.options["faces"]),
    )
