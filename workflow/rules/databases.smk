# The embedded database is rendered only where one is configured; real ones have their source table already.
rule synth:
    output:
        "results/sources/{database}.tsv",
    log:
        "results/logs/synth/{database}.log",
    benchmark:
        "results/benchmarks/synth/{database}.tsv"
    wildcard_constraints:
        database="|".join(plan.synthetic) or "(?!)",
    conda:
        "../../envs/features.yaml"
    threads: 2
    resources:
        **plan.needs("synth"),
    params:
        database=lambda wildcards: plan.synth(wildcards.database),
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
    conda:
        "../../envs/features.yaml"
    resources:
        **plan.needs("ingest"),
    params:
        shards=lambda wildcards: plan.config.databases[wildcards.database].shards,
        code=plan.code("ingest"),
    script:
        "../scripts/ingest.py"
