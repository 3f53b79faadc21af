"""What both UPerNet plugins need of mmsegmentation; imported inside `build()` only (it takes seconds)."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchkit.api import BenchkitError

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger("benchkit.detectors")

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: Input sides are padded to a multiple of this: the stride of the backbones' last stage.
STRIDE = 32
#: Warnings that concern mmsegmentation's own training pipeline or operators which nothing here uses.
NOISE = ("For binary segmentation, we suggest", "Fail to import ``MultiScaleDeformableAttention``")
#: What checkpoints hold beside tensors: numpy's numbers (best scores), under the name that old releases gave their
#: constructor too. Not mmengine's own list, which lets `getattr` in and so anything.
_scalar: Any = np.float64().__reduce__()[0]
_kinds = [type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int32, np.int64)]
NUMBERS: list[Any] = [_scalar, (_scalar, "numpy.core.multiarray.scalar"), np.dtype, *_kinds]


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out the warnings of NOISE, and no others."""
    with warnings.catch_warnings():
        for message in NOISE:
            warnings.filterwarnings("ignore", message=re.escape(message), category=UserWarning)
        yield


@dataclass(frozen=True)
class Pretraining:
    """What a network took from its pre-training: names of loaded, re-initialised and unused weights."""

    source: str
    loaded: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"{self.source}: {len(self.loaded)} weights loaded"]
        for names, verdict in ((self.fresh, "initialised afresh"), (self.unused, "of the file not used")):
            if names:
                shown = ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
                parts.append(f"{len(names)} {verdict} ({shown})")
        return "; ".join(parts)


class UPerNet(nn.Module):
    """An mmsegmentation EncoderDecoder as a plain function of images.

    forward: (N, 3, H, W) float32 in [0, 1] -> logits (N, classes, H, W); in training mode the tuple (main,
    auxiliary), both at that size. Sides that are no multiple of 32 are padded inside by repeating the edge.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, segmentor: nn.Module) -> None:
        super().__init__()
        self.segmentor: Any = segmentor
        self.pretraining = Pretraining("none")
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        if self.training and len(images) < 2:
            raise BenchkitError("UPerNet trains on batches of 2 or more: its 1x1 pooling is batch-normalised")
        height, width = images.shape[-2:]
        x = (images - self.mean) / self.std
        if height % STRIDE or width % STRIDE:
            x = functional.pad(x, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")
        features = self.segmentor.extract_feat(x)
        size = (x.shape[-2], x.shape[-1])
        main = _enlarged(self.segmentor.decode_head(features), size)[..., :height, :width]
        if not self.training:
            return main
        return main, _enlarged(self.segmentor.auxiliary_head(features), size)[..., :height, :width]


def _enlarged(logits: Tensor, size: tuple[int, int]) -> Tensor:
    return functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)


def upernet(backbone: dict[str, Any], widths: tuple[int, ...], channels: tuple[int, int], num_classes: int) -> UPerNet:
    """UPerNet on `backbone`, whose four stages have `widths` channels; channels: of the main and
    the auxiliary head.

    Differs from mmsegmentation's shipped configs in BN for SyncBN (the same on one device) and in the sizes.
    """
    with quiet():
        import mmseg.models
        from mmseg.registry import MODELS

        assert mmseg.models  # imported for its registrations
        norm = {"type": "BN", "requires_grad": True}
        loss = {"type": "CrossEntropyLoss", "avg_non_ignore": True}  # never called; unset it warns about its default
        head = {"dropout_ratio": 0.1, "num_classes": num_classes, "norm_cfg": norm, "align_corners": False}
        main = {"type": "UPerHead", "in_index": [0, 1, 2, 3], "pool_scales": (1, 2, 3, 6), "loss_decode": loss}
        auxiliary = {"type": "FCNHead", "in_index": 2, "num_convs": 1, "concat_input": False, "loss_decode": loss}
        segmentor = MODELS.build(
            {
                "type": "EncoderDecoder",
                "backbone": backbone,
                "decode_head": main | head | {"in_channels": list(widths), "channels": channels[0]},
                "auxiliary_head": auxiliary | head | {"in_channels": widths[2], "channels": channels[1]},
                "test_cfg": {"mode": "whole"},
            }
        )
    # What mmsegmentation's init_weights() does to these heads; itself it logs a page for every weight.
    for decoder in (segmentor.decode_head, segmentor.auxiliary_head):
        nn.init.normal_(decoder.conv_seg.weight, std=0.01)
        nn.init.zeros_(decoder.conv_seg.bias)
    return UPerNet(segmentor)


def load_pretraining(
    network: UPerNet, state: Mapping[str, Tensor], source: str, rename: Callable[[str], str] = str
) -> None:
    """Load an mmsegmentation state dict; `network.pretraining` and the log say what was loaded and what was not.

    The heads' last layers stay freshly initialised when the pre-training has other classes. rename: from the file's
    names to the network's. Raises BenchkitError for a file without the whole backbone, or of another size.
    """
    given = {rename(name.removeprefix("module.")): value for name, value in state.items()}
    own = network.segmentor.state_dict()
    loadable = {}
    for name, value in given.items():
        if name not in own:
            continue
        if value.shape == own[name].shape:
            loadable[name] = value
        elif ".conv_seg." not in name:
            message = f"{source}: {name} is {tuple(value.shape)}, the network's {tuple(own[name].shape)}: another size?"
            raise BenchkitError(message)
    wanted = [name for name, _ in network.segmentor.named_parameters()]
    lacking = [name for name in wanted if name.startswith("backbone.") and name not in loadable]
    if lacking:
        raise BenchkitError(f"{source}: lacks {len(lacking)} weights of the backbone, such as {lacking[0]}")
    network.segmentor.load_state_dict(loadable, strict=False)
    network.pretraining = Pretraining(
        source,
        loaded=tuple(sorted(loadable)),
        fresh=tuple(name for name in wanted if name not in loadable),
        unused=tuple(sorted(set(given) - set(loadable))),
    )
    log.info("%s", network.pretraining)


def embedded(asset: str) -> dict[str, Tensor]:
    """The weights shipped as benchkit/assets/detectors/`asset`; raises BenchkitError when they are not shipped."""
    file = resources.files("benchkit") / "assets" / "detectors" / asset
    if not file.is_file():
        raise BenchkitError(f"the embedded weights {asset} are not shipped: make them (recipes) or set pretrained=none")
    weights: dict[str, Tensor] = safetensors.torch.load(file.read_bytes())
    return weights


def checkpoint(path: Path) -> dict[str, Tensor]:
    """The state dict of a local checkpoint: mmsegmentation's .pth, or safetensors; unpickles tensors only.

    Raises BenchkitError when the file is absent or holds more than weights and plain data.
    """
    if not path.is_file():
        raise BenchkitError(f"pretrained={path}: no such file (known words: auto, parts, none)")
    try:
        if path.suffix == ".safetensors":
            content: Any = safetensors.torch.load_file(path)
        else:
            with torch.serialization.safe_globals(NUMBERS):
                content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a torn or hostile file raises has no common class
        message = f"{path}: cannot be read as weights alone; save its 'state_dict', and nothing else, to a new file"
        raise BenchkitError(message) from error
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise BenchkitError(f"{path}: holds no state dict")
    return dict(content)
