# Onset and apex in one look for all databases; off with `style: {method: none}`.


# Reference styles, and whether the generators may be used: one small file for all databases.
rule style_fit:
    input:
        faces=style_faces,
        weights=plan.style_weights,
    output:
        "results/style/fitted.json",
    log:
        "results/logs/style/fit.log",
    benchmark:
        "results/benchmarks/style/fit.tsv"
    conda:
        plan.style_environment
    resources:
        **plan.needs("style_fit"),
    params:
        fit=plan.style_fit(),
        code=plan.code("style_fit"),
    script:
        "../scripts/style_fit.py"


rule style:
    input:
        clips="results/clips/{database}/{shard}.tsv",
        faces="results/faces/{database}/{shard}.h5",
        apex="results/apex/{database}/{shard}.h5",
        fit=plan.style_files,
    output:
        "results/style/{database}/{shard}.h5",
    log:
        "results/logs/style/{database}/{shard}.log",
    benchmark:
        "results/benchmarks/style/{database}/{shard}.tsv"
    conda:
        plan.style_environment
    threads: plan.config.resources.stage_threads
    resources:
        **plan.needs("style"),
    params:
        options=lambda wildcards: plan.stage("style", wildcards.database),
        code=lambda wildcards: plan.stage_code("style", wildcards.database),
        weights=lambda wildcards: plan.stage_weights("style", wildcards.database),
    script:
        "../scripts/stage.py"


# Generators of the learned method. Asked for by name, or by `style: {method: cyclegan}` without a `model`. Checkpoints
# and sample sheets in results/style/model.training are no outputs, so that a killed training goes on where it was.
rule train_style:
    input:
        faces=style_faces,
    output:
        "results/style/model.pt",
    log:
        "results/logs/style/train.log",
    benchmark:
        "results/benchmarks/style/train.tsv"
    conda:
        "../../envs/train.yaml"
    threads: plan.config.resources.train_threads
    resources:
        **plan.needs("train_style"),
    params:
        training=plan.train_style(),
        code=plan.code("train_style"),
        weights=plan.train_style_weights,
    script:
        "../scripts/train_style.py"
