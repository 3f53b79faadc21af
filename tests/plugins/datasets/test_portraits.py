"""The clean world: pure drawing, disjoint splits, sizes an eightfold autoencoder keeps, closed captions."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchkit_plugins.datasets.portraits.board import glyph_centres, glyph_lines
from benchkit_plugins.datasets.portraits.caption import VOCABULARY, caption
from benchkit_plugins.datasets.portraits.draw import render
from benchkit_plugins.datasets.portraits.geometry import Canvas, Frame
from benchkit_plugins.datasets.portraits.hand_sampling import finger_joints, hand_frame
from benchkit_plugins.datasets.portraits.letters import ALPHABET, letter_strokes
from benchkit_plugins.datasets.portraits.masks import colour_distance
from benchkit_plugins.datasets.portraits.records import FACE, HAND, PARTS, SIGN, SIZE, Eye, Font, Mouth, Nose, Scene
from benchkit_plugins.datasets.portraits.scene import sample_scene
from benchkit_plugins.datasets.portraits.splits import SPLITS, generator, labelled_indices, scene_at

SCENES = [scene_at("train", k) for k in range(60)]


def test_rendering_is_pure_and_well_formed() -> None:
    for scene in SCENES[:6]:
        first, second = render(scene), render(scene)
        assert first.image.shape == (SIZE, SIZE, 3) and first.image.dtype == np.uint8
        assert first.parts.shape == (SIZE, SIZE) and first.parts.dtype == np.uint8
        assert first.image.tobytes() == second.image.tobytes()
        assert first.parts.tobytes() == second.parts.tobytes()


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_equal_seeds_give_equal_scenes(seed: int) -> None:
    first, second = (sample_scene(np.random.default_rng(seed)) for _ in range(2))
    assert first == second and hash(first) == hash(second)
    assert first.merges == () and first.warps == ()


def test_every_person_has_all_parts() -> None:
    for scene in SCENES[:20]:
        counts = np.bincount(render(scene).parts.ravel(), minlength=len(PARTS))
        assert len(counts) == len(PARTS)
        assert counts[SIGN] > 800 and counts[FACE] > 500 and counts[HAND] > 150


def test_scenes_depend_on_split_and_index_only() -> None:
    assert scene_at("test", 7) == scene_at("test", 7)
    seen: set[Scene] = set()
    names = [(split, k) for split in SPLITS for k in range(12)]
    for split, k in names:
        seen.add(scene_at(split, k))
    assert len(seen) == len(names)
    assert generator("test", 0).random() != generator("test", 0, "votes").random()


@pytest.mark.parametrize(
    ("split", "index", "error"), [("nowhere", 0, KeyError), ("test", 500, IndexError), ("test", -1, IndexError)]
)
def test_images_that_do_not_exist_are_refused(split: str, index: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        scene_at(split, index)


def test_labelled_images_are_redrawn_by_seed() -> None:
    drawn = [labelled_indices(seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 100 and drawn[0] == sorted(drawn[0])
    assert all(0 <= index < 500 for index in drawn[0])
    with pytest.raises(ValueError):
        labelled_indices(0, 501)


def test_captions_are_plain_and_spell_the_sign() -> None:
    for scene in SCENES:
        words = caption(scene).split()
        assert set(words) <= VOCABULARY and len(words) <= 44
        at = words.index("says") + 1
        assert words[at : at + 3] == [glyph.letter.lower() for glyph in scene.sign.glyphs]
        assert words.count("hand") == len(scene.hands)


def test_sizes_survive_an_eightfold_autoencoder() -> None:
    for scene in SCENES:
        assert 42 <= scene.face.width <= 52
        assert all(eye.width >= 7 for eye in scene.face.eyes)
        assert scene.sign.letter_height >= 14 and 55 <= scene.sign.width <= 72
        assert scene.sign.font.stroke * scene.sign.letter_height >= 2.5
        for hand in scene.hands:
            assert len(hand.fingers) == 5
            assert all(finger.width >= 6 for finger in hand.fingers)
            assert 24 <= hand.palm_width <= 28


def test_letters_lie_on_the_board() -> None:
    for scene in SCENES:
        sign = scene.sign
        for glyph, centre in zip(sign.glyphs, glyph_centres(sign), strict=True):
            for line in glyph_lines(glyph, sign):
                points = np.abs(line * sign.letter_height + centre)
                assert points[:, 0].max() <= sign.width / 2 and points[:, 1].max() <= sign.height / 2


def test_features_lie_in_the_face() -> None:
    for scene in SCENES:
        face = scene.face
        features: tuple[Eye | Nose | Mouth, ...] = (*face.eyes, *face.noses, *face.mouths)
        for feature in features:
            assert (2 * feature.x / face.width) ** 2 + (2 * feature.y / face.height) ** 2 < 0.6


def test_hands_leave_most_eyes_and_letters_visible() -> None:
    hidden = 0
    for scene in SCENES[:30]:
        parts = render(scene).parts
        frame = Frame(scene.face.x, scene.face.y, scene.face.tilt)
        for eye in scene.face.eyes:
            x, y = frame.point(eye.x, eye.y)
            hidden += int(parts[round(y), round(x)] == HAND)
    assert hidden <= 1


def test_all_letters_differ() -> None:
    font = Font(stroke=0.18, slant=0.0, width=1.0, squareness=2.0, serif=0.0)
    pictures = {}
    for letter in ALPHABET:
        canvas = Canvas()
        for stroke in letter_strokes(letter, font):
            canvas.stroke(stroke * 60 + 64, 8, 1)
        pictures[letter] = cv2.resize(canvas.ids * 255, (32, 32), interpolation=cv2.INTER_AREA)
    for k, first in enumerate(ALPHABET):
        for second in ALPHABET[k + 1 :]:
            differing = (pictures[first].astype(int) - pictures[second] > 100).sum() + (
                pictures[second].astype(int) - pictures[first] > 100
            ).sum()
            assert differing >= 8, (first, second)


def test_fingers_of_an_open_hand_can_be_counted() -> None:
    """Along an arc through the stretched fingers, skin is interrupted between any two of them."""
    contrasts = []
    for scene in SCENES:
        for hand in scene.hands:
            if hand.pose != "open" or hand.behind_sign:
                continue
            frame, image = hand_frame(hand), render(scene).image
            middles = frame.apply([finger_joints(finger)[1] for finger in hand.fingers[:4]])
            if middles.min() < 4 or middles.max() > SIZE - 5:
                continue
            for a, b in pairwise(middles):
                line = np.linspace(a, b, 13)
                colours = np.array([image[int(y), int(x)] for x, y in line], np.uint8)[None]
                ends = np.repeat(colours[:, :1], 13, axis=1)
                contrasts.append(colour_distance(colours, ends).max())
    # Outlines are faintest on the darkest skin.
    assert len(contrasts) > 30 and min(contrasts) > 4 and np.median(contrasts) > 12
