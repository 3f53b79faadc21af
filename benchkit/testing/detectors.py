"""Checks of detectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchkit.api import FrozenDetector
from benchkit.plugin.networks import build_network, build_trunk, read_maps
from benchkit.specs.training_config import TrainingConfig
from benchkit.testing.checks import NotApplicable, Subject, Violation, check
from benchkit.testing.worlds import generators_restored, masks, pictures

SIDE = 64
#: A size that no stride divides.
ODD = (61, 97)
#: Largest difference of two probabilities of one pixel: another batch size changes the order of sums.
TOLERANCE = 1e-4


def build(subject: Subject, seed: int = 0) -> Any:
    """Build the detector's network as benchkit does: with a seeded global generator."""
    with generators_restored():
        torch.manual_seed(seed)
        return build_network(subject.registry, subject.plugin).to(subject.device)


def images(count: int = 4, height: int = SIDE, width: int = SIDE) -> np.ndarray[Any, Any]:
    """(N, H, W, 3) uint8."""
    pixels = pictures(count, height, width).permute(0, 2, 3, 1).contiguous()
    return (pixels * 255).round().to(torch.uint8).numpy()


def logits_of(network: Callable[[Tensor], Any], shown: Tensor) -> Any:
    """Return the main head's logits of a network in evaluation mode."""
    with torch.inference_mode():
        output = network(shown)
    return output if isinstance(output, Tensor) else output[0]


@check("builds", "build() returns a network with trainable parameters", gate=True)
def builds(subject: Subject) -> str:
    network = shared_network(subject)
    if not isinstance(network, nn.Module):
        raise Violation("a torch.nn.Module", type(network).__name__)
    trainable = sum(p.numel() for p in network.parameters() if p.requires_grad)
    if not trainable:
        raise Violation("trainable parameters", "none")
    return f"{trainable:,} trainable parameters"


def shared_network(subject: Subject) -> Any:
    """Return one network for all checks that do not change it."""
    if "network" not in subject.cache:
        subject.cache["network"] = build(subject)
    return subject.cache["network"]


@check("logits", "it returns logits of two classes at the image's size, in training and evaluation mode", gate=True)
def logits(subject: Subject) -> str:
    from benchkit.training.padding import at_multiple, multiple_of

    network, padded = shared_network(subject), []
    for height, width in ((SIDE, SIDE), (48, 80), ODD):
        shown = pictures(2, height, width).to(subject.device)
        multiple = multiple_of(network, shown)
        padded += [f"{height}x{width}"] if multiple > 1 else []
        output = at_multiple(network.train(), multiple)(shown)
        heads = [output] if isinstance(output, Tensor) else list(output)
        evaluated = logits_of(at_multiple(network.eval(), multiple), shown)
        for mode, one in [("training", head) for head in heads] + [("evaluation", evaluated)]:
            if not isinstance(one, Tensor) or tuple(one.shape) != (2, 2, height, width):
                actual = str(tuple(one.shape)) if isinstance(one, Tensor) else type(one).__name__
                raise Violation(f"logits {(2, 2, height, width)} in {mode} mode", actual)
            if not one.is_floating_point() or not bool(torch.isfinite(one).all()):
                raise Violation(
                    f"finite floating-point logits in {mode} mode", f"{one.dtype}, or values that are not finite"
                )
    note = f"; images of {', '.join(padded)} are padded" if padded else ""
    return f"{len(heads)} in training mode{note}"


@check("inputs", "inputs are not changed in place")
def inputs(subject: Subject) -> None:
    network, shown = shared_network(subject), pictures(2, SIDE, SIDE).to(subject.device)
    before = shown.clone()
    network.train()(shown)
    logits_of(network.eval(), shown.clone())
    if not torch.equal(before, shown):
        raise Violation("unchanged inputs", "images that changed: work on a copy")


@check("optimiser", "optimiser() returns a torch optimiser or None")
def optimiser(subject: Subject) -> str:
    chosen = subject.plugin.optimiser(shared_network(subject), 1e-3)
    if chosen is not None and not isinstance(chosen, torch.optim.Optimizer):
        raise Violation("a torch.optim.Optimizer or None", type(chosen).__name__)
    return "benchkit's own" if chosen is None else type(chosen).__name__


@check("trains", "one step of benchkit's training loop gives a finite loss and changes the weights", gate=True)
def trains(subject: Subject) -> str:
    network = build(subject)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    loss = _train_step(subject, network)
    if all(torch.equal(value, before[name]) for name, value in network.state_dict().items()):
        raise Violation("changed weights", "the same weights")
    return f"loss {loss:.3f}"


def _train_step(subject: Subject, network: nn.Module) -> float:
    from benchkit.training import loop as training

    config = TrainingConfig(iterations=1, batch=2, lr=1e-3)
    annotated = masks(4, SIDE, SIDE).numpy()
    own = subject.plugin.optimiser(network, config.lr)
    return training.train(network, images(), annotated, config, 0, optimiser=own)[0]["loss"]


@check("reproducible", "the same seed gives the same weights, after build() and after a training step")
def reproducible(subject: Subject) -> None:
    first, second = build(subject), build(subject)
    _same_weights(first, second, "built twice from one seed")
    _train_step(subject, first)
    _train_step(subject, second)
    _same_weights(first, second, "trained twice from one seed")


def _same_weights(first: nn.Module, second: nn.Module, when: str) -> None:
    other = second.state_dict()
    for name, value in first.state_dict().items():
        if not torch.equal(value, other[name]):
            raise Violation(f"equal weights when {when}", f"'{name}' differs: draw from torch's global generator only")


@check("neighbours", "in evaluation mode, an image's probabilities do not depend on its batch")
def neighbours(subject: Subject) -> None:
    from benchkit.training.loop import predict

    network, shown = shared_network(subject), images()
    together = predict(network, shown)
    for i in range(len(shown)):
        alone = predict(network, shown[i : i + 1])[0]
        furthest = float(np.abs(alone - together[i]).max())
        if not furthest <= TOLERANCE:
            actual = f"a probability of image {i} that differs by {furthest:.3g} when it is alone"
            raise Violation("the same probabilities alone and in a batch of four", actual)


@check("trunk", "a frozen trunk gives the maps that maps() declares, and the same ones twice")
def trunk(subject: Subject) -> str:
    if not isinstance(subject.plugin, FrozenDetector):
        raise NotApplicable("it is trained whole")
    if subject.plugin.trunk():
        raise NotApplicable("it uses another detector's trunk")
    declared = [(channels, SIDE // stride) for channels, stride in read_maps(subject.plugin)]
    network, shown = build_trunk(subject.plugin).to(subject.device), pictures(2, SIDE, SIDE).to(subject.device)
    with torch.inference_mode():
        maps, again = network(shown), network(shown)
    actual = [(one.shape[1], one.shape[2]) for one in maps]
    if actual != declared:
        raise Violation(f"maps of (channels, rows) {declared} for images of {SIDE}x{SIDE}", str(actual))
    if not all(bool(torch.isfinite(one).all()) for one in maps):
        raise Violation("finite values", "maps with NaN or infinity")
    if not all(torch.equal(one, other) for one, other in zip(maps, again, strict=True)):
        raise Violation(
            "equal maps when images are shown twice", "maps that differ: switch off dropout in evaluation mode"
        )
    return f"{sum(channels for channels, _ in declared)} channels"


CHECKS = (builds, trunk, logits, inputs, optimiser, trains, reproducible, neighbours)
