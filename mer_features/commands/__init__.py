"""Commands that need more than one call into another package.

They are check, explain, extract, find, forget, magnify and score. Each module does the work of one command and returns
plain values; :mod:`mer_features.cli` parses the arguments and prints the results.
"""
