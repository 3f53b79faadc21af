"""Benchmarks are scripts outside of the package; tests of their rules load them by name."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parents[2] / "benchmarks"


def load_benchmark(name: str) -> ModuleType:
    """Return a script of benchmarks/ as a module; it also finds what scripts share."""
    file = FOLDER / f"{name}.py"
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))  # last, because `coverage.py` is also the name of a package
    spec = importlib.util.spec_from_file_location(f"{name}_benchmark", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
