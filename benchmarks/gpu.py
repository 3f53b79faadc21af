"""What a GPU gains: training by precision, SD 1.5's networks by precision and chunk, what half precision changes.

    python benchmarks/gpu.py [--device cuda] [--model NAME] [--small]
    python benchmarks/gpu.py --device cpu --small        # the same path on a processor, in a minute

Training is the paper's: 8 crops of 512 x 512 an iteration, UPerNet with ConvNeXt-T and Swin-T, random weights, in
float32, tf32 and bfloat16 (in channels_last where it is not float32), and in mmengine's Runner. The denoiser, encoder
and decoder have SD 1.5's classes and size and random weights, because times do not depend on weights. Half precision is
that of the denoiser and the decoder, as with the grid's `sampling.precision`. The round trip (10 steps of ReNoise and
back) has trained weights, those of --model. Its gate: half precision loses at most 0.1 dB to the original images, and
has at least 45 dB to the images of float32. Times are those that passed on a GPU, and processor time on a CPU.
"""

from __future__ import annotations

import logging
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from pathlib import Path

import torch
from _record import Row, describe_machine, describe_settings, make_parser, parse, write_result
from diffusers_peer import read_images
from torch import Tensor
from training import build_networks, compare_trainings, make_data

from benchkit.api import Inverter
from benchkit.diffusion.backend import DiffusionBackend
from benchkit.diffusion.noise import ImageNoise
from benchkit.diffusion.pipeline import invert_latents, resample_latents
from benchkit.plugin.registry import Registry
from benchkit.specs.spec import Spec
from benchkit.specs.training_config import TrainingConfig
from benchkit.system.number_formats import has_bfloat16

TIMESTEP, STEPS = 200, 10
#: What the gate of half precision asks: decibels that a round trip may lose, and PSNR to the images of float32.
MOST_LOST, LEAST_PSNR = 0.1, 45.0


def measure_least(work: Callable[[], object], device: str, turns: int) -> float:
    """Return the least seconds of several calls after one that warms up; waits for the device."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    found = []
    for _ in range(turns + 1):
        began = clock()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        found.append(clock() - began)
    return min(found[1:])


def list_halves(device: str) -> list[str]:
    """Return the half precisions that a device has and does not emulate."""
    if device == "cpu":
        return ["bfloat16"] if has_bfloat16("cpu") else []
    return ["float16", *(["bfloat16"] if has_bfloat16(device) else [])]


def measure_networks(model: str, side: int, chunks: list[int], device: str, turns: int) -> list[Row]:
    """Return the rows of the denoiser, the encoder and the decoder; float32 at the first chunk is the base."""
    rows: list[Row] = []
    unit = "CPU ms/image" if device == "cpu" else "ms/image"
    for dtype in ("float32", *list_halves(device)):
        backend = DiffusionBackend.load(model, device, sampling=dtype)
        for chunk in chunks:
            images, condition = torch.rand(chunk, 3, side, side), backend.embed([None] * chunk)
            z = backend.encode(images)
            works = {
                "denoiser evaluation": partial(backend.predict, z, TIMESTEP, condition),
                "encode": partial(backend.encode, images),
                "decode": partial(backend.decode, z),
            }
            for name, work in works.items():
                cost = 1e3 * measure_least(work, device, turns) / chunk
                base = next((row for row in rows if row.what.startswith(f"{name},")), None)
                against, other = (base.what, base.cost) if base else ("", None)
                rows.append(Row(f"{name}, {side} x {side}, {dtype}, chunk {chunk}", cost, unit, against, other))
    return rows


def measure_round_trip(model: str, number: int, steps: int, device: str) -> Iterator[Row]:
    """Yield, for each half precision, the error of a round trip in dB, and whether the gate passes."""
    images = read_images(number)
    exact = _make_round_trip(model, "float32", images, steps, device)
    for dtype in list_halves(device):
        own = _make_round_trip(model, dtype, images, steps, device)
        lost, distance = compute_psnr(exact, images) - compute_psnr(own, images), compute_psnr(own, exact)
        passes = "passes" if lost <= MOST_LOST and distance >= LEAST_PSNR else "does not pass"
        note = f"{lost:+.3f} dB lost to the original, {distance:.1f} dB to float32: {passes} the gate"
        yield Row(f"round trip, {steps} steps, {dtype}: PSNR to float32", distance, "dB", note=note)


def _make_round_trip(model: str, dtype: str, images: Tensor, steps: int, device: str) -> Tensor:
    backend, registry = DiffusionBackend.load(model, device, sampling=dtype), Registry.load()
    inverter = registry.make(registry.complete(Spec.parse("inverter", "renoise")), Inverter)
    captions, rng = [None] * len(images), ImageNoise(0, [str(i) for i in range(len(images))])
    z_t = invert_latents(backend, inverter, backend.encode(images), captions, rng, steps)[-1]
    return backend.decode(resample_latents(backend, z_t, captions, steps)).cpu()


def compute_psnr(images: Tensor, others: Tensor) -> float:
    """Return the PSNR of images in [0, 1] to others, in dB."""
    error = float(torch.mean((images.double() - others.double()) ** 2))
    return math.inf if error == 0 else -10 * math.log10(error)


def measure_training(size: str, side: int, batch: int, iterations: int, device: str, turns: int) -> list[Row]:
    """Return the rows of training iterations."""
    logging.disable(logging.WARNING)
    data, config = make_data(batch, side), TrainingConfig(iterations, batch, crop=side)
    return [
        row
        for name, network in build_networks(size).items()
        for row in compare_trainings(name, partial(deepcopy, network), data, config, device, turns)
    ]


def main() -> None:
    """Measure, print and write the result."""
    parser = make_parser(__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model", default="portraits", help="the checkpoint of the round trip, with trained weights")
    parser.add_argument("--chunks", type=int, nargs="+", default=[16, 32, 64])
    asked = parse(parser)
    device = asked.device
    if device != "cpu" and not torch.cuda.is_available():
        sys.exit("gpu.py: no CUDA device here, nothing measured; `--device cpu --small` shows that it runs")
    machine = describe_machine(device)
    if asked.small:
        asked.chunks, asked.turns = [2, 4], 1
        rows = measure_networks("portraits", 128, asked.chunks, device, asked.turns)
        rows += measure_round_trip(asked.model, 2, 2, device)
        rows += measure_training("mini", 32, 2, 7, device, asked.turns)
    else:
        rows = measure_full_size(asked.chunks, device, asked.turns)
        rows += measure_round_trip(asked.model, 16, STEPS, device)
        rows += measure_training("tiny", 512, 8, 25, device, asked.turns)
    write_result("gpu", rows, describe_settings(asked), machine, asked.results)


def measure_full_size(chunks: list[int], device: str, turns: int) -> list[Row]:
    """Return the rows of random networks of SD 1.5's classes and size, at 512 x 512."""
    sys.path.append(str(Path(__file__).parents[1]))
    from recipes.paper_data import full_sd15

    with tempfile.TemporaryDirectory() as folder:
        with torch.device(device):
            pipeline = full_sd15()
        pipeline.to("cpu", torch.float16).save_pretrained(folder)
        del pipeline
        return measure_networks(folder, 512, chunks, device, turns)


if __name__ == "__main__":
    main()
