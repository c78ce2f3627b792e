# Optical flow and strain of the configured frame pairs.
rule flow:
    input:
        unpack(stage_inputs("flow")),
        clips="results/clips/{database}/{shard}.tsv",
    output:
        "results/flow/{database}/{shard}.h5",
    log:
        "results/logs/flow/{database}/{shard}.log",
    benchmark:
        "results/benchmarks/flow/{database}/{shard}.tsv"
    conda:
        "../../envs/features.yaml"
    threads: plan.config.resources.stage_threads
    resources:
        **plan.needs("flow"),
    params:
        options=lambda wildcards: plan.stage("flow", wildcards.database),
        code=lambda wildcards: plan.stage_code("flow", wildcards.database),
        weights=lambda wildcards: plan.stage_weights("flow", wildcards.database),
    script:
        "../scripts/stage.py"
