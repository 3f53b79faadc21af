"""A made-up run: detectors that find a given fraction of the annotated pixels, on images that all of them share."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest

from benchkit.metrics import Measured, coverage, measure, summarise
from benchkit.report.names import named_rows
from benchkit.report.run_data import Example, RunData
from benchkit.specs.training_sets import Trivial
from benchkit.store.columns import ROW_COLUMNS

SIDE = 16
CONFINED = {"confinement_psnr_outside": 34.14, "confinement_change_inside": 0.0812, "confinement_change_outside": 0.004}


def labels(images: int) -> np.ndarray:
    rng = np.random.default_rng(7)
    annotated = np.zeros((images, SIDE, SIDE), bool)
    for i in range(images):
        if i % 5:
            y, x = rng.integers(0, SIDE - 6, 2)
            annotated[i, y : y + rng.integers(3, 6), x : x + rng.integers(3, 6)] = True
    return annotated


def scored(quality: float, seed: int, images: int, low: float = 0.25) -> Measured:
    """A detector that gives annotated pixels a high score with probability `quality`, others seldom.

    low: the score of the others; below 0.05 none exceeds 0.5.
    """
    rng = np.random.default_rng([seed, int(quality * 1000)])
    annotated = labels(images)
    predicted = np.where(
        annotated, rng.random(annotated.shape) < quality, rng.random(annotated.shape) < (1 - quality) / 8
    )
    scores = np.clip(low + 0.5 * predicted + 0.2 * rng.random(annotated.shape), 0, 1)
    return measure(scores.astype(np.float32), annotated, [{"melt": mark} for mark in annotated])


def role_of(name: str) -> dict:
    """The fields of a row that a test names: a baseline, a rule, or a corruptor."""
    if name in ("human", "pseudo", "oracle"):
        return {"role": name}
    if name in Trivial.RULES:
        return {"role": "trivial", "method": name}
    bare = name.partition(":")[0]
    uses = f"corruptor {bare}; dataset portraits; inverter odd"
    return {"role": "corrupted", "method": name, "corruptor": bare, "uses": uses}


@dataclass
class Maker:
    """Collects cells; `run` makes the RunData of them."""

    images: int = 20
    lines: list[dict] = field(default_factory=list)
    records: dict = field(default_factory=dict)
    gallery: dict = field(default_factory=dict)
    grid: dict = field(default_factory=lambda: {"title": "Made up", "note": "A demonstration, not a ranking."})

    def cell(self, training_set: str, quality: float | None = None, *, seed: int = 0, **labels: object) -> Maker:
        """One cell; without a quality it is skipped, or what `state` says."""
        key = f"{len(self.lines):064x}"
        extra = labels.pop("extra", {})
        low = labels.pop("low", 0.25)
        line = dict.fromkeys(ROW_COLUMNS) | {"run": "20250101-000000-abcdef", "cell": key, "seed": seed}
        line |= {"test_set": "portraits/test[20]", "detector": "upernet-swin:size=mini", **role_of(training_set)}
        line |= {"state": "skipped" if quality is None else "done", "schema_version": 1, "corruptor_params": "{}"}
        if quality is not None:
            measured = scored(quality, seed, self.images, low)
            self.records[key] = measured.arrays()
            line |= summarise(measured) | coverage(measured)
        self.lines.append(line | {"seconds": 2.5} | labels | extra)
        return self

    def corrupted(self, name: str, quality: float | None, *, seed: int = 0, **more: object) -> Maker:
        """A cell of a corruptor, `name:steps=…`."""
        steps = int(name.partition("steps=")[2] or 20)
        settings = {"selector": "learned:threshold=0.5", "corruptor": name.partition(":")[0]}
        settings["corruptor_params"] = json.dumps({"steps": steps})
        facts = {"train_images": 60, "dropped": 4, **CONFINED} if quality is not None else {}
        return self.cell(name, quality, seed=seed, **(settings | {"extra": facts} | more))

    def trivial(self) -> Maker:
        for name, score in (("all-negative", 0.0), ("all-positive", 1.0)):
            measured = measure(np.full((self.images, SIDE, SIDE), score), labels(self.images))
            self.cell(name, 0.5, detector=None)
            self.lines[-1] |= summarise(measured)
            self.records[self.lines[-1]["cell"]] = measured.arrays()
        return self

    def run(self) -> RunData:
        names = list(dict.fromkeys(name for line in self.lines for name in line))
        rows = named_rows(pd.DataFrame(self.lines, columns=names), self.grid.get("shown") or {})
        environment = {"python": "3.11.9", "packages": {"numpy": "2.0"}, "git": None, "cores": 2}
        environment["plugins"] = {
            "corruptor blur": {"origin": "package artifact-benchkit", "version": "0.1.0", "source": "ab" * 32}
        }
        cells = dict(zip(rows["training_set"][::-1], rows["cell"][::-1], strict=True))
        gallery = {cells[name]: shown for name, shown in self.gallery.items()}
        return RunData("20250101-000000-abcdef", self.grid, environment, rows, self.records, gallery)


def standard(seeds: Iterable[int] = (0,), hostile: str = "") -> Maker:
    """Baselines, three methods (and one more of a hostile name), trivial rows, one skipped row."""
    maker = Maker()
    for seed in seeds:
        maker.cell("human", 0.45, seed=seed).cell("oracle", 0.8, seed=seed)
        maker.cell("pseudo", 0.5, seed=seed, selector="learned:threshold=0.5")
        maker.corrupted("renoise-masked:steps=10", 0.62, seed=seed).corrupted("blur:steps=20", 0.2, seed=seed)
        maker.corrupted("gaussian:steps=10", 0.35, seed=seed)
        if hostile:
            maker.corrupted(hostile, 0.3, seed=seed, corruptor=hostile, selector=hostile)
    maker.trivial()
    maker.corrupted("imported:steps=20", None, reason="corruptor 'imported': package 'diffusion-x' is not installed")
    return maker


def examples(count: int = 2) -> tuple[Example, ...]:
    rng = np.random.default_rng(3)
    mask = np.zeros((SIDE, SIDE), bool)
    mask[4:9, 5:12] = True
    before = rng.integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8)
    after = np.where(mask[..., None], 255 - before, before).astype(np.uint8)
    return tuple(Example(f"portraits/clean/{i}", before, after, mask) for i in range(count))


@pytest.fixture(scope="session")
def maker():
    return Maker


@pytest.fixture(scope="session")
def make_standard():
    return standard


@pytest.fixture(scope="session")
def make_examples():
    return examples
