"""Label images: find the artifacts that are visible after the autoencoder, and let three annotators paint them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchkit.readers.votes import compute_majority
from benchkit_plugins.datasets.portraits.annotators import ANNOTATORS, annotate
from benchkit_plugins.datasets.portraits.artifact import Artifact, discs_mask
from benchkit_plugins.datasets.portraits.draw import render
from benchkit_plugins.datasets.portraits.masks import Mask, find_changed_region
from benchkit_plugins.datasets.portraits.records import SIZE, Scene
from benchkit_plugins.datasets.portraits.splits import generator, scene_at
from benchkit_plugins.datasets.portraits.wild import apply, artifacts_at, brush_radius, place

Autoencode = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""Images uint8 (N, H, W, 3) -> the same images after one pass through the autoencoder."""


@dataclass(frozen=True)
class VisibleArtifact:
    """A visible artifact with its exact region, bool (128, 128)."""

    artifact: Artifact
    mask: Mask


@dataclass(frozen=True)
class Labelled:
    """An image before the autoencoder, uint8 (128, 128, 3), its visible artifacts, votes 0 .. 3, majority label."""

    split: str
    index: int
    image: NDArray[np.uint8]
    artifacts: tuple[VisibleArtifact, ...]
    votes: NDArray[np.uint8]
    label: Mask


def label_images(split: str, indices: Sequence[int], autoencode: Autoencode) -> list[Labelled]:
    """Label images in one batch: `autoencode` is called once (and not at all if no image has artifacts).

    An artifact that is not visible after the autoencoder is dropped from the image. Raises KeyError or IndexError
    for images that do not exist, ValueError if `autoencode` changes shape or type.
    """
    scenes = [scene_at(split, index) for index in indices]
    planned = [artifacts_at(split, index) for index in indices]
    visible = _find_visible(scenes, planned, autoencode)
    return [label_image(split, index, kept) for index, kept in zip(indices, visible, strict=True)]


def _find_visible(
    scenes: Sequence[Scene], planned: Sequence[tuple[Artifact, ...]], autoencode: Autoencode
) -> list[tuple[VisibleArtifact, ...]]:
    """Return the artifacts of each scene that are visible by themselves, with their regions."""
    images: list[NDArray[np.uint8]] = []
    pairs: list[tuple[int, Artifact, int, int]] = []
    for k, (scene, artifacts) in enumerate(zip(scenes, planned, strict=True)):
        if not artifacts:
            continue
        base = len(images)
        images.append(render(scene).image)
        for artifact in artifacts:
            pairs.append((k, artifact, base, len(images)))
            images.append(render(apply(scene, (artifact,))).image)
    kept: list[list[VisibleArtifact]] = [[] for _ in scenes]
    if images:
        batch = np.stack(images)
        decoded = autoencode(batch)
        if decoded.shape != batch.shape or decoded.dtype != batch.dtype:
            raise ValueError(f"autoencode returned {decoded.dtype} {decoded.shape}, not {batch.dtype} {batch.shape}")
        for k, artifact, clean, edited in pairs:
            mask = artifact_mask(scenes[k], artifact, decoded[clean], decoded[edited])
            if mask.any():
                kept[k].append(VisibleArtifact(artifact, mask))
    return [tuple(found) for found in kept]


def artifact_mask(scene: Scene, artifact: Artifact, clean: NDArray[np.uint8], edited: NDArray[np.uint8]) -> Mask:
    """Return the exact region of one artifact from two autoencoded images, within the place of its kind."""
    within = discs_mask(place(scene, artifact))
    return find_changed_region(clean, edited, close=brush_radius(artifact.kind), within=within)


def label_image(split: str, index: int, kept: tuple[VisibleArtifact, ...]) -> Labelled:
    """Render an image with its visible artifacts, let the annotators paint them, and return image and label."""
    image = render(apply(scene_at(split, index), tuple(m.artifact for m in kept))).image
    votes = annotate(
        [m.mask for m in kept],
        [m.artifact.severity for m in kept],
        generator(split, index, "votes"),
        (SIZE, SIZE),
    )
    return Labelled(split, index, image, kept, votes, compute_majority(votes, ANNOTATORS))
