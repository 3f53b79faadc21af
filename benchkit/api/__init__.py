"""All that a plugin author imports: the base classes, the contexts they receive, `param`, `corruptor` and `hookimpl`.

A plugin is a frozen dataclass whose fields are its parameters; `corruptor` makes one of a function. Each kind of
plugin has a module of this package; import every name from `benchkit.api` itself. Importing it loads no torch.
"""

from benchkit.api.corruptors import (
    Attend,
    CompositeCorruptor,
    Corruptor,
    LatentContext,
    LatentCorruptor,
    PixelContext,
    PixelCorruptor,
    Reference,
    ResamplingCorruptor,
    StepContext,
)
from benchkit.api.datasets import Dataset, ImageFacts, Sample
from benchkit.api.ddim import denoise_step, invert_step
from benchkit.api.detectors import Detector, FrozenDetector
from benchkit.api.function_form import corruptor
from benchkit.api.inverters import InversionContext, Inverter
from benchkit.api.noise import Noise, add_noise
from benchkit.api.plugin import Plugin, hookimpl, param
from benchkit.api.selectors import RegionSelector, SelectionContext
from benchkit.errors import BenchkitError
from benchkit.specs.grammar import print_value, split_parts
from benchkit.system.fetching import may_download

__all__ = [
    "Attend",
    "BenchkitError",
    "CompositeCorruptor",
    "Corruptor",
    "Dataset",
    "Detector",
    "FrozenDetector",
    "ImageFacts",
    "InversionContext",
    "Inverter",
    "LatentContext",
    "LatentCorruptor",
    "Noise",
    "PixelContext",
    "PixelCorruptor",
    "Plugin",
    "Reference",
    "RegionSelector",
    "ResamplingCorruptor",
    "Sample",
    "SelectionContext",
    "StepContext",
    "add_noise",
    "corruptor",
    "denoise_step",
    "hookimpl",
    "invert_step",
    "may_download",
    "param",
    "print_value",
    "split_parts",
]
