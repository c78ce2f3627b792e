# Recordings: region motion, spotting without the subject, clips of what was found, and its recognition.
rule film:
    output:
        recordings="results/sources/recordings/{recordings}/recordings.tsv",
        events="results/sources/recordings/{recordings}/events.tsv",
    log:
        "results/logs/film/{recordings}.log",
    benchmark:
        "results/benchmarks/film/{recordings}.tsv"
    wildcard_constraints:
        recordings="|".join(plan.recordings.embedded) or "(?!)",
    conda:
        "../../envs/features.yaml"
    threads: 2
    resources:
        **plan.needs("film"),
    params:
        recordings=lambda wildcards: plan.recordings.film(wildcards.recordings),
    script:
        "../scripts/film.py"


checkpoint recordings:
    input:
        "results/sources/recordings/{recordings}/recordings.tsv",
    output:
        table="results/recordings/{recordings}.tsv",
        shards=directory("results/recordings/{recordings}"),
    log:
        "results/logs/recordings/{recordings}.log",
    benchmark:
        "results/benchmarks/recordings/{recordings}.tsv"
    conda:
        "../../envs/features.yaml"
    resources:
        **plan.needs("ingest"),
    params:
        shards=lambda wildcards: plan.config.recordings[wildcards.recordings].shards,
        code=plan.code("recordings"),
    script:
        "../scripts/recordings.py"


# Every analysed frame is decoded once, here; spotters read the signals.
rule signals:
    input:
        table="results/recordings/{recordings}/{shard}.tsv",
    output:
        "results/signals/{recordings}/{shard}.h5",
    log:
        "results/logs/signals/{recordings}/{shard}.log",
    benchmark:
        "results/benchmarks/signals/{recordings}/{shard}.tsv"
    conda:
        "../../envs/features.yaml"
    resources:
        **plan.needs("signals"),
    params:
        options=plan.recordings.signals,
        code=plan.recordings.signals_code,
        weights=plan.recordings.weights,
    script:
        "../scripts/signals.py"


# One job per spotter: most of what it does without one subject is the same work as without another.
rule spot:
    input:
        recordings="results/recordings/{recordings}.tsv",
        events="results/sources/recordings/{recordings}/events.tsv",
        signals=signal_files,
    output:
        spots="results/spotting/{recordings}/{spotter}/spots.tsv",
        folds="results/spotting/{recordings}/{spotter}/folds.json",
        scores=report(
            "results/spotting/{recordings}/{spotter}/scores.json",
            caption="../report/spotting.rst",
            category="Spotting",
        ),
    log:
        "results/logs/spotting/{recordings}/{spotter}.log",
    benchmark:
        "results/benchmarks/spotting/{recordings}/{spotter}.tsv"
    conda:
        plan.recordings.spotter_environment()
    resources:
        **plan.needs("spot"),
    params:
        spotter=lambda wildcards: plan.recordings.spotter(wildcards.spotter),
        about=lambda wildcards: plan.recordings.about(wildcards.recordings),
        seed=plan.config.seed,
        code=lambda wildcards: plan.recordings.spotter_code(wildcards.spotter),
    script:
        "../scripts/spot.py"


# The clips of a database that is cut from recordings; they pass the same stages as all others.
rule cut:
    input:
        unpack(lambda wildcards: plan.recordings.cut_inputs(wildcards.database)),
    output:
        "results/sources/{database}.tsv",
    log:
        "results/logs/cut/{database}.log",
    benchmark:
        "results/benchmarks/cut/{database}.tsv"
    wildcard_constraints:
        database="|".join(plan.recordings.databases) or "(?!)",
    conda:
        "../../envs/features.yaml"
    resources:
        **plan.needs("ingest"),
    params:
        cut=lambda wildcards: plan.recordings.cut(wildcards.database),
        code=plan.code("cut"),
    script:
        "../scripts/cut.py"


# The classes of the spots, each from the model that was trained without its subject.
rule recognise:
    input:
        unpack(lambda wildcards: plan.recordings.recognition_inputs(wildcards.protocol)),
        protocol="results/protocols/{protocol}.tsv",
        predictions=run_files("predictions.tsv"),
    output:
        report(
            "results/runs/{protocol}/{system}/recognition.json",
            caption="../report/recognition.rst",
            category="Spotting",
        ),
    log:
        "results/logs/recognise/{protocol}/{system}.log",
    benchmark:
        "results/benchmarks/recognise/{protocol}/{system}.tsv"
    conda:
        "../../envs/features.yaml"
    resources:
        **plan.needs("evaluate"),
    params:
        names=lambda wildcards: plan.recordings.recognition(
            wildcards.protocol, wildcards.system
        ),
        seed=plan.config.seed,
        code=plan.code("recognise"),
    script:
        "../scripts/recognise.py"
