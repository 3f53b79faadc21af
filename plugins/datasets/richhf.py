"""`richhf-18k`: marked artifacts in generated images (Liang et al., "Rich Human Feedback for Text-to-Image Generation",
CVPR 2024), from a set that `benchkit data prepare richhf-18k` wrote."""

from __future__ import annotations

from dataclasses import dataclass

from benchkit.api import Dataset, hookimpl
from benchkit.readers.prepared_dataset import PreparedDataset


@dataclass(frozen=True)
class RichHF(PreparedDataset):
    """RichHF-18k: generated images with marked artifacts. `pool`, `validation` and `test` are its train, dev and test
    examples that the rule of `benchkit data prepare` left; `heatmap` among the attributes is the graded map."""

    name = "richhf-18k"
    marked = True


@hookimpl
def benchkit_datasets() -> list[type[Dataset]]:
    return [RichHF]
