# The apex with its movement since the onset made larger.
rule magnify:
    input:
        unpack(stage_inputs("magnify")),
        clips="results/clips/{database}/{shard}.tsv",
    output:
        "results/magnify/{database}/{shard}.h5",
    log:
        "results/logs/magnify/{database}/{shard}.log",
    benchmark:
        "results/benchmarks/magnify/{database}/{shard}.tsv"
    conda:
        f"../../envs/{plan.magnify_environment}.yaml"
    threads: plan.config.resources.stage_threads
    resources:
        **plan.needs("magnify"),
    params:
        options=lambda wildcards: plan.stage("magnify", wildcards.database),
        code=lambda wildcards: plan.stage_code("magnify", wildcards.database),
        weights=lambda wildcards: plan.stage_weights("magnify", wildcards.database),
    script:
        "../scripts/stage.py"
