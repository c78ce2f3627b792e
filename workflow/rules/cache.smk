# The product: one documented file per database.
rule cache:
    input:
        clips="results/clips/{database}.tsv",
        faces=stage_files("faces"),
        apex=stage_files("apex"),
        magnify=stage_files("magnify"),
        flow=stage_files("flow"),
    output:
        "results/features/{database}.h5",
    log:
        "results/logs/cache/{database}.log",
    benchmark:
        "results/benchmarks/cache/{database}.tsv"
    conda:
        "../../envs/features.yaml"
    resources:
        mem_mb=plan.config.resources.stage_mem_mb,
        runtime=30,
    params:
        options=plan.config.cache.model_dump(mode="json"),
        provenance=lambda wildcards: plan.provenance(wildcards.database),
        code=plan.code("cache"),
    script:
        "../scripts/cache.py"
