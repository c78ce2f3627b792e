# Which clips take part, their classes, and who is held out when.
checkpoint protocol:
    input:
        clips=protocol_files("results/clips/{database}.tsv"),
        caches=protocol_files("results/features/{database}.h5"),
    output:
        table=report(
            "results/protocols/{protocol}.tsv",
            caption="../report/protocol.rst",
            category="Protocols",
        ),
    log:
        "results/logs/protocol/{protocol}.log",
    benchmark:
        "results/benchmarks/protocol/{protocol}.tsv"
    conda:
        "../../envs/features.yaml"
    resources:
        **plan.needs("protocol"),
    params:
        protocol=lambda wildcards: plan.config.protocols[
            wildcards.protocol
        ].model_dump(mode="json"),
        seed=plan.config.seed,
        code=plan.code("protocol"),
    script:
        "../scripts/protocol.py"
