"""At which size a trunk's maps are stored and joined; loads no torch, so that a dry run can state their bytes."""

from __future__ import annotations

from collections.abc import Sequence

#: The stride at which maps are joined; finer ones are stored at it already.
STRIDE = 4
#: Images are padded to a multiple of this before they reach a trunk, so that every stride divides them.
MULTIPLE = 32
#: Bytes of a stored value: float16.
BYTES = 2


def padded_size(height: int, width: int) -> tuple[int, int]:
    """Return the size of an image as the trunk sees it."""
    return height + -height % MULTIPLE, width + -width % MULTIPLE


def feature_bytes(maps: Sequence[tuple[int, int]], height: int, width: int) -> int:
    """Return the bytes of one image's stored maps; maps: channels and stride of each."""
    height, width = padded_size(height, width)
    strides = [(channels, max(stride, STRIDE)) for channels, stride in maps]
    return BYTES * sum(channels * -(-height // stride) * -(-width // stride) for channels, stride in strides)
