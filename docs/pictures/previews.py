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


def draw(kind: str, name: str, arguments: list[str]) -> None:
    """Draw one preview, in 256 colours."""
    path = ROOT / "docs" / "images" / picture_name(kind, name)
    program = [sys.executable, "-m", "benchkit.cli.main", "plugins", "preview"]
    subprocess.run([*program, *arguments, "--images", "3", "--force", "--out", str(path)], check=True)
    with Image.open(path) as sheet:
        sheet.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def main() -> None:
    """Draw what is asked for."""
    wanted = sys.argv[1:]
    for kind, name, arguments in commands():
        if f"{kind} {name}" not in UNSEEN and (not wanted or name in wanted):
            draw(kind, name, arguments)


if __name__ == "__main__":
    main()
