"""Import deepicd's own packages whatever else bears their names: `train`, `cards` … are names of many a script.

    with prefer_own_packages():
        from train.rewards import score      # deepicd's, beside a train.py of the caller

Python has one place for a module's name (sys.modules) and looks first in the folder of the script. So while the block
runs, these names mean deepicd's packages; behind it they mean again what they meant before, and what was imported waits
for the next block. One thread at a time; a module that others import meanwhile in another thread may be deepicd's.
"""

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

PACKAGES = ("builders", "cards", "distill", "guidelines", "scrapers", "train")
ROOT = Path(__file__).resolve().parent.parent  # of the installation: they stand beside deepicd

_lock = threading.RLock()
_waiting: dict[str, ModuleType] = {}
"""Modules that earlier blocks have imported."""


class _OwnFinder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return PathFinder.find_spec(fullname, [str(ROOT)]) if fullname in PACKAGES else None


@contextmanager
def prefer_own_packages() -> Iterator[None]:
    """Let the names of deepicd's packages mean these packages while the block runs."""
    finder = _OwnFinder()
    with _lock:
        foreign = [name for name in PACKAGES if not _is_own(sys.modules.get(name))]
        others = _take_modules(foreign)
        sys.modules.update({name: module for name, module in _waiting.items() if name not in sys.modules})
        sys.meta_path.insert(0, finder)
        try:
            yield
        finally:
            sys.meta_path.remove(finder)
            _waiting.update(_take_modules(foreign))
            sys.modules.update(others)


def _is_own(module: ModuleType | None) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve().parent.parent == ROOT


def _take_modules(packages: Sequence[str]) -> dict[str, ModuleType]:
    """Remove these packages and all that is in them from sys.modules, and return them."""
    names = [name for name in sys.modules if name.partition(".")[0] in packages]
    return {name: sys.modules.pop(name) for name in names}
