"""`dalle3-hq`: the Human Preference Synthetic Dataset (Egan et al., "Dalle3 1 Million+ High Quality Captions", 2024).

It reads a set that `benchkit data prepare dalle3-hq` wrote.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchkit.api import Dataset, hookimpl
from benchkit.readers.prepared_dataset import PreparedDataset


@dataclass(frozen=True)
class Dalle3HQ(PreparedDataset):
    """Images that people selected, mostly of DALL-E 3, with captions (the paper's "HPS" and "ProGamer").

    The split `clean` is a seeded draw from the public tar shards. Its images are not annotated.
    """

    name = "dalle3-hq"


@hookimpl
def benchkit_datasets() -> list[type[Dataset]]:
    return [Dalle3HQ]
