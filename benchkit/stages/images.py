"""Read a dataset's samples, encode them to z_0, and bring them to a detector after one autoencoder pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from benchkit.api import BenchkitError, Dataset, Sample
from benchkit.plugin.samples import HEATMAP, read_samples
from benchkit.specs.training_sets import CHUNK, ImageSet
from benchkit.stages.base import UNKEYED, Arrays, Env, Model, Output, Stage, pack_arrays

if TYPE_CHECKING:
    from torch import Tensor

    from benchkit.diffusion.backend import DiffusionBackend


@dataclass(frozen=True)
class Source:
    """Which samples of which dataset; keyed by the dataset's fingerprint, never by where it lies."""

    images: ImageSet = field(metadata=UNKEYED)
    fingerprint: str
    split: str
    indices: tuple[int, ...]

    @classmethod
    def of(cls, images: ImageSet, fingerprint: str) -> Source:
        return cls(images, fingerprint, images.split, images.indices)

    def read(self, env: Env, alone: bool = False) -> list[Sample]:
        """Return the samples from the dataset plugin, checked; alone: see `read_samples`.

        Raises BenchkitError where the dataset's fingerprint is not the one of the plan any more.
        """
        dataset = env.registry.make(self.images.dataset, Dataset)  # type: ignore[type-abstract]
        name = f"dataset '{self.images.dataset.short}'"
        try:
            samples = read_samples(dataset, self.split, self.indices, name=name, alone=alone)
        except Exception as error:
            self._check_unchanged(env, name, f" ({error})")  # a file that is gone may be why
            raise
        self._check_unchanged(env, name)
        shapes = {sample.image.shape for sample in samples}
        if len(shapes) > 1:
            raise BenchkitError(
                f"dataset '{self.images.dataset.short}' has images of several sizes ({sorted(shapes)}): "
                "resize them to one"
            )
        return samples

    def _check_unchanged(self, env: Env, name: str, seen: str = "") -> None:
        """Raise BenchkitError where the files are not those of the plan; seen: what went wrong with them."""
        try:
            dataset = env.registry.make(self.images.dataset, Dataset)  # type: ignore[type-abstract]
            changed = dataset.fingerprint() != self.fingerprint
        except BenchkitError as error:
            changed, seen = True, seen or f" ({error})"
        if changed:
            raise BenchkitError(
                f"the files of {name} changed since the run was planned{seen}: nothing of what was just read is used; "
                "run the same command again, and leave the files alone while it runs"
            )


@dataclass(frozen=True)
class Latents(Stage):
    """z_0 of one chunk: the scaled mean of the encoder's posterior, float32."""

    source: Source
    model: Model

    def run(self, env: Env) -> Output:
        samples = self.source.read(env, alone=True)
        env.last_samples = (self.source, samples)
        z_0 = env.backend(self.model).encode(to_tensor(np.stack([s.image for s in samples])))
        return pack_arrays({"z_0": z_0.cpu().numpy()}, **_names(samples))

    def describe(self) -> str:
        return f"encode {self.source.split} ({len(self.source.indices)})"


@dataclass(frozen=True)
class Images(Stage):
    """Images as a detector meets them, with their labels; `ignored` is among the arrays where any pixel is.

    latents: where the dataset's images have not been through an autoencoder, the latents to decode; else None.
    """

    source: Source
    latents: Latents | None

    def run(self, env: Env) -> Output:
        (last, samples), env.last_samples = env.last_samples or (None, []), None
        if last != self.source:  # else its latents were just encoded here: reading can take longer than the networks
            samples = self.source.read(env, alone=True)
        images = np.stack([s.image for s in samples])
        if self.latents is not None:
            images = to_uint8(env.backend(self.latents.model).decode(env.tensor(self.latents, "z_0")))
        arrays, kinds = label_arrays(samples, images)
        return pack_arrays(arrays, kinds=kinds, **_names(samples))

    def describe(self) -> str:
        return f"images {self.source.split} ({len(self.source.indices)})"


def autoencode(backend: DiffusionBackend, images: np.ndarray) -> np.ndarray:
    """Return images (N, H, W, 3) uint8 after one pass through the autoencoder, in chunks as `Latents` and `Images`."""
    parts = []
    for start in range(0, len(images), CHUNK):
        z_0 = backend.encode(to_tensor(images[start : start + CHUNK]))
        parts.append(to_uint8(backend.decode(z_0.contiguous())))
    return np.concatenate(parts)


def label_arrays(samples: Sequence[Sample], images: np.ndarray) -> tuple[Arrays, list[str]]:
    """Return images (N, H, W, 3) uint8 with the labels of their samples, as `Images` stores them, and the kinds."""
    kinds = sorted({kind for s in samples for kind in s.kinds})
    blank = np.zeros(images.shape[1:3], bool)
    marks = [[s.kinds.get(kind, blank) for kind in kinds] for s in samples]
    arrays = {
        "images": images,
        "masks": np.stack([blank if s.mask is None else s.mask for s in samples]).astype(bool),
        "labelled": np.array([s.mask is not None for s in samples]),
        "kinds": np.packbits(np.array(marks, bool).reshape(len(samples), len(kinds), blank.size), axis=-1),
    }
    if any(s.ignored is not None and s.ignored.any() for s in samples):
        arrays["ignored"] = np.stack([blank if s.ignored is None else s.ignored for s in samples])
    graded = [s.attributes.get(HEATMAP) for s in samples]
    if all(isinstance(one, np.ndarray) and one.shape == blank.shape for one in graded):
        arrays[HEATMAP] = np.stack(graded)  # type: ignore[arg-type]
    return arrays, kinds


def kind_masks(arrays: Arrays, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return artifact kind -> (N, H, W) bool of the arrays and kinds of `label_arrays`."""
    count, height, width = arrays["masks"].shape
    if not names:
        return {}
    bits = np.unpackbits(arrays["kinds"], axis=-1, count=height * width).astype(bool)
    return {name: bits[:, i].reshape(count, height, width) for i, name in enumerate(names)}


def check_ids(stages: Sequence[Images], env: Env) -> None:
    """Raise BenchkitError where two images of a set have one id: images are told apart and draw noise by it."""
    seen: dict[str, int] = {}
    for stage in stages:
        for index, name in zip(stage.source.indices, env.meta(stage)["ids"], strict=True):
            first = seen.setdefault(name, index)
            if first != index:
                split, dataset = stage.source.split, stage.source.images.dataset.short
                raise BenchkitError(
                    f"dataset '{dataset}': {split}[{first}] and {split}[{index}] have the same id '{name}': give every "
                    "sample an id of its own"
                )


def check_labelled(stage: Images, env: Env) -> None:
    """Raise BenchkitError, naming the first, where images of a finished stage have no mask."""
    missing = np.flatnonzero(~env.arrays(stage)["labelled"])
    if missing.size:
        raise make_unlabelled_error(stage, env.meta(stage)["ids"][missing[0]])


#: The remedy for images without a mask.
ANNOTATE_THEM = "annotate them (an empty mask says that an image has no artifact), or name a split that is annotated"


def make_unlabelled_error(stage: Images, name: str) -> BenchkitError:
    """Return the error for an image without a mask where a label is needed; name: the image's id."""
    return BenchkitError(
        f"split '{stage.source.split}' of dataset '{stage.source.images.dataset.short}' has images without a mask, "
        f"'{name}' is the first: {ANNOTATE_THEM}"
    )


def to_tensor(images: np.ndarray) -> Tensor:
    """Convert images (N, H, W, 3) uint8 to (N, 3, H, W) float32 in [0, 1]."""
    import torch  # here, so that planning loads no torch

    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255


def to_uint8(images: Tensor) -> np.ndarray:
    """Convert images (N, 3, H, W) float in [0, 1] to (N, H, W, 3) uint8."""
    return (images.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def _names(samples: Sequence[Sample]) -> dict[str, list[str | None]]:
    return {"ids": [s.id for s in samples], "captions": [s.caption for s in samples]}
