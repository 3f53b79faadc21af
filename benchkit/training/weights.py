"""Weights and training state on disk: safetensors, written atomically, never a pickle."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from benchkit.errors import BenchkitError


def save_network(
    network: nn.Module, path: Path, *, half: bool = False, metadata: Mapping[str, str] | None = None
) -> None:
    """Write the network's weights as safetensors, atomically; half: floats as float16, for assets.

    Raises BenchkitError when a weight does not fit into float16.
    """
    tensors = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    if half:
        tensors = {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}
        for name, value in tensors.items():
            if not bool(torch.isfinite(value).all()):
                raise BenchkitError(f"{path}: {name} does not fit into float16")
    write_tensors(path, tensors, metadata or {})


def load_network(network: nn.Module, path: Path) -> dict[str, str]:
    """Load what `save_network` wrote into `network`, cast to its own dtypes; returns the file's metadata.

    Raises BenchkitError when the file is unreadable or its tensors are not exactly this network's.
    """
    tensors, metadata = read_tensors(path)
    load_state(network, tensors, path)
    network.eval()
    return metadata


def pack(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Return nested containers as plain data for JSON; tensors move to `tensors` under the path that led to them."""
    if isinstance(value, Tensor):
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {"items": [[key, pack(inner, f"{name}.{key}", tensors)] for key, inner in value.items()]}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [pack(inner, f"{name}.{i}", tensors) for i, inner in enumerate(value)]}
    return value


def unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Undo `pack`."""
    if not isinstance(value, dict):
        return value
    ((kind, inner),) = value.items()
    if kind == "tensor":
        return tensors[inner]
    if kind == "items":
        return {key: unpack(one, tensors) for key, one in inner}
    return {"list": list, "tuple": tuple}[kind](unpack(one, tensors) for one in inner)


def load_state(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Load exactly these tensors into `network`; raises BenchkitError naming `path` when names or shapes differ."""
    try:
        network.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise BenchkitError(f"{path}: not the weights of this network: {error}") from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors and text metadata to `path` as one safetensors file: whole, or not at all."""
    # Cloned, because safetensors refuses tensors that share memory (tied weights).
    own = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.{os.getpid()}.writing")
    try:
        with aside.open("wb") as file:
            file.write(safetensors.torch.save(own, dict(metadata)))
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the metadata of a safetensors file; raises BenchkitError when it cannot be read."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError) as error:
        raise BenchkitError(f"{path}: cannot be read as safetensors: {error}") from error
