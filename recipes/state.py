"""Resumable training state of a recipe: weights, optimiser, average and iteration, as safetensors."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn


class Average:
    """Exponential moving average of a network's weights, with the usual warm-up of the decay."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {k: v.detach().clone() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, iteration: int) -> None:
        decay = min(self.decay, (1 + iteration) / (10 + iteration))
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self.weights[name].lerp_(value, 1 - decay)
            else:
                self.weights[name].copy_(value)


def save(path: Path, network: nn.Module, optimiser: torch.optim.Optimizer, average: Average, **facts: object) -> None:
    """Write everything that resuming needs to one file, atomically."""
    tensors = {f"network.{k}": v for k, v in network.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.weights.items()}
    for index, slots in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{k}": torch.as_tensor(v) for k, v in slots.items()}
    tensors = {k: v.detach().clone().contiguous() for k, v in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".writing")
    save_file(tensors, aside, metadata={"facts": json.dumps(facts)})
    aside.replace(path)


def resume(path: Path, network: nn.Module, optimiser: torch.optim.Optimizer, average: Average) -> dict:
    """Restore what `save` wrote; returns its facts, or an empty dict when there is nothing to resume."""
    if not path.is_file():
        return {}
    tensors = load_file(path)
    part = lambda prefix: {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}  # noqa: E731
    network.load_state_dict(part("network."))
    average.weights = part("average.")
    slots: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in part("optimiser.").items():
        index, slot = name.split(".", 1)
        slots.setdefault(int(index), {})[slot] = value
    state = optimiser.state_dict()
    state["state"] = slots
    optimiser.load_state_dict(state)
    return facts_of(path)


def facts_of(path: Path) -> dict:
    """The facts saved beside the tensors."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return json.loads((file.metadata() or {}).get("facts", "{}"))


def sittings(checkpoint: Path | None, network: str) -> list[dict]:
    """How `network` was trained before, oldest first: from the card of the checkpoint that a training starts from."""
    if checkpoint is None:
        return []
    facts = json.loads((checkpoint / "card.json").read_text())["training"][network]
    return [*facts.pop("earlier", []), facts]
