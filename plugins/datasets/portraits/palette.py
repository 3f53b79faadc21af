"""Named colours of the world, each with the word its caption uses."""

from __future__ import annotations

import numpy as np

from benchkit_plugins.datasets.portraits.records import Colour

SKINS: tuple[Colour, ...] = (
    (250, 220, 196),
    (240, 200, 170),
    (228, 180, 146),
    (210, 158, 120),
    (186, 132, 96),
    (156, 104, 72),
    (128, 84, 60),
    (104, 70, 54),
)
HAIR_COLOURS: dict[str, Colour] = {
    "black": (38, 34, 38),
    "brown": (98, 62, 38),
    "blond": (222, 184, 104),
    "red": (176, 74, 34),
    "grey": (150, 150, 154),
    "white": (226, 224, 218),
    "blue": (64, 96, 172),
    "pink": (214, 116, 158),
}
HAIR_WEIGHTS = (0.24, 0.26, 0.17, 0.13, 0.08, 0.04, 0.04, 0.04)
COLOURS: dict[str, Colour] = {
    "red": (198, 58, 52),
    "orange": (226, 136, 56),
    "yellow": (232, 204, 84),
    "green": (82, 152, 84),
    "teal": (60, 146, 148),
    "blue": (66, 104, 186),
    "purple": (128, 84, 160),
    "pink": (222, 138, 170),
    "brown": (134, 94, 64),
    "grey": (136, 140, 146),
    "white": (228, 228, 224),
    "black": (54, 54, 62),
}
IRISES: tuple[Colour, ...] = ((74, 116, 178), (82, 134, 88), (98, 64, 40), (60, 44, 36), (110, 120, 130), (142, 98, 48))
BOARDS: tuple[Colour, ...] = (
    (246, 242, 230),
    (250, 236, 170),
    (214, 234, 246),
    (226, 244, 216),
    (250, 220, 220),
    (60, 74, 68),
    (52, 60, 96),
    (120, 46, 50),
    (196, 154, 108),
)
INKS: tuple[Colour, ...] = ((28, 28, 34), (150, 30, 34), (30, 58, 132), (24, 92, 56), (92, 36, 110))


def jitter(rng: np.random.Generator, colour: Colour, amount: float) -> Colour:
    """The colour moved by up to `amount` per channel, half of it in brightness; 0 .. 255."""
    shift = rng.uniform(-amount, amount) + rng.uniform(-amount / 2, amount / 2, 3)
    r, g, b = np.clip(np.asarray(colour) + shift, 0, 255).astype(int).tolist()
    return r, g, b


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """`first` with `share` (0 .. 1) of `second` in it."""
    r, g, b = (round(a + (c - a) * share) for a, c in zip(first, second, strict=True))
    return r, g, b


def luma(colour: Colour) -> float:
    """Perceived brightness, 0 .. 255."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
