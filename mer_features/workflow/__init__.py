"""What the Snakefile asks the package: the plan of a workflow, its configuration, what its jobs need."""
