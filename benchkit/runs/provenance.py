"""What a row records of where it was computed: versions, device, threads, revision, plugins."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterable
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
    """Package -> installed version, or None."""
    found: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def read_git_revision() -> dict[str, Any] | None:
    """Git commit and dirty flag of the checkout benchkit runs from, or None outside of one."""
    here = Path(__file__).parent
    try:
        commit = _git(here, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git(here, "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=5).stdout.strip()


def count_threads() -> int | None:
    """Threads that one operation of torch may use, on which the last bits of a CPU's result depend; None before torch
    is loaded."""
    torch = sys.modules.get("torch")
    return None if torch is None else int(torch.get_num_threads())


def read_processor_name() -> str:
    """The CPU's model, where the system names it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def get_accelerator_name(device: str) -> str | None:
    """The name of a CUDA device; None for any other."""
    if not device.startswith("cuda"):
        return None
    import torch  # here, so that describing a CPU loads no torch

    return str(torch.cuda.get_device_name(device))


def describe_environment(registry: Registry, used: Iterable[Spec], device: str) -> dict[str, Any]:
    """A JSON object; plugin identities are those of the plugins in `used`, without the folders of this machine.

    datasets: fingerprint of the content of each dataset in `used`.
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
