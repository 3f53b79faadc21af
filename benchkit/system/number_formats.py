"""Which number formats a device computes in. Nothing loads torch to say it of a CPU."""

from __future__ import annotations

from functools import cache
from pathlib import Path

#: The flags by which Linux says that a processor multiplies bfloat16: of x86, and of ARM.
_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
#: The same of float16.
_FLOAT16_FLAGS = {"avx512_fp16", "amx_fp16"}


def has_tf32(device: str) -> bool:
    """Return whether a device multiplies in TF32: NVIDIA's GPUs from compute capability 8 on."""
    return device.startswith("cuda") and _capability(device) >= 8


def has_bfloat16(device: str) -> bool | None:
    """Return whether a device multiplies in bfloat16, and does not emulate it; None where that is unknown."""
    if device == "cpu":
        flags = read_cpu_flags()
        return bool(flags & _FLAGS) if flags else None
    return _capability(device) >= 8 if device.startswith("cuda") else None


def has_float16(device: str) -> bool | None:
    """Return whether a device multiplies in float16, and does not emulate it; None where that is unknown."""
    if device == "cpu":
        flags = read_cpu_flags()
        return bool(flags & _FLOAT16_FLAGS) if flags else None
    return _capability(device) >= 7 if device.startswith("cuda") else None


def _capability(device: str) -> float:
    """Return the major compute capability of a GPU of NVIDIA; of other makers' GPUs, which have none, NaN."""
    import torch  # here, so that nothing is loaded for a CPU

    return torch.cuda.get_device_capability(device)[0] if torch.version.hip is None else float("nan")


@cache
def read_cpu_flags(path: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Return the flags of the first processor; empty on systems that do not list them."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return frozenset()
    listed = (
        value for name, _, value in (line.partition(":") for line in lines) if name.strip() in ("flags", "Features")
    )
    return frozenset(next(listed, "").split())
