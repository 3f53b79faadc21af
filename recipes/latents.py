"""Load the trained autoencoder, and encode the scenes on which the denoiser is trained."""

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

from benchkit_plugins.datasets.portraits.draw import render
from benchkit_plugins.datasets.portraits.splits import scene_at


def averaged(path: Path) -> dict[str, Tensor]:
    """Read the averaged weights of a training state that `state.save` wrote."""
    prefix = "average."
    return {k[len(prefix) :]: v for k, v in load_file(path).items() if k.startswith(prefix)}


def trained_autoencoder(state: Path) -> AutoencoderKL:
    """Return the frozen autoencoder with averaged weights, its latent channels normalised to mean 0 and deviation 1."""
    model = network()
    model.load_state_dict(averaged(state / "autoencoder.safetensors"))
    model.eval().requires_grad_(False)
    means, stds = channel_statistics(state, model)
    return standardised(model, means, stds)


def channel_statistics(state: Path, model: AutoencoderKL, count: int = 512) -> tuple[Tensor, Tensor]:
    """Return mean and deviation (C,) of each latent channel over the first scenes of `train` (STATE/channels.json)."""
    notes = state / "channels.json"
    iteration = facts_of(state / "autoencoder.safetensors")["iteration"]
    facts = json.loads(notes.read_text()) if notes.exists() else {}
    if facts.get("iteration") != iteration:
        images = np.stack([render(scene_at("train", i)).image for i in range(count)])
        latents = encoded(model, images, 16).astype(np.float64)
        facts = {
            "iteration": iteration,
            "means": latents.mean((0, 2, 3)).tolist(),
            "stds": latents.std((0, 2, 3)).tolist(),
        }
        notes.write_text(json.dumps(facts))
    return torch.tensor(facts["means"]), torch.tensor(facts["stds"])


def standardised(model: AutoencoderKL, means: Tensor, stds: Tensor) -> AutoencoderKL:
    """The same autoencoder with latents (z - mean) / deviation a channel, folded into the convolutions around them.

    One scaling factor for all channels, which is all that a diffusers config holds, would leave the denoiser channels
    of unequal strength and off centre. What is decoded stays the same.
    """
    channels = len(means)
    encode, decode = model.quant_conv, model.post_quant_conv
    encode.weight[:channels] /= stds.view(-1, 1, 1, 1)
    encode.bias[:channels] = (encode.bias[:channels] - means) / stds
    encode.bias[channels:] -= 2 * stds.log()
    decode.bias += decode.weight[:, :, 0, 0] @ means
    decode.weight *= stds.view(1, -1, 1, 1)
    return model


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
