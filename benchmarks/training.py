"""What a training iteration costs here, in each precision, and in mmengine's Runner on the same network and images.

    OMP_NUM_THREADS=2 python benchmarks/training.py [--device cuda] [--size tiny --side 512] [--batch 8]

UPerNet with ConvNeXt and with Swin, random weights; crops of 64 x 64 from images twice as large, mirrored half of the
time; AdamW. Each figure is the median of the iterations after the first five, batches included, and its ratio to
float32. The peer runs the same network, loss, optimiser, crops and batch size; mmengine computes in bfloat16 on GPUs
only. Nothing is asserted: on a busy machine the ratios mean nothing.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from mmengine.dataset import default_collate
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.nn import functional

from benchkit.api import Detector
from benchkit.plugin.registry import Registry
from benchkit.specs.spec import Spec
from benchkit.specs.training_config import TrainingConfig
from benchkit.training.loop import train

WARM = 5
AUXILIARY = 0.4


class Clock(Hook):  # type: ignore[misc]
    """The time at the end of every iteration."""

    def __init__(self, device: str) -> None:
        self.device, self.times = device, [time.perf_counter()]

    def tick(self) -> None:
        """Note the time, when the device is done."""
        if self.device != "cpu":
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())

    def after_train_iter(self, *_: Any, **__: Any) -> None:
        """Take the call of mmengine after an iteration."""
        self.tick()

    @property
    def seconds(self) -> float:
        """Return the median of an iteration after the first ones."""
        return median(np.diff(self.times)[WARM:])


class Crops(torch.utils.data.Dataset[dict[str, Tensor]]):
    """Random crops, mirrored half of the time, as mmengine's loader takes them."""

    def __init__(self, images: np.ndarray, masks: np.ndarray, side: int) -> None:
        self.images, self.masks, self.side = images, masks, side

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        top, left = np.random.randint(0, self.images.shape[1] - self.side + 1, 2)
        window = slice(top, top + self.side), slice(left, left + self.side, 1)
        image, mask = self.images[index][window], self.masks[index][window]
        if np.random.random() < 0.5:
            image, mask = image[:, ::-1], mask[:, ::-1]
        pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
        return {"images": pixels, "labels": torch.from_numpy(np.ascontiguousarray(mask)).long()}


class Peer(BaseModel):  # type: ignore[misc]
    """The network as mmengine's Runner trains it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, labels: Tensor, mode: str) -> dict[str, Tensor]:
        """Return the losses of the main and of the auxiliary heads."""
        output = self.network(images.float() / 255)
        heads = [output] if isinstance(output, Tensor) else list(output)
        first, *others = (functional.cross_entropy(one.float(), labels) for one in heads)
        return {"loss_main": first, "loss_auxiliary": AUXILIARY * sum(others, start=first.new_zeros(()))}


def time_ours(make: Callable[[], nn.Module], data: Any, config: TrainingConfig, device: str) -> float:
    """Return the seconds of an iteration of the suite's loop."""
    clock = Clock(device)
    train(make().to(device), *data, config, 0, progress=lambda *_: clock.tick())
    return clock.seconds


def time_peer(make: Callable[[], nn.Module], data: Any, config: TrainingConfig, device: str) -> float:
    """Return the seconds of an iteration of mmengine's Runner."""
    clock, crop = Clock(device), config.crop
    assert crop is not None
    half = (
        {"type": "AmpOptimWrapper", "dtype": "bfloat16"} if config.precision == "bfloat16" else {"type": "OptimWrapper"}
    )
    adamw = {"type": "AdamW", "lr": config.lr, "weight_decay": config.weight_decay, "betas": config.betas}
    workers = 4 if device != "cpu" else 0
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(
            model=Peer(make()).to(device),
            work_dir=folder,
            experiment_name=f"peer{time.time_ns()}",
            train_dataloader={
                "batch_size": config.batch,
                "dataset": Crops(*data, crop),
                "sampler": {"type": "InfiniteSampler", "shuffle": True},
                "collate_fn": default_collate,
                "num_workers": workers,
                "persistent_workers": workers > 0,
                "pin_memory": device != "cpu",
            },
            train_cfg={"by_epoch": False, "max_iters": config.iterations},
            optim_wrapper={**half, "optimizer": adamw},
            default_hooks={"logger": None, "checkpoint": None},
            custom_hooks=[clock],
            log_level="ERROR",
        )
        runner.train()
    return clock.seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--size", default="mini")
    parser.add_argument("--side", type=int, default=64, help="of the crops; images are twice as large")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--iterations", type=int, default=25)
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4 * asked.batch, 2 * asked.side, 2 * asked.side, 3), np.uint8)
    data = images, rng.random(images.shape[:3]) < 0.05
    registry = Registry.load()
    where = torch.cuda.get_device_name() if asked.device != "cpu" else f"{torch.get_num_threads()} threads"
    print(f"{where}, torch {torch.__version__}: {asked.batch} crops of {asked.side}x{asked.side} an iteration")
    # All are built first: a Runner leaves its scope behind, in which mmsegmentation's parts are not found.
    names = [f"{name}:size={asked.size}" for name in ("upernet-convnext", "upernet-swin")]
    made = {name: registry.make(registry.complete(Spec.parse("detector", name)), Detector).build() for name in names}
    for name, network in made.items():
        make = partial(deepcopy, network)
        figures: dict[str, float] = {}
        for precision in ("float32", "tf32", "bfloat16") if asked.device != "cpu" else ("float32", "bfloat16"):
            config = TrainingConfig(asked.iterations, asked.batch, crop=asked.side, precision=precision)  # type: ignore[arg-type]
            figures[precision] = time_ours(make, data, config, asked.device)
            if precision == "float32" or (precision == "bfloat16" and asked.device != "cpu"):
                figures[f"{precision}, mmengine's Runner"] = time_peer(make, data, config, asked.device)
        for what, seconds in figures.items():
            ratio = seconds / figures["float32"]
            print(f"{name:28} {what:30} {1e3 * seconds:8.1f} ms  {ratio:5.2f} x", flush=True)


if __name__ == "__main__":
    main()
