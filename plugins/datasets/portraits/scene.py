"""Sampling of painted people: every random choice of the world is made here, once, and frozen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchkit_plugins.datasets.portraits.hand_sampling import sample_hands
from benchkit_plugins.datasets.portraits.letters import ALPHABET, letter_width
from benchkit_plugins.datasets.portraits.palette import (
    BOARDS,
    COLOURS,
    HAIR_COLOURS,
    HAIR_WEIGHTS,
    INKS,
    IRISES,
    SKINS,
    jitter,
    luma,
    mix,
)
from benchkit_plugins.datasets.portraits.records import (
    Background,
    Beard,
    Brow,
    Clothes,
    Colour,
    Eye,
    Face,
    Font,
    Glasses,
    Glyph,
    Hair,
    Hat,
    Light,
    Mouth,
    Nose,
    Pattern,
    Scene,
    Sign,
)

EXPRESSIONS = ("smiling", "laughing", "serious", "sad", "surprised", "winking")
HAIR_STYLES = {
    "woman": (("long", "bob", "bun", "ponytail", "braids", "curly", "short"), (0.28, 0.2, 0.12, 0.1, 0.1, 0.14, 0.06)),
    "man": (("short", "spiky", "curly", "bald", "bob", "long", "bun"), (0.42, 0.16, 0.16, 0.1, 0.06, 0.06, 0.04)),
}


def sample_scene(rng: np.random.Generator) -> Scene:
    """Draw one person with face, hands, clothes, sign and background; consumes only `rng`."""
    person = str(rng.choice(("woman", "man")))
    expression = str(rng.choice(EXPRESSIONS, p=(0.26, 0.18, 0.22, 0.1, 0.1, 0.14)))
    hand_count = int(rng.choice((1, 2), p=(0.27, 0.73)))
    hair = _hair(rng, person)
    face = _face(rng, person, expression, hand_count)
    clothes = _clothes(rng, face)
    sign = _sign(rng, face)
    hands, idle = sample_hands(rng, face, clothes, sign, hand_count)
    return Scene(
        person=person,
        expression=expression,
        background=_background(rng),
        light=Light(float(rng.uniform(-170, -10)), float(rng.uniform(0.5, 1.0)), float(rng.uniform(-1, 1))),
        face=face,
        hair=hair,
        hat=_hat(rng, hair),
        clothes=clothes,
        hands=hands,
        idle_arms=idle,
        sign=sign,
    )


def _face(rng: np.random.Generator, person: str, expression: str, hand_count: int) -> Face:
    width, ratio = float(rng.uniform(42, 51)), float(rng.uniform(1.14, 1.28))
    height = min(width * ratio, 61.0)
    reach = 8.0 if hand_count == 2 else 17.0
    skin = jitter(rng, SKINS[int(rng.integers(len(SKINS)))], 8)
    glasses = None
    if rng.random() < 0.27:
        frame = mix(COLOURS[str(rng.choice(("black", "brown", "red", "blue", "purple")))], (0, 0, 0), 0.35)
        glasses = Glasses(str(rng.choice(("round", "square"))), width * 0.17, float(rng.uniform(1.3, 2.0)), frame)
    beard = None
    if person == "man" and rng.random() < 0.42:
        beard = Beard(str(rng.choice(("moustache", "goatee", "full"))), float(rng.uniform(2.0, 6.0)))
    return Face(
        x=float(64 + rng.uniform(-reach, reach)),
        y=float(rng.uniform(9.0, 15.0) + height / 2),
        width=width,
        height=height,
        jaw=float(rng.uniform(0.1, 0.75) * (1.0 if person == "woman" else 0.75)),
        tilt=float(np.clip(rng.normal(0, 6.5), -15, 15)),
        skin=skin,
        eyes=_eyes(rng, width, height, expression),
        brows=_brows(rng, width, height, expression, person),
        noses=(_nose(rng, width, height),),
        mouths=(_mouth(rng, width, height, expression, person, skin),),
        ear=float(rng.uniform(10, 14)),
        blush=float(rng.uniform(0, 0.5)),
        glasses=glasses,
        beard=beard,
    )


def _eyes(rng: np.random.Generator, width: float, height: float, expression: str) -> tuple[Eye, ...]:
    gap, y = width * float(rng.uniform(0.2, 0.225)), height * float(rng.uniform(-0.075, -0.03))
    size = width * float(rng.uniform(0.185, 0.235))
    openness = {"surprised": 1.0, "laughing": 0.62}.get(expression, float(rng.uniform(0.68, 0.92)))
    iris = jitter(rng, IRISES[int(rng.integers(len(IRISES)))], 10)
    gaze = (float(rng.uniform(-0.8, 0.8)), float(rng.uniform(-0.4, 0.4)))
    tilt = float(rng.uniform(-4, 8))
    wink = int(rng.integers(2)) if expression == "winking" else -1
    return tuple(
        Eye(side * gap, y, size, 0.0 if k == wink else openness, iris, gaze, -side * tilt)
        for k, side in enumerate((-1, 1))
    )


def _brows(rng: np.random.Generator, width: float, height: float, expression: str, person: str) -> tuple[Brow, ...]:
    lift = {"surprised": 3.0, "laughing": 1.0}.get(expression, float(rng.uniform(-0.8, 0.8)))
    slope = {"sad": -2.6, "serious": float(rng.uniform(0, 2.0))}.get(expression, float(rng.uniform(-1.2, 0.4)))
    thick = float(rng.uniform(1.4, 2.0) if person == "woman" else rng.uniform(1.9, 2.8))
    y, arch = -height * 0.05 - 8.0 - lift, float(rng.uniform(0.6, 2.0))
    return tuple(Brow(side * width * 0.215, y, width * 0.24, thick, slope, arch) for side in (-1, 1))


def _nose(rng: np.random.Generator, width: float, height: float) -> Nose:
    return Nose(
        0.0,
        height * float(rng.uniform(0.12, 0.16)),
        width * float(rng.uniform(0.17, 0.23)),
        height * float(rng.uniform(0.18, 0.24)),
        int(rng.integers(3)),
    )


def _mouth(rng: np.random.Generator, width: float, height: float, expression: str, person: str, skin: Colour) -> Mouth:
    shape = {  # curve, openness, width share, chance of teeth
        "smiling": (float(rng.uniform(2.0, 3.4)), 0.0, 0.38, 0.0),
        "laughing": (float(rng.uniform(1.6, 2.8)), float(rng.uniform(5.0, 7.5)), 0.4, 0.85),
        "serious": (float(rng.uniform(-0.4, 0.4)), 0.0, 0.34, 0.0),
        "sad": (float(rng.uniform(-3.2, -2.0)), 0.0, 0.32, 0.0),
        "surprised": (0.0, float(rng.uniform(6.0, 9.0)), 0.2, 0.0),
        "winking": (float(rng.uniform(1.2, 2.8)), float(rng.choice((0.0, 4.6))), 0.36, 0.7),
    }[expression]
    curve, openness, share, teeth = shape
    lip = mix(skin, jitter(rng, (196, 40, 62), 20), float(rng.uniform(0.5, 0.85) if person == "woman" else 0.34))
    fullness = float(rng.uniform(2.8, 4.0) if person == "woman" else rng.uniform(2.0, 3.0))
    y = height * float(rng.uniform(0.275, 0.3))
    return Mouth(0.0, y, width * share, curve, openness, fullness, bool(rng.random() < teeth), lip)


def _hair(rng: np.random.Generator, person: str) -> Hair:
    styles, weights = HAIR_STYLES[person]
    name = str(rng.choice(list(HAIR_COLOURS), p=HAIR_WEIGHTS))
    style = str(rng.choice(styles, p=weights))
    fringe = "none" if style in ("spiky", "bald") else str(rng.choice(("none", "straight", "side", "centre")))
    return Hair(
        style=style,
        colour_name=name,
        colour=jitter(rng, HAIR_COLOURS[name], 14),
        volume=float(rng.uniform(2.0, 5.5)),
        length=float(rng.uniform(0.25, 0.85)),
        fringe=fringe,
        parting=float(rng.uniform(-0.5, 0.5)),
        period=float(rng.uniform(7.5, 11.0)),
        seed=int(rng.integers(2**31)),
    )


def _hat(rng: np.random.Generator, hair: Hair) -> Hat | None:
    if hair.style in ("spiky", "bun") or rng.random() > 0.2:
        return None
    name = str(rng.choice(list(COLOURS)))
    colour = jitter(rng, COLOURS[name], 14)
    band = mix(colour, (0, 0, 0) if luma(colour) > 110 else (255, 255, 255), 0.3)
    return Hat(str(rng.choice(("beanie", "cap", "brim"))), name, colour, band)


def _contrast(rng: np.random.Generator, colour: Colour, amount: float) -> Colour:
    """A second colour for a pattern: another hue, brightness moved by about `amount`, so that it is soft but seen."""
    other = mix(colour, jitter(rng, COLOURS[str(rng.choice(list(COLOURS)))], 20), 0.5)
    sign = -1.0 if luma(colour) > 140 or (luma(colour) > 90 and rng.random() < 0.5) else 1.0
    shift = sign * amount + luma(colour) - luma(other)
    r, g, b = np.clip(np.asarray(other) + shift, 0, 255).astype(int).tolist()
    return r, g, b


def _clothes(rng: np.random.Generator, face: Face) -> Clothes:
    name = str(rng.choice(list(COLOURS)))
    colour = jitter(rng, COLOURS[name], 16)
    kind = str(rng.choice(("plain", "striped", "dotted", "checked"), p=(0.34, 0.26, 0.2, 0.2)))
    pattern = Pattern(
        kind=kind,
        second=_contrast(rng, colour, float(rng.uniform(30, 48))),
        period=float(rng.uniform(8, 14)),
        angle=float(rng.choice((0.0, 90.0, 90.0, 45.0, -45.0)) + rng.uniform(-6, 6)),
        strength=float(rng.uniform(0.7, 1.0)),
        seed=int(rng.integers(2**31)),
    )
    return Clothes(
        garment=str(rng.choice(("shirt", "sweater", "dress", "jacket"))),
        neckline=str(rng.choice(("round", "v", "collar", "high"))),
        colour_name=name,
        colour=colour,
        trim=mix(colour, (0, 0, 0) if luma(colour) > 100 else (255, 255, 255), 0.28),
        pattern=pattern,
        shoulder_y=face.y + face.height / 2 + float(rng.uniform(7.0, 10.0)),
        shoulder_width=float(rng.uniform(76, 94)),
    )


def _sign(rng: np.random.Generator, face: Face) -> Sign:
    colour = jitter(rng, BOARDS[int(rng.integers(len(BOARDS)))], 10)
    ink = jitter(rng, INKS[int(rng.integers(len(INKS)))], 8)
    if luma(colour) < 135:
        ink = jitter(rng, (248, 244, 232), 6)
    elif luma(colour) < 185:
        ink = jitter(rng, (40, 26, 22), 6)
    letter = float(rng.uniform(15.0, 18.5))
    height = letter + float(rng.uniform(9.0, 12.5))
    lowest = 125.0 - height / 2
    font = Font(
        stroke=float(rng.uniform(2.7, 3.7)) / letter,
        slant=float(rng.choice((0.0, 0.0, rng.uniform(0.1, 0.24)))),
        width=float(rng.uniform(0.9, 1.08)),
        squareness=float(rng.choice((2.0, 2.0, 2.6, 4.0))),
        serif=float(rng.choice((0.0, 0.0, 0.24))),
    )
    letters = rng.choice(list(ALPHABET), 3)
    glyphs = tuple(Glyph(str(c), dy=float(rng.uniform(-0.03, 0.03))) for c in letters)
    border = float(rng.uniform(1.2, 2.2))
    font, needed = _fitted(font, glyphs, letter, 72.0 - 2 * border)
    return Sign(
        x=float(64 + rng.uniform(-6, 6)),
        y=float(rng.uniform(max(97.0, face.y + face.height / 2 + 8 + height / 2), lowest)),
        width=max(float(rng.uniform(57, 69)), needed + 2 * border),
        height=height,
        angle=float(rng.normal(0, 3.2)),
        corner=float(rng.uniform(1.5, 6)),
        colour=colour,
        ink=ink,
        border=mix(colour, ink, float(rng.uniform(0.4, 0.9))),
        border_width=border,
        letter_height=letter,
        font=font,
        glyphs=glyphs,
    )


def _fitted(font: Font, glyphs: tuple[Glyph, ...], letter: float, room: float) -> tuple[Font, float]:
    """The font, narrowed if three letters with air between them need more than `room` pixels, and what they need."""
    air = 10.0 + 3 * font.stroke * letter + (2.5 * font.serif * letter if font.serif else 0.0)
    inked = letter * sum(letter_width(g.letter, font) for g in glyphs)
    squeeze = min(1.0, (room - air) / inked)
    return replace(font, width=font.width * squeeze), inked * squeeze + air


def _background(rng: np.random.Generator) -> Background:
    name = str(rng.choice(list(COLOURS)))
    colour = jitter(rng, mix(COLOURS[name], (190, 190, 190), 0.3), 14)
    kind = str(rng.choice(("gradient", "striped", "blobs", "tiled", "cloudy", "plain")))
    amount = 54.0 if kind in ("gradient", "cloudy", "blobs") else 22.0
    pattern = Pattern(
        kind=kind,
        second=_contrast(rng, colour, float(rng.uniform(0.6, 1.2) * amount)),
        period=float(rng.uniform(11, 24)),
        angle=float(rng.uniform(0, 180) if kind == "gradient" else rng.choice((0.0, 90.0, 45.0, -45.0))),
        strength=float(rng.uniform(0.7, 1.0)),
        seed=int(rng.integers(2**31)),
    )
    return Background(name, colour, pattern)
