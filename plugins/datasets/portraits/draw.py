"""Renders a scene: shapes as paint ids at four times the size, light and soft textures at the image's own."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from benchkit_plugins.datasets.portraits import paint as P
from benchkit_plugins.datasets.portraits.board import draw_sign
from benchkit_plugins.datasets.portraits.body import draw_body, draw_neck
from benchkit_plugins.datasets.portraits.face import draw_features, draw_glasses, draw_head
from benchkit_plugins.datasets.portraits.geometry import Canvas
from benchkit_plugins.datasets.portraits.hair import draw_hair_back, draw_hair_front, draw_hat
from benchkit_plugins.datasets.portraits.hands import draw_arm, draw_hand
from benchkit_plugins.datasets.portraits.melt import melt
from benchkit_plugins.datasets.portraits.records import PARTS, SIZE, Scene
from benchkit_plugins.datasets.portraits.texture import Plane, X, Y, noise, pattern_field, relief, strands


@dataclass(frozen=True)
class Rendering:
    """An image uint8 (128, 128, 3) RGB and its part map uint8 (128, 128) with values that index `PARTS`."""

    image: NDArray[np.uint8]
    parts: NDArray[np.uint8]


def render(scene: Scene) -> Rendering:
    """Paint the scene; pure: equal scenes give equal bytes."""
    canvas = _paint(scene)
    flat = cv2.LUT(cv2.merge([canvas.ids] * 3), P.colours(scene)[:, None, :].transpose(1, 0, 2))
    image = cv2.resize(flat, (SIZE, SIZE), interpolation=cv2.INTER_AREA).astype(np.float32)
    part_ids = cv2.LUT(canvas.ids, P.PART_OF)
    cover = [_coverage(part_ids, k) for k in range(1, len(PARTS))]
    cover.insert(0, np.clip(1 - sum(cover), 0, 1))
    parts = _largest(cover)
    _texture(image, scene, canvas.ids, cover)
    _light(image, scene, canvas.ids, cover)
    if scene.merges or scene.warps:
        image, parts = melt(image, parts, cover, scene)
    return Rendering(np.clip(np.rint(image), 0, 255).astype(np.uint8), parts)


def _paint(scene: Scene) -> Canvas:
    """All shapes, from back to front."""
    canvas = Canvas()
    draw_body(canvas, scene.clothes, scene.face)
    for arm in scene.idle_arms:
        draw_arm(canvas, arm, bare=False)
    draw_hair_back(canvas, scene.face, scene.hair)
    draw_neck(canvas, scene.clothes, scene.face)
    draw_head(canvas, scene.face)
    draw_features(canvas, scene.face)
    draw_hair_front(canvas, scene.face, scene.hair, covered=scene.hat is not None)
    draw_glasses(canvas, scene.face)
    if scene.hat is not None:
        draw_hat(canvas, scene.face, scene.hat)
    for hand in scene.hands:
        draw_arm(canvas, hand.arm, bare=True)
    for hand in scene.hands:
        if hand.behind_sign:
            draw_hand(canvas, hand)
    draw_sign(canvas, scene.sign)
    for hand in scene.hands:
        if not hand.behind_sign:
            draw_hand(canvas, hand)
    return canvas


def _coverage(ids: NDArray[np.uint8], *wanted: int) -> Plane:
    """Share of every pixel that the wanted ids cover, 0 .. 1."""
    plane = cv2.compare(ids, wanted[0], cv2.CMP_EQ)
    for one in wanted[1:]:
        plane |= cv2.compare(ids, one, cv2.CMP_EQ)
    return cv2.resize(plane, (SIZE, SIZE), interpolation=cv2.INTER_AREA).astype(np.float32) * np.float32(1 / 255)


def _largest(cover: list[Plane]) -> NDArray[np.uint8]:
    """The index of the largest plane at every pixel, the first of equals; several times as fast as argmax."""
    most, index = cover[0].copy(), np.zeros(cover[0].shape, np.uint8)
    for k, plane in enumerate(cover[1:], 1):
        np.copyto(index, np.uint8(k), where=plane > most)
        np.maximum(most, plane, out=most)
    return index


def _texture(image: Plane, scene: Scene, ids: NDArray[np.uint8], cover: list[Plane]) -> None:
    """Add the soft patterns of background, cloth and hair, in place."""
    for pattern, base, where in (
        (scene.background.pattern, scene.background.colour, cover[0]),
        (scene.clothes.pattern, scene.clothes.colour, _coverage(ids, P.P_CLOTHES, P.P_SLEEVE)),
    ):
        shift = np.subtract(pattern.second, base, dtype=np.float32)
        image += (where * pattern_field(pattern))[:, :, None] * shift
    hair = scene.hair
    field = strands(hair.period, hair.seed, hair.style == "curly", (scene.face.x, scene.face.y - scene.face.height / 2))
    image += (_coverage(ids, P.P_HAIR, P.P_HAIR_BACK, P.P_HAIR_LIGHT, P.P_BEARD) * field * 13)[:, :, None]
    if scene.hat is not None:
        image += (_coverage(ids, P.P_HAT) * np.sin(X * 0.8) * 5)[:, :, None]
    image += (_coverage(ids, P.P_SIGN) * noise(hair.seed + 7, 6) * 5)[:, :, None]
    _blush(image, scene, cover)


def _blush(image: Plane, scene: Scene, cover: list[Plane]) -> None:
    """Warm cheeks, in place."""
    face = scene.face
    for side in (-1, 1):
        x, y = face.x + side * face.width * 0.28, face.y + face.height * 0.14
        spot = np.exp(-((X - x) ** 2 + (Y - y) ** 2) / 40) * cover[2] * face.blush
        image += spot[:, :, None] * np.array([14, -16, -12], np.float32)


def _light(image: Plane, scene: Scene, ids: NDArray[np.uint8], cover: list[Plane]) -> None:
    """Shade every part from the light's side, drop soft shadows, and tint the whole, in place."""
    light = scene.light
    shade = np.zeros((SIZE, SIZE), np.float32)
    head = cover[2] + cover[3]
    for plane, sigma, amount in (
        (head, 6.0, 0.34),
        (cover[1], 3.5, 0.22),
        (cover[5], 4.5, 0.26),
        (cover[4], 2.2, 0.26),
    ):
        shade += plane * relief(plane, light.angle, sigma) * amount
    dx, dy = -np.cos(np.radians(light.angle)) * 3.0, -np.sin(np.radians(light.angle)) * 2.0 + 1.0
    move = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    body = cover[5] + _coverage(ids, P.P_NECK)
    for caster, receiver, amount in (
        (_coverage(ids, P.P_FACE, P.P_FACE_LINE, P.P_BEARD), body, 0.26),
        (cover[6], body, 0.22),
        (cover[4], np.clip(1 - cover[4] - cover[0], 0, 1), 0.24),
        (np.clip(1 - cover[0], 0, 1), cover[0], 0.13),
    ):
        shadow = cv2.GaussianBlur(cv2.warpAffine(caster, move, (SIZE, SIZE)), (0, 0), 2.4)
        shade -= shadow * receiver * amount
    # The light falls off across the picture, and its colour leans warm or cold.
    a = np.radians(light.angle)
    shade += ((X - 64) * np.cos(a) + (Y - 64) * np.sin(a)) * (0.0012 * light.strength)
    image *= (1 + shade * light.strength)[:, :, None]
    image *= np.array([1 + 0.035 * light.warmth, 1.0, 1 - 0.035 * light.warmth], np.float32)
