"""`portraits-fresh`: the images of `portraits`, and fresh ones that only a secret determines."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchkit.api import BenchkitError, Dataset, ImageFacts, Sample, hookimpl, param
from benchkit.readers.season import SEASON, digest_season, read_season
from benchkit_plugins.datasets.portraits.dataset import Portraits

#: image index, purpose -> its random generator.
Generators = Callable[[int, str], np.random.Generator]


@dataclass(frozen=True)
class FreshPortraits(Portraits):
    """The dataset `portraits`, which can also draw fresh test images for a season of the leaderboard.

    Fresh images are made and annotated as those of the split `test`. With the parameter `season` they are the split
    `season`; all other splits are those of `portraits`, pixel by pixel. It is a plugin of its own, because every
    result on `portraits` depends on the source code of `portraits`.
    """

    name = "portraits-fresh"
    season: str | None = param(None, doc="the file of a season's images, as `benchkit leaderboard season reveal` wrote")

    def splits(self) -> Mapping[str, int]:
        return {**super().splits(), **({SEASON: len(read_season(self.season))} if self.season else {})}

    def read(self, split: str, indices: Sequence[int]) -> list[Sample]:
        if split != SEASON or self.season is None:
            return super().read(split, indices)
        return [_at(read_season(self.season), index) for index in indices]

    def inspect(self, split: str, indices: Sequence[int]) -> list[ImageFacts]:
        if split != SEASON or self.season is None:
            return super().inspect(split, indices)
        samples = [_at(read_season(self.season), index) for index in indices]
        return [ImageFacts(one.id, one.image.shape[:2], labelled=True, captioned=True) for one in samples]

    def draw_fresh(self, secret: str, indices: Sequence[int], autoencode: Callable[[Any], Any]) -> list[Sample]:
        root = np.frombuffer(hashlib.sha256(secret.encode()).digest(), np.uint32).tolist()

        def generator(index: int, purpose: str) -> np.random.Generator:
            word = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "big")
            return np.random.default_rng(np.random.SeedSequence([*root, word, index]))

        return draw_images(indices, generator, autoencode)

    def fingerprint(self) -> str:
        own = super().fingerprint()
        return own if self.season is None else hashlib.sha256(f"{own}{digest_season(self.season)}".encode()).hexdigest()


def draw_images(indices: Sequence[int], generator: Generators, autoencode: Callable[[Any], Any]) -> list[Sample]:
    """Return images as those of the split `test` are made; every fifth has no artifact.

    An artifact that is not visible after the autoencoder is dropped from its image. Then three annotators paint it.
    """
    from benchkit.readers.votes import compute_majority
    from benchkit_plugins.datasets.portraits.annotators import ANNOTATORS, annotate
    from benchkit_plugins.datasets.portraits.caption import caption
    from benchkit_plugins.datasets.portraits.draw import render
    from benchkit_plugins.datasets.portraits.labels import _find_visible
    from benchkit_plugins.datasets.portraits.records import SIZE
    from benchkit_plugins.datasets.portraits.scene import sample_scene
    from benchkit_plugins.datasets.portraits.wild import apply, sample_artifacts

    scenes = [sample_scene(generator(index, "scene")) for index in indices]
    planned = [
        sample_artifacts(scene, generator(index, "artifacts")) if index % 5 else ()
        for index, scene in zip(indices, scenes, strict=True)
    ]
    samples = []
    for index, scene, kept in zip(indices, scenes, _find_visible(scenes, planned, autoencode), strict=True):
        masks = [one.mask for one in kept]
        severities = [one.artifact.severity for one in kept]
        votes = annotate(masks, severities, generator(index, "votes"), (SIZE, SIZE))
        kinds: dict[str, np.ndarray] = {}
        for one in kept:
            kind = one.artifact.kind
            kinds[kind] = kinds[kind] | one.mask if kind in kinds else one.mask
        image = render(apply(scene, tuple(one.artifact for one in kept))).image
        label = compute_majority(votes, ANNOTATORS)
        samples.append(Sample(f"{SEASON}-{index:05d}", image, label, caption(scene), kinds))
    return samples


def _at(samples: Sequence[Sample], index: int) -> Sample:
    if not 0 <= index < len(samples):
        raise BenchkitError(f"split '{SEASON}' has {len(samples)} images: there is no number {index}")
    return samples[index]


@hookimpl
def benchkit_datasets() -> list[type[Dataset]]:
    return [FreshPortraits]
