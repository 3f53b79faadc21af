"""Images and masks as callers have them, converted to tensors: one converter for every function of the Python API.

Images are an ImageBatch, a sequence of PIL images (their EXIF rotation is applied), a uint8 array (N, H, W, 3), or a
float tensor (N, 3, H, W) in [0, 1]. Masks are a bool tensor or array (N, H, W).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from benchkit.errors import ArgumentTypeError, ArgumentValueError, as_argument_error, describe_value
from benchkit.inference.image_batch import ImageBatch

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from torch import Tensor

    Images = ImageBatch | Sequence[Image] | Sequence[np.ndarray] | Sequence[Image | np.ndarray] | np.ndarray | Tensor
    Masks = Tensor | np.ndarray

FORMS = "an ImageBatch, a list of PIL images, a uint8 array (N, H, W, 3) or a float tensor (N, 3, H, W) in [0, 1]"


def image_tensor(images: Images, factor: int = 1, name: str = "images") -> Tensor:
    """Return images as a float32 tensor (N, 3, H, W) in [0, 1]; a tensor stays on its device.

    factor: must divide both sides. name: of the argument, for messages. Raises ArgumentTypeError for what is not images
    at all, a generator among it; ArgumentValueError for other shapes and ranges, several sizes, and no image.
    """
    import torch

    if isinstance(images, torch.Tensor):
        tensor = check_floats(images, name)
    else:
        from benchkit.stages.images import to_tensor

        tensor = to_tensor(stack(pixel_arrays(images, name), name))
    check_divisible(name, (tensor.shape[3], tensor.shape[2]), factor)
    # The memory layout of the stages' images: another layout changes the last bits of a convolution.
    return tensor.detach().float().contiguous(memory_format=torch.channels_last)


def pixel_arrays(images: Images, name: str = "images") -> list[np.ndarray]:
    """Return images of any sizes as arrays (H, W, 3) uint8; raise as `image_tensor` does."""
    import numpy as np
    import torch

    if isinstance(images, torch.Tensor):
        from benchkit.stages.images import to_uint8

        return list(to_uint8(check_floats(images, name)))
    if isinstance(images, ImageBatch):
        return [sample.image for sample in images.samples]
    if isinstance(images, np.ndarray):
        return list(_checked_array(images, name))
    listed = check_sequence(images, name, FORMS)
    return [_pixels(image, f"{name}[{number}]") for number, image in enumerate(listed)]


def stack(arrays: Sequence[np.ndarray], name: str) -> np.ndarray:
    """Return images of one size as one array (N, H, W, 3); raise ArgumentValueError for several sizes."""
    import numpy as np

    sizes = sorted({(array.shape[1], array.shape[0]) for array in arrays})
    if len(sizes) > 1:
        shown = " and ".join(f"{width}x{height}" for width, height in (sizes[0], sizes[-1]))
        raise ArgumentValueError(f"{name} of several sizes ({shown} pixels, width x height): resize them to one")
    return np.stack(arrays)


def mask_tensor(masks: Masks, images: Tensor, name: str = "masks") -> Tensor:
    """Return masks as a bool tensor (N, H, W) on the CPU; images: (N, C, H, W), whose masks they are.

    Raises ArgumentTypeError for another type, ArgumentValueError for a shape unlike the images'.
    """
    import numpy as np
    import torch

    if isinstance(masks, np.ndarray):
        # A copy unless it is bool: torch cannot hold every type of numpy, and the type is refused below.
        if masks.dtype != np.bool_:
            raise ArgumentTypeError(f"{name} of {masks.dtype}: give bool, such as {name} != 0")
        masks = torch.from_numpy(np.ascontiguousarray(masks))
    if not isinstance(masks, torch.Tensor):
        remedy = ": join them with np.stack" if isinstance(masks, list | tuple) else ""
        raise ArgumentTypeError(f"{name} are a bool tensor or array (N, H, W), not {describe_value(masks)}{remedy}")
    expected = (len(images), *images.shape[2:])
    if tuple(masks.shape) != expected:
        hint = "" if masks.ndim != 2 else f"; for one image write {name}[None]"
        raise ArgumentValueError(f"{name} of shape {tuple(masks.shape)}: these images need {expected}{hint}")
    if masks.dtype != torch.bool:
        raise ArgumentTypeError(f"{name} of {_short(masks.dtype)}: give bool, such as {name} != 0")
    _check_values(masks, name)
    return masks.detach().cpu()


def check_divisible(what: str, size: tuple[int, int], factor: int) -> None:
    """Raise ArgumentValueError, with the nearest sizes, unless `factor` divides width and height."""
    if any(side % factor or not side for side in size):
        smaller = [max(factor, side // factor * factor) for side in size]
        larger = [-(-side // factor) * factor for side in size]
        near = " or ".join(dict.fromkeys(f"{w}x{h}" for w, h in (smaller, larger)))
        raise ArgumentValueError(
            f"{what}: {size[0]}x{size[1]} pixels (width x height) are not multiples of {factor}: crop or resize "
            f"to {near}"
        )


def check_sequence(values: Any, name: str, forms: str) -> Sequence[Any]:
    """Return a list or tuple with something in it; forms: what else the argument may be, for messages.

    Raises ArgumentTypeError for a generator, which could be read only once, for a single image and for anything else;
    ArgumentValueError where it is empty.
    """
    if isinstance(values, str | bytes) or hasattr(values, "__fspath__"):
        raise ArgumentTypeError(f"{name} are {forms}, not the name of a file: open it with PIL.Image.open")
    if hasattr(values, "getbands") or not isinstance(values, Iterable):
        single = f": put the one image into a list, [{name}]" if hasattr(values, "getbands") else ""
        raise ArgumentTypeError(f"{name} are {forms}, not {describe_value(values)}{single}")
    if not isinstance(values, Sequence):
        once = ", which can be read only once" if isinstance(values, Iterator) else ""
        remedy = f"{name}[:16]" if hasattr(values, "dataset") else f"list({name})"
        remedy = f"{name}.images" if hasattr(values, "labels") and hasattr(values, "images") else remedy
        raise ArgumentTypeError(f"{name} are {forms}, not {describe_value(values)}{once}: give {remedy}")
    if not len(values):
        raise ArgumentValueError(f"{name}: the list is empty: give one image or more")
    return values


def check_floats(images: Any, name: str = "images", tolerance: float = 0) -> Tensor:
    """Return a float tensor (N, 3, H, W) in [0, 1]; tolerance: how far outside values may lie.

    Raises ArgumentTypeError for other types, ArgumentValueError for other shapes and ranges, and for NaN.
    """
    import torch

    if not isinstance(images, torch.Tensor):
        raise ArgumentTypeError(f"{name}: give a float tensor (N, 3, H, W), not this {type(images).__name__}")
    shape = tuple(images.shape)
    if images.ndim != 4 or images.shape[1] != 3 or not images.numel():
        hint = f"; for one image write {name}[None]" if images.ndim == 3 and images.shape[0] == 3 else ""
        hint = f"; move the channels with {name}.permute(0, 3, 1, 2)" if shape[3:] == (3,) else hint
        raise ArgumentValueError(f"{name} of shape {shape}: give (N, 3, H, W) with N >= 1{hint}")
    _check_values(images, name)
    if not images.is_floating_point():
        raise ArgumentTypeError(f"{name} of {_short(images.dtype)}: give floats in [0, 1] (divide bytes by 255)")
    low, high = (float(end) for end in images.detach().aminmax())
    if not (low >= -tolerance and high <= 1 + tolerance):
        fix = "divide by 255" if low >= 0 and 2 < high <= 255 else "clamp them, or scale them"
        raise ArgumentValueError(f"{name} with values from {low:.4g} to {high:.4g}: give values in [0, 1]; {fix}")
    return images


def _check_values(tensor: Tensor, name: str) -> None:
    """Raise ArgumentValueError for a tensor without values, or with values in another layout than the dense one."""
    import torch

    if tensor.device.type == "meta":
        raise ArgumentValueError(f"{name} are on the device 'meta', which holds no values: give a tensor with values")
    if tensor.layout != torch.strided:
        raise ArgumentValueError(f"{name} are a sparse tensor: give {name}.to_dense()")


def _checked_array(images: np.ndarray, name: str) -> np.ndarray:
    import numpy as np

    shape = images.shape
    if images.ndim != 4 or shape[3] != 3:
        hint = f"; for one image write {name}[None]" if images.ndim == 3 and shape[2] == 3 else ""
        hint = f"; move the channels with {name}.transpose(0, 2, 3, 1)" if shape[1:2] == (3,) else hint
        raise ArgumentValueError(f"{name} of shape {shape}: an array of images is (N, H, W, 3){hint}")
    if not images.size:
        raise ArgumentValueError(f"{name} of shape {shape}: give one image or more, of one pixel or more")
    if images.dtype != np.uint8:
        tensor = f", or a float tensor, torch.from_numpy({name}).permute(0, 3, 1, 2)"
        floats = tensor if images.dtype.kind == "f" else ""
        raise ArgumentTypeError(f"{name} of {images.dtype}: give an array of uint8 in [0, 255]{floats}")
    return images


def _pixels(image: Any, name: str) -> np.ndarray:
    """Return a PIL image, or an array (H, W, 3) uint8, as such an array."""
    import numpy as np
    from PIL import Image

    from benchkit.readers.images import to_rgb

    if isinstance(image, Image.Image):
        with as_argument_error(name):
            return to_rgb(image, name)
    if not isinstance(image, np.ndarray):
        kind = type(image).__name__
        remedies = {"Tensor": ": join tensors with torch.stack", "Sample": ": make a benchkit.ImageBatch(samples)"}
        form = f"{name} is a PIL image or an array (H, W, 3) uint8"
        raise ArgumentTypeError(f"{form}, not {describe_value(image)}{remedies.get(kind, '')}")
    if image.ndim != 3 or image.shape[2] != 3:
        hint = f"; of a grey image make np.stack([{name}] * 3, axis=-1)" if image.ndim == 2 else ""
        raise ArgumentValueError(f"{name} of shape {image.shape}: an image is (H, W, 3){hint}")
    return _checked_array(image[None], name)[0]


def _short(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")
