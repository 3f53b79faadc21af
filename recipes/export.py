"""Assemble the embedded checkpoint from the training states: a StableDiffusionPipeline in float16 safetensors.

    python recipes/export.py --state STATE
    python recipes/export.py --state STATE --autoencoder-only
    python recipes/export.py --random --out FOLDER

Writes benchkit/assets/checkpoints/portraits/ (the averaged weights; the files carry no variant in their names, so that
StableDiffusionPipeline.from_pretrained(folder) finds them without arguments) and says what rounding to float16
changes. The card is written by recipes/gates.py and is lost here: it spoke of the weights before.

--autoencoder-only puts a random denoiser beside the trained autoencoder: all that needs only the autoencoder can go on
while the denoiser trains. --random makes a checkpoint of the same shape from random weights alone, for tests.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from autoencoder import LATENTS, network
from denoiser import SCHEDULER, Denoiser
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline
from latents import averaged, trained_autoencoder
from state import facts_of
from tokens import tokenizer, tokens_and_merges

from benchkit.diffusion import checkpoint
from benchkit.diffusion.backend import DiffusionBackend
from benchkit_plugins.datasets.portraits.caption import caption
from benchkit_plugins.datasets.portraits.draw import render
from benchkit_plugins.datasets.portraits.splits import scene_at

FOLDER = Path(__file__).parents[1] / "benchkit" / "assets" / "checkpoints" / "portraits"
LIMIT = 40 * 10**6


def trained(state: Path, autoencoder_only: bool = False) -> tuple[AutoencoderKL, Denoiser, dict[str, Any]]:
    """Autoencoder (its scaling factor set) and denoiser with averaged weights, and how they were trained."""
    facts = {"autoencoder": facts_of(state / "autoencoder.safetensors")}
    latents = json.loads((state / "latents.json").read_text())
    seen = {facts["autoencoder"]["iteration"], latents["iteration"]}
    if not autoencoder_only:
        facts["denoiser"] = facts_of(state / "denoiser.safetensors")
        seen.add(facts["denoiser"]["autoencoder"])
    if len(seen) > 1:
        raise SystemExit(f"autoencoder, latents and denoiser stem from different autoencoder iterations: {seen}")
    vae = trained_autoencoder(state)
    vae.register_to_config(scaling_factor=latents["scaling"])
    torch.manual_seed(0)
    denoiser = Denoiser(LATENTS)
    if not autoencoder_only:
        denoiser.load_state_dict(averaged(state / "denoiser.safetensors"))
    return vae, denoiser.eval(), {**facts, "latents": latents}


def random_parts(seed: int = 0) -> tuple[AutoencoderKL, Denoiser]:
    """Untrained networks of the checkpoint's shape."""
    torch.manual_seed(seed)
    vae = network().eval()
    vae.register_to_config(scaling_factor=1.0)
    return vae, Denoiser(LATENTS).eval()


def assembled(vae: AutoencoderKL, denoiser: Denoiser) -> StableDiffusionPipeline:
    """The pipeline; no safety checker, no feature extractor."""
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=denoiser.text,
        tokenizer=tokenizer(),
        unet=denoiser.unet,
        scheduler=DDIMScheduler(**SCHEDULER),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def write(pipeline: StableDiffusionPipeline, folder: Path) -> int:
    """Save in float16, in place of what the folder held; returns its size in bytes.

    Writes beside it first: a failure leaves the old checkpoint. The pipeline's networks are float16 afterwards.
    """
    aside = folder.with_name(folder.name + ".writing")
    shutil.rmtree(aside, ignore_errors=True)
    pipeline.to(torch.float16).save_pretrained(aside, safe_serialization=True)
    _write_classic_tokenizer(aside / "tokenizer")
    for path in sorted(aside.rglob("*.json")):
        _clean(path)
    # Diffusers opens networks in float32, transformers in the type their config names; a pipeline wants one type.
    config = aside / "text_encoder" / "config.json"
    content = json.loads(config.read_text())
    content.pop("torch_dtype", None)
    config.write_text(json.dumps({**content, "dtype": "float32"}, indent=2, sort_keys=True) + "\n")
    files = [path for path in aside.rglob("*") if path.is_file()]
    for path in files:
        path.chmod(0o644)  # safetensors makes files that only their owner can read
    size = sum(path.stat().st_size for path in files)
    if size > LIMIT:
        raise SystemExit(f"{aside} has {size} bytes, more than {LIMIT}")
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)
    return size


def _write_classic_tokenizer(folder: Path) -> None:
    """vocab.json and merges.txt beside tokenizer.json: what transformers before version 5 reads."""
    vocabulary, found = tokens_and_merges()
    (folder / "vocab.json").write_text(json.dumps(vocabulary, indent=0) + "\n")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *(" ".join(pair) for pair in found)]) + "\n")


def _clean(path: Path) -> None:
    """Drop what names this machine's folders."""
    content = json.loads(path.read_text())
    if isinstance(content, dict) and content.pop("_name_or_path", None) is not None:
        path.write_text(json.dumps(content, indent=2) + "\n")


@torch.inference_mode()
def rounding(vae: AutoencoderKL, denoiser: Denoiser, folder: Path, count: int = 8) -> dict[str, float]:
    """What float16 weights change on `count` held-out scenes: decoded images and eps, both computed in float32.

    Call it before `write` has rounded the networks, with a copy of them in `folder`.
    """
    rounded = DiffusionBackend.load(folder)
    scenes = [scene_at("heldout", i) for i in range(count)]
    images = torch.from_numpy(np.stack([render(s).image for s in scenes])).permute(0, 3, 1, 2).float() / 255
    latents = vae.encode(2 * images - 1).latent_dist.mean
    exact = (vae.decode(latents).sample / 2 + 0.5).clamp(0, 1)
    noise = (rounded.autoencode(images) - exact).pow(2).mean().item()
    captions = [caption(s) for s in scenes]
    tokens = torch.as_tensor(tokenizer()(captions, padding="max_length", return_tensors="pt").input_ids)
    z = latents * vae.config.scaling_factor
    z = 0.9 * z + 0.19**0.5 * torch.randn(z.shape, generator=torch.Generator().manual_seed(0))
    eps = denoiser(z, torch.full((count,), 200), tokens)
    change = rounded.predict(z, 200, rounded.embed(captions)) - eps
    return {
        "image_psnr_db": round(10 * float(np.log10(1 / max(noise, 1e-12))), 2),
        "eps_relative_rms": round(float(change.pow(2).mean().sqrt() / eps.pow(2).mean().sqrt()), 6),
    }


def main() -> None:
    """Assemble, write, compare with the unrounded networks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--autoencoder-only", action="store_true", help="with a random denoiser")
    parser.add_argument("--random", action="store_true", help="random weights; needs --out")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.random == (args.state is not None) or (args.random and args.out is None):
        parser.error("either --state STATE or --random --out FOLDER")
    folder = args.out or FOLDER
    folder.parent.mkdir(parents=True, exist_ok=True)
    if args.random:
        print(f"{folder}: {write(assembled(*random_parts()), folder) / 1e6:.1f} MB, random weights")
        return
    vae, denoiser, facts = trained(args.state, args.autoencoder_only)
    size = write(assembled(vae, denoiser), folder)
    vae, denoiser, _ = trained(args.state, args.autoencoder_only)
    facts |= {"identity": checkpoint.find(folder).identity, "float16": rounding(vae, denoiser, folder)}
    (args.state / "export.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(f"{folder}: {size / 1e6:.1f} MB; float16 against float32 weights: {facts['float16']}")


if __name__ == "__main__":
    main()
