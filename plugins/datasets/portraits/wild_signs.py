"""Wrong letters: shapes between two letters, and letters with broken strokes."""

from __future__ import annotations

import math
from dataclasses import replace

from benchkit_plugins.datasets.portraits.artifact import Artifact, Disc, Kind, Target, lerp, random
from benchkit_plugins.datasets.portraits.board import glyph_centres, sign_frame
from benchkit_plugins.datasets.portraits.letters import ALPHABET, letter_strokes, letter_width
from benchkit_plugins.datasets.portraits.records import Break, Glyph, Scene

# Letters too close to each other to make a visible mixture, and mixtures that read as a third letter.
_ALIKE = {
    frozenset(pair)
    for pair in ("CG", "OQ", "OD", "OC", "UV", "EF", "PR", "VY", "BP", "BR", "MN", "OG", "QG", "IJ", "IT")
}


def _targets(scene: Scene) -> list[Target]:
    return [Target((k,), frozenset({f"glyph{k}"})) for k in range(len(scene.sign.glyphs))]


def _with_glyph(scene: Scene, index: int, glyph: Glyph) -> Scene:
    sign = scene.sign
    return replace(scene, sign=replace(sign, glyphs=(*sign.glyphs[:index], glyph, *sign.glyphs[index + 1 :])))


def _place(scene: Scene, artifact: Artifact) -> tuple[Disc, ...]:
    """The letter and a brush's width around it."""
    sign, k = scene.sign, artifact.target[0]
    x, y = sign_frame(sign).point(*glyph_centres(sign)[k])
    # The other letter of a mixture may be wider.
    half = sign.letter_height * max(letter_width(sign.glyphs[k].letter, sign.font), 0.9 * sign.font.width) / 2
    return ((x, y, math.hypot(half, sign.letter_height / 2) + 3.0),)


def _blend(scene: Scene, artifact: Artifact) -> Scene:
    glyph = scene.sign.glyphs[artifact.target[0]]
    others = [c for c in ALPHABET if c != glyph.letter and frozenset((c, glyph.letter)) not in _ALIKE and c != "I"]
    other = str(random(artifact).choice(others))
    return _with_glyph(
        scene, artifact.target[0], replace(glyph, blend=other, weight=lerp(0.16, 0.52, artifact.severity))
    )


def _break(scene: Scene, artifact: Artifact) -> Scene:
    sign, rng, s = scene.sign, random(artifact), artifact.severity
    glyph = sign.glyphs[artifact.target[0]]
    strokes = letter_strokes(glyph.letter, replace(sign.font, serif=0.0))
    breaks = []
    # Every stroke once, in random order: gross cases break up to three spans.
    for stroke in rng.permutation(len(strokes) * 2).tolist():
        half = 0.5 * (stroke % 2)
        start = half + float(rng.uniform(0.02, 0.12))
        stop = min(half + 0.5, start + lerp(0.22, 0.4, s))
        a, reach = float(rng.uniform(0, 2 * math.pi)), lerp(0.12, 0.34, s)
        erased = bool(rng.random() < 0.35)
        breaks.append(Break(stroke // 2, start, stop, math.cos(a) * reach, math.sin(a) * reach, erased))
    return _with_glyph(
        scene, artifact.target[0], replace(glyph, breaks=tuple(breaks[: 1 + int(s > 0.3) + int(s > 0.7)]))
    )


SIGN_KINDS = (
    Kind("glyph_blended", _targets, _blend, _place, 2.0),
    Kind("glyph_broken", _targets, _break, _place, 1.6),
)
"""Kinds that edit one letter of the sign."""
