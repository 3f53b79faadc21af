"""Every performance benchmark has a small form that runs from its first line to its result."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchkit.plugin.registry import Registry
from tests.helpers.benchmarks import FOLDER, load_benchmark

load_benchmark("table")
import _record as record  # noqa: E402  # on the path since a benchmark was loaded


def run_small(name: str, folder: Path, *arguments: str) -> dict[str, record.Row]:
    """Return the rows of a benchmark's small form; in a process of its own, as a user runs it."""
    command = [sys.executable, str(FOLDER / f"{name}.py"), "--small", "--results", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    _, rows = record.read_result(folder / f"{name}.json")
    assert all(row.what in done.stdout for row in rows)
    # A stage may add no memory to what the process already has.
    assert all(row.cost > 0 or (row.unit == "MiB" and row.cost == 0) for row in rows)
    assert all(row.ratio is None or row.ratio > 0 for row in rows if row.cost)
    return {f"{row.what} / {row.against}": row for row in rows}


def test_the_suite_and_a_plain_diffusers_script_give_the_same_images(tmp_path: Path) -> None:
    rows = run_small("diffusers_peer", tmp_path)
    assert len(rows) == 2
    for row in rows.values():
        assert float(row.note.split("images ")[1].split()[0]) < 0.01  # grey levels


def test_networks(tmp_path: Path) -> None:
    rows = run_small("networks", tmp_path)
    assert any(name.startswith("decode, float32, batch 4 / denoiser evaluation") for name in rows)


def test_sharing_saves_two_thirds_of_the_evaluations_of_the_papers_grid() -> None:
    grid, registry = load_benchmark("paper_grid"), Registry.load()
    paper = [f"{method}:steps={steps}" for method in grid.METHODS for steps in grid.PAPER_STEPS]
    alone = [grid.list_stages(grid.PAPER_SOURCES, [one], registry) for one in paper]
    assert grid.count_evaluations([grid.list_stages(grid.PAPER_SOURCES, paper, registry)], registry) == 16320
    assert grid.count_evaluations(alone, registry) == 48000


def test_the_gpu_script_runs_on_a_processor(tmp_path: Path) -> None:
    rows = run_small("gpu", tmp_path, "--device", "cpu")
    kinds = ("denoiser evaluation", "encode", "decode", "training iteration")
    assert all(any(name.startswith(kind) for name in rows) for kind in kinds)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["startup", "paper_grid", "sampling", "training", "growth", "memory", "quick_profile"])
def test_other_benchmarks(name: str, tmp_path: Path) -> None:
    assert run_small(name, tmp_path)


def test_each_script_of_the_table_exists() -> None:
    table = load_benchmark("table")
    assert all((FOLDER / f"{name}.py").exists() for name in {*table.SCRIPTS, *table.DETAILS})
