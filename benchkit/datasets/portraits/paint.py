"""Paint ids: what a canvas holds, which part each belongs to, and its colour in a scene."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchkit.datasets.portraits.palette import luma, mix
from benchkit.datasets.portraits.records import (
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
    P_BACKGROUND, P_HAIR_BACK, P_HAIR, P_HAIR_LINE, P_HAIR_LIGHT, P_BEARD, P_FACE, P_FACE_LINE, P_FACE_SHADE, P_FACE_LIGHT,
    P_NECK, P_EAR_SHADE, P_BROW, P_WHITE, P_EYE_LINE, P_PUPIL, P_GLINT, P_GLASSES, P_MOUTH_IN, P_TEETH, P_TONGUE,
    P_HAND, P_HAND_LINE, P_HAND_CREASE, P_NAIL, P_CLOTHES, P_CLOTHES_LINE, P_TRIM, P_SLEEVE, P_HAT, P_HAT_BAND, P_HAT_LINE,
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


def colours(scene: Scene) -> NDArray[np.uint8]:
    """The scene's colour of every paint id, uint8 (256, 3)."""
    skin, cloth, hair = scene.face.skin, scene.clothes.colour, scene.hair.colour
    black: Colour = (20, 16, 18)
    warm: Colour = (110, 40, 30)
    # Dark skin needs a darker line, or its fingers run together.
    line = mix(mix(skin, warm, 0.3), black, 0.42 if luma(skin) > 110 else 0.66)
    white: Colour = (255, 255, 255)
    light_hair = luma(hair) > 60
    table = np.zeros((256, 3), np.uint8)
    for paint, colour in {
        P_BACKGROUND: scene.background.colour,
        P_HAIR_BACK: mix(hair, black, 0.3),
        P_HAIR: hair,
        P_HAIR_LINE: mix(hair, black, 0.38) if light_hair else mix(hair, white, 0.18),
        P_HAIR_LIGHT: mix(hair, white, 0.2),
        P_BEARD: mix(hair, skin, 0.16),
        P_FACE: skin,
        P_FACE_LINE: mix(mix(skin, warm, 0.25), black, 0.3),
        P_FACE_SHADE: mix(mix(skin, warm, 0.24), black, 0.14),
        P_FACE_LIGHT: mix(skin, white, 0.22),
        P_NECK: mix(mix(skin, warm, 0.12), black, 0.1),
        P_EAR_SHADE: mix(mix(skin, warm, 0.3), black, 0.12),
        P_BROW: mix(mix(hair, black, 0.3), skin, 0.12),
        P_WHITE: (244, 244, 242),
        P_EYE_LINE: mix(skin, black, 0.76),
        P_PUPIL: (16, 14, 18),
        P_GLINT: white,
        P_GLASSES: scene.face.glasses.colour if scene.face.glasses else black,
        P_MOUTH_IN: (86, 26, 32),
        P_TEETH: (246, 244, 236),
        P_TONGUE: (196, 92, 98),
        P_HAND: skin,
        P_HAND_LINE: line,
        P_HAND_CREASE: mix(mix(skin, warm, 0.26), black, 0.16),
        P_NAIL: mix(mix(skin, white, 0.42), (240, 150, 150), 0.2),
        P_CLOTHES: cloth,
        P_SLEEVE: cloth,
        P_CLOTHES_LINE: mix(cloth, black, 0.42) if luma(cloth) > 70 else mix(cloth, white, 0.22),
        P_TRIM: scene.clothes.trim,
        P_SIGN: scene.sign.colour,
        P_SIGN_BORDER: scene.sign.border,
        P_INK: scene.sign.ink,
    }.items():
        table[paint] = colour
    if scene.hat is not None:
        table[[P_HAT, P_HAT_BAND, P_HAT_LINE]] = (scene.hat.colour, scene.hat.band, mix(scene.hat.colour, black, 0.4))
    for k, eye in enumerate(scene.face.eyes):
        table[P_IRIS + k] = eye.iris
    for k, mouth in enumerate(scene.face.mouths):
        table[P_LIP + k], table[P_LIP_DARK + k] = mouth.colour, mix(mouth.colour, black, 0.45)
    return table
