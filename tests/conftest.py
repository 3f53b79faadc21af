"""Shared fixtures; torch runs on one thread, so that tests neither compete nor depend on the machine's cores."""

from __future__ import annotations

import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
# Some virtual machines name AMX among their instructions and then refuse it: half precision ended the process there.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_FP16")

from pathlib import Path

import pytest

from tests.helpers.small_comparison import GRID, SHOWN, Finished, compare_once


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny pipeline; tests that damage it work on a copy."""
    from tests.helpers.tiny_checkpoint import tiny_pipeline

    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    tiny_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def grid(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small comparison as a YAML file."""
    file = tmp_path_factory.mktemp("grid") / "small.yaml"
    file.write_text(GRID.format(model=tiny_checkpoint))
    return file


@pytest.fixture(scope="session")
def finished(grid: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The small comparison, run once; tests that change anything work on a copy."""
    folder = tmp_path_factory.mktemp("finished")
    return compare_once(folder, grid, "--out", folder / "out", "--device", "cpu")


@pytest.fixture(scope="session")
def shown(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A comparison with something for every figure and export, run once; tests only read it."""
    from benchkit.store.run_id_file import RunMark, write_mark

    folder = tmp_path_factory.mktemp("shown")
    (folder / "shown.yaml").write_text(SHOWN.format(model=tiny_checkpoint))
    # No report is drawn, which would take most of the time; the folder names the run as a report's does.
    shown = compare_once(folder, folder / "shown.yaml", "--json")
    shown.out.mkdir()
    write_mark(shown.out, RunMark(json.loads(shown.result.out)["run"]))
    return shown
