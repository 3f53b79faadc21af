"""The gallery's pictures: every image once, as a data: URI without loss; masks as outlines that stay sharp."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from benchkit.report.format_values import one_line
from benchkit.report.run_data import Example

#: Larger images are shown reduced to this many pixels on their longer side, or the page would weigh too much.
LONGEST_SIDE = 320
#: How many times a change is multiplied to be seen, and how many examples of a method are shown.
GAIN = 4
SHOWN = 4


@dataclass(frozen=True)
class Panel:
    """One picture: the id of its image among the page's, its size in pixels, the mask's outline."""

    title: str
    image: str
    width: int
    height: int
    outline: str
    scale: str


@dataclass(frozen=True)
class Strip:
    """One example: before, after, and what changed."""

    id: str
    area: float
    panels: tuple[Panel, ...]


@dataclass
class Pictures:
    """The page's images, each stored once however often it is shown; id -> (data: URI, width, height)."""

    images: dict[str, tuple[str, int, int]] = field(default_factory=dict)

    def strips(self, examples: Iterable[Example]) -> list[Strip]:
        """Return a method's examples, at most SHOWN; the change is the mean over R, G and B, times GAIN."""
        return [self._strip(example) for example in list(examples)[:SHOWN]]

    def _strip(self, example: Example) -> Strip:
        before, after = (np.asarray(image, np.uint8) for image in (example.before, example.after))
        change = np.abs(after.astype(np.int16) - before.astype(np.int16)).mean(axis=-1) * GAIN
        shown = {"before": before, "after": after, f"change ×{GAIN}": np.clip(change, 0, 255).astype(np.uint8)}
        line, (height, width) = outline(example.mask), before.shape[:2]
        scale = f"scale({width / example.mask.shape[1]:g} {height / example.mask.shape[0]:g})"
        panels = tuple(Panel(title, self._put(a), width, height, line, scale) for title, a in shown.items())
        return Strip(one_line(example.id), float(np.mean(example.mask)), panels)

    def _put(self, image: np.ndarray) -> str:
        digest = hashlib.sha256(image.tobytes() + str(image.shape).encode()).hexdigest()
        name = f"image-{digest[:16]}"
        if name not in self.images:
            self.images[name] = (data_uri(_encoded(image), "image/webp"), image.shape[1], image.shape[0])
        return name


def galleries(
    gallery: Mapping[str, tuple[Example, ...]], order: Iterable[str]
) -> tuple[dict[str, list[Strip]], Pictures]:
    """Return cell key -> its strips, cells in the given order first; and the images they show."""
    pictures = Pictures()
    names = [*(name for name in dict.fromkeys(order) if name in gallery), *gallery]
    return {name: pictures.strips(gallery[name]) for name in dict.fromkeys(names)}, pictures


def data_uri(data: bytes, media_type: str) -> str:
    """Return bytes as a data: URI."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"


def outline(mask: np.ndarray) -> str:
    """Return the edges between selected pixels and others as SVG path data, in pixels of the mask (H, W) bool."""
    padded = np.pad(np.asarray(mask, bool), 1)
    rows = padded[1:, 1:-1] ^ padded[:-1, 1:-1]
    columns = (padded[1:-1, 1:] ^ padded[1:-1, :-1]).T
    across = [f"M{x} {y}h{length}" for y, x, length in _segments(rows)]
    down = [f"M{x} {y}v{length}" for x, y, length in _segments(columns)]
    return "".join([*across, *down])


def _segments(edges: np.ndarray) -> list[tuple[int, int, int]]:
    """Return the runs of True along the last axis: (line, start, length)."""
    steps = np.diff(np.pad(edges, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    starts, ends = np.argwhere(steps == 1), np.argwhere(steps == -1)
    return [(int(i), int(a), int(b - a)) for (i, a), (_, b) in zip(starts, ends, strict=True)]


def _encoded(image: np.ndarray) -> bytes:
    picture = Image.fromarray(image)
    if max(picture.size) > LONGEST_SIDE:
        picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    sink = io.BytesIO()
    picture.save(sink, "WEBP", lossless=True, exact=True)
    return sink.getvalue()
