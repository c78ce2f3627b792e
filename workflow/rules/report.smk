# With a database whose truth is known, the stages' errors are numbers.
rule assess:
    input:
        clips="results/clips/{database}.tsv",
        faces=stage_files("faces"),
        apex=stage_files("apex"),
    output:
        report(
            "results/assess/{database}.json",
            caption="../report/assess.rst",
            category="Error against ground truth",
        ),
    log:
        "results/logs/assess/{database}.log",
    benchmark:
        "results/benchmarks/assess/{database}.tsv"
    wildcard_constraints:
        database="|".join(plan.synthetic) or "(?!)",
    conda:
        f"../../envs/{plan.magnify_environment}.yaml"
    threads: 2
    resources:
        **plan.needs("assess"),
    params:
        root=lambda wildcards: str(plan.config.database_root(wildcards.database)),
        flow_method=lambda wildcards: plan.features(wildcards.database).flow.method,
        magnify=lambda wildcards: plan.stage("magnify", wildcards.database),
        weights=lambda wildcards: plan.stage_weights("magnify", wildcards.database),
        code=plan.code("assess"),
    script:
        "../scripts/assess.py"


# Style left, edges moved, motion kept: before against after, on the feature files.
rule style_measure:
    input:
        caches=expand(
            "results/features/{database}.h5", database=plan.databases_with("style")
        ),
    output:
        "results/style/measured.json",
    log:
        "results/logs/style/measure.log",
    benchmark:
        "results/benchmarks/style/measure.tsv"
    conda:
        "../../envs/features.yaml"
    threads: 2
    resources:
        **plan.needs("style_measure"),
    params:
        truths={name: str(plan.config.database_root(name)) for name in plan.synthetic},
        code=plan.code("style_measure"),
    script:
        "../scripts/style_measure.py"


rule html:
    input:
        clips=filled_files("results/clips/{database}.tsv"),
        caches=filled_files("results/features/{database}.h5"),
        assess=expand("results/assess/{database}.json", database=plan.synthetic),
        style=["results/style/measured.json"] * bool(plan.databases_with("style")),
        protocols=expand(
            "results/protocols/{protocol}.tsv", protocol=plan.config.protocols
        ),
        metrics=expand(
            "results/runs/{run}/metrics.json", run=["/".join(run) for run in plan.runs]
        ),
        comparisons=expand(
            "results/comparisons/{protocol}.json", protocol=plan.compared_protocols
        ),
        pretrainings=expand(
            "results/pretraining/{task}/summary.json", task=plan.used_pretrainings
        ),
        spotting=expand(
            "results/spotting/{run}/scores.json",
            run=["/".join(run) for run in plan.recordings.searched],
        ),
        recognised=expand(
            "results/runs/{run}/recognition.json",
            run=["/".join(run) for run in plan.recordings.recognised],
        ),
        embeddings=expand(
            "results/runs/{run}/embedding.json",
            run=["/".join(run) for run in plan.runs],
        ),
        pictures=expand(
            "results/runs/{run}/half-pictures.npz",
            run=["/".join(run) for run in plan.pictured_runs],
        ),
    output:
        report("results/report.html", caption="../report/report.rst", category="Report"),
    log:
        "results/logs/report.log",
    benchmark:
        "results/benchmarks/report.tsv"
    conda:
        "../../envs/features.yaml"
    resources:
        **plan.needs("report"),
    params:
        config=plan.dump(),
        code=plan.code("report"),
    script:
        "../scripts/report.py"
