"""Writes docs/gallery.md: every corruptor and selector, what it says of itself, and its preview.

python docs/gallery.py              # the page and the pictures, through `benchkit plugins preview` (minutes)
python docs/gallery.py NAME...      # the page, and these plugins' pictures only
"""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

from PIL import Image

from benchkit.plugin.registry import Entry, Registry

FOLDER = Path(__file__).parent
TARGET = FOLDER / "gallery.md"
KINDS = ("corruptor", "selector")
WITHOUT = {
    "annotated": "The marks of the dataset itself: see [its sheets](portraits.md)",
    "learned": "A learned selector shows what its detector learned: see the gallery of any run's page",
}
"""Plugins that cannot be previewed, and what stands in the picture's place."""
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
"""The parameter that a preview varies; a plugin that is not listed is shown with its defaults."""
HEAD = """# Gallery

Written by `python docs/gallery.py`: what each plugin says of itself, and its preview (`benchkit plugins preview NAME`)
on clean images of `portraits` through the embedded checkpoint. Corruptors work in a box in the middle.
"""


def entries(registry: Registry) -> list[Entry]:
    """The built-in plugins of the page, in its order."""
    return [entry for kind in KINDS for entry in sorted(registry.entries(kind), key=lambda e: e.name)]


def page(found: list[Entry]) -> str:
    """The whole page."""
    parts = [HEAD]
    for kind in KINDS:
        parts.append(f"## {kind.capitalize()}s\n")
        for entry in found:
            if entry.kind == kind:
                parts += [
                    f"### {entry.name}\n",
                    inspect.cleandoc(entry.cls.__doc__ or "") + "\n",
                    picture(entry) + "\n",
                ]
    return "\n".join(parts)


def picture(entry: Entry) -> str:
    """The preview's link, or why there is none."""
    return WITHOUT.get(entry.name) or f"![{entry.name}](images/preview-{entry.name}.png)"


def draw(entry: Entry) -> None:
    """One preview, in 256 colours."""
    path = FOLDER / "images" / f"preview-{entry.name}.png"
    command = [
        "benchkit",
        "plugins",
        "preview",
        entry.name,
        "--kind",
        entry.kind,
        "--images",
        "3",
        "--force",
        "--out",
        str(path),
    ]
    varied = SHOWN.get(entry.name)
    subprocess.run([*command, *(["--set", varied] if varied else [])], check=True)
    with Image.open(path) as sheet:
        sheet.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def main() -> None:
    """Draw what is asked for, then write the page."""
    found = entries(Registry.load())
    wanted = sys.argv[1:]
    for entry in found:
        if entry.name not in WITHOUT and (not wanted or entry.name in wanted):
            draw(entry)
    TARGET.write_text(page(found))


if __name__ == "__main__":
    main()
