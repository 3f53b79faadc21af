"""Measure the gates of the embedded checkpoint; every function returns figures for its card."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from letters import Reader, find_and_read, read_at, truth
from renders import rendered
from torch import Tensor

from benchkit.api import Inverter, add_noise
from benchkit.diffusion.backend import DiffusionBackend
from benchkit.diffusion.inversion import compute_trajectory
from benchkit.diffusion.noise import ImageNoise
from benchkit.diffusion.resample import resample
from benchkit.stages.images import to_tensor, to_uint8
from benchkit_plugins.datasets.portraits.caption import caption
from benchkit_plugins.datasets.portraits.draw import render
from benchkit_plugins.datasets.portraits.splits import SPLITS, generator, scene_at
from benchkit_plugins.datasets.portraits.wild import apply, sample_artifacts
from benchkit_plugins.inverters.ddim import Ddim
from benchkit_plugins.inverters.fixed_point import FixedPoint
from benchkit_plugins.inverters.renoise import ReNoise

Figures = dict[str, Any]
SPLIT = "heldout"
CHUNK = 16
STEPS = (10, 20)
BINS = tuple(range(0, 1000, 100))


def heldout(state: Path, count: int) -> np.ndarray:
    """Return the first `count` clean held-out scenes, uint8 (count, 128, 128, 3); rendered once."""
    size = SPLITS[SPLIT]
    assert size is not None
    return np.array(rendered(state, SPLIT, size)[:count])


def chunks(count: int) -> Iterator[range]:
    """Yield indices in fixed chunks."""
    return (range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK))


def psnr(images: Tensor, reference: Tensor) -> list[float]:
    """Return the PSNR of each image (N, 3, H, W) in [0, 1], in dB."""
    error: list[float] = (images.double() - reference.double()).pow(2).flatten(1).mean(1).clamp(min=1e-12).tolist()
    return [-10 * float(np.log10(e)) for e in error]


def mean(values: list[float], digits: int = 2) -> float:
    return round(float(np.mean(values)), digits)


def marred(index: int) -> np.ndarray:
    """Return a held-out scene with one to three artifacts, drawn only for this measurement."""
    scene = scene_at(SPLIT, index)
    return render(apply(scene, sample_artifacts(scene, generator(SPLIT, index, "gate artifacts")))).image


def autoencoder(backend: DiffusionBackend, reader: Reader, images: np.ndarray) -> Figures:
    """PSNR on clean scenes and on the same scenes with artifacts, and how well signs can be read afterwards.

    `changed`: error on the pixels that the artifacts changed, pooled over images, with and without the artifacts.
    """
    clean, faulty, raw, seen = [], [], 0, 0
    changed, square = 0, np.zeros(2)
    for part in chunks(len(images)):
        pictures = images[part.start : part.stop]
        edited = np.stack([marred(i) for i in part])
        pairs = [(to_tensor(p), backend.autoencode(to_tensor(p))) for p in (pictures, edited)]
        clean += psnr(*pairs[0])
        faulty += psnr(*pairs[1])
        where = torch.from_numpy((pictures != edited).any(-1))[:, None].expand(-1, 3, -1, -1)
        changed += int(where.sum())
        square += [float((a - b).pow(2)[where].sum()) for a, b in pairs]
        scenes = [scene_at(SPLIT, i) for i in part]
        letters = np.array([truth(scene) for scene in scenes])
        raw += int((read_at(reader, pictures, scenes) == letters).sum())
        seen += int((read_at(reader, to_uint8(pairs[0][1]), scenes) == letters).sum())
    local = -10 * np.log10(square / changed)
    return {
        "images": len(images),
        "psnr_db": mean(clean),
        "psnr_db_lowest": round(min(clean), 2),
        "psnr_db_artifact_scenes": mean(faulty),
        "psnr_db_changed_pixels_clean": round(float(local[0]), 2),
        "psnr_db_changed_pixels_artifact": round(float(local[1]), 2),
        "letters": 3 * len(images),
        "letter_accuracy_raw": round(raw / (3 * len(images)), 4),
        "letter_accuracy_autoencoded": round(seen / (3 * len(images)), 4),
    }


def noise_prediction(backend: DiffusionBackend, alphas: Tensor, images: np.ndarray) -> Figures:
    """Mean squared error of eps, one draw per image in each hundred timesteps, with the scenes' captions.

    A quarter of the images also without. alphas: the checkpoint's cumulative alphas, (1000,).
    """
    losses: dict[str, list[list[float]]] = {"captions": [], "empty": []}
    for part in chunks(len(images)):
        z_0 = backend.encode(to_tensor(images[part.start : part.stop]))
        texts: dict[str, list[str | None]] = {"captions": [caption(scene_at(SPLIT, i)) for i in part]}
        if part.start <= len(images) // 4:
            texts["empty"] = [None] * len(part)
        rows: dict[str, list[Tensor]] = {name: [] for name in texts}
        for first in BINS:
            t = int(np.random.default_rng([4, first, part.start]).integers(first, first + 100))
            noise = ImageNoise(4, [f"{SPLIT}/{i}/{first}" for i in part]).normal(tuple(z_0.shape[1:]))
            z = add_noise(z_0, noise, float(alphas[t]))
            for name in texts:
                condition = backend.embed(texts[name])
                rows[name].append((backend.predict(z, t, condition) - noise).pow(2).mean((1, 2, 3)))
        for name, row in rows.items():
            losses[name] += torch.stack(row, 1).tolist()
    by_bin = {name: np.mean(rows, 0) for name, rows in losses.items()}
    return {
        "images": len(images),
        "images_empty": len(losses["empty"]),
        "bins": {f"{t}-{t + 99}": round(float(v), 4) for t, v in zip(BINS, by_bin["captions"], strict=True)},
        "bins_empty": {f"{t}-{t + 99}": round(float(v), 4) for t, v in zip(BINS, by_bin["empty"], strict=True)},
        "mean": round(float(by_bin["captions"].mean()), 4),
        "mean_below_400": round(float(by_bin["captions"][:4].mean()), 4),
        "mean_empty": round(float(by_bin["empty"].mean()), 4),
    }


def bound(backend: DiffusionBackend, captions: list[str]) -> Callable[[Tensor, int], Tensor]:
    """Return eps(z, t) under these captions."""
    condition = backend.embed(captions)
    return lambda z, t: backend.predict(z, t, condition)


def round_trip(backend: DiffusionBackend, inverter: Inverter, images: np.ndarray) -> tuple[Figures, Tensor]:
    """Invert by 10 and 20 steps, resample and decode; also return the first chunk's images after 10 steps.

    loss_db: what the round trip loses against the autoencoder alone, both measured against the original image.
    psnr_to_autoencoded_db: round trip against autoencoded image.
    """
    direct: list[float] = []
    back: dict[int, list[float]] = {steps: [] for steps in STEPS}
    near: dict[int, list[float]] = {steps: [] for steps in STEPS}
    shown = torch.empty(0)
    inverted = 0
    for part in chunks(len(images)):
        original = to_tensor(images[part.start : part.stop])
        z_0 = backend.encode(original)
        plain = backend.decode(z_0)
        predict = bound(backend, [caption(scene_at(SPLIT, i)) for i in part])
        rng = ImageNoise(0, [f"{SPLIT}/{i}" for i in part])
        before = backend.network_evaluations
        path = compute_trajectory(inverter, predict, backend.schedule, z_0, rng, None, max(STEPS))
        inverted += backend.network_evaluations - before
        direct += psnr(plain, original)
        for steps in STEPS:
            returned = backend.decode(resample(predict, backend.schedule, path[steps - 1], steps))
            back[steps] += psnr(returned, original)
            near[steps] += psnr(returned, plain)
            if steps == STEPS[0] and part.start == 0:
                shown = returned
    figures: Figures = {"images": len(images), "evaluations_an_image_to_20": round(inverted / len(images), 1)}
    for steps in STEPS:
        figures[f"steps_{steps}"] = {
            "loss_db": round(float(np.mean(direct) - np.mean(back[steps])), 3),
            "psnr_db": mean(back[steps]),
            "psnr_to_autoencoded_db": mean(near[steps]),
            "psnr_to_autoencoded_db_lowest": round(min(near[steps]), 2),
        }
    return figures, shown


def inverters() -> dict[str, Inverter]:
    """Return the inverters of the card, with their defaults."""
    return {"ddim": Ddim(), "renoise": ReNoise(), "fixed-point": FixedPoint()}


def sampled(backend: DiffusionBackend, count: int) -> np.ndarray:
    """50-step DDIM samples from pure noise under the first held-out captions, no guidance; uint8."""
    out = []
    for part in chunks(count):
        rng = ImageNoise(0, [f"sample/{i}" for i in part])
        side = 128 // backend.factor
        noise = rng.normal((backend.latent_channels, side, side))
        predict = bound(backend, [caption(scene_at(SPLIT, i)) for i in part])
        out.append(to_uint8(backend.decode(resample(predict, backend.schedule, noise, backend.schedule.steps))))
    return np.concatenate(out)


def legibility(reader: Reader, images: np.ndarray) -> Figures:
    """How often the sign that the reader finds says what the i-th held-out caption says, letter by letter."""
    letters = np.array([truth(scene_at(SPLIT, i)) for i in range(len(images))])
    read = [find_and_read(reader, image) for image in images]
    right = np.array([np.equal(r, t) if r else np.zeros(3, bool) for r, t in zip(read, letters, strict=True)])
    return {
        "images": len(images),
        "signs_found": round(float(np.mean([r is not None for r in read])), 4),
        "letter_accuracy": round(float(right.mean()), 4),
        "sign_accuracy": round(float(right.all(1).mean()), 4),
    }
