# The embedded database is rendered only where one is configured; real ones have their source table already.
rule synth:
    output:
        "results/sources/{database}.tsv",
    wildcard_constraints:
        database="|".join(plan.synthetic) or "(?!)",
    log:
        "results/logs/synth/{database}.log",
    benchmark:
        "results/benchmarks/synth/{database}.tsv"
    threads: 2
    resources:
        mem_mb=2000,
        runtime=120,
    params:
        database=lambda wildcards: plan.synth(wildcards.database),
        code=plan.code("synth"),
    conda:
        "../../envs/features.yaml"
    script:
        "../scripts/synth.py"


checkpoint ingest:
    input:
        "results/sources/{database}.tsv",
    output:
        table="results/clips/{database}.tsv",
        shards=directory("results/clips/{database}"),
    log:
        "results/logs/ingest/{database}.log",
    benchmark:
        "results/benchmarks/ingest/{database}.tsv"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        shards=lambda wildcards: plan.config.databases[wildcards.database].shards,
    conda:
        "../../envs/features.yaml"
    script:
        "../scripts/ingest.py"
