"""Contact sheets of the embedded checkpoint: rows of pictures with words, for the documentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIDE, LINE, MARGIN = 128, 13, 3


def sheet(path: Path, rows: list[tuple[str, np.ndarray]]) -> None:
    """Write a PNG: each row a heading and images uint8 (n, 128, 128, 3) side by side."""
    columns = max(len(images) for _, images in rows)
    height = SIDE + LINE + MARGIN
    picture = Image.new("RGB", (columns * (SIDE + MARGIN) + MARGIN, len(rows) * height + MARGIN), "white")
    draw = ImageDraw.Draw(picture)
    for r, (heading, images) in enumerate(rows):
        draw.text((MARGIN, r * height + 1), heading, fill="black")
        for c, image in enumerate(images):
            picture.paste(Image.fromarray(image), (MARGIN + c * (SIDE + MARGIN), r * height + LINE + MARGIN))
    save(path, picture)


def captioned(path: Path, images: np.ndarray, words: list[str], columns: int = 8) -> None:
    """Write a PNG: a grid of images, each under a word or two of its own."""
    height, width = SIDE + LINE + MARGIN, SIDE + MARGIN
    picture = Image.new("RGB", (columns * width + MARGIN, -(-len(images) // columns) * height + MARGIN), "white")
    draw = ImageDraw.Draw(picture)
    for i, (image, word) in enumerate(zip(images, words, strict=True)):
        x, y = MARGIN + i % columns * width, i // columns * height
        draw.text((x, y + 1), word, fill="black")
        picture.paste(Image.fromarray(image), (x, y + LINE + MARGIN))
    save(path, picture)


def save(path: Path, picture: Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, optimize=True)
