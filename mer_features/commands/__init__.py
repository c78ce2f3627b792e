"""Commands that need more than one call into another package: check, explain, extract, forget, magnify, score.

Each module does the work of one command and returns plain values; :mod:`mer_features.cli` parses the arguments and
prints the results.
"""
