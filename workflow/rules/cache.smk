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
