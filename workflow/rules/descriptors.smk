# Handcrafted descriptors; off with `descriptors: {methods: []}`.
rule descriptors:
    input:
        unpack(stage_inputs("descriptors")),
        clips="results/clips/{database}/{shard}.tsv",
    output:
        "results/descriptors/{database}/{shard}.h5",
    log:
        "results/logs/descriptors/{database}/{shard}.log",
    benchmark:
        "results/benchmarks/descriptors/{database}/{shard}.tsv"
    conda:
        "../../envs/features.yaml"
    threads: plan.config.resources.stage_threads
    resources:
        **plan.needs("descriptors"),
    params:
        options=lambda wildcards: plan.stage("descriptors", wildcards.database),
        code=lambda wildcards: plan.stage_code("descriptors", wildcards.database),
        weights=lambda wildcards: plan.stage_weights("descriptors", wildcards.database),
    script:
        "../scripts/stage.py"
