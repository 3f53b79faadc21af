"""Compute the feature maps of a trunk that is not trained, once for each chunk of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import BenchkitError, FrozenDetector
from benchkit.plugin.networks import read_maps
from benchkit.specs.spec import Spec
from benchkit.stages.base import Env, Output, Stage
from benchkit.stages.corrupt import AnyCorrupt, Corrupt, split_start
from benchkit.stages.images import Images, Source
from benchkit.store.artifacts import arrays_to_bytes

if TYPE_CHECKING:
    from torch import Tensor, nn

MAPS = "maps.safetensors"


@dataclass(frozen=True)
class Features(Stage):
    """The maps of one chunk of images, float16, finer ones at stride 4; shared by every detector with this trunk.

    trunk: the complete Spec of the detector that builds it. identity: a digest of its source and weights.
    """

    images: Images | AnyCorrupt
    trunk: Spec
    identity: str

    @property
    def source(self) -> Source:
        """Return which samples the images were made from."""
        return find_source(self.images)

    def run(self, env: Env) -> Output:
        import torch

        from benchkit.training.batches import to_input
        from benchkit.training.features import trunk_maps

        name = f"the trunk of detector '{self.trunk.short}'"
        images = to_input(env.arrays(self.images)["images"], torch.device(env.device))
        if reason := env.trunk_faults.get(self.trunk):
            raise BenchkitError(reason)
        trunk = env.trunk(self.trunk)
        with torch.inference_mode():
            maps = trunk_maps(trunk, images, name)
            fault = self._find_shape_fault(env, images, maps)
            if not fault and self.trunk not in env.trunk_faults:
                fault = _find_randomness(trunk, images, maps)
            env.trunk_faults[self.trunk] = f"{name} {fault}" if fault else ""
        if fault:
            raise BenchkitError(f"{name} {fault}")
        return Output({MAPS: arrays_to_bytes({f"map{i}": one.cpu().numpy() for i, one in enumerate(maps)})})

    def _find_shape_fault(self, env: Env, images: Tensor, maps: list[Tensor]) -> str:
        """Return what is wrong with the channels or sizes of maps, given what the plugin declares; or "".

        A side may be rounded up or down: it may differ from image side / stride by one.
        """
        from benchkit.training.feature_size import STRIDE, padded_size

        declared = read_maps(env.registry.make(self.trunk, FrozenDetector))  # type: ignore[type-abstract]
        channels, actual = [count for count, _ in declared], [one.shape[1] for one in maps]
        if actual != channels:
            return f"returns maps of {actual} channels, its maps() declares {channels}"
        sides = padded_size(*images.shape[2:])
        for (_, stride), one in zip(declared, maps, strict=True):
            expected = [side / max(stride, STRIDE) for side in sides]
            if any(abs(side - wanted) > 1 for side, wanted in zip(one.shape[2:], expected, strict=True)):
                return (
                    f"returns a map of {one.shape[2]} x {one.shape[3]} for images of {sides[0]} x {sides[1]}, its "
                    f"maps() declares stride {stride}: about {expected[0]:.0f} x {expected[1]:.0f}"
                )
        return ""

    def maps(self, env: Env) -> list[Tensor]:
        """Return the finished maps, memory-mapped: (N, C, h, w) float16 each."""
        import safetensors

        with safetensors.safe_open(env.store.open(self.key).path(MAPS), framework="pt") as file:
            return [file.get_tensor(f"map{i}") for i in range(len(file.keys()))]

    def describe(self) -> str:
        return f"features {self.trunk.name} of {self.images.describe()}"


def _find_randomness(trunk: nn.Module, images: Tensor, maps: list[Tensor]) -> str:
    """Return what is wrong if a trunk gives other maps for the same images; or ""."""
    import torch

    from benchkit.training.features import trunk_maps

    if all(torch.equal(one, other) for one, other in zip(maps, trunk_maps(trunk, images), strict=True)):
        return ""
    return (
        "is not deterministic: one batch gave two results. Its features cannot be shared between rows; switch off "
        "dropout and other random layers in evaluation mode"
    )


def find_source(images: Images | AnyCorrupt) -> Source:
    """Return which samples a stage's images were made from."""
    if isinstance(images, Images):
        return images.source
    latents = split_start(images.start)[0] if isinstance(images, Corrupt) else images.latents
    return latents.source


def maps_by_image(features: Sequence[Features]) -> Mapping[str, Features]:
    """Return the features of each stage of images, by the stage's key."""
    return {one.images.key: one for one in features}
