"""`richhf-18k`: marked artifacts in generated images (Liang et al., "Rich Human Feedback for Text-to-Image Generation",
CVPR 2024), from a set that `benchkit data prepare richhf-18k` wrote."""

from __future__ import annotations

from dataclasses import dataclass

from benchkit.api import Dataset, hookimpl
from benchkit.datasets.prepared_dataset import PreparedDataset

NAME = "richhf-18k"
NOTICE = (
    "RichHF-18k's repository states no licence, and its images are Pick-a-Pic's: see the terms of both at their "
    "sources before you share what is made of them"
)


@dataclass(frozen=True)
class RichHF(PreparedDataset):
    """RichHF-18k: generated images with marked artifacts. `pool`, `validation` and `test` are its train, dev and test
    examples that the rule of `benchkit data prepare` left; `heatmap` among the attributes is the graded map."""

    name = NAME
    marked = True


@hookimpl
def benchkit_datasets() -> list[type[Dataset]]:
    return [RichHF]
