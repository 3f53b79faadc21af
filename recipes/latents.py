"""The trained autoencoder, and the latents of the scenes that the denoiser learns from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from autoencoder import network
from diffusers import AutoencoderKL
from renders import rendered
from safetensors.torch import load_file
from state import facts_of
from torch import Tensor


def averaged(path: Path) -> dict[str, Tensor]:
    """The averaged weights of a training state that `state.save` wrote."""
    prefix = "average."
    return {k[len(prefix) :]: v for k, v in load_file(path).items() if k.startswith(prefix)}


def trained_autoencoder(state: Path) -> AutoencoderKL:
    """The autoencoder with its averaged weights, frozen."""
    model = network()
    model.load_state_dict(averaged(state / "autoencoder.safetensors"))
    return model.eval().requires_grad_(False)


def training_latents(state: Path, count: int, batch: int = 16) -> tuple[np.ndarray, dict[str, float]]:
    """Posterior means of the first `count` scenes of `train`, float16 (count, C, 16, 16), and their facts.

    Encoded once and kept in STATE/latents.npy; again when the autoencoder has been trained on. The facts: `scaling`,
    one over their standard deviation, and the autoencoder's `iteration`.
    """
    path, notes = state / "latents.npy", state / "latents.json"
    iteration = facts_of(state / "autoencoder.safetensors")["iteration"]
    if path.exists() and notes.exists():
        facts = json.loads(notes.read_text())
        if (facts["iteration"], facts["count"]) == (iteration, count):
            return np.load(path), facts
    latents = encoded(trained_autoencoder(state), rendered(state, "train", count), batch)
    channels = latents.astype(np.float64)
    facts = {
        "iteration": iteration,
        "count": count,
        "scaling": round(1 / float(channels.std()), 5),
        "mean": round(float(channels.mean()), 5),
        "channel_means": channels.mean((0, 2, 3)).round(4).tolist(),
        "channel_stds": channels.std((0, 2, 3)).round(4).tolist(),
    }
    aside = path.with_suffix(".writing.npy")
    np.save(aside, latents)
    aside.replace(path)
    notes.write_text(json.dumps(facts, indent=2) + "\n")
    return latents, facts


@torch.inference_mode()
def encoded(model: AutoencoderKL, images: np.ndarray, batch: int) -> np.ndarray:
    """Posterior means of uint8 images (N, 128, 128, 3) as float16 (N, C, 16, 16)."""
    out = []
    for start in range(0, len(images), batch):
        x = torch.from_numpy(np.array(images[start : start + batch])).permute(0, 3, 1, 2).float() / 127.5 - 1
        out.append(model.encode(x).latent_dist.mean.half().numpy())
        if start // batch % 50 == 0:
            print(f"encoded {start + len(x)} of {len(images)}", flush=True)
    return np.concatenate(out)
