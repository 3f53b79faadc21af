"""What the tests of both stores share: keys, and processes that can be killed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

import benchkit
from benchkit.errors import BenchkitError
from benchkit.store.results import ResultStore

FILES = {"data.bin": b"0123456789" * 100, "facts.json": b"{}\n"}
COUNTS = pd.DataFrame(
    {
        "image": ["portraits/test/0", "a\0b", "ü"],
        "tp": [1, 2, 3],
        "fp": [0, 0, 2**40],
        "fn": [4, 5, 6],
        "tn": [7, 8, 9],
        "cc": [0.5, float("nan"), -1.0],
    }
)
HISTOGRAMS = {"histograms": np.arange(3 * 2 * 16, dtype=np.int64).reshape(3, 2, 16), "kind:hand": np.zeros((3, 16))}


def key_of(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


KEY = key_of("a")


def stored(results: ResultStore, names: Iterable[object]) -> list[object]:
    """Those of the names under whose key a row is stored."""

    def has(name: object) -> bool:
        try:
            results.provenance(key_of(name))
        except BenchkitError:
            return False
        return True

    return [name for name in names if has(name)]


def everything(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def python(code: str, *args: object) -> subprocess.Popen[str]:
    """Start a process that runs `code` with `args` and talks through its standard input and output."""
    path = os.pathsep.join([str(Path(benchkit.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path}
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def write_line(process: subprocess.Popen[str], word: object) -> None:
    assert process.stdin is not None
    print(word, file=process.stdin, flush=True)


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def read_words(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    return process.stdout.read().split()
