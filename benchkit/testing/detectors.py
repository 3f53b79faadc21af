"""What is demanded of detectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchkit.plugin.networks import build_network
from benchkit.specs.training_config import TrainingConfig
from benchkit.testing.checks import Subject, Unmet, check
from benchkit.testing.worlds import generators_restored, masks, pictures

SIDE = 64
#: A size that no stride divides.
ODD = (61, 97)
#: How far two probabilities of one pixel may lie apart: another batch size is another order of sums.
TOLERANCE = 1e-4


def built(subject: Subject, seed: int = 0) -> Any:
    """The detector's network, as core builds it: from a seeded global generator."""
    with generators_restored():
        torch.manual_seed(seed)
        return build_network(subject.registry, subject.plugin).to(subject.device)


def images(count: int = 4, height: int = SIDE, width: int = SIDE) -> np.ndarray[Any, Any]:
    """(N, H, W, 3) uint8."""
    pixels = pictures(count, height, width).permute(0, 2, 3, 1).contiguous()
    return (pixels * 255).round().to(torch.uint8).numpy()


def logits_of(network: Callable[[Tensor], Any], shown: Tensor) -> Any:
    """What a network in evaluation mode says: the main head's logits."""
    with torch.inference_mode():
        output = network(shown)
    return output if isinstance(output, Tensor) else output[0]


@check("builds", "build() returns a network with something to train", gate=True)
def builds(subject: Subject) -> str:
    network = shared(subject)
    if not isinstance(network, nn.Module):
        raise Unmet("a torch.nn.Module", type(network).__name__)
    trainable = sum(p.numel() for p in network.parameters() if p.requires_grad)
    if not trainable:
        raise Unmet("parameters to train", "none")
    return f"{trainable:,} parameters to train"


def shared(subject: Subject) -> Any:
    """One network for the checks that leave it as it is."""
    if "network" not in subject.kept:
        subject.kept["network"] = built(subject)
    return subject.kept["network"]


@check("logits", "it answers an image with logits of two classes at the image's size, in both modes", gate=True)
def logits(subject: Subject) -> str:
    from benchkit.training.fitting import at_multiple, multiple_of

    network, padded = shared(subject), []
    for height, width in ((SIDE, SIDE), (48, 80), ODD):
        shown = pictures(2, height, width).to(subject.device)
        multiple = multiple_of(network, shown)
        padded += [f"{height}x{width}"] if multiple > 1 else []
        output = at_multiple(network.train(), multiple)(shown)
        heads = [output] if isinstance(output, Tensor) else list(output)
        evaluated = logits_of(at_multiple(network.eval(), multiple), shown)
        for mode, one in [("training", head) for head in heads] + [("evaluation", evaluated)]:
            if not isinstance(one, Tensor) or tuple(one.shape) != (2, 2, height, width):
                came = str(tuple(one.shape)) if isinstance(one, Tensor) else type(one).__name__
                raise Unmet(f"logits {(2, 2, height, width)} in {mode} mode", came)
            if not one.is_floating_point() or not bool(torch.isfinite(one).all()):
                raise Unmet(
                    f"finite floating-point logits in {mode} mode", f"{one.dtype}, or values that are not finite"
                )
    note = f"; images of {', '.join(padded)} are padded for it" if padded else ""
    return f"{len(heads)} in training mode{note}"


@check("inputs", "what it is shown is not written to")
def inputs(subject: Subject) -> None:
    network, shown = shared(subject), pictures(2, SIDE, SIDE).to(subject.device)
    before = shown.clone()
    network.train()(shown)
    logits_of(network.eval(), shown.clone())
    if not torch.equal(before, shown):
        raise Unmet("images that are left as they were", "images that changed: work on a copy")


@check("optimiser", "optimiser() returns a torch optimiser or None")
def optimiser(subject: Subject) -> str:
    chosen = subject.plugin.optimiser(shared(subject), 1e-3)
    if chosen is not None and not isinstance(chosen, torch.optim.Optimizer):
        raise Unmet("a torch.optim.Optimizer or None", type(chosen).__name__)
    return "the suite's own" if chosen is None else type(chosen).__name__


@check("trains", "one step of the suite's training loop gives a finite loss and moves the weights", gate=True)
def trains(subject: Subject) -> str:
    network = built(subject)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    loss = _stepped(subject, network)
    if all(torch.equal(value, before[name]) for name, value in network.state_dict().items()):
        raise Unmet("weights that move", "the weights as they were")
    return f"loss {loss:.3f}"


def _stepped(subject: Subject, network: nn.Module) -> float:
    from benchkit.training import loop as training

    config = TrainingConfig(iterations=1, batch=2, lr=1e-3)
    marked = masks(4, SIDE, SIDE).numpy()
    own = subject.plugin.optimiser(network, config.lr)
    return training.train(network, images(), marked, config, 0, optimiser=own)[0]["loss"]


@check("reproducible", "the same seed gives the same weights, built and after a step of training")
def reproducible(subject: Subject) -> None:
    first, second = built(subject), built(subject)
    _same_weights(first, second, "built twice from one seed")
    _stepped(subject, first)
    _stepped(subject, second)
    _same_weights(first, second, "trained twice from one seed")


def _same_weights(first: nn.Module, second: nn.Module, when: str) -> None:
    other = second.state_dict()
    for name, value in first.state_dict().items():
        if not torch.equal(value, other[name]):
            raise Unmet(f"equal weights when {when}", f"'{name}' differs: draw from torch's global generator alone")


@check("neighbours", "in evaluation mode an image's probabilities do not depend on its neighbours")
def neighbours(subject: Subject) -> None:
    from benchkit.training.loop import predict

    network, shown = shared(subject), images()
    together = predict(network, shown)
    for i in range(len(shown)):
        alone = predict(network, shown[i : i + 1])[0]
        furthest = float(np.abs(alone - together[i]).max())
        if not furthest <= TOLERANCE:
            came = f"a probability of image {i} that differs by {furthest:.3g} when it is alone"
            raise Unmet("the same probabilities alone and in a batch of four", came)


CHECKS = (builds, logits, inputs, optimiser, trains, reproducible, neighbours)
