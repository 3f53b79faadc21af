"""Compare the images of half precision with those of float32, before a run samples in half precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchkit.api import Inverter
from benchkit.specs.spec import Spec
from benchkit.stages.base import Env, Model, Output, Stage, pack_arrays
from benchkit.stages.images import Source, to_tensor

if TYPE_CHECKING:
    from torch import Tensor

    from benchkit.api import Sample
    from benchkit.diffusion.backend import DiffusionBackend

#: How many images are compared, and after how many steps of inversion and resampling.
IMAGES, STEPS = 8, 10
#: The round trip may be this much worse than in float32, and each image must be this close to float32's, in dB.
LOSS, CLOSENESS = 0.1, 45.0


@dataclass(frozen=True)
class Parity(Stage):
    """How far images of half precision are from those of float32.

    source: the first images of the plan's first chunk. model: in half precision. inverter: the plan's first one, with
    its identity; None where nothing is inverted, and only decoding is compared. processor: the machine's, because
    another one rounds otherwise.
    """

    source: Source
    model: Model
    inverter: Spec | None
    identity: str
    steps: int
    processor: str

    def run(self, env: Env) -> Output:
        samples = self.source.read(env)
        images = to_tensor(np.stack([sample.image for sample in samples]))
        exact = env.backend(replace(self.model, sampling="float32"))
        z_0 = exact.encode(images)
        clean = exact.decode(z_0)
        float32 = exact.decode(self._round_trip(exact, env, z_0, samples))
        half = env.backend(self.model)
        moved = self._round_trip(half, env, z_0, samples)
        return pack_arrays(
            {
                "decoded": psnr(half.decode(z_0), clean),
                "images": psnr(half.decode(moved), float32),
                # Decoded in float32, so that it judges the denoiser; the two above judge the decoder as well.
                "round_trip": psnr(exact.decode(moved), clean),
                "round_trip_float32": psnr(float32, clean),
            }
        )

    def _round_trip(self, backend: DiffusionBackend, env: Env, z_0: Tensor, samples: list[Sample]) -> Tensor:
        """Return the latents after inversion and resampling."""
        from benchkit.diffusion.noise import ImageNoise
        from benchkit.diffusion.pipeline import invert_latents, resample_latents

        if self.inverter is None:
            return z_0
        inverter = env.registry.make(self.inverter, Inverter)  # type: ignore[type-abstract]
        captions, noise = [sample.caption for sample in samples], ImageNoise(0, [sample.id for sample in samples])
        z_t = invert_latents(backend, inverter, z_0, captions, noise, self.steps)[-1]
        return resample_latents(backend, z_t, captions, self.steps)

    def describe(self) -> str:
        return f"compare {self.model.sampling} with float32"


def psnr(images: Tensor, reference: Tensor) -> np.ndarray:
    """Return the peak signal-to-noise ratio of each image, (N,) in dB; 120 dB for equal ones."""
    squares = (images - reference).double().square().mean(dim=(1, 2, 3))
    return (-10 * squares.clamp(min=1e-12).log10()).cpu().numpy()


def describe_parity(figures: Mapping[str, Any]) -> str:
    """Return the figures of a finished Parity in words."""
    mean = {name: float(np.mean(values)) for name, values in figures.items()}
    least = {name: float(np.min(values)) for name, values in figures.items()}
    return (
        f"round trip {mean['round_trip']:.2f} dB, in float32 {mean['round_trip_float32']:.2f} dB; images at least "
        f"{least['images']:.1f} dB from those of float32, decoded ones {least['decoded']:.1f} dB"
    )


def find_disparity(figures: Mapping[str, Any]) -> str | None:
    """Return why half precision is not good enough; None if it is."""
    if not all(np.isfinite(values).all() for values in figures.values()):
        return "images are not finite"
    lost = float(np.mean(figures["round_trip_float32"]) - np.mean(figures["round_trip"]))
    if lost > LOSS:
        return f"the round trip loses {lost:.2f} dB to float32, more than {LOSS:g}"
    for name, what in (("images", "an image of the round trip"), ("decoded", "a decoded image")):
        worst = float(np.min(figures[name]))
        if worst < CLOSENESS:
            return f"{what} is {worst:.1f} dB from float32's, below {CLOSENESS:g}"
    return None
