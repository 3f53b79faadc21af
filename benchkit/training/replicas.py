"""Train one network on several devices of this machine: a process for each, and torch's DistributedDataParallel.

Processes, not DataParallel's threads in one: those copy the network anew at every iteration, wait for one interpreter,
and take the batch statistics of the first device's images alone. What a process needs reaches it as files (arrays,
starting weights) and a description of how to build the network; networks themselves, whose class may be a stranger's
file, are never sent.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed, multiprocessing, nn
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException, spawn

from benchkit.errors import BenchkitError
from benchkit.metrics.curves import CurvePoint
from benchkit.specs.training_config import TrainingConfig
from benchkit.system.stack import Rows
from benchkit.training import loop as training
from benchkit.training.augmentation import IGNORED
from benchkit.training.ddp import synchronised
from benchkit.training.weights import load_network, save_network

#: Builds the network on a device, and its optimiser or None for the suite's. Other processes get its name and fields.
Build = Callable[[str], tuple[nn.Module, torch.optim.Optimizer | None]]

#: Seconds between two looks at the processes.
PATIENCE = 0.2


@dataclass(frozen=True)
class Validation:
    """What a learning curve is measured on. images: (N, H, W, 3) uint8; masks: (N, H, W). points: of the curve."""

    images: Rows
    masks: Rows
    points: int


@dataclass(frozen=True)
class _Job:
    """What every process needs to know. points: of the learning curve, 0 where there is none."""

    build: Build
    devices: tuple[str, ...]
    folder: Path
    config: TrainingConfig
    seed: int
    num_classes: int
    checkpoint: Path
    threads: int
    points: int

    def array(self, name: str) -> np.ndarray:
        """Return an array that the first process wrote, mapped from its file."""
        found: np.ndarray = np.load(self.folder / f"{name}.npy", mmap_mode="r")
        return found


@dataclass(frozen=True)
class _Failed:
    """The BenchkitError that ended a process; unusable: it was UnusableCheckpoint, from which callers recover."""

    message: str
    unusable: bool

    def error(self) -> BenchkitError:
        return training.UnusableCheckpoint(self.message) if self.unusable else BenchkitError(self.message)


def train_on(
    devices: tuple[str, ...],
    build: Build,
    network: nn.Module,
    images: Rows,
    masks: Rows,
    config: TrainingConfig,
    seed: int,
    *,
    checkpoint: Path,
    optimiser: torch.optim.Optimizer | None = None,
    num_classes: int = 2,
    progress: training.Progress | None = None,
    validation: Validation | None = None,
) -> list[dict[str, float]]:
    """`training.train` with each batch shared by `devices`; otherwise as there, and its checkpoints resume each other.

    devices: `cuda:0`, `cuda:1` ..., or `cpu` as often as there shall be processes. build: see Build; `network` and
    `optimiser` are this process's own. validation: of the learning curve, which the first process measures while the
    others wait. The gradient is that of the whole batch, but sums in another order and other
    draws of dropout give other bits than one device does. Raises BenchkitError and UnusableCheckpoint as `train` does,
    whichever process meets it, and BenchkitError for a batch that is too small to share.
    """
    training.check_data(images, masks, config, num_classes)
    if len(devices) > config.batch:
        raise BenchkitError(f"a batch of {config.batch} cannot be shared by {len(devices)} devices: name fewer")
    with tempfile.TemporaryDirectory(dir=checkpoint.parent, prefix="replicas-") as name:
        folder = Path(name)
        _write(folder / "images.npy", images)
        _write(folder / "masks.npy", masks)
        if validation is not None:
            _write(folder / "validation-images.npy", validation.images)
            _write(folder / "validation-masks.npy", validation.masks)
        save_network(network, folder / "start.safetensors")
        threads = max(1, torch.get_num_threads() // len(devices))
        points = 0 if validation is None else validation.points
        _run(_Job(build, devices, folder, config, seed, num_classes, checkpoint, threads, points), progress)
    # Finished: this computes nothing, and loads what the processes left.
    return training.train(
        network, images, masks, config, seed, optimiser=optimiser, num_classes=num_classes, checkpoint=checkpoint
    )


def _write(path: Path, rows: Rows) -> None:
    """Write an array as a .npy file, row by row: it may be larger than the memory."""
    whole = np.lib.format.open_memmap(path, "w+", rows.dtype, rows.shape)
    for index, row in enumerate(rows):
        whole[index] = row
    whole.flush()


def _run(job: _Job, progress: training.Progress | None) -> None:
    """Start the processes and wait; none is left behind when this ends, however it ends."""
    messages: Any = multiprocessing.get_context("spawn").Queue()
    context: Any = spawn(_work, (job, messages), nprocs=len(job.devices), join=False)
    try:
        done = False
        while not done:
            done = context.join(timeout=PATIENCE)
            _forward_messages(messages, progress)
    except (ProcessExitedException, ProcessRaisedException) as error:
        _forward_messages(messages, progress, patience=1.0)
        # Torch's message is the other process's whole traceback; its last line says what happened.
        raise RuntimeError(str(error).strip().splitlines()[-1]) from error
    finally:
        for process in context.processes:
            process.terminate()
            process.join()


def _forward_messages(messages: Any, progress: training.Progress | None, patience: float = 0.0) -> None:
    """Report the progress that the processes sent; raise the BenchkitError of one that failed."""
    import queue

    while True:
        try:
            message = messages.get(timeout=patience) if patience else messages.get_nowait()
        except queue.Empty:
            return
        if isinstance(message, _Failed):
            raise message.error()
        if progress:
            progress(*message)


def _work(rank: int, job: _Job, messages: Any) -> None:
    """Train on one process's share of every batch."""
    device = torch.device(job.devices[rank])
    torch.set_num_threads(job.threads)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    meeting = distributed.FileStore(str(job.folder / "meeting"), len(job.devices))  # type: ignore[attr-defined]
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, store=meeting, rank=rank, world_size=len(job.devices))
    try:
        network, optimiser = job.build(job.devices[rank])
        network = synchronised(network)
        load_network(network, job.folder / "start.safetensors")
        training.train(
            network,
            job.array("images"),
            job.array("masks"),
            job.config,
            job.seed,
            optimiser=optimiser,
            num_classes=job.num_classes,
            checkpoint=job.checkpoint,
            progress=lambda *losses: messages.put(losses),
            measure=training.Measure(partial(_measure, job), job.points) if job.points and rank == 0 else None,
        )
    except BenchkitError as error:
        messages.put(_Failed(str(error), isinstance(error, training.UnusableCheckpoint)))
        raise
    finally:
        distributed.destroy_process_group()


def _measure(job: _Job, network: nn.Module) -> dict[str, float]:
    """Return the figures of a point of the learning curve."""
    point, images, masks = CurvePoint(), job.array("validation-images"), job.array("validation-masks")
    for start in range(0, len(images), training.PREDICT_BATCH):
        chunk = slice(start, start + training.PREDICT_BATCH)
        point.add(training.predict(network, images[chunk]), masks[chunk] == 1, masks[chunk] == IGNORED)
    return point.figures()
