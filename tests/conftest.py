"""Shared fixtures; torch runs on one thread, so that tests neither compete nor depend on the machine's cores."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
# Some virtual machines name AMX among their instructions and then refuse it: half precision ended the process there.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_FP16")

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny pipeline; tests that damage it work on a copy."""
    from tiny import tiny_pipeline

    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    tiny_pipeline().save_pretrained(folder)
    return folder
