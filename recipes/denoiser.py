"""Train the embedded checkpoint's denoiser, with its text encoder, on latents of `portraits` (split `train`).

    python recipes/denoiser.py --state STATE --iterations 6000

Needs STATE/autoencoder.safetensors; encodes the scenes once (STATE/latents.npy). Resumes from
STATE/denoiser.safetensors: every iteration draws from its own seed, so a resumed run is the same run. Predicts epsilon,
plain mean squared error. The learning rate falls linearly from its peak to zero over --iterations.

Half of the samples have t < 400 (uniform sampling gives them 40 %): corruption denoises from the last 5 to 20 of 50
steps only, so the checkpoint must be a good low-noise denoiser first and a generator from pure noise second.
"""

from __future__ import annotations

import argparse
import time
from collections import deque
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from latents import training_latents
from state import Average, resume, save, sittings
from tokens import LENGTH, encode, tokenizer
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from benchkit.diffusion.schedule import compute_alpha_bar
from benchkit_plugins.datasets.portraits.caption import caption
from benchkit_plugins.datasets.portraits.splits import scene_at

SCHEDULER = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "epsilon",
    "timestep_spacing": "leading",
    "steps_offset": 1,
    "set_alpha_to_one": False,
    "clip_sample": False,
}
"""As SD 1.x."""
WIDTH = 96
LOW_NOISE, LOW_SHARE, EMPTY_SHARE = 400, 0.5, 0.1


class Denoiser(nn.Module):
    """The UNet and the text encoder, which learn together."""

    def __init__(self, latent_channels: int) -> None:
        super().__init__()
        self.unet = UNet2DConditionModel(
            sample_size=16,
            in_channels=latent_channels,
            out_channels=latent_channels,
            block_out_channels=(64, 128, 192),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            layers_per_block=1,
            cross_attention_dim=WIDTH,
            # Diffusers takes this for the number of heads: all are 32 wide.
            attention_head_dim=(2, 4, 6),
            norm_num_groups=16,
        )
        maker = tokenizer()
        self.text = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(maker),
                hidden_size=WIDTH,
                intermediate_size=4 * WIDTH,
                projection_dim=WIDTH,
                num_hidden_layers=2,
                num_attention_heads=4,
                max_position_embeddings=LENGTH,
                bos_token_id=maker.bos_token_id,
                eos_token_id=maker.eos_token_id,
                pad_token_id=maker.pad_token_id,
            )
        )

    def forward(self, z: Tensor, t: Tensor, tokens: Tensor) -> Tensor:
        """eps at latents (N, C, 16, 16), timesteps (N,), token numbers (N, LENGTH)."""
        return self.unet(z, t, encoder_hidden_states=self.text(tokens).last_hidden_state).sample


class Batch(NamedTuple):
    """One iteration's draws."""

    z: Tensor
    t: Tensor
    tokens: Tensor
    noise: Tensor


def drawn(iteration: int, size: int, latents: Tensor, tokens: Tensor, empty: Tensor, alphas: Tensor) -> Batch:
    """The batch of an iteration: a function of its number and the data alone."""
    rng = np.random.default_rng([2, iteration])
    picked = torch.from_numpy(rng.integers(len(latents), size=size))
    low = rng.random(size) < LOW_SHARE
    t = torch.from_numpy(np.where(low, rng.integers(LOW_NOISE, size=size), rng.integers(LOW_NOISE, 1000, size=size)))
    blank = torch.from_numpy(rng.random(size) < EMPTY_SHARE)
    noise = torch.randn((size, *latents.shape[1:]), generator=torch.Generator().manual_seed(iteration))
    alpha = alphas[t].view(-1, 1, 1, 1)
    z = alpha.sqrt() * latents[picked] + (1 - alpha).sqrt() * noise
    return Batch(z, t, torch.where(blank[:, None], empty, tokens[picked]), noise)


def token_rows(state: Path, count: int) -> tuple[Tensor, Tensor]:
    """Token numbers of the captions (count, LENGTH), kept in STATE/captions-COUNT.txt, and those of no caption."""
    path = state / f"captions-{count}.txt"
    if not path.exists():
        lines = [caption(scene_at("train", i)) for i in range(count)]
        aside = path.with_suffix(".writing")
        aside.write_text("\n".join(lines))
        aside.replace(path)
    maker = tokenizer()
    return encode(maker, path.read_text().split("\n")), encode(maker, [""])[0]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--images", type=int, default=12000)
    parser.add_argument("--iterations", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--warm", type=Path, help="an exported checkpoint whose denoiser is the start")
    return parser.parse_args()


def report(iteration: int, errors: deque[tuple[float, float]], seconds: float) -> None:
    """Mean squared errors of the last iterations, below LOW_NOISE and weighted as uniform timesteps would be."""
    low, high = np.nanmean(np.array(errors), axis=0)
    uniform = low * LOW_NOISE / 1000 + high * (1 - LOW_NOISE / 1000)
    print(f"{iteration} eps-loss {uniform:.4f}, t<{LOW_NOISE} {low:.4f}, {seconds:.0f} s", flush=True)


def main() -> None:
    """Encode, train, save every 250 iterations."""
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    stored, facts = training_latents(args.state, args.images)
    latents = torch.from_numpy(stored).float() * facts["scaling"]
    tokens, empty = token_rows(args.state, args.images)
    alphas = compute_alpha_bar(SCHEDULER).float()
    model = Denoiser(latents.shape[1]).train()
    if args.warm:
        model.unet.load_state_dict(UNet2DConditionModel.from_pretrained(args.warm, subfolder="unet").state_dict())
        model.text.load_state_dict(CLIPTextModel.from_pretrained(args.warm, subfolder="text_encoder").state_dict())
    optimiser = torch.optim.AdamW(model.parameters(), args.lr, betas=(0.9, 0.99), weight_decay=1e-2)
    average = Average(model, 0.999)
    path = args.state / "denoiser.safetensors"
    done = resume(path, model, optimiser, average)
    if done and done["autoencoder"] != facts["iteration"]:
        raise SystemExit(f"{path} was trained on another autoencoder's latents: move it away to begin again")
    start, seconds = done.get("iteration", 0), done.get("seconds", 0.0)
    earlier = done["earlier"] if "earlier" in done else sittings(args.warm, "denoiser")
    errors: deque[tuple[float, float]] = deque(maxlen=100)
    began = time.monotonic()
    for i in range(start, args.iterations):
        lr = args.lr * min(1, (i + 1) / 200) * (1 - i / args.iterations)
        for group in optimiser.param_groups:
            group["lr"] = lr
        batch = drawn(i, args.batch, latents, tokens, empty, alphas)
        each = (model(batch.z, batch.t, batch.tokens) - batch.noise).pow(2).mean((1, 2, 3))
        optimiser.zero_grad()
        each.mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        average.update(model, i)
        low = batch.t < LOW_NOISE
        errors.append((each[low].mean().item(), each[~low].mean().item()))
        spent = seconds + time.monotonic() - began
        if (i + 1) % 100 == 0:
            report(i + 1, errors, spent)
        if (i + 1) % 250 == 0 or i + 1 == args.iterations:
            kept = {"iteration": i + 1, "seconds": spent, "autoencoder": facts["iteration"]}
            recipe = {k: v for k, v in vars(args).items() if k not in ("state", "warm")}
            save(
                path,
                model,
                optimiser,
                average,
                **kept,
                earlier=earlier,
                **{f"arg_{k}": v for k, v in recipe.items()},
            )


if __name__ == "__main__":
    main()
