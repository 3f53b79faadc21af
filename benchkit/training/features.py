"""Features of a trunk that is not trained: maps as they are stored, joined at stride 4, standardised, trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchkit.errors import BenchkitError
from benchkit.specs.training_config import TrainingConfig
from benchkit.training.augmentation import IGNORED
from benchkit.training.batches import indices_at
from benchkit.training.ddp import Team
from benchkit.training.feature_size import MULTIPLE, STRIDE, padded_size

#: Standardised maps of up to so many bytes are kept in memory during a training; more are read anew for each batch.
KEPT = 2**30

#: One map a scale, (N, C_i, h_i, w_i) float16 each.
Maps = Sequence[Tensor]


def trunk_maps(trunk: nn.Module, images: Tensor, name: str = "the trunk") -> list[Tensor]:
    """Return the maps of images (N, 3, H, W) in [0, 1] as they are stored: float16, no finer than STRIDE.

    The images are padded below and on the right to a multiple of 32 by repeating their edges. Raises BenchkitError for
    an output that is not a list of maps, one an image, and for values that float16 cannot hold.
    """
    height, width = images.shape[2:]
    padded = functional.pad(images, (0, -width % MULTIPLE, 0, -height % MULTIPLE), mode="replicate")
    maps: Any = trunk(padded)
    if not isinstance(maps, list | tuple) or not maps or not all(_is_map(one, len(images)) for one in maps):
        raise BenchkitError(f"{name} must return a list of feature maps (N, C, h, w), one for each of its scales")
    size = (padded.shape[2] // STRIDE, padded.shape[3] // STRIDE)
    # In one memory layout, as they are read back: kernels of another layout give other bits.
    stored = [(_resized(one, size) if one.shape[2] > size[0] else one).half().contiguous() for one in maps]
    if not all(bool(torch.isfinite(one).all()) for one in stored):
        raise BenchkitError(f"{name} returns values that are not finite, or too large for float16 (65,504): scale them")
    return stored


def _is_map(one: Any, count: int) -> bool:
    return isinstance(one, Tensor) and one.ndim == 4 and len(one) == count and one.is_floating_point()


def join_maps(maps: Maps, size: tuple[int, int]) -> Tensor:
    """Return the maps of images of `size` resized to stride 4 and concatenated, (N, C, h, w) float32."""
    height, width = padded_size(*size)
    target = (height // STRIDE, width // STRIDE)
    return torch.cat([_resized(one.float(), target) for one in maps], dim=1)


def _resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Return maps (N, C, h, w) resized bilinearly to `size`, with the weights of torch's interpolate.

    As two products of matrices: their gradient takes a third of the time of interpolate's on a CPU, and is
    deterministic on a GPU.
    """
    if tuple(maps.shape[2:]) == size:
        return maps
    rows, columns = (_resize_weights(*pair).to(maps) for pair in zip(maps.shape[2:], size, strict=True))
    return rows @ maps @ columns.T


@lru_cache(maxsize=64)
def _resize_weights(before: int, after: int) -> Tensor:
    """Return how a line of `before` cells gives each of `after` cells, (after, before)."""
    with torch.inference_mode(False):  # so that they can be used wherever gradients are wanted
        return functional.interpolate(torch.eye(before)[None], size=after, mode="linear", align_corners=False)[0].T


def join_projected(projection: nn.Conv2d, maps: Maps, size: tuple[int, int]) -> Tensor:
    """Return `projection(join_maps(maps, size))` of a 1x1 convolution, up to rounding, and cheaper.

    A 1x1 convolution and a resizing are linear and act on different axes, so their order does not matter. Each map is
    projected by its own columns of the weight at its own resolution, and the few channels that result are resized. With
    the maps of the mini ConvNeXt this takes an eighth of the multiplications.
    """
    height, width = padded_size(*size)
    target = (height // STRIDE, width // STRIDE)
    weights = projection.weight.split([one.shape[1] for one in maps], dim=1)
    projected = (functional.conv2d(one, weight).contiguous() for one, weight in zip(maps, weights, strict=True))
    parts = [_resized(one, target) for one in projected]
    total = sum(parts[1:], start=parts[0])
    return total if projection.bias is None else total + projection.bias[:, None, None]


def _split_head(head: nn.Module) -> tuple[nn.Conv2d | None, nn.Module]:
    """Return the 1x1 convolution that a head begins with, and what follows it; None and the head without one."""
    first = head[0] if isinstance(head, nn.Sequential) and len(head) else head
    if type(first) is not nn.Conv2d or (first.kernel_size, first.stride, first.groups) != ((1, 1), (1, 1), 1):
        return None, head
    if first.padding not in ((0, 0), "valid", "same") or first._forward_hooks or first._forward_pre_hooks:
        return None, head
    return first, head[1:] if isinstance(head, nn.Sequential) else nn.Identity()


class FrozenNetwork(nn.Module):
    """A trunk that is not trained and a head that is, as one network: images -> logits.

    head: standardised features (N, C, h, w) at stride 4 -> logits (N, 2, h, w), which are resized bilinearly to the
    image. make_trunk is called when images are shown for the first time. Parameters, state and training mode are the
    head's alone; `mean` and `std` (C,) standardise and belong to the state.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, make_trunk: Callable[[], nn.Module], head: nn.Module, channels: int) -> None:
        super().__init__()
        self.head = head
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))
        self._make_trunk = make_trunk
        self._trunks: list[nn.Module] = []  # in a list, where nn.Module does not look for parts

    def forward(self, images: Tensor) -> Tensor:
        return self.from_maps(self.maps(images), (images.shape[2], images.shape[3]))

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return the maps of images (N, 3, H, W) in [0, 1] as they are stored, see `trunk_maps`."""
        if not self._trunks:
            self._trunks.append(self._make_trunk())
        return trunk_maps(self._trunks[0].to(self.mean.device), images)

    def from_maps(self, maps: Maps, size: tuple[int, int]) -> Tensor:
        """Return the logits (N, 2, H, W) of images of this size from their stored maps."""
        return self.from_standardised(self.standardised(maps), size)

    def standardised(self, maps: Maps) -> list[Tensor]:
        """Return maps, float32, whose channels would have mean 0 and deviation 1 over the joined training set.

        Resizing is linear and its weights sum to 1, so maps can be standardised before they are joined.
        """
        channels = [one.shape[1] for one in maps]
        parts = zip(maps, self.mean.split(channels), self.std.split(channels), strict=True)
        scaled = [(one.float() - mean[:, None, None]) / std[:, None, None] for one, mean, std in parts]
        # In this layout a 1x1 convolution is up to ten times faster on a CPU.
        return [one.contiguous(memory_format=torch.channels_last) for one in scaled]

    def from_standardised(self, maps: Maps, size: tuple[int, int]) -> Tensor:
        """Return the logits (N, 2, H, W) of standardised maps.

        Raises BenchkitError where the head returns anything but two logits at each place.
        """
        first, rest = _split_head(self.head)
        joined = join_maps(maps, size) if first is None else join_projected(first, maps, size)
        logits = rest(joined)
        expected = (len(joined), 2, *joined.shape[2:])
        if not isinstance(logits, Tensor) or tuple(logits.shape) != expected:
            actual = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise BenchkitError(f"the head's logits must be {expected}, not {actual}")
        return _resized(logits, padded_size(*size))[..., : size[0], : size[1]]

    @torch.inference_mode()
    def predict(self, maps: Maps, size: tuple[int, int]) -> np.ndarray:
        """Return the artifact probability of every pixel, (N, H, W) float32, from stored maps; in evaluation mode."""
        was_training = self.training
        self.eval()
        try:
            moved = [one.to(self.mean.device) for one in maps]
            return self.from_maps(moved, size).softmax(1)[:, 1].cpu().numpy()
        finally:
            self.train(was_training)


@dataclass(frozen=True)
class FeatureSet:
    """The stored maps of a training set, with its labels; images that were dropped from the set are skipped.

    parts: maps of each stage, in order. kept: which of all their images belong to the set, or None for all. masks:
    (N, H, W) of the kept images, bool or uint8 with IGNORED.
    """

    parts: Sequence[Maps]
    kept: np.ndarray | None
    masks: np.ndarray

    @cached_property
    def places(self) -> list[tuple[int, int]]:
        """Return for each image of the set its part and its row there."""
        every = [(part, row) for part, maps in enumerate(self.parts) for row in range(len(maps[0]))]
        return every if self.kept is None else [place for place, keep in zip(every, self.kept, strict=True) if keep]

    @property
    def size(self) -> tuple[int, int]:
        """Return height and width of the images."""
        return self.masks.shape[1], self.masks.shape[2]

    @property
    def channels(self) -> int:
        """Return how many channels the joined features have."""
        return sum(one.shape[1] for one in self.parts[0])

    def __len__(self) -> int:
        return len(self.places)

    def maps(self, index: int) -> Maps:
        """Return the stored maps of one image, (1, C_i, h_i, w_i) float16 each."""
        part, row = self.places[index]
        return [one[row : row + 1] for one in self.parts[part]]

    def joined(self, index: int) -> Tensor:
        """Return the features of one image at stride 4, (C, h, w) float32."""
        return join_maps(self.maps(index), self.size)[0]

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of each channel over all places of all images, (C,) float32.

        A channel that is constant has the standard deviation 1, so that it is only shifted. Computed in float64 by
        merging each image's moments (Chan et al. 1983).
        """
        count, mean, squares = 0, torch.zeros(self.channels, dtype=torch.float64), torch.zeros(self.channels).double()
        for index in range(len(self)):
            own = self.joined(index).flatten(1).double()
            centre, size = own.mean(1), own.shape[1]
            difference = centre - mean
            squares += (own - centre[:, None]).square().sum(1) + difference**2 * (count * size / (count + size))
            mean += difference * (size / (count + size))
            count += size
        std = (squares / count).sqrt()
        return mean.float(), torch.where(std > 0, std, torch.ones_like(std)).float()

    def cells(self) -> tuple[Tensor, Tensor]:
        """Return for each cell of the stride-4 grid its fractions of artifact and of counted pixels, (N, h, w) each.

        The first is of the counted pixels; where no pixel counts (ignored ones, padding) both are 0.
        """
        height, width = padded_size(*self.size)
        rows, columns = height - self.size[0], width - self.size[1]
        masks = torch.from_numpy(
            np.pad(self.masks.astype(np.uint8), ((0, 0), (0, rows), (0, columns)), constant_values=IGNORED)
        )
        counted = functional.avg_pool2d((masks != IGNORED).float()[:, None], STRIDE)[:, 0]
        artifact = functional.avg_pool2d((masks == 1).float()[:, None], STRIDE)[:, 0]
        return artifact / counted.clamp(min=1e-9), counted


@dataclass(frozen=True)
class FeatureBatches:
    """Standardised features with labels at the images' size; nothing is augmented, for a trunk sees whole images."""

    features: FeatureSet
    network: FrozenNetwork
    _kept: dict[int, Maps] = field(default_factory=dict)

    def check(self, config: TrainingConfig, num_classes: int) -> None:
        """Raise BenchkitError for settings that features cannot follow."""
        augmented = (config.crop, config.resize, config.flip or None, config.photometric or None)
        if any(one is not None for one in augmented):
            raise BenchkitError("training: features are not cropped, resized, mirrored or distorted")

    def at(
        self, config: TrainingConfig, seed: int, iteration: int, team: Team, device: torch.device
    ) -> tuple[Maps, np.ndarray]:
        """Return the standardised maps of one iteration and its labels (B, H, W) int64."""
        indices = indices_at(len(self.features), config.batch, seed, iteration)
        images = [self._standardised(index) for index in indices[team.share(len(indices))]]
        inputs = [torch.cat(scale).to(device) for scale in zip(*images, strict=True)]
        return inputs, self.features.masks[indices].astype(np.int64)

    def _standardised(self, index: int) -> Maps:
        if index in self._kept:
            return self._kept[index]
        maps = [one.to(self.network.mean.device) for one in self.features.maps(index)]
        standardised = self.network.standardised(maps)
        if sum(one.nbytes for one in standardised) * len(self.features) <= KEPT:
            self._kept[index] = standardised
        return standardised

    def example(self, config: TrainingConfig, device: torch.device) -> None:
        """Return nothing: what a head is shown fits it."""

    def update(self, digest: hashlib._Hash) -> None:
        """Add maps and labels to a digest."""
        for part in self.features.parts:
            for one in part:
                digest.update(f"{tuple(one.shape)}".encode())
                digest.update(one.contiguous().numpy().tobytes())
        digest.update(np.ascontiguousarray(self.features.masks).tobytes())
        digest.update(str([] if self.features.kept is None else self.features.kept.tolist()).encode())

    def smaller(self, config: TrainingConfig, team: Team) -> str:
        """Say what would need less memory."""
        return f"the features of {config.batch} images at once are too many here: use a smaller training.batch"


class HeadOnFeatures(nn.Module):
    """The head as the training loop sees it: standardised maps -> logits at the image's size."""

    def __init__(self, network: FrozenNetwork, size: tuple[int, int]) -> None:
        super().__init__()
        self.head = network.head
        self._network, self._size = [network], size

    def forward(self, maps: Maps) -> Tensor:
        return self._network[0].from_standardised(maps, self._size)
