"""Pre-train a mini detector on part segmentation of `portraits` (split `parts`, seven classes); writes the asset.

    python recipes/pretrain_parts.py --detector upernet-swin --state STATE --autoencode
    python recipes/pretrain_parts.py --detector upernet-convnext --state STATE --autoencode --images 6000 \
        --held-out 100 --iterations 12000 --lr 0.002 --suffix=-long

Takes the place of the paper's ADE20K pre-training where networks are small and images are painted. Resumes from STATE.
Writes benchkit/assets/detectors/<detector>-mini.safetensors (float16) and a card beside it (.json); a suffix comes
behind `mini`. Scenes beyond the split's 2,000 are drawn in the same way.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import benchkit
from benchkit.training.loop import TrainingConfig, predict_classes, save_network, to_input, train
from benchkit_plugins.detectors.upernet_convnext import UPerNetConvNeXt
from benchkit_plugins.detectors.upernet_swin import UPerNetSwin

DETECTORS = {detector.name: detector for detector in (UPerNetSwin, UPerNetConvNeXt)}
#: Arguments that do not change the weights, or name a place of this machine.
PLACES = ("state", "out", "checkpoint", "checkpoint_every", "suffix")
ASSETS = Path(benchkit.__file__).parent / "assets" / "detectors"


def world(state: Path, count: int, checkpoint: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Images (count, 128, 128, 3) and part maps (count, 128, 128), uint8: made once, then read from `state`."""
    from benchkit_plugins.datasets.portraits.splits import VERSION

    backend: Any = None
    suffix = "rendered"
    if checkpoint:
        from benchkit.diffusion.backend import DiffusionBackend

        backend = DiffusionBackend.load(checkpoint)
        suffix = f"autoencoded-{backend.identity[:12]}"
    paths = [state / f"parts-v{VERSION}-{count}-{what}.npy" for what in (suffix, "maps")]
    if not all(path.exists() for path in paths):
        images, maps = rendered(count)
        if checkpoint:
            images = autoencoded(backend, images)
        state.mkdir(parents=True, exist_ok=True)
        for path, array in zip(paths, (images, maps), strict=True):
            aside = path.with_suffix(".writing.npy")
            np.save(aside, array)
            aside.replace(path)
    return np.load(paths[0]), np.load(paths[1])


def rendered(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `count` scenes of the split and of its continuation, painted, with their part maps."""
    import cv2

    from benchkit_plugins.datasets.portraits import splits
    from benchkit_plugins.datasets.portraits.draw import render
    from benchkit_plugins.datasets.portraits.splits import scene_at

    splits.SPLITS["parts"] = None  # without an end; no dataset shows the scenes beyond it

    cv2.setNumThreads(1)
    pairs = [render(scene_at("parts", index)) for index in range(count)]
    return np.stack([pair.image for pair in pairs]), np.stack([pair.parts for pair in pairs])


def autoencoded(backend: Any, images: np.ndarray, batch: int = 16) -> np.ndarray:
    """uint8 images after one pass through the checkpoint's autoencoder, as every image of the benchmark has had."""
    out = np.empty_like(images)
    for start in range(0, len(images), batch):
        decoded = backend.autoencode(to_input(images[start : start + batch], torch.device("cpu")))
        out[start : start + batch] = (decoded * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return out


def part_ious(predicted: np.ndarray, truth: np.ndarray, parts: tuple[str, ...]) -> dict[str, float]:
    """Intersection over union of every part, pooled over all images, in percent."""
    both = [((predicted == k) & (truth == k)).sum() for k in range(len(parts))]
    either = [((predicted == k) | (truth == k)).sum() for k in range(len(parts))]
    return {part: round(100 * float(both[k] / max(1, either[k])), 2) for k, part in enumerate(parts)}


class Clock:
    """Process seconds over all resumed runs, kept in a file, and a line of progress now and then."""

    def __init__(self, path: Path, resumed: bool) -> None:
        self.path, self.began = path, time.process_time()
        self.before = float(path.read_text()) if resumed and path.exists() else 0.0

    @property
    def seconds(self) -> float:
        return self.before + time.process_time() - self.began

    def __call__(self, done: int, total: int, losses: dict[str, float]) -> None:
        if done % 50 == 0 or done == total:
            self.path.write_text(f"{self.seconds:.1f}")
            print(f"{done}/{total} loss {losses['loss']:.4f} {self.seconds:.0f} CPU-s", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detector", choices=sorted(DETECTORS), required=True)
    parser.add_argument("--state", type=Path, required=True, help="folder for the checkpoint and the rendered images")
    parser.add_argument("--out", type=Path, default=ASSETS, help="folder the weights and the card go to")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--held-out", type=int, default=200, help="how many of the images only measure")
    parser.add_argument("--autoencode", action="store_true", help="pass images once through the embedded autoencoder")
    parser.add_argument("--checkpoint", default="portraits", help="whose autoencoder that is: a name or a folder")
    parser.add_argument("--iterations", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--crop", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--warmup", type=int, default=100)
    parser.add_argument("--checkpoint-every", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--suffix", default="", help="of the names of the weights and the card")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    """Render, train, measure on the held-out images, write the asset and its card."""
    args = arguments()
    torch.set_num_threads(args.threads)
    from benchkit_plugins.datasets.portraits.records import PARTS

    images, maps = world(args.state, args.images, args.checkpoint if args.autoencode else None)
    kept = len(images) - args.held_out
    config = TrainingConfig(
        iterations=args.iterations,
        batch=args.batch,
        lr=args.lr,
        schedule="linear-warmup-poly",
        warmup=args.warmup,
        crop=args.crop or None,
        clip_norm=1.0,
        checkpoint_every=args.checkpoint_every,
    )
    torch.manual_seed(args.seed)
    network = DETECTORS[args.detector](size="mini", pretrained="none").network(len(PARTS))
    checkpoint = args.state / f"{args.detector}.safetensors"
    clock = Clock(args.state / f"{args.detector}.seconds", resumed=checkpoint.exists())
    history = train(
        network,
        images[:kept],
        maps[:kept],
        config,
        args.seed,
        num_classes=len(PARTS),
        checkpoint=checkpoint,
        progress=clock,
    )
    ious = part_ious(predict_classes(network, images[kept:]), maps[kept:], PARTS)
    target = args.out / f"{args.detector}-mini{args.suffix}.safetensors"
    save_network(network.segmentor, target, half=True)
    card = {
        "detector": args.detector,
        "task": f"part segmentation of portraits: {', '.join(PARTS)}",
        "recipe": "recipes/pretrain_parts.py",
        "settings": {k: v for k, v in vars(args).items() if k not in PLACES},
        "parameters": sum(p.numel() for p in network.parameters()),
        "cpu_seconds": round(clock.seconds, 1),
        "last_losses_mean": round(float(np.mean([h["main"] for h in history[-50:]])), 4),
        "held_out_mean_iou_percent": round(float(np.mean(list(ious.values()))), 2),
        "held_out_iou_percent": ious,
        "torch": torch.__version__,
    }
    target.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n")
    print(json.dumps(card, indent=2))


if __name__ == "__main__":
    main()
