"""Choose the regions of a set of images (Sec. 3, region selection model)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchkit.api import RegionSelector, SelectionContext
from benchkit.specs.keys import LATER
from benchkit.specs.spec import Spec
from benchkit.stages.base import Env, Output, Stage, pack_arrays
from benchkit.stages.images import Images, check_ids, to_tensor, to_uint8
from benchkit.stages.threshold import matching_threshold
from benchkit.system.stack import MadeRows, Rows

if TYPE_CHECKING:
    from torch import Tensor

    from benchkit.stages.features import Features
    from benchkit.stages.train import Train


@dataclass(frozen=True)
class Select(Stage):
    """Masks for all images of a set. `train`: the detector that the selector required; its threshold, unless given,
    makes the mean selected area of this set equal the labelled prevalence. parts: what a composite selector's parts
    selected of the same images. features: of the images, where that detector's trunk is frozen."""

    images: tuple[Images, ...]
    selector: Spec
    identity: str
    train: Train | None
    seed: int
    parts: tuple[Select, ...] = ()
    features: tuple[Features, ...] = field(default=(), metadata=LATER)

    def run(self, env: Env) -> Output:
        check_ids(self.images, env)
        plugin = env.registry.make(self.selector, RegionSelector)  # type: ignore[type-abstract]
        network = cache(lambda: self.train and self.train.network(env))
        with env.store.workdir(self.key) as work:
            scored = self._scores(env, work)
            threshold = plugin.threshold() if self.train is not None else None
            if self.train is not None and threshold is None:
                threshold = matching_threshold(scored, env.meta(self.train)["prevalence"])
            packed_masks, area, empty = [], 0, 0
            for i in range(len(self.images)):  # packed at once, so that a bit and not a byte a pixel is kept
                score = self._score(env, i, scored[i], network) if scored else None
                masks = self._chunk(env, plugin, i, score, threshold)
                packed_masks.append(np.packbits(masks.reshape(len(masks), -1), axis=-1))
                area += int(masks.sum())
                empty += int((~masks.any(axis=(1, 2))).sum())
        bits = np.concatenate(packed_masks)
        shape = (len(bits), *masks.shape[1:])
        arrays_out = {"masks": bits, "shape": np.array(shape)}
        return pack_arrays(arrays_out, threshold=threshold, area=area / math.prod(shape), empty=empty)

    def _scores(self, env: Env, work: Path) -> list[np.ndarray]:
        """Return the trained detector's scores of each chunk, kept in `work` and not in memory; none without one."""
        if self.train is None:
            return []
        scorer = self.train.scorer(env, self.features)
        files = [work / f"scores-{i}.npy" for i in range(len(self.images))]
        for file, stage in zip(files, self.images, strict=True):
            np.save(file, scorer(stage))
        return [np.load(file, mmap_mode="r") for file in files]

    def _score(
        self, env: Env, index: int, scored: np.ndarray, network: Callable[[], Any]
    ) -> Callable[[Tensor], Tensor]:
        """Return the detector as the selector calls it; `scored`: what it says of the images of chunk `index`."""
        from benchkit.training import loop as training

        own = env.arrays(self.images[index])["images"]
        return score_function(own, scored, lambda images: training.predict(network(), images))

    def _chunk(
        self,
        env: Env,
        plugin: RegionSelector,
        index: int,
        score: Callable[[Tensor], Tensor] | None,
        threshold: float | None,
    ) -> np.ndarray:
        import torch

        from benchkit.diffusion.noise import ImageNoise

        stage = self.images[index]
        images = to_tensor(env.arrays(stage)["images"])
        start = index * len(self.images[0].source.indices)  # only the last chunk may be smaller
        rows = slice(start, start + len(images))
        at = SelectionContext(
            images=images,
            samples=stage.source.read(env),
            rng=ImageNoise(self.seed, env.meta(stage)["ids"]),
            score=score,
            threshold=threshold,
            parts=tuple(torch.from_numpy(part.masks(env, rows)) for part in self.parts),
        )
        return select_regions(plugin, at).numpy()

    def masks(self, env: Env, rows: slice = slice(None)) -> np.ndarray:
        """Return the finished selection, (N, H, W) bool; rows: only these images are unpacked."""
        arrays = env.arrays(self)
        _, height, width = (int(n) for n in arrays["shape"])
        bits = np.unpackbits(arrays["masks"][rows], axis=-1, count=height * width)
        return bits.reshape(-1, height, width).view(bool)

    def mask_rows(self, env: Env) -> Rows:
        """Return the finished selection, (N, H, W) bool, of which a mask is unpacked when it is asked for."""
        arrays = env.on_disk(self)
        count, height, width = (int(n) for n in arrays["shape"])

        def unpack(bits: np.ndarray) -> np.ndarray:
            return np.unpackbits(bits, count=height * width).reshape(height, width).view(bool)

        return MadeRows(unpack, arrays["masks"], shape=(count, height, width), dtype=np.bool_)

    def describe(self) -> str:
        return f"select {self.selector.name} ({sum(len(s.source.indices) for s in self.images)})"


def score_function(
    own: np.ndarray, scored: np.ndarray, predict: Callable[[np.ndarray], np.ndarray]
) -> Callable[[Tensor], Tensor]:
    """Return a detector as a selector calls it: images (N, 3, H, W) in [0, 1] -> probabilities (N, H, W).

    scored: the probabilities of the images `own` (N, H, W, 3) uint8; predict: gives those of any other images.
    """
    import torch

    def score(images: Tensor) -> Tensor:
        pixels = to_uint8(images)
        return torch.from_numpy(np.array(scored) if np.array_equal(pixels, own) else predict(pixels))

    return score


def select_regions(plugin: RegionSelector, at: SelectionContext) -> Tensor:
    """Return the regions that a selector chooses, (N, H, W) bool; raise PluginError if it breaks its contract."""
    import torch

    from benchkit.diffusion.checks import call, check_unchanged

    shown = replace(at, images=at.images.clone())
    like = torch.zeros((len(at.images), *at.images.shape[2:]), dtype=torch.bool)
    masks = call(plugin, partial(plugin.select, shown), like=like)
    check_unchanged(plugin, shown, at, ("images",))
    return masks
