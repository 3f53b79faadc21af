"""benchkit: corruption methods, region selectors and detectors, crossed, trained, scored and ranked.

The Python API is `benchkit.functions`, re-exported here. Importing this package loads neither torch nor any plugin.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchkit.functions.compare import compare
    from benchkit.functions.predict import predict
    from benchkit.inference.detector import load_detector
    from benchkit.inference.functional import corrupt, invert, load_backend

__all__ = ["compare", "corrupt", "invert", "load_backend", "load_detector", "predict"]

#: Public name -> its module, which is imported when the name is first used.
_MODULES = {
    "compare": "benchkit.functions.compare",
    "corrupt": "benchkit.inference.functional",
    "invert": "benchkit.inference.functional",
    "load_backend": "benchkit.inference.functional",
    "load_detector": "benchkit.inference.detector",
    "predict": "benchkit.functions.predict",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'benchkit' has no attribute '{name}'")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
