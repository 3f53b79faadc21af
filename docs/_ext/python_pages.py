"""The reference of the Python API: what `benchkit`, `benchkit.api` and `benchkit.testing` export, by autodoc."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

import benchkit
from benchkit import api, testing
from benchkit.api import corruptors, datasets, ddim, detectors, function_form, inverters, noise, plugin, selectors

#: The parts of `benchkit`, and what belongs to each. What is exported and stands nowhere comes last, as "More".
PARTS: dict[str, tuple[str, ...]] = {
    "Comparisons": ("compare", "ablate", "tune", "Tuning", "predict", "load_comparison", "DryRun"),
    "Results": ("Comparison", "PairedDifference", "plot_board", "plot_ablation", "plot_depth", "gallery"),
    "Files from results": ("figure", "PaperFigure", "export"),
    "Images, step by step": (
        *("load_dataset", "DatasetView", "SplitView", "ImageBatch", "load_model"),
        *("invert", "select", "corrupt", "Corrupted"),
    ),
    "Detectors, step by step": ("train", "TrainedDetector", "evaluate", "load_detector"),
    "Plugins": ("preview", "check", "Reports", "save_plugin"),
    "Errors": ("BenchkitError",),
}
#: What a plugin imports, by the module that defines it.
API: dict[str, ModuleType] = {
    "Every plugin": plugin,
    "Corruptors": corruptors,
    "A corruptor as a function": function_form,
    "Noise": noise,
    "DDIM steps": ddim,
    "Region selectors": selectors,
    "Inverters": inverters,
    "Detectors": detectors,
    "Datasets": datasets,
}


def reference(part: str) -> str:
    """Return the sections of one package: `benchkit`, `api` or `testing`."""
    if part == "benchkit":
        known = {name for names in PARTS.values() for name in names}
        more = sorted(set(benchkit.__all__) - known)
        sections: dict[str, Iterable[str]] = {**PARTS, "More": more}
        return "\n".join(_sections(benchkit, sections))
    if part == "api":
        sections = {title: list(exported(module)) for title, module in API.items()}
        known = {name for names in sections.values() for name in names}
        sections["Helpers"] = [name for name in api.__all__ if name not in known]
        return "\n".join(_sections(api, sections))
    return "\n".join(_sections(testing, {"Checks": testing.__all__}))


def exported(module: ModuleType) -> Iterator[str]:
    """Yield the names that benchkit.api takes from one of its modules, in the order of the file."""
    for name, value in vars(module).items():
        if getattr(value, "__module__", "") == module.__name__ and name in api.__all__:
            yield name


def _sections(package: ModuleType, sections: dict[str, Iterable[str]]) -> Iterator[str]:
    for title, names in sections.items():
        there = [name for name in names if name in package.__all__]
        if there:
            yield f"## {title}\n"
            yield "```{eval-rst}"
            for name in there:
                yield from directive(package, name)
            yield "```\n"


def directive(package: ModuleType, name: str) -> Iterator[str]:
    """Yield the directive that documents one name."""
    value: Any = getattr(package, name)
    kind = "class" if inspect.isclass(value) else "function" if callable(value) else "data"
    yield f".. auto{kind}:: {package.__name__}.{name}"
    if kind == "class":
        yield "   :members:"
        yield "   :show-inheritance:"
    if package is api and getattr(benchkit, name, None) is value:
        yield "   :no-index:"  # the page of `benchkit` has the target of links
    yield ""
