"""The feature file: one documented netCDF-4 file per database, the result of the workflow.

:func:`build` writes it from stage files or published flow maps, :func:`open_features` reads it, :func:`validate` lists
what is wrong with a file, :func:`describe` lists its contents, and :func:`drop` removes clips. The format
is described in ``docs/cache-format.md``; the file can be read without this package.
"""

from mer_features.features.description import describe
from mer_features.features.options import Provenance
from mer_features.features.reader import ClipRow, Features, Rejection, open_features
from mer_features.features.removal import drop
from mer_features.features.schema import CacheError
from mer_features.features.validation import validate
from mer_features.features.writer import Summary, build

__all__ = [
    "CacheError",
    "ClipRow",
    "Features",
    "Provenance",
    "Rejection",
    "Summary",
    "build",
    "describe",
    "drop",
    "open_features",
    "validate",
]
