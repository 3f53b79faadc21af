"""What a row records of where it was computed: versions, device, threads, revision, plugins."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchkit.registry import Registry
from benchkit.specs import Spec

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


def versions() -> dict[str, str | None]:
    """Package -> installed version, or None."""
    found: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def revision() -> dict[str, Any] | None:
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


def describe_environment(registry: Registry, used: Iterable[Spec], device: str) -> dict[str, Any]:
    """A JSON object; plugin identities are those of the plugins in `used`, without the folders of this machine."""
    entries = [registry.entry(spec.kind, spec.name) for spec in sorted(set(used), key=str)]
    plugins = {
        f"{e.kind} {e.name}": {"origin": Path(e.origin).name, "version": e.version, "source": e.source_hash}
        for e in entries
    }
    return {
        "packages": versions(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "device": device,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "git": revision(),
        "plugins": plugins,
    }
