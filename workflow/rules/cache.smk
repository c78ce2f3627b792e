# The product: one documented file per database.
rule cache:
    input:
        **{stage: stage_files(stage) for stage in plan.stages},
        clips="results/clips/{database}.tsv",
    output:
        "results/features/{database}.h5",
    log:
        "results/logs/cache/{database}.log",
    benchmark:
        "results/benchmarks/cache/{database}.tsv"
    conda:
        "../../envs/features.yaml"
    resources:
        **plan.needs("cache"),
    params:
        stages=lambda wildcards: plan.features(wildcards.database).stages,
        options=plan.config.cache.model_dump(mode="json"),
        provenance=lambda wildcards: plan.provenance(wildcards.database),
        code=plan.code("cache"),
    script:
        "../scripts/cache.py"


# The same for a set of recordings: their signals, annotated events, and the spots of every spotter.
rule recording_cache:
    input:
        unpack(lambda wildcards: plan.recordings.spot_tables(wildcards.recordings)),
        recordings="results/recordings/{recordings}.tsv",
        events="results/sources/recordings/{recordings}/events.tsv",
        signals=signal_files,
    output:
        "results/features/{recordings}.h5",
    log:
        "results/logs/cache/{recordings}.log",
    benchmark:
        "results/benchmarks/cache/{recordings}.tsv"
    conda:
        "../../envs/features.yaml"
    resources:
        **plan.needs("recording_cache"),
    params:
        spotters=lambda wildcards: plan.recordings.spotters(wildcards.recordings),
        provenance=plan.recordings.provenance,
        code=plan.code("recording_cache"),
    script:
        "../scripts/recording_cache.py"
