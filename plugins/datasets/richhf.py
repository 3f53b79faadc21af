"""`richhf-18k`: annotated artifacts (Liang et al., "Rich Human Feedback for Text-to-Image Generation", CVPR 2024).

It reads a set that `benchkit data prepare richhf-18k` wrote.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchkit.api import Dataset, hookimpl
from benchkit.readers.prepared_dataset import PreparedDataset


@dataclass(frozen=True)
class RichHF(PreparedDataset):
    """RichHF-18k: generated images with annotated artifacts.

    `pool`, `validation` and `test` are its train, dev and test examples that the rule of `benchkit data prepare`
    selected. The attribute `heatmap` is the graded artifact map.
    """

    name = "richhf-18k"
    marked = True


@hookimpl
def benchkit_datasets() -> list[type[Dataset]]:
    return [RichHF]
