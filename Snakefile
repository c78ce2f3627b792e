# mer-features: micro-expression databases -> feature cache -> trained systems -> report.
# Read config/README.md for the configuration; run with `snakemake` (the default profile is picked up by itself).
from snakemake.utils import min_version

min_version("9.18")

# A configuration given on the command line replaces the demo instead of being merged into it.
if not {"databases", "recordings", "include"} & config.keys():

    configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/databases.smk"
include: "workflow/rules/recordings.smk"
include: "workflow/rules/faces.smk"
include: "workflow/rules/apex.smk"
include: "workflow/rules/magnify.smk"
include: "workflow/rules/flow.smk"
include: "workflow/rules/style.smk"
include: "workflow/rules/descriptors.smk"
include: "workflow/rules/cache.smk"
include: "workflow/rules/protocols.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/train_magnifier.smk"
include: "workflow/rules/report.smk"


# Targets, and tables that take a second: not worth a place in a cluster's queue.
localrules:
    all,
    features,
    ingest,
    recordings,
    cut,
    protocol,


rule all:
    default_target: True
    input:
        "results/report.html",
        expand("results/features/{name}.h5", name=plan.recordings.names),


# Only the feature caches, without any training.
rule features:
    input:
        filled_files("results/features/{database}.h5"),
        expand("results/features/{name}.h5", name=plan.recordings.names),
