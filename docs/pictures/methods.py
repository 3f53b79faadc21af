"""Draw docs/images/methods.png from a finished run of the preset `quick`: sources, regions, and every method.

benchkit compare quick --out runs/quick && python docs/pictures/methods.py
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchkit.config.grid import load_grid
from benchkit.plugin.registry import Registry
from benchkit.runs.run import RunLocations, collect_gallery, make_plan
from benchkit.stages.base import Env

OUT = Path(__file__).parents[1] / "images" / "methods.png"
LABEL, SCALE = 150, 1


def row(name: str, images: list[np.ndarray]) -> Image.Image:
    """One labelled strip of images."""
    strip = np.concatenate(images, axis=1)
    sheet = Image.new("RGB", (LABEL + strip.shape[1], strip.shape[0]), "white")
    sheet.paste(Image.fromarray(strip), (LABEL, 0))
    draw = ImageDraw.Draw(sheet)
    draw.multiline_text((6, 52), name.replace(":", "\n"), fill="black", font=ImageFont.load_default(13))
    return sheet


def outlined(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The image with the region's contour."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(image.copy(), contours, -1, (0, 255, 80), 1)


def main() -> None:
    """Read the finished stages; compute nothing."""
    registry = Registry.load()
    plan = make_plan(load_grid("quick"), registry)
    found = collect_gallery(plan, Env(registry, RunLocations().artifacts()))
    if not found:
        raise SystemExit("no finished run of `quick` in the cache: run `make compare` first")
    first = next(iter(found.values()))
    strips = [row("source and region", [outlined(e.before, e.mask) for e in first])]
    strips += [row(plan.names[key], [e.after for e in examples]) for key, examples in found.items()]
    sheet = Image.new("RGB", (strips[0].width, sum(s.height for s in strips)), "white")
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    OUT.parent.mkdir(parents=True, exist_ok=True)
    sheet.quantize(256).save(OUT, optimize=True)
    print(OUT.name)


if __name__ == "__main__":
    main()
