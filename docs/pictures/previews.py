"""Draw the preview of every plugin that has one: docs/images/preview-*.png, which the plugin pages show.

python docs/pictures/previews.py              # every picture (minutes)
python docs/pictures/previews.py NAME...      # the pictures of these plugins
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))

from plugin_pages import UNSEEN, built_in, picture_name  # noqa: E402

#: Iterations of a detector's training before it is drawn.
ITERATIONS = 300
#: The parameter that a preview varies; a plugin that is not listed is shown with its defaults.
SHOWN = {
    "none": "steps=10|20",
    "renoise-masked": "steps=5|10|20",
    "gaussian": "steps=0|10|20",
    "rotation": "extent=image|component",
    "blur": "sigma=0.03|0.0625|0.125",
    "downscale": "factor=2|4|8",
    "attention-perturbation": "map=identity|blur",
    "blended-latent": "steps=10|20|30",
    "cutpaste": "variant=patch|scar",
    "elastic-latent": "strength=0.05|0.1|0.2",
    "jpeg-block": "quality=4|8|16",
    "mode-interpolation": "weight=0.25|0.5|1",
    "perlin-texture": "coverage=0.25|0.5|1",
    "pixel-blur": "sigma=0.015|0.03|0.06",
    "poisson-patch": "gradients=normal|mixed",
    "prompt-swap": "guidance=1|3|6",
    "random-boxes": "boxes=1|2|4",
    "grid": "cells=4|8",
    "parts": "names=hand|face|sign",
}


def commands() -> Iterator[tuple[str, str, list[str]]]:
    """Yield kind and name of every plugin that has a picture, and what draws it beside `plugins preview`."""
    for kind in ("corruptor", "selector"):
        for entry in built_in(kind):
            varied = ["--set", SHOWN[entry.name]] if entry.name in SHOWN else []
            yield kind, entry.name, [entry.name, "--kind", kind, *varied]
    for entry in built_in("inverter"):
        yield (
            "inverter",
            entry.name,
            ["none", "--kind", "corruptor", "--inverter", entry.name, "--set", "steps=10|20|50"],
        )


def draw_detector(name: str) -> None:
    """Train a detector on 100 labelled images, and draw what it predicts for test images."""
    import cv2
    import numpy as np

    import benchkit

    portraits, model = benchkit.load_dataset("portraits"), benchkit.load_model("portraits", device="cpu")
    labelled, test = (portraits[split][:count].autoencoded(model) for split, count in (("pool", 100), ("test", 6)))
    detector = benchkit.train(name, labelled, iterations=ITERATIONS, device="cpu")
    shown = []
    for image, mask in zip(test.images, test.masks, strict=True):
        outline, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        shown.append(cv2.drawContours(image.copy(), outline, -1, (0, 255, 80), 1))
    heats = [np.repeat((255 * heat).round().astype(np.uint8)[..., None], 3, axis=-1) for heat in detector(test)]
    sheet = np.concatenate([np.concatenate(shown, axis=1), np.concatenate(heats, axis=1)])
    save(Image.fromarray(sheet), ROOT / "docs" / "images" / picture_name("detector", name))


def save(sheet: Image.Image, path: Path) -> None:
    """Write a picture in 256 colours."""
    sheet.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def draw(kind: str, name: str, arguments: list[str]) -> None:
    """Draw one preview by `benchkit plugins preview`."""
    path = ROOT / "docs" / "images" / picture_name(kind, name)
    program = [sys.executable, "-m", "benchkit.cli.main", "plugins", "preview"]
    subprocess.run([*program, *arguments, "--images", "3", "--force", "--out", str(path)], check=True)
    with Image.open(path) as sheet:
        sheet.load()
    save(sheet, path)


def main() -> None:
    """Draw what is asked for."""
    wanted = sys.argv[1:]
    for kind, name, arguments in commands():
        if f"{kind} {name}" not in UNSEEN and (not wanted or name in wanted):
            draw(kind, name, arguments)
    for entry in built_in("detector"):
        if f"detector {entry.name}" not in UNSEEN and (not wanted or entry.name in wanted):
            draw_detector(entry.name)


if __name__ == "__main__":
    main()
