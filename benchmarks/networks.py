"""What the networks of the embedded checkpoint cost an image: the denoiser by batch and precision, encode, decode.

    python benchmarks/networks.py [--batches 1 4 16 64] [--variants] [--small]

Images have 128 x 128 pixels. Encoding and decoding are compared with one evaluation of the denoiser at the same batch,
because a row costs so many evaluations and one decoding an image. bfloat16 is that of the grid's `sampling.precision`;
it is left out where the processor emulates it. --variants adds what the suite does not do on a
processor: channels_last, and torch.compile (the time of compiling is not counted).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from _record import (
    Row,
    describe_machine,
    describe_settings,
    least_cpu,
    list_cpu,
    make_parser,
    measure_in_turns,
    parse,
    write_result,
)

from benchkit.diffusion.backend import DiffusionBackend
from benchkit.system.number_formats import has_bfloat16

TIMESTEP, SIDE = 100, 128


def make_evaluation(backend: DiffusionBackend, batch: int, images: int) -> Callable[[], None]:
    """Return what evaluates the denoiser once for each of so many images."""
    z = backend.encode(torch.rand(batch, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)))
    condition = backend.embed([None] * batch)

    def work() -> None:
        for _ in range(images // batch):
            backend.predict(z, TIMESTEP, condition)

    return work


def make_variants(batch: int) -> dict[str, Callable[[], None]]:
    """Return evaluations of the denoiser in ways that the suite does not use on a processor."""
    backends = {f"float32 {way}": DiffusionBackend.load("portraits") for way in ("in channels_last", "compiled")}
    backends["float32 compiled"]._pipeline.unet.compile()
    if has_bfloat16("cpu"):
        backends["bfloat16 in channels_last"] = DiffusionBackend.load("portraits", sampling="bfloat16")
    for name, backend in backends.items():
        if name.endswith("in channels_last"):
            backend._pipeline.unet.to(memory_format=torch.channels_last)
    return {
        f"denoiser evaluation, {name}, batch {batch}": make_evaluation(backend, batch, batch)
        for name, backend in backends.items()
    }


def main() -> None:
    """Measure, print and write the result."""
    parser = make_parser(__doc__)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16, 64], help="the first is the base")
    parser.add_argument("--variants", action="store_true", help="also measure what the suite does not do")
    asked = parse(parser)
    if asked.small:
        asked.batches, asked.turns = [1, 4], 1
    machine, images = describe_machine(), max(asked.batches)
    precisions = ["float32", *(("bfloat16",) if has_bfloat16("cpu") else ())]
    backends = {name: DiffusionBackend.load("portraits", sampling=name) for name in precisions}
    works = {
        f"denoiser evaluation, {name}, batch {batch}": make_evaluation(backend, batch, images)
        for name, backend in backends.items()
        for batch in asked.batches
    }
    pixels = torch.rand(min(images, 16), 3, SIDE, SIDE)
    variants = make_variants(len(pixels)) if asked.variants else {}
    z_0 = backends["float32"].encode(pixels)
    whole = {f"encode, float32, batch {len(pixels)}": partial(backends["float32"].encode, pixels)}
    whole |= {f"decode, {name}, batch {len(pixels)}": partial(one.decode, z_0) for name, one in backends.items()}
    costs = measure_in_turns({**works, **variants, **whole}, asked.turns)
    base = f"denoiser evaluation, float32, batch {asked.batches[0]}"
    same = f"denoiser evaluation, float32, batch {len(pixels)}"
    rows = []
    for name, turns in costs.items():
        own, other = (images, base) if name in works else (len(pixels), same)
        compared = name != other
        rows.append(
            Row(
                what=name,
                cost=1e3 * least_cpu(turns) / own,
                unit="CPU ms/image",
                against=other if compared else "",
                other=1e3 * least_cpu(costs[other]) / images if compared else None,
                turns=list_cpu({name: turns}),
            )
        )
    write_result("networks", rows, describe_settings(asked), machine, asked.results)


if __name__ == "__main__":
    main()
