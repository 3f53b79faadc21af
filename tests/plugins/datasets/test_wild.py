"""Wild artifacts: edits that change what they say and nothing else, and annotators who mark what is visible."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchkit.readers.votes import compute_majority
from benchkit_plugins.datasets.portraits.annotators import annotate, miss_probability, paint_over
from benchkit_plugins.datasets.portraits.artifact import Artifact, discs_mask
from benchkit_plugins.datasets.portraits.draw import render
from benchkit_plugins.datasets.portraits.labels import artifact_mask, label_images
from benchkit_plugins.datasets.portraits.masks import colour_distance, find_changed_region
from benchkit_plugins.datasets.portraits.records import Scene
from benchkit_plugins.datasets.portraits.splits import generator, scene_at
from benchkit_plugins.datasets.portraits.wild import KINDS, MARRED_SPLITS, apply, artifacts_at, place, sample_artifact

Image = NDArray[np.uint8]


def blur(images: Image) -> Image:
    """A stand-in for the autoencoder."""
    return np.stack([cv2.GaussianBlur(image, (0, 0), 1.0) for image in images])


@lru_cache(maxsize=1)
def examples() -> dict[str, list[tuple[Scene, Artifact]]]:
    """A few scenes and a gross artifact of every kind."""
    found: dict[str, list[tuple[Scene, Artifact]]] = {kind: [] for kind in KINDS}
    for k in range(24):
        scene, rng = scene_at("train", 400 + k), np.random.default_rng(k)
        for kind, cases in found.items():
            artifact = sample_artifact(scene, kind, 0.9, rng) if len(cases) < 6 else None
            if artifact is not None:
                cases.append((scene, artifact))
    return found


def mask_of(scene: Scene, artifact: Artifact) -> NDArray[np.bool_]:
    clean, edited = blur(np.stack([render(scene).image, render(apply(scene, (artifact,))).image]))
    return artifact_mask(scene, artifact, clean, edited)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_changes_its_place_only(kind: str) -> None:
    cases = examples()[kind]
    assert len(cases) == 6
    visible = 0
    for scene, artifact in cases:
        before, after = render(scene).image, render(apply(scene, (artifact,))).image
        changed = colour_distance(before, after) > 9
        near = cv2.dilate(discs_mask(place(scene, artifact)).astype(np.uint8), np.ones((9, 9))) > 0
        if kind == "finger_missing":
            # Its place is the knuckle: what lies beyond belongs to the finger that is gone.
            near = cv2.dilate(near.astype(np.uint8), np.ones((31, 31))) > 0
        visible += int(changed.sum() > 10)
        assert (changed & ~near).sum() <= 12
    assert visible >= 4


@pytest.mark.parametrize("kind", KINDS)
def test_masks_grow_with_severity_on_average(kind: str) -> None:
    areas = []
    for severity in (0.1, 1.0):
        masks = [mask_of(scene, replace(artifact, severity=severity)) for scene, artifact in examples()[kind][:5]]
        areas.append(float(np.mean([mask.mean() for mask in masks])))
    assert areas[0] < areas[1]
    assert 0.003 < areas[1] < 0.15


def test_applying_is_pure_and_order_free() -> None:
    index = next(k for k in range(1, 40) if len(artifacts_at("wild", k)) == 3)
    scene, artifacts = scene_at("wild", index), artifacts_at("wild", index)
    assert artifacts == artifacts_at("wild", index)
    edited = apply(scene, artifacts)
    assert edited == apply(scene, artifacts[::-1]) != scene
    assert render(edited).image.tobytes() == render(edited).image.tobytes()
    assert scene == scene_at("wild", index)
    assert apply(scene, ()) == scene


def test_artifacts_of_an_image_differ_in_kind_and_claim_different_things() -> None:
    for k in range(1, 30):
        artifacts = artifacts_at("wild", k)
        assert len({a.kind for a in artifacts}) == len(artifacts) <= 3
        assert all(0 <= a.severity <= 1 for a in artifacts)
        hands = [a.target[0] for a in artifacts if "finger" in a.kind or a.kind == "hand_melted"]
        assert len(set(hands)) == len(hands)


def test_one_fifth_is_clean_where_there_are_artifacts_and_all_elsewhere() -> None:
    for split in MARRED_SPLITS:
        empty = [not artifacts_at(split, k) for k in range(11)]
        assert empty == [k % 5 == 0 for k in range(11)]
    for split in ("clean", "parts", "train", "heldout"):
        assert all(artifacts_at(split, k) == () for k in range(5))


def test_what_does_not_differ_is_not_marked() -> None:
    image = render(scene_at("train", 0)).image
    assert not find_changed_region(image, image).any()
    faint = np.clip(image.astype(int) + 2, 0, 255).astype(np.uint8)
    assert not find_changed_region(image, faint).any()
    with pytest.raises(ValueError):
        find_changed_region(image, image[:64])


def test_marked_region_holds_the_change_and_drops_specks() -> None:
    grey = np.full((64, 64, 3), 120, np.uint8)
    edited = grey.copy()
    edited[20:30, 20:40] = 220
    edited[50, 50] = 160
    mask = find_changed_region(grey, edited, grow=2)
    assert mask[20:30, 20:40].all()
    assert not mask[44:56, 44:56].any()
    assert mask.sum() < 16 * 26
    within = np.zeros((64, 64), np.bool_)
    within[:, :30] = True
    assert not find_changed_region(grey, edited, within=within)[:, 34:].any()


def test_majority_by_hand() -> None:
    votes = np.array([[0, 1], [2, 3]], np.uint8)
    assert compute_majority(votes).tolist() == [[False, False], [True, True]]
    assert compute_majority(votes, needed=3).tolist() == [[False, False], [False, True]]
    assert compute_majority(votes, needed=1).tolist() == [[False, True], [True, True]]


@pytest.mark.parametrize(("votes", "needed"), [([4], 2), ([-1], 2), ([0.5], 2), ([1], 0), ([1], 4)])
def test_majority_refuses_what_is_no_vote(votes: list[float], needed: int) -> None:
    with pytest.raises(ValueError):
        compute_majority(np.array(votes), needed=needed)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_votes_are_counts_near_the_mask(seed: int, severity: float) -> None:
    mask = np.zeros((128, 128), np.bool_)
    mask[40:70, 50:80] = True
    votes = annotate([mask], [severity], np.random.default_rng(seed), (128, 128))
    assert votes.dtype == np.uint8 and votes.max() <= 3
    assert not votes[:25].any() and not votes[:, 100:].any()
    assert annotate([], [], np.random.default_rng(seed), (8, 8)).sum() == 0


def test_annotators_overlook_faint_artifacts_more_often() -> None:
    assert miss_probability(0.0) > 0.4 > 0.1 > miss_probability(1.0) > 0
    mask = np.zeros((64, 64), np.bool_)
    mask[20:40, 20:40] = True
    seen = {
        severity: np.mean(
            [annotate([mask], [severity], np.random.default_rng(k), (64, 64))[30, 30] for k in range(150)]
        )
        for severity in (0.05, 0.95)
    }
    assert seen[0.05] < 2.2 < 2.7 < seen[0.95]
    sizes = [paint_over(mask, 0.5, np.random.default_rng(k)).sum() for k in range(60)]
    assert min(sizes) < 400 < max(sizes)


def test_labels_are_deterministic_and_independent_of_the_batch() -> None:
    calls: list[int] = []

    def counted(images: Image) -> Image:
        calls.append(len(images))
        return blur(images)

    batch = label_images("test", [3, 5, 6, 7], counted)
    assert len(calls) == 1
    alone = label_images("test", [6], blur)[0]
    assert alone.image.tobytes() == batch[2].image.tobytes()
    assert np.array_equal(alone.votes, batch[2].votes) and np.array_equal(alone.label, batch[2].label)
    clean = batch[1]
    assert clean.artifacts == () and not clean.votes.any() and not clean.label.any()
    assert np.array_equal(clean.image, render(scene_at("test", 5)).image)
    for item in batch:
        assert item.votes.max() <= 3 and np.array_equal(item.label, compute_majority(item.votes))
        assert all(marked.mask.any() for marked in item.artifacts)


def test_what_the_autoencoder_hides_is_left_out() -> None:
    item = label_images("test", [6], lambda images: np.full_like(images, 128))[0]
    assert artifacts_at("test", 6) and item.artifacts == ()
    assert np.array_equal(item.image, render(scene_at("test", 6)).image)
    with pytest.raises(ValueError):
        label_images("test", [6], lambda images: images[:, ::2])


def test_artifacts_cover_a_few_percent() -> None:
    items = [item for item in label_images("pool", range(1, 29), blur) if item.artifacts]
    cover = np.mean([np.any([marked.mask for marked in item.artifacts], axis=0).mean() for item in items])
    assert 0.02 < cover < 0.07
    assert generator("pool", 1).random() != generator("pool", 1, "artifacts").random()
