"""Describe where a row was computed: package versions, device, threads, git revision, plugins."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchkit.api import Dataset
from benchkit.plugin.registry import Registry
from benchkit.specs.spec import Spec

PACKAGES = (
    "artifact-benchkit",
    "torch",
    "diffusers",
    "transformers",
    "onedl-mmsegmentation",
    "onedl-mmcv",
    "torchmetrics",
    "numpy",
    "pandas",
    "opencv-python",
    "pluggy",
)


def get_package_versions() -> dict[str, str | None]:
    """Return package -> installed version, or None."""
    found: dict[str, str | None] = dict.fromkeys(PACKAGES)
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def read_git_revision() -> dict[str, Any] | None:
    """Return git commit and dirty flag of benchkit's checkout, or None if it is not in one."""

    def run_git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=5).stdout.strip()

    try:
        dirty = bool(run_git("status", "--porcelain", "--untracked-files=no"))
        return {"commit": run_git("rev-parse", "HEAD"), "dirty": dirty}
    except (OSError, subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None


def count_threads() -> int | None:
    """Return the number of threads of one torch operation; None if torch is not loaded.

    The last bits of a CPU's result depend on it.
    """
    torch = sys.modules.get("torch")
    return None if torch is None else int(torch.get_num_threads())


def read_processor_name() -> str:
    """Return the CPU's model if the system names it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def get_accelerator_name(device: str) -> str | None:
    """Return the name of a CUDA device; None for any other device."""
    if not device.startswith("cuda"):
        return None
    import torch  # here, so that describing a CPU loads no torch

    return str(torch.cuda.get_device_name(device))


def describe_environment(registry: Registry, used: Iterable[Spec], device: str) -> dict[str, Any]:
    """Return the environment of a run as plain data, with the identities of the plugins in `used`.

    It names no folders of this machine. `datasets` has the fingerprint of each dataset in `used`.
    """
    specs = sorted(set(used), key=str)
    entries = [registry.entry(spec.kind, spec.name) for spec in specs]
    datasets = {
        str(spec): registry.make(spec, Dataset).fingerprint()  # type: ignore[type-abstract]
        for spec in specs
        if spec.kind == "dataset"
    }
    plugins = {
        f"{e.kind} {e.name}": {"origin": Path(e.origin).name, "version": e.version, "source": e.source_hash}
        for e in entries
    }
    return {
        "packages": get_package_versions(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": read_processor_name(),
        "device": device,
        "accelerator": get_accelerator_name(device),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "git": read_git_revision(),
        "plugins": plugins,
        "datasets": datasets,
    }
