# Pre-training, training and evaluation; the held-out subjects of a fold are unreachable from its training.
rule pretrain:
    input:
        protocol=pretraining_protocol,
        caches=pretraining_caches,
        faces=pretraining_faces,
        start=pretraining_start,
    output:
        weights="results/pretraining/{task}/weights.pt",
        summary="results/pretraining/{task}/summary.json",
    log:
        "results/logs/pretrain/{task}.log",
    benchmark:
        "results/benchmarks/pretrain/{task}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: plan.config.resources.train_threads
    resources:
        **plan.needs("pretrain"),
    params:
        task=lambda wildcards: plan.pretraining(wildcards.task),
        code=lambda wildcards: plan.pretraining_code(wildcards.task),
        weights=lambda wildcards: plan.pretraining_weights(wildcards.task),
        precision=plan.config.resources.precision,
    script:
        "../scripts/pretrain.py"


rule train:
    input:
        protocol="results/protocols/{protocol}.tsv",
        caches=protocol_files("results/features/{database}.h5"),
        pretrained=pretrained_file,
    output:
        predictions="results/runs/{protocol}/{system}/seed{seed}/{batch}/predictions.tsv",
        embeddings="results/runs/{protocol}/{system}/seed{seed}/{batch}/embeddings.npz",
        losses="results/runs/{protocol}/{system}/seed{seed}/{batch}/losses.csv",
        weights=directory("results/runs/{protocol}/{system}/seed{seed}/{batch}/weights"),
    log:
        "results/logs/train/{protocol}/{system}/seed{seed}/{batch}.log",
    benchmark:
        "results/benchmarks/train/{protocol}/{system}/seed{seed}/{batch}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: plan.config.resources.train_threads
    resources:
        **plan.needs("train"),
    params:
        system=lambda wildcards: plan.system(wildcards.system, wildcards.protocol),
        style=lambda wildcards: plan.fold_style(wildcards.system),
        folds=lambda wildcards, input: plan.batch_folds(
            input.protocol, wildcards.system, wildcards.batch
        ),
        code=lambda wildcards: plan.system_code(wildcards.system),
        weights=lambda wildcards: plan.system_weights(wildcards.system),
        precision=plan.config.resources.precision,
    script:
        "../scripts/train.py"


# One model on half of the subjects, for the pictures of its features: those of different folds share no space.
rule embed:
    input:
        protocol="results/protocols/{protocol}.tsv",
        caches=protocol_files("results/features/{database}.h5"),
        pretrained=pretrained_file,
    output:
        embeddings="results/runs/{protocol}/{system}/half.npz",
        weights="results/runs/{protocol}/{system}/half.pt",
        pictures="results/runs/{protocol}/{system}/half-pictures.npz",
        model="results/runs/{protocol}/{system}/half.json",
    log:
        "results/logs/embed/{protocol}/{system}.log",
    benchmark:
        "results/benchmarks/embed/{protocol}/{system}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: plan.config.resources.train_threads
    resources:
        **plan.needs("embed"),
    params:
        system=lambda wildcards: plan.system(wildcards.system, wildcards.protocol),
        style=lambda wildcards: plan.fold_style(wildcards.system),
        seed=lambda wildcards: plan.config.systems[wildcards.system].seeds[0],
        code=lambda wildcards: plan.system_code(wildcards.system, "embed"),
        weights=lambda wildcards: plan.system_weights(wildcards.system),
        precision=plan.config.resources.precision,
    script:
        "../scripts/embed.py"


# Its batches are known once the protocol is. The pre-training, which is known from the start, is named here as well:
# Snakemake does not look for further checkpoints behind the jobs that a checkpoint adds.
rule evaluate:
    input:
        protocol="results/protocols/{protocol}.tsv",
        pretrained=pretrained_file,
        predictions=run_files("predictions.tsv"),
        embedding=embedding_files,
    output:
        metrics=report(
            "results/runs/{protocol}/{system}/metrics.json",
            caption="../report/metrics.rst",
            category="Results",
        ),
        embedding="results/runs/{protocol}/{system}/embedding.json",
    log:
        "results/logs/evaluate/{protocol}/{system}.log",
    benchmark:
        "results/benchmarks/evaluate/{protocol}/{system}.tsv"
    conda:
        "../../envs/features.yaml"
    resources:
        **plan.needs("evaluate"),
    params:
        system=lambda wildcards: plan.system(wildcards.system, wildcards.protocol),
        setting=lambda wildcards: plan.setting(wildcards.system, wildcards.protocol),
        measured_on=lambda wildcards: plan.measured_on(wildcards.protocol),
        seed=plan.config.seed,
        code=plan.code("evaluate"),
    script:
        "../scripts/evaluate.py"


# Every run of a protocol against every other, over the same draws of subjects.
rule compare:
    input:
        protocol="results/protocols/{protocol}.tsv",
        pretrained=compared_pretrained,
        predictions=compared_predictions,
    output:
        "results/comparisons/{protocol}.json",
    log:
        "results/logs/compare/{protocol}.log",
    benchmark:
        "results/benchmarks/compare/{protocol}.tsv"
    wildcard_constraints:
        protocol="|".join(plan.compared_protocols) or "(?!)",
    conda:
        "../../envs/features.yaml"
    resources:
        **plan.needs("compare"),
    params:
        measured_on=lambda wildcards: plan.measured_on(wildcards.protocol),
        seed=plan.config.seed,
        code=plan.code("compare"),
    script:
        "../scripts/compare.py"
