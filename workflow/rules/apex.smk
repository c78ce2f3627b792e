# All spotters' curves, and the apex that the policy chooses.
rule apex:
    input:
        clips="results/clips/{database}/{shard}.tsv",
        faces="results/faces/{database}/{shard}.h5",
    output:
        "results/apex/{database}/{shard}.h5",
    log:
        "results/logs/apex/{database}/{shard}.log",
    benchmark:
        "results/benchmarks/apex/{database}/{shard}.tsv"
    conda:
        "../../envs/features.yaml"
    threads: plan.config.resources.stage_threads
    resources:
        **plan.needs("apex"),
    params:
        options=lambda wildcards: plan.stage("apex", wildcards.database),
        code=lambda wildcards: plan.stage_code("apex", wildcards.database),
        weights=lambda wildcards: plan.stage_weights("apex", wildcards.database),
    script:
        "../scripts/stage.py"
