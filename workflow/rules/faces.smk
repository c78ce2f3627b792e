# Every frame is decoded once, here; later stages read the crops.
rule faces:
    input:
        clips="results/clips/{database}/{shard}.tsv",
    output:
        "results/faces/{database}/{shard}.h5",
    log:
        "results/logs/faces/{database}/{shard}.log",
    benchmark:
        "results/benchmarks/faces/{database}/{shard}.tsv"
    conda:
        "../../envs/features.yaml"
    threads: plan.config.resources.stage_threads
    resources:
        **plan.needs("faces"),
    params:
        options=lambda wildcards: plan.stage("faces", wildcards.database),
        code=lambda wildcards: plan.stage_code("faces", wildcards.database),
        weights=lambda wildcards: plan.stage_weights("faces", wildcards.database),
    script:
        "../scripts/stage.py"
