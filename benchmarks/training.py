"""What a training iteration costs here, in each precision, and in mmengine's Runner on the same network and images.

    python benchmarks/training.py [--device cuda] [--size tiny --side 512] [--batch 8] [--small]

UPerNet with ConvNeXt and with Swin, random weights; crops of 64 x 64 from images twice as large, mirrored half of the
time; AdamW. The peer trains a copy of the same network with the same loss, optimiser, crops and batch size. The suite
and the peer train in turns. Of each training the median of the iterations after the first five counts, batches
included: processor time on a CPU, time that passed on a GPU. mmengine computes in bfloat16 on GPUs only.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from _record import Row, describe_machine, describe_settings, make_parser, parse, write_result
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
from benchkit.system.number_formats import has_bfloat16, has_tf32
from benchkit.training.loop import train

WARM = 5
AUXILIARY = 0.4


class Clock(Hook):  # type: ignore[misc]
    """The time at the end of every iteration: processor time on a CPU."""

    def __init__(self, device: str) -> None:
        self.device, self.times = device, []
        self.tick()

    def tick(self) -> None:
        """Note the time, when the device is done."""
        if self.device != "cpu":
            torch.cuda.synchronize()
        self.times.append(time.process_time() if self.device == "cpu" else time.perf_counter())

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


def list_trainings(device: str) -> list[tuple[str, bool]]:
    """Return precision and whether the peer trains, of every training that is compared; the first two are the base."""
    if device == "cpu":
        own = ["float32", *(["bfloat16"] if has_bfloat16("cpu") else [])]
        return [("float32", False), ("float32", True), *((one, False) for one in own[1:])]
    tf32 = [("tf32", False)] if has_tf32(device) else []
    return [("float32", False), ("float32", True), *tf32, ("bfloat16", False), ("bfloat16", True)]


def compare_trainings(
    name: str, make: Callable[[], nn.Module], data: Any, config: TrainingConfig, device: str, turns: int
) -> list[Row]:
    """Return the rows of one network: float32 and bfloat16 against the peer, other precisions against float32."""
    seconds: dict[tuple[str, bool], list[float]] = {one: [] for one in list_trainings(device)}
    for _ in range(turns):
        for precision, is_peer in seconds:
            own = replace(config, precision=precision)
            seconds[precision, is_peer].append((time_peer if is_peer else time_ours)(make, data, own, device))
    unit, rows = "CPU ms" if device == "cpu" else "ms", []
    for (precision, is_peer), found in seconds.items():
        if is_peer:
            continue
        others = {"mmengine's Runner": (precision, True), "float32": ("float32", False)}
        for against, other in others.items():
            if other not in seconds or other == (precision, False):
                continue
            rows.append(
                Row(
                    what=f"training iteration of {config.batch}, {name}, {precision}",
                    cost=1e3 * min(found),
                    unit=unit,
                    against=against,
                    other=1e3 * min(seconds[other]),
                    aim=1.0 if against != "float32" else None,
                    turns={
                        one: [round(1e3 * s, 2) for s in seconds[key]]
                        for one, key in {"suite": (precision, False), against: other}.items()
                    },
                )
            )
    return rows


def main() -> None:
    """Measure, print and write the result."""
    parser = make_parser(__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--size", default="mini")
    parser.add_argument("--side", type=int, default=64, help="of the crops; images are twice as large")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--iterations", type=int, default=25)
    asked = parse(parser)
    if asked.small:
        asked.turns, asked.batch, asked.side, asked.iterations = 1, 2, 32, WARM + 2
    logging.disable(logging.WARNING)
    machine, rows = describe_machine(asked.device), []
    for name, network in build_networks(asked.size).items():
        data, make = make_data(asked.batch, asked.side), partial(deepcopy, network)
        config = TrainingConfig(asked.iterations, asked.batch, crop=asked.side)
        rows += compare_trainings(name, make, data, config, asked.device, asked.turns)
    write_result("training", rows, describe_settings(asked), machine, asked.results)


def build_networks(size: str) -> dict[str, nn.Module]:
    """Return UPerNet with ConvNeXt and with Swin, random weights.

    All are built first: a Runner leaves its scope behind, in which mmsegmentation's parts are not found.
    """
    registry = Registry.load()
    names = [f"{name}:size={size},pretrained=none" for name in ("upernet-convnext", "upernet-swin")]
    built = {name: registry.make(registry.complete(Spec.parse("detector", name)), Detector).build() for name in names}
    return {name.partition(",")[0]: network for name, network in built.items()}


def make_data(batch: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images (4 batch, 2 side, 2 side, 3) uint8 of noise, and masks."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4 * batch, 2 * side, 2 * side, 3), np.uint8)
    return images, rng.random(images.shape[:3]) < 0.05


if __name__ == "__main__":
    main()
