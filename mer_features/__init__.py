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
    "assess": "workflow.assess",
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
        head, _, inner = rest.partition(".")
        if package != __name__ or head not in _MOVED:
            return None
        current = f"{__name__}.{_MOVED[head]}{inner and f'.{inner}'}"
        return spec_from_loader(fullname, self, origin=current)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        from importlib import import_module  # noqa: PLC0415  # keeps the name out of the package

        warnings.warn(f"{spec.name} is now {spec.origin}; the old path goes in 0.3", DeprecationWarning, stacklevel=2)
        module = import_module(str(spec.origin))
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # Python has just set the specification of the old path; two paths must not share one.
        if module.__spec__ is not None and module.__spec__.loader_state is not None:
            module.__spec__ = module.__spec__.loader_state

    def get_code(self, fullname: str) -> None:  # noqa: ARG002  # `python -m` with an old path then says why not
        return None


# Before Python's own finders, which would load a second copy of an inner module under its old name.
if not any(type(finder).__name__ == _MovedModules.__name__ for finder in sys.meta_path):
    sys.meta_path.insert(0, _MovedModules())
