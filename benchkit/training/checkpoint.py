"""The state of a training on disk, from which an interrupted one goes on to the same bits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from benchkit.errors import BenchkitError
from benchkit.specs.keys import keyed_fields
from benchkit.specs.training_config import TrainingConfig
from benchkit.training.averaging import WeightAverage
from benchkit.training.batches import Batches
from benchkit.training.weights import load_state, pack, read_tensors, unpack, write_tensors


class UnusableCheckpoint(BenchkitError):
    """A checkpoint of another run, or a damaged one: without it the training starts afresh, to the same end."""


def identity_of(network: nn.Module, data: Batches, config: TrainingConfig, seed: int) -> str:
    """Return a digest of what decides the final weights, so that a checkpoint resumes its own run only."""
    settings = {f.name: getattr(config, f.name) for f in keyed_fields(config) if f.name != "checkpoint_every"}
    digest = hashlib.sha256(json.dumps([settings, seed]).encode())
    data.update(digest)
    for name, value in network.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save_checkpoint(
    path: Path,
    identity: str,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    history: Sequence[dict[str, float]],
    average: WeightAverage | None,
) -> None:
    """Write the state of a training after the iterations in `history`."""
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    tensors |= {} if average is None else {f"average.{name}": value for name, value in average.state.items()}
    state = pack(optimiser.state_dict(), "optimiser", tensors)
    facts = {"identity": identity, "optimiser": state, "history": list(history)}
    text = json.dumps(facts)
    write_tensors(path, tensors, {"training": text, "sha256": _digest(text, tensors)})


def resume(
    path: Path,
    identity: str,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: WeightAverage | None,
) -> list[dict[str, float]]:
    """Load what `save_checkpoint` wrote and return the history; raises UnusableCheckpoint where it cannot be used."""
    try:
        tensors, metadata = read_tensors(path)
    except BenchkitError as error:
        raise UnusableCheckpoint(str(error)) from error
    text = metadata.get("training", "{}")
    if metadata.get("sha256") != _digest(text, tensors):
        raise UnusableCheckpoint(f"{path}: damaged, its checksum differs; delete it")
    facts = json.loads(text)
    if facts.get("identity") != identity:
        raise UnusableCheckpoint(
            f"{path}: not a checkpoint of this run (other data, settings, seed or start); delete it"
        )
    load_state(network, _below("network.", tensors), path)
    if average is not None:
        average.state = {name: value.to(average.state[name]) for name, value in _below("average.", tensors).items()}
    optimiser.load_state_dict(unpack(facts["optimiser"], tensors))
    history: list[dict[str, float]] = facts["history"]
    return history


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """Return a digest of all that a checkpoint holds: safetensors itself does not notice a flipped bit."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
