"""Paint ids: what a canvas holds, which part each belongs to, and its colour in a scene."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchkit_plugins.datasets.portraits.palette import luma, mix
from benchkit_plugins.datasets.portraits.records import (
    BACKGROUND,
    CLOTHES,
    EYES_MOUTH,
    FACE,
    HAIR,
    HAND,
    SIGN,
    Colour,
    Scene,
)

(
    P_BACKGROUND, P_HAIR_BACK, P_HAIR, P_HAIR_LINE, P_HAIR_LIGHT, P_BEARD,
    P_FACE, P_FACE_LINE, P_FACE_SHADE, P_FACE_LIGHT, P_NECK, P_EAR_SHADE, P_BROW,
    P_WHITE, P_EYE_LINE, P_PUPIL, P_GLINT, P_GLASSES, P_MOUTH_IN, P_TEETH, P_TONGUE,
    P_HAND, P_HAND_LINE, P_HAND_CREASE, P_NAIL,
    P_CLOTHES, P_CLOTHES_LINE, P_TRIM, P_SLEEVE, P_HAT, P_HAT_BAND, P_HAT_LINE,
    P_SIGN, P_SIGN_BORDER, P_INK,
) = range(35)  # fmt: skip
P_IRIS = 40
"""First of eight ids, one per eye, so that every eye can have its own colour."""
P_LIP, P_LIP_DARK = 50, 58
"""First of eight ids each, one per mouth."""

_PART: dict[int, tuple[int, ...]] = {
    HAIR: (P_HAIR_BACK, P_HAIR, P_HAIR_LINE, P_HAIR_LIGHT, P_BEARD),
    FACE: (P_FACE, P_FACE_LINE, P_FACE_SHADE, P_FACE_LIGHT, P_NECK, P_EAR_SHADE, P_BROW),
    EYES_MOUTH: (
        P_WHITE, P_EYE_LINE, P_PUPIL, P_GLINT, P_GLASSES, P_MOUTH_IN, P_TEETH, P_TONGUE,
        *range(P_IRIS, P_IRIS + 8), *range(P_LIP, P_LIP + 16),
    ),
    HAND: (P_HAND, P_HAND_LINE, P_HAND_CREASE, P_NAIL),
    CLOTHES: (P_CLOTHES, P_CLOTHES_LINE, P_TRIM, P_SLEEVE, P_HAT, P_HAT_BAND, P_HAT_LINE),
    SIGN: (P_SIGN, P_SIGN_BORDER, P_INK),
}  # fmt: skip

PART_OF: NDArray[np.uint8] = np.full(256, BACKGROUND, np.uint8)
"""Paint id to part."""
for _part, _paints in _PART.items():
    PART_OF[list(_paints)] = _part


_BLACK: Colour = (20, 16, 18)
_WHITE: Colour = (255, 255, 255)
_WARM: Colour = (110, 40, 30)


def colours(scene: Scene) -> NDArray[np.uint8]:
    """The scene's colour of every paint id, uint8 (256, 3)."""
    table = np.zeros((256, 3), np.uint8)
    for paint, colour in (_skin(scene) | _hair(scene) | _cloth_and_sign(scene)).items():
        table[paint] = colour
    for k, eye in enumerate(scene.face.eyes):
        table[P_IRIS + k % 8] = eye.iris
    for k, mouth in enumerate(scene.face.mouths):
        table[P_LIP + k % 8], table[P_LIP_DARK + k % 8] = mouth.colour, mix(mouth.colour, _BLACK, 0.45)
    return table


def _skin(scene: Scene) -> dict[int, Colour]:
    """Face, features and hands."""
    skin = scene.face.skin
    return {
        P_FACE: skin,
        P_FACE_LINE: mix(mix(skin, _WARM, 0.25), _BLACK, 0.3),
        P_FACE_SHADE: mix(mix(skin, _WARM, 0.24), _BLACK, 0.14),
        P_FACE_LIGHT: mix(skin, _WHITE, 0.22),
        P_NECK: mix(mix(skin, _WARM, 0.12), _BLACK, 0.1),
        P_EAR_SHADE: mix(mix(skin, _WARM, 0.3), _BLACK, 0.12),
        P_WHITE: (244, 244, 242),
        P_EYE_LINE: mix(skin, _BLACK, 0.76),
        P_PUPIL: (16, 14, 18),
        P_GLINT: _WHITE,
        P_MOUTH_IN: (86, 26, 32),
        P_TEETH: (246, 244, 236),
        P_TONGUE: (196, 92, 98),
        P_HAND: skin,
        # Dark skin needs a darker line, or its fingers run together.
        P_HAND_LINE: mix(mix(skin, _WARM, 0.3), _BLACK, 0.42 if luma(skin) > 110 else 0.66),
        P_HAND_CREASE: mix(mix(skin, _WARM, 0.26), _BLACK, 0.16),
        P_NAIL: mix(mix(skin, _WHITE, 0.42), (240, 150, 150), 0.2),
    }


def _hair(scene: Scene) -> dict[int, Colour]:
    """Hair, beard and brows; the lines in dark hair are lighter than it."""
    hair, skin = scene.hair.colour, scene.face.skin
    return {
        P_HAIR_BACK: mix(hair, _BLACK, 0.3),
        P_HAIR: hair,
        P_HAIR_LINE: mix(hair, _BLACK, 0.38) if luma(hair) > 60 else mix(hair, _WHITE, 0.18),
        P_HAIR_LIGHT: mix(hair, _WHITE, 0.2),
        P_BEARD: mix(hair, skin, 0.16),
        P_BROW: mix(mix(hair, _BLACK, 0.3), skin, 0.12),
    }


def _cloth_and_sign(scene: Scene) -> dict[int, Colour]:
    """All that is not grown."""
    cloth, hat = scene.clothes.colour, scene.hat
    table = {
        P_BACKGROUND: scene.background.colour,
        P_GLASSES: scene.face.glasses.colour if scene.face.glasses else _BLACK,
        P_CLOTHES: cloth,
        P_SLEEVE: cloth,
        P_CLOTHES_LINE: mix(cloth, _BLACK, 0.42) if luma(cloth) > 70 else mix(cloth, _WHITE, 0.22),
        P_TRIM: scene.clothes.trim,
        P_SIGN: scene.sign.colour,
        P_SIGN_BORDER: scene.sign.border,
        P_INK: scene.sign.ink,
    }
    if hat is not None:
        table |= {P_HAT: hat.colour, P_HAT_BAND: hat.band, P_HAT_LINE: mix(hat.colour, _BLACK, 0.4)}
    return table
