"""A comparison as small as can be, in which every command runs; and how a command ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PLUGINS = Path(__file__).parent / "tiny_plugins.py"

GRID = """\
title: A tiny comparison
dataset: shapes
model: {model}
num_inference_steps: 10
labelled: 4
source: {{split: clean, size: 4}}
test: {{split: test, size: 4}}
baselines: [human, pseudo]
trivial: [all-negative]
selectors: [random-boxes]
corruptors: ["none:steps=1", "gaussian:steps=1"]
inverter: ddim
detectors: [dot]
seeds: [0]
selector_training: &budget {{iterations: 2, batch: 2}}
training: *budget
"""


@dataclass(frozen=True)
class Result:
    """How a command ended: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


Run = Callable[..., Result]


@dataclass(frozen=True)
class Finished:
    """A comparison that has run: its cache, its report, how it ended."""

    cache: Path
    out: Path
    result: Result


#: A comparison that has something for every figure and every export; its title is text that nothing may act upon.
ODD_TITLE = "=An `odd` $title$ <b>of</b> _it_"
SHOWN = (
    GRID.replace("A tiny comparison", f'"{ODD_TITLE}"')
    .replace("source: {{split: clean, size: 4}}", "source: {{split: clean, size: 18}}")
    .replace("baselines:", "validation: {{split: wild, size: 4}}\nwith_human: ['gaussian:steps=1']\nbaselines:")
    .replace('"gaussian:steps=1"]', '"gaussian:steps=1", "gaussian:steps=0", pixel-blur]')
)
