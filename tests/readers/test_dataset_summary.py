"""What a dataset holds, counted by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchkit.api import BenchkitError, Dataset, ImageFacts, Sample
from benchkit.readers.dataset_summary import (
    LOOKED,
    SplitSummary,
    count_skipped_files,
    count_ticks,
    remark_on_masks,
    summarise,
)


@dataclass(frozen=True)
class Made(Dataset):
    """Sample i: no mask where i % 4 is 3, nothing marked where it is 2; sample 5 cannot be read if it is `bad`."""

    name = "made"
    size: int = 10
    knows: bool = False
    bad: bool = False

    def splits(self) -> Mapping[str, int]:
        return {"pool": self.size}

    def read(self, split: str, indices: Sequence[int]) -> list[Sample]:
        if self.bad and 5 in indices:
            raise BenchkitError("5.png: cannot be decoded")
        return [self._one(index) for index in indices]

    def _one(self, index: int) -> Sample:
        mask = np.zeros((8, 10), bool)
        mask[: 2 * (index % 4 < 2)] = True
        ignored = np.zeros((8, 10), bool)
        ignored[-4:] = index % 4 == 0
        kinds = {"hand": mask, "face": np.zeros_like(mask)}
        caption = "a hand" if index == 0 else None
        image = np.zeros((8, 10, 3), np.uint8)
        return Sample(str(index), image, None if index % 4 == 3 else mask, caption, kinds, ignored=ignored)

    def inspect(self, split: str, indices: Sequence[int]) -> list[ImageFacts]:
        if not self.knows:
            return [ImageFacts()] * len(indices)
        fault = "5.png: no such file"
        return [ImageFacts(str(i), None, i % 4 != 3, fault if i == 5 and self.bad else None, i == 0) for i in indices]

    def labelled(self, count: int, seed: int) -> list[int]:
        return list(range(count))

    def fingerprint(self) -> str:
        return "made"


def test_a_split_that_is_decoded_whole() -> None:
    ticks: list[int] = []
    found = summarise(Made(), "pool", pixels=False, tick=ticks.append)
    assert (found.images, found.annotated, found.unannotated, found.captioned, found.looked_at) == (10, 8, 2, 1, 10)
    assert found.no_artifact == 2 and found.kinds == {"hand": 6} and found.sizes == {"10x8": 10}
    assert found.area == np.mean([0.25] * 6 + [0] * 2) and np.isclose(found.ignored, 0.3 * 0.5)
    assert sum(ticks) == count_ticks(10, pixels=False) == 20


def test_a_large_split_is_decoded_in_part_unless_all_is_asked_for() -> None:
    size = LOOKED + 40
    part = summarise(Made(size), "pool", pixels=False, tick=lambda _: None)
    assert (part.looked_at, part.annotated, part.captioned) == (LOOKED, None, None)
    assert (part.looked_annotated, part.no_artifact) == (LOOKED * 3 // 4, LOOKED // 4)
    known = summarise(Made(size, knows=True), "pool", pixels=False, tick=lambda _: None)
    assert (known.looked_at, known.annotated, known.unannotated, known.captioned) == (LOOKED, 78, 26, 1)
    whole = summarise(Made(size), "pool", pixels=True, tick=lambda _: None)
    assert (whole.looked_at, whole.annotated, whole.no_artifact) == (size, 78, 26)


def test_images_that_cannot_be_read_are_named_and_the_others_counted() -> None:
    for knows, fault in ((False, "5.png: cannot be decoded"), (True, "5.png: no such file")):
        found = summarise(Made(knows=knows, bad=True), "pool", pixels=False, tick=lambda _: None)
        assert (found.faults, found.looked_at) == ([fault], 9)
        assert found.annotated == (8 if knows else None) and found.kinds == {"hand": 5}
        assert found.as_json()["kinds"] == {"hand": 5}


def test_what_is_passed_over_is_counted_by_suffix_and_reason() -> None:
    passed = {
        "pool/1.heic": "the suffix is not supported",
        "pool/2.HEIC": "the suffix is not supported",
        "pool/.hidden.png": "hidden",
        "pool/.more": "hidden",
        "pool/up": "a link to a folder that is read already",
        "notes.txt": "a text beside no image of its name",
    }
    assert list(map(str, count_skipped_files(passed))) == [
        "skipped: 2 files, such as 'pool/.hidden.png': hidden",
        "skipped: 2 .heic files, such as 'pool/1.heic': the suffix is not supported",
        "skipped: 1 file, such as 'pool/up': a link to a folder that is read already",
        "skipped: 1 .txt file, such as 'notes.txt': a text beside no image of its name",
    ]


def test_masks_that_mark_most_pixels_are_remarked_on() -> None:
    areas = {"pool": 0.854, "test": 0.5, "clean": None}
    found = {split: SplitSummary(1, area=area) for split, area in areas.items()}
    (line,) = remark_on_masks(found)
    assert line.startswith("pool 85%: most pixels are annotated; if the masks are inverted, set background")
    assert remark_on_masks({"test": found["test"], "clean": found["clean"]}) == []
