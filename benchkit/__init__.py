"""benchkit: corruption methods, region selectors and detectors, crossed, trained, scored and ranked.

The Python API is `benchkit.functions`, re-exported here. Importing this package loads neither torch nor any plugin.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchkit.functions.compare import compare
    from benchkit.functions.comparison import Comparison, PairedDifference, load_comparison
    from benchkit.functions.datasets import DatasetView, SplitView, load_dataset
    from benchkit.functions.plots import gallery, plot_ablation, plot_board, plot_depth
    from benchkit.functions.predict import predict
    from benchkit.functions.steps import Corrupted, corrupt, invert, load_model, select
    from benchkit.functions.training import evaluate, train
    from benchkit.inference.detector import TrainedDetector, load_detector
    from benchkit.inference.image_batch import ImageBatch

__all__ = [
    "Comparison",
    "Corrupted",
    "DatasetView",
    "ImageBatch",
    "PairedDifference",
    "SplitView",
    "TrainedDetector",
    "compare",
    "corrupt",
    "evaluate",
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
    "select",
    "train",
]

#: Public name -> its module, which is imported when the name is first used.
_MODULES = {
    "Comparison": "benchkit.functions.comparison",
    "Corrupted": "benchkit.functions.steps",
    "DatasetView": "benchkit.functions.datasets",
    "ImageBatch": "benchkit.inference.image_batch",
    "PairedDifference": "benchkit.functions.comparison",
    "SplitView": "benchkit.functions.datasets",
    "TrainedDetector": "benchkit.inference.detector",
    "compare": "benchkit.functions.compare",
    "corrupt": "benchkit.functions.steps",
    "evaluate": "benchkit.functions.training",
    "gallery": "benchkit.functions.plots",
    "invert": "benchkit.functions.steps",
    "load_comparison": "benchkit.functions.comparison",
    "load_dataset": "benchkit.functions.datasets",
    "load_detector": "benchkit.inference.detector",
    "load_model": "benchkit.functions.steps",
    "plot_ablation": "benchkit.functions.plots",
    "plot_board": "benchkit.functions.plots",
    "plot_depth": "benchkit.functions.plots",
    "predict": "benchkit.functions.predict",
    "select": "benchkit.functions.steps",
    "train": "benchkit.functions.training",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'benchkit' has no attribute '{name}'")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
