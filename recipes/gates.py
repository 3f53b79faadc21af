"""Measure the embedded checkpoint on held-out scenes and write its card and contact sheets.

    python recipes/gates.py --state STATE
    python recipes/gates.py --state STATE --part round_trip --part samples

Writes README.md and card.json into the checkpoint's folder and, with the samples and the round trip, the sheets into
docs/images. Parts that are not asked for keep the figures that the card already has for these very weights, so the
whole can be measured in pieces; --quick tries everything on a few images and is not meant for the card.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import card
import diffusers
import measures
import numpy as np
import torch
import transformers
from export import FOLDER
from letters import trained_reader
from sheets import captioned, sheet

from benchkit.diffusion import checkpoint
from benchkit.diffusion.backend import DiffusionBackend
from benchkit.diffusion.schedule import compute_alpha_bar
from benchkit.stages.images import to_tensor, to_uint8
from benchkit_plugins.datasets.portraits.splits import VERSION, scene_at

DOCS = Path(__file__).parents[1] / "docs" / "images"
SHOWN, SHEET_SAMPLES = 8, 32


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", type=Path, required=True, help="training states; keeps renders and the reader")
    parser.add_argument("--checkpoint", type=Path, default=FOLDER)
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder of the contact sheets")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this; may be given several times")
    parser.add_argument("--count", type=int, default=500, help="images of the autoencoder's part")
    parser.add_argument("--eps-count", type=int, default=160, help="images of the noise prediction's part")
    parser.add_argument("--trips", type=int, default=64, help="images inverted by ddim and renoise")
    parser.add_argument("--fixed-point", type=int, default=16, help="images inverted by fixed-point")
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--train-images", type=int, default=12000, help="renders that the letters' reader learns from")
    parser.add_argument("--remarks", help="what somebody saw on the sheets; kept until other remarks come")
    parser.add_argument("--quick", action="store_true", help="everything on a few images")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    if args.quick:
        args.count, args.eps_count, args.trips, args.fixed_point, args.samples = 16, 4, 8, 2, 8
    return args


def measure_autoencoder(backend: DiffusionBackend, args: argparse.Namespace) -> measures.Figures:
    reader = trained_reader(args.state, args.train_images)
    found = measures.autoencoder(backend, reader, measures.heldout(args.state, args.count))
    return {**found, "artifact_loss_db": round(found["psnr_db"] - found["psnr_db_artifact_scenes"], 2)}


def measure_noise_prediction(backend: DiffusionBackend, args: argparse.Namespace) -> measures.Figures:
    alphas = compute_alpha_bar(checkpoint.find(args.checkpoint).scheduler_config())
    return measures.noise_prediction(backend, alphas, measures.heldout(args.state, args.eps_count))


def measure_round_trip(backend: DiffusionBackend, args: argparse.Namespace) -> measures.Figures:
    """All inverters; the sheet shows what ReNoise brings back from ten steps."""
    figures = {}
    for name, inverter in measures.inverters().items():
        images = measures.heldout(args.state, args.fixed_point if name == "fixed-point" else args.trips)
        figures[name], returned = measures.round_trip(backend, inverter, images)
        print(f"round trip {name}: {figures[name]}", flush=True)
        if name == "renoise":
            shown = images[:SHOWN]
            rows = [("original", shown), ("autoencoded", to_uint8(backend.autoencode(to_tensor(shown))))]
            rows.append(("inverted 10 of 50 steps by ReNoise and resampled", to_uint8(returned[:SHOWN])))
            sheet(args.docs / "checkpoint.png", rows)
    return figures


def measure_samples(backend: DiffusionBackend, args: argparse.Namespace) -> measures.Figures:
    """Samples, and as a control the renders of the same captions' scenes, raw and autoencoded."""
    reader = trained_reader(args.state, args.train_images)
    images = measures.sampled(backend, args.samples)
    words = ["".join(glyph.letter for glyph in scene_at(measures.SPLIT, i).sign.glyphs) for i in range(len(images))]
    captioned(args.docs / "samples.png", images[:SHEET_SAMPLES], [f"caption: {w}" for w in words[:SHEET_SAMPLES]])
    raw = measures.heldout(args.state, args.samples)
    parts = [raw[part.start : part.stop] for part in measures.chunks(len(raw))]
    autoencoded = np.concatenate([to_uint8(backend.autoencode(to_tensor(part))) for part in parts])
    shown = {"samples": images, "renders,_autoencoded": autoencoded, "renders,_raw": raw}
    return {name: measures.legibility(reader, pictures) for name, pictures in shown.items()}


PARTS = {
    "autoencoder": measure_autoencoder,
    "noise_prediction": measure_noise_prediction,
    "round_trip": measure_round_trip,
    "samples": measure_samples,
}


def described(backend: DiffusionBackend, args: argparse.Namespace) -> card.Card:
    """The card without new figures: identity, training, versions, and what earlier runs measured."""
    found = card.read(args.checkpoint, backend.identity)
    weights = [path for path in args.checkpoint.rglob("*") if path.is_file()]
    config: dict[str, Any] = json.loads((args.checkpoint / "vae" / "config.json").read_text())
    facts = args.state / "export.json"
    found |= {
        "dataset": "portraits",
        "draws": "painted people of 128x128 pixels",
        "world": VERSION,
        "split": measures.SPLIT,
        "latent_channels": backend.latent_channels,
        "scaling": config["scaling_factor"],
        "versions": {m.__name__: m.__version__ for m in (torch, diffusers, transformers)},
    }
    found["figures"]["megabytes"] = round(sum(path.stat().st_size for path in weights) / 1e6, 1)
    if facts.exists() and (training := json.loads(facts.read_text())).get("identity") == backend.identity:
        found["training"] = training
    if args.remarks:
        found["remarks"] = args.remarks
    return found


def main() -> None:
    """Measure part after part; the card is written after each."""
    args = arguments()
    torch.set_num_threads(args.threads)
    backend = DiffusionBackend.load(args.checkpoint)
    found = described(backend, args)
    card.write(args.checkpoint, found)
    for name in args.part or ([] if args.remarks else PARTS):
        began = time.process_time()
        figures = PARTS[name](backend, args)
        found["figures"][name] = figures
        found.setdefault("cpu_seconds", {})[name] = round(time.process_time() - began)
        card.write(args.checkpoint, found)
        print(f"{name}, {time.process_time() - began:.0f} CPU-s: {json.dumps(figures)}", flush=True)


if __name__ == "__main__":
    main()
