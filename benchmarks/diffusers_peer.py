"""Inversion and resampling: this suite against a plain script with diffusers, which takes one image at a time.

    python benchmarks/diffusers_peer.py [--images 16] [--steps 10] [--small]

Both encode the same images with the embedded checkpoint, invert them, resample them and decode them. The plain script
inverts by diffusers' own DDIMInverseScheduler, or by ReNoise written as its authors' algorithm 1 (one iteration), and
resamples by diffusers' DDIMScheduler. Prints how far the latents and the images of both are apart.
"""

from __future__ import annotations

from collections.abc import Callable

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
from torch import Tensor

SCHEDULE_STEPS = 50
INVERTERS = {"ddim": "ddim", "renoise": "renoise:iterations=1"}
#: Largest difference of two images, in [0, 1], that still counts as the same result: a quarter of a grey level.
TOLERANCE = 1 / 4 / 255

Result = tuple[Tensor, Tensor]  # latents after resampling, images


def make_plain(steps: int) -> Callable[[Tensor, str], Result]:
    """Return the plain script: images (N, 3, H, W) and an inverter -> latents and images, one image at a time."""
    import diffusers

    from benchkit.diffusion.checkpoint import find

    diffusers.utils.logging.disable_progress_bar()
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(find("portraits").folder, torch_dtype=torch.float32)
    backward = diffusers.DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False)
    forward = diffusers.DDIMInverseScheduler.from_config(pipe.scheduler.config, clip_sample=False)
    backward.set_timesteps(SCHEDULE_STEPS)
    forward.set_timesteps(SCHEDULE_STEPS)
    times = list(reversed(backward.timesteps.tolist()))[:steps]
    alphas = backward.alphas_cumprod
    text, _ = pipe.encode_prompt("", "cpu", 1, do_classifier_free_guidance=False)
    scale = pipe.vae.config.scaling_factor

    def predict(z: Tensor, t: int) -> Tensor:
        return pipe.unet(z, t, encoder_hidden_states=text).sample

    def invert_ddim(z: Tensor) -> Tensor:
        for t in times:
            z = forward.step(predict(z, t), t, z).prev_sample
        return z

    def invert_renoise(z: Tensor) -> Tensor:
        before = backward.final_alpha_cumprod
        for t in times:
            ratio = (alphas[t] / before).sqrt()
            slope = (1 - alphas[t]).sqrt() - ratio * (1 - before).sqrt()
            first = predict(z, t)
            second = predict(ratio * z + slope * first, t)
            # Before timestep 250 the estimates are averaged, later the last one counts.
            z = ratio * z + slope * ((first + second) / 2 if t < 250 else second)
            before = alphas[t]
        return z

    @torch.inference_mode()
    def run(images: Tensor, inverter: str) -> Result:
        latents, decoded = [], []
        for image in images.split(1):
            z = pipe.vae.encode(2 * image - 1).latent_dist.mean * scale
            z = invert_ddim(z) if inverter == "ddim" else invert_renoise(z)
            for t in reversed(times):
                z = backward.step(predict(z, t), t, z).prev_sample
            latents.append(z)
            decoded.append((pipe.vae.decode(z / scale).sample / 2 + 0.5).clamp(0, 1))
        return torch.cat(latents), torch.cat(decoded)

    return run


def make_ours(steps: int) -> Callable[[Tensor, str], Result]:
    """Return the same as this suite computes it, up to 16 images at a time."""
    from benchkit.api import Inverter
    from benchkit.diffusion.backend import DiffusionBackend
    from benchkit.diffusion.noise import ImageNoise
    from benchkit.diffusion.pipeline import invert_latents, resample_latents
    from benchkit.plugin.registry import Registry
    from benchkit.specs.spec import Spec
    from benchkit.specs.training_sets import CHUNK

    backend, registry = DiffusionBackend.load("portraits", steps=SCHEDULE_STEPS), Registry.load()

    def run(images: Tensor, inverter: str) -> Result:
        plugin = registry.make(registry.complete(Spec.parse("inverter", INVERTERS[inverter])), Inverter)
        latents, decoded = [], []
        for start in range(0, len(images), CHUNK):
            part = images[start : start + CHUNK]
            captions, names = [None] * len(part), [str(i) for i in range(start, start + len(part))]
            z_t = invert_latents(backend, plugin, backend.encode(part), captions, ImageNoise(0, names), steps)[-1]
            z = resample_latents(backend, z_t, captions, steps)
            latents.append(z)
            decoded.append(backend.decode(z))
        return torch.cat(latents), torch.cat(decoded)

    return run


def read_images(number: int) -> Tensor:
    """Return clean images of the embedded data, (N, 3, H, W) in [0, 1]."""
    import numpy as np

    from benchkit.api import Dataset
    from benchkit.plugin.registry import Registry
    from benchkit.specs.spec import Spec

    samples = Registry.load().make(Spec.parse("dataset", "portraits"), Dataset).read("clean", range(number))
    return torch.from_numpy(np.stack([one.image for one in samples])).permute(0, 3, 1, 2).float() / 255


def main() -> None:
    """Measure, print and write the result."""
    parser = make_parser(__doc__)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--steps", type=int, default=10)
    asked = parse(parser)
    if asked.small:
        asked.images, asked.steps, asked.turns = 2, 2, 1
    images, plain, ours = read_images(asked.images), make_plain(asked.steps), make_ours(asked.steps)
    machine, rows = describe_machine(), []
    for inverter in INVERTERS:
        both = ours(images, inverter), plain(images, inverter)
        latents, pixels = ((one - other).abs().max().item() for one, other in zip(*both, strict=True))
        if pixels > TOLERANCE:
            raise SystemExit(f"{inverter}: the images of both differ by up to {255 * pixels:.2f} grey levels")
        works = {
            "suite": lambda name=inverter: ours(images, name),
            "plain script": lambda name=inverter: plain(images, name),
        }
        costs = measure_in_turns(works, asked.turns, warm_up=False)
        rows.append(
            Row(
                what=f"round trip, {inverter}, {asked.steps} steps, {asked.images} images",
                cost=least_cpu(costs["suite"]) / asked.images,
                unit="CPU s/image",
                against="plain diffusers script, batch 1",
                other=least_cpu(costs["plain script"]) / asked.images,
                aim=1.0,
                note=f"largest difference: latents {latents:.1e}, images {255 * pixels:.1e} grey levels",
                turns=list_cpu(costs),
            )
        )
    write_result("diffusers_peer", rows, describe_settings(asked), machine, asked.results)


if __name__ == "__main__":
    main()
