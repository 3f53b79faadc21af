"""A small comparison in which every command runs, and the result of a command."""

from __future__ import annotations

import io
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from benchkit.cli.main import main

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

#: Options that the helpers of tests set by default; a test may give another value.
REPEATED = (
    "--cache", "--dataset", "--device", "--inverter", "--mask", "--model", "--out", "--seed", "--seeds", "--split",
)  # fmt: skip


def keep_last_options(arguments: Sequence[object]) -> list[str]:
    """Return the command line with the last value of each of REPEATED; a command refuses an option given twice."""
    words = [str(argument) for argument in arguments]
    last = {word: index for index, word in enumerate(words) if word in REPEATED}
    earlier = {index for index, word in enumerate(words) if last.get(word, index) != index}
    return [word for index, word in enumerate(words) if index not in earlier and index - 1 not in earlier]


def compare_once(folder: Path, *arguments: object) -> Finished:
    """Run `benchkit compare` with the cache FOLDER/cache outside of any test's own capture."""
    out, err = io.StringIO(), io.StringIO()
    cache = folder / "cache"
    command = ["compare", *arguments, "--plugin", PLUGINS]
    with mock.patch.dict(os.environ, BENCHKIT_CACHE=str(cache)), redirect_stdout(out), redirect_stderr(err):
        code = main([str(argument) for argument in command])
    # The connection closes when its owner is collected. Until then the write-ahead log would undo damage to the file.
    with closing(sqlite3.connect(cache / "results.sqlite")) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return Finished(cache, folder / "out", Result(code, out.getvalue(), err.getvalue()))
