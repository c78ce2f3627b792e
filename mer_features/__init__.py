"""mer-features: micro-expression databases to a feature cache, and recognition systems trained from it.

Importing the package loads neither OpenCV nor torch; every stage module does so when it is imported itself.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("mer-features")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
