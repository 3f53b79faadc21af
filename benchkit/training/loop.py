"""The training loop of detectors, learned selectors and pre-training: a pure function of its inputs and a seed.

Every random draw of iteration i comes from (seed, i), so that a run resumed from a checkpoint ends with the same bits
as one that was never interrupted. Paper, Sec. 4.4: cross-entropy, AdamW, lr 6e-5, betas (0.9, 0.999), decay 0.01.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchkit.errors import BenchkitError
from benchkit.specs.training_config import TrainingConfig
from benchkit.system.memory import explain_out_of_memory
from benchkit.system.stack import Rows
from benchkit.training.averaging import WeightAverage
from benchkit.training.batches import Batches, ImageBatches, batch_at, check_data, crop_window, to_input
from benchkit.training.checkpoint import UnusableCheckpoint, identity_of, resume, save_checkpoint
from benchkit.training.ddp import Team
from benchkit.training.losses import shared_losses
from benchkit.training.padding import at_multiple, multiple_of
from benchkit.training.precision import Arithmetic
from benchkit.training.predict import PREDICT_BATCH, device_of, predict, predict_classes
from benchkit.training.prefetch import each_batch
from benchkit.training.weights import load_network, save_network

__all__ = [
    "PREDICT_BATCH",
    "Measure",
    "TrainingConfig",
    "UnusableCheckpoint",
    "adamw",
    "batch_at",
    "check_data",
    "crop_window",
    "device_of",
    "fit",
    "load_network",
    "predict",
    "predict_classes",
    "save_network",
    "to_input",
    "train",
]

#: (iterations done, iterations in all, that iteration's losses)
Progress = Callable[[int, int, dict[str, float]], None]


@dataclass(frozen=True)
class Measure:
    """What is measured of a network while it is trained.

    figures: the network, in evaluation mode and with the weights that would be scored -> named figures, which join
    the losses of that iteration. points: how often, at equal distances, the end included.
    """

    figures: Callable[[nn.Module], Mapping[str, float]]
    points: int

    def is_due(self, done: int, iterations: int) -> bool:
        """Return whether there is a point after `done` of `iterations`."""
        points = min(self.points, iterations)
        return done * points // iterations > (done - 1) * points // iterations


def train(
    network: nn.Module, images: Rows, masks: Rows, config: TrainingConfig, seed: int, **options: Any
) -> list[dict[str, float]]:
    """Train `network` in place on images and return the losses of every iteration; options: see `fit`.

    images: (N, H, W, 3) uint8. masks: (N, H, W) bool, or uint8 class ids below num_classes and IGNORED (255) for pixels
    that add nothing to the loss. The network maps (B, 3, h, w) float32 in [0, 1] to logits (B, num_classes, h, w), or
    to a sequence of them whose first is the main head's.
    """
    return fit(network, ImageBatches(images, masks), config, seed, **options)


def fit(
    network: nn.Module,
    data: Batches,
    config: TrainingConfig,
    seed: int,
    *,
    optimiser: torch.optim.Optimizer | None = None,
    num_classes: int = 2,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    measure: Measure | None = None,
    prefetch: bool | None = None,
) -> list[dict[str, float]]:
    """Train `network` in place on its own device and return the losses of every iteration.

    optimiser: AdamW with the config's values if None; its own lr is what the schedule scales. checkpoint: a file to
    resume from and to write; left behind after the last iteration, for the caller to delete. measure: of the learning
    curve, always in float32. prefetch: whether a thread makes the next batch during an iteration; None: on GPUs. It
    changes no result. The same seed, starting weights and number of threads give the same bits on a CPU. Where torch's
    process group is initialised, every process calls this alike and trains on its share of each batch; the first one
    writes. Raises BenchkitError for unfit data, a precision that the device does not have, a loss that is not finite
    (naming the iteration) or memory that ran out (saying what would need less), UnusableCheckpoint for a checkpoint
    that is damaged or of another run; the network may then hold a part of it.
    """
    data.check(config, num_classes)
    if seed < 0:
        raise BenchkitError(f"training: the seed must not be negative: {seed}")
    device, team = device_of(network), Team.current()
    arithmetic = Arithmetic(config.precision, device)
    optimiser = optimiser or adamw(network, config)
    for group in optimiser.param_groups:
        group.setdefault("initial_lr", group["lr"])  # which a schedule that begins later asks for
    identity = identity_of(network, data, config, seed) if checkpoint else ""
    history: list[dict[str, float]] = []
    with (
        arithmetic.layout(network),
        _reproducible(device),
        explain_out_of_memory("while training", lambda: data.smaller(config, team)),
    ):
        average = WeightAverage(network, config.ema_decay) if config.ema_decay else None
        if checkpoint and checkpoint.exists():
            history = resume(checkpoint, identity, network, optimiser, average)
            arithmetic.restore(optimiser)
        network.train()
        shown = data.example(config, device)
        model: Callable[[Tensor], Any] = team.joined(network)
        if shown is not None:
            model = at_multiple(model, multiple_of(network, shown))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, config.lr_factor, last_epoch=len(history) - 1)
        numbers = range(len(history), config.iterations)
        ahead = device.type == "cuda" if prefetch is None else prefetch
        make = partial(data.at, config, seed, team=team, device=device)
        with closing(each_batch(make, numbers, device, ahead)) as batches:
            for iteration, (inputs, labels) in zip(numbers, batches, strict=True):
                # torch.manual_seed also asks for every kind of GPU, which takes half a millisecond.
                generator = torch.default_generator if device.type == "cpu" else torch
                generator.manual_seed(_torch_seed(seed, iteration, team.rank))
                with arithmetic.products():
                    losses = shared_losses(arithmetic.forward(model, inputs), labels, config, num_classes, team)
                    history.append(_step(network, optimiser, losses, config, iteration, team))
                schedule.step()
                done = iteration + 1
                if average is not None:
                    average.update(network, done)
                if measure is not None and measure.is_due(done, config.iterations):
                    history[-1] |= _measured(network, measure, average)
                if not team.writes:
                    continue
                if checkpoint and (done % config.checkpoint_every == 0 or done == config.iterations):
                    save_checkpoint(checkpoint, identity, network, optimiser, history, average)
                if progress:
                    progress(done, config.iterations, history[-1])
        if average is not None:
            network.load_state_dict(average.state)
    network.eval()
    return history


def _measured(network: nn.Module, measure: Measure, average: WeightAverage | None) -> dict[str, float]:
    """Return the figures of the weights that would be scored now; the training goes on as if it had not been asked."""
    with nullcontext() if average is None else average.in_place_of(network):
        network.eval()
        figures = {name: float(value) for name, value in measure.figures(network).items()}
    network.train()
    return figures


def adamw(network: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """Return the suite's optimiser: AdamW over all the network's parameters (paper, Sec. 4.4)."""
    trainable = [p for p in network.parameters() if p.requires_grad]
    return torch.optim.AdamW(
        trainable, lr=config.lr, betas=config.betas, weight_decay=config.weight_decay, fused=bool(trainable)
    )


def _step(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    losses: list[Tensor],
    config: TrainingConfig,
    iteration: int,
    team: Team,
) -> dict[str, float]:
    loss = losses[0] + config.auxiliary_weight * sum(losses[1:], start=losses[0].new_zeros(()))
    record = dict(zip(("loss", "main"), team.mean(torch.stack([loss, losses[0]]).detach()).tolist(), strict=True))
    if not math.isfinite(record["loss"]):
        raise BenchkitError(_diverged(record["loss"], iteration, config))
    optimiser.zero_grad()
    loss.backward()
    if config.clip_norm is not None:
        nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
    optimiser.step()
    return record


def _diverged(loss: float, iteration: int, config: TrainingConfig) -> str:
    said = f"training diverged: the loss is {loss} at iteration {iteration}"
    if config.precision == "float32":
        return f"{said}; lower the lr"
    return f"{said}, computed in {config.precision}; set the training's precision to float32, or lower the lr"


def _torch_seed(seed: int, iteration: int, rank: int) -> int:
    # The first process of a team draws as one alone does; the others draw their own.
    entropy = [seed, 2, iteration, rank] if rank else [seed, 2, iteration]
    return int(np.random.default_rng(entropy).integers(2**63))


@contextmanager
def _reproducible(device: torch.device) -> Iterator[None]:
    """Restore torch's generators afterwards, and use kernels whose sums do not depend on thread timing."""
    strict, warn = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    fill = memory.fill_uninitialized_memory
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        # Warn only: some CUDA kernels have no deterministic twin, and a run there is better than none.
        torch.use_deterministic_algorithms(True, warn_only=True)
        memory.fill_uninitialized_memory = False
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(strict, warn_only=warn)
            memory.fill_uninitialized_memory = fill
