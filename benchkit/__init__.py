"""benchkit: corruption methods, region selectors and detectors, crossed, trained, scored and ranked.

The Python API is `benchkit.functions`, re-exported here. Importing this package loads neither torch nor any plugin.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchkit.errors import BenchkitError
    from benchkit.functions.ablate import ablate
    from benchkit.functions.check import Reports, check
    from benchkit.functions.compare import compare
    from benchkit.functions.comparison import Comparison, load_comparison
    from benchkit.functions.datasets import DatasetView, SplitView, load_dataset
    from benchkit.functions.dry_run import DryRun
    from benchkit.functions.export import export
    from benchkit.functions.figure import PaperFigure, figure
    from benchkit.functions.paired_difference import PairedDifference
    from benchkit.functions.plots import gallery, plot_ablation, plot_board, plot_depth
    from benchkit.functions.predict import predict
    from benchkit.functions.preview import preview
    from benchkit.functions.save_plugin import save_plugin
    from benchkit.functions.steps import Corrupted, corrupt, invert, load_model, select
    from benchkit.functions.training import evaluate, load_detector, train
    from benchkit.functions.tune import Tuning, tune
    from benchkit.inference.detector import TrainedDetector
    from benchkit.inference.image_batch import ImageBatch

__all__ = [
    "BenchkitError",
    "Comparison",
    "Corrupted",
    "DatasetView",
    "DryRun",
    "ImageBatch",
    "PairedDifference",
    "PaperFigure",
    "Reports",
    "SplitView",
    "TrainedDetector",
    "Tuning",
    "ablate",
    "check",
    "compare",
    "corrupt",
    "evaluate",
    "export",
    "figure",
    "gallery",
    "invert",
    "load_comparison",
    "load_dataset",
    "load_detector",
    "load_model",
    "plot_ablation",
    "plot_board",
    "plot_depth",
    "predict",
    "preview",
    "save_plugin",
    "select",
    "train",
    "tune",
]

#: Public name -> its module, which is imported when the name is first used.
_MODULES = {
    "BenchkitError": "benchkit.errors",
    "Comparison": "benchkit.functions.comparison",
    "Corrupted": "benchkit.functions.steps",
    "DatasetView": "benchkit.functions.datasets",
    "DryRun": "benchkit.functions.dry_run",
    "ImageBatch": "benchkit.inference.image_batch",
    "PairedDifference": "benchkit.functions.paired_difference",
    "PaperFigure": "benchkit.functions.figure",
    "Reports": "benchkit.functions.check",
    "SplitView": "benchkit.functions.datasets",
    "TrainedDetector": "benchkit.inference.detector",
    "Tuning": "benchkit.functions.tune",
    "ablate": "benchkit.functions.ablate",
    "check": "benchkit.functions.check",
    "compare": "benchkit.functions.compare",
    "corrupt": "benchkit.functions.steps",
    "evaluate": "benchkit.functions.training",
    "export": "benchkit.functions.export",
    "figure": "benchkit.functions.figure",
    "gallery": "benchkit.functions.plots",
    "invert": "benchkit.functions.steps",
    "load_comparison": "benchkit.functions.comparison",
    "load_dataset": "benchkit.functions.datasets",
    "load_detector": "benchkit.functions.training",
    "load_model": "benchkit.functions.steps",
    "plot_ablation": "benchkit.functions.plots",
    "plot_board": "benchkit.functions.plots",
    "plot_depth": "benchkit.functions.plots",
    "predict": "benchkit.functions.predict",
    "preview": "benchkit.functions.preview",
    "save_plugin": "benchkit.functions.save_plugin",
    "select": "benchkit.functions.steps",
    "train": "benchkit.functions.training",
    "tune": "benchkit.functions.tune",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'benchkit' has no attribute '{name}'")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
