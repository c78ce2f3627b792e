# Weights of one's own for learned magnification; no target needs them, ask for them by the rule's name.
rule train_magnifier:
    input:
        start=plan.magnifier_start,
    output:
        weights="results/magnifier/weights.safetensors",
        curve="results/magnifier/weights.safetensors.csv",
    log:
        "results/logs/train_magnifier.log",
    benchmark:
        "results/benchmarks/train_magnifier.tsv"
    conda:
        "../../envs/train.yaml"
    threads: plan.config.resources.train_threads
    resources:
        **plan.needs("train_magnifier"),
    params:
        options=plan.magnifier_training,
        code=plan.code("train_magnifier"),
        weights=plan.magnifier_weights,
    script:
        "../scripts/train_magnifier.py"
