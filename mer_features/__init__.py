"""mer-features: micro-expression video to a documented feature file, and recognition systems trained from it.

Importing the package loads neither OpenCV nor torch; every stage module does so when it is imported itself.
"""

import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, version
from importlib.util import spec_from_loader
from types import ModuleType

try:
    __version__ = version("mer-features")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

#: Modules that others import by an earlier path. The old path works until release 0.3.
_MOVED = {
    "action_units": "core.action_units",
    "apex": "stages.apex",
    "cache": "features",
    "config": "workflow.config",
    "dataset": "features.dataset",
    "descriptors": "stages.descriptors",
    "explain": "commands.explain",
    "export": "features.export",
    "extract": "commands.extract",
    "faces": "stages.faces",
    "flow": "stages.flow",
    "light": "stages.flow.light",
    "magnify": "stages.magnify",
    "megc": "protocols.megc",
    "metrics": "protocols.metrics",
    "strain": "stages.flow.strain",
    "style": "stages.style",
}


class _MovedModules(MetaPathFinder, Loader):
    """Imports a module by its earlier path, with a ``DeprecationWarning`` that names the new one."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002  # Python's signature
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        package, _, rest = fullname.partition(".")
        return spec_from_loader(fullname, self) if package == __name__ and rest in _MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        from importlib import import_module  # noqa: PLC0415  # keeps the name out of the package

        current = f"{__name__}.{_MOVED[spec.name.partition('.')[2]]}"
        warnings.warn(f"{spec.name} is now {current}; the old path goes in 0.3", DeprecationWarning, stacklevel=5)
        module = import_module(current)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # Python has just set the one of the old path


sys.meta_path.append(_MovedModules())
