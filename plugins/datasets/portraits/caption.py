"""Captions: what a scene shows, in plain lower-case words of a closed vocabulary."""

from __future__ import annotations

from benchkit_plugins.datasets.portraits.palette import COLOURS, HAIR_COLOURS
from benchkit_plugins.datasets.portraits.records import Hair, Scene

_HAIR = {
    "short": ("short",),
    "spiky": ("spiky",),
    "curly": ("curly",),
    "bob": ("straight",),
    "long": ("long",),
    "bun": ("tied",),
    "ponytail": ("tied",),
    "braids": ("braided",),
}
_WALLS = {
    "gradient": "",
    "plain": "",
    "striped": "striped",
    "blobs": "spotted",
    "tiled": "tiled",
    "cloudy": "cloudy",
}
_PATTERNS = {"plain": "", "striped": "striped", "dotted": "dotted", "checked": "checked"}
_EXPRESSIONS = ("smiling", "laughing", "serious", "sad", "surprised", "winking")

VOCABULARY: frozenset[str] = frozenset(
    [
        "a",
        "an",
        "with",
        "and",
        "wearing",
        "no",
        "hair",
        "glasses",
        "moustache",
        "goatee",
        "beard",
        "hat",
        "left",
        "right",
    ]
    + ["hand", "open", "fist", "pointing", "victory", "sign", "that", "says", "wall", ",", "woman", "man"]
    + ["shirt", "sweater", "dress", "jacket"]
    + [word for words in _HAIR.values() for word in words]
    + [word for word in (*_WALLS.values(), *_PATTERNS.values(), *_EXPRESSIONS) if word]
    + [*COLOURS, *HAIR_COLOURS]
    + list("abcdefghijklmnopqrstuvwxyz")
)
"""Every word a caption can hold; single letters are those of the sign."""


def caption(scene: Scene) -> str:
    """Describe a scene in at most about 40 words; left and right are the image's own."""
    clothes = scene.clothes
    worn = [_PATTERNS[clothes.pattern.kind], clothes.colour_name, clothes.garment]
    if scene.hat is not None:
        worn += ["and", "a", scene.hat.colour_name, "hat"]
    phrases = [
        ["a", scene.expression, scene.person, *_head(scene), "wearing", "a", *worn],
        *([hand.image_side, "hand", hand.pose] for hand in sorted(scene.hands, key=lambda hand: hand.image_side)),
        ["a", "sign", "that", "says", *(glyph.letter.lower() for glyph in scene.sign.glyphs)],
        [_WALLS[scene.background.pattern.kind], scene.background.colour_name, "wall"],
    ]
    # "a orange" reads badly to a text encoder that has seen English.
    words = [word for phrase in phrases for word in [*phrase, ","] if word][:-1]
    spelt = range(words.index("says") + 1, words.index("says") + 4)
    return " ".join(
        "an" if word == "a" and k not in spelt and words[k + 1] == "orange" else word for k, word in enumerate(words)
    )


def _head(scene: Scene) -> list[str]:
    """Hair, glasses and beard as words."""
    words = ["with", *_hair_words(scene.hair)]
    if scene.face.glasses is not None:
        words += ["and", "glasses"]
    if scene.face.beard is not None:
        words += ["and", "a", "beard" if scene.face.beard.style == "full" else scene.face.beard.style]
    return words


def _hair_words(hair: Hair) -> list[str]:
    if hair.style == "bald":
        return ["no", "hair"]
    return [*_HAIR[hair.style], hair.colour_name, "hair"]
