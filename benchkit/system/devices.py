"""Names of torch devices: what `auto` means here, and whether a named device is available."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path

from benchkit.errors import ArgumentTypeError, ArgumentValueError

_DEVICE = re.compile(r"auto|cpu|mps|cuda(?::(\d+))?")
_DEVICES = re.compile(r"cuda:\d+(?:,\d+)+")


def resolve_device(name: str = "auto", *, several: bool = False) -> str:
    """Return the torch device of auto, cpu, cuda, cuda:N or mps; auto is cuda if available, else cpu.

    several: also allow `cuda:0,1`, for training on several GPUs, and return it unchanged. A torch that was built for
    the CPU only is not imported. Raises ArgumentValueError for other names, and for a device that is not available.
    """
    if type(name).__name__ == "device":  # torch's own, which need not be imported for this
        name = str(name)
    if not isinstance(name, str):
        raise ArgumentTypeError(f"device={name!r}: give the device's name as text, such as 'cpu' or 'cuda:0'")
    if _DEVICES.fullmatch(name):
        return _several(name, several)
    match = _DEVICE.fullmatch(name)
    if not match:
        raise ArgumentValueError(f"unknown device '{name}': choose auto, cpu, cuda, cuda:N or mps")
    if name == "cpu" or (name == "auto" and not _built_for_gpus()):
        return "cpu"
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    available = torch.backends.mps.is_available() if name == "mps" else torch.cuda.is_available()
    if not available or int(match[1] or 0) >= max(1, torch.cuda.device_count()):
        raise ArgumentValueError(f"device '{name}' is not available to torch {torch.__version__}: choose auto or cpu")
    return name


def read_memory_size(device: str) -> int | None:
    """Return the bytes of a device's memory; of a CPU those of the machine. None where they are not known."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.get_device_properties(device).total_memory)
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if device == "cpu" else None
    except (ValueError, OSError, AttributeError):
        return None


def _several(name: str, allowed: bool) -> str:
    if not allowed:
        raise ArgumentValueError(f"device '{name}': only training uses several devices; name one, as in cuda:0")
    numbers = name.removeprefix("cuda:").split(",")
    if len({int(number) for number in numbers}) < len(numbers):
        raise ArgumentValueError(f"device '{name}' names one GPU twice: name each once, as in cuda:0,1")
    for number in numbers:
        resolve_device(f"cuda:{number}")
    return name


def _built_for_gpus() -> bool:
    """Return whether the installed torch may support CUDA or ROCm, from its version file, without importing it."""
    spec = find_spec("torch")
    try:
        text = Path(str(spec and spec.origin)).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return True
    return not all(re.search(rf"^{name}\b[^=\n]*= None$", text, re.MULTILINE) for name in ("cuda", "hip"))
