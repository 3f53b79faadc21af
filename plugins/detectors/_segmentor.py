"""A network from any mmsegmentation config; imported inside `build()` only (it takes seconds)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchkit.api import BenchkitError
from benchkit_plugins.detectors._mmseg import STRIDE, quiet
from benchkit_plugins.detectors._weights import Pretraining

CLASSES = 2
#: Never called: the loss is the suite's. A head that is given none warns about its default.
LOSS = {"type": "CrossEntropyLoss", "avg_non_ignore": True}


class Segmentor(nn.Module):
    """An mmsegmentation EncoderDecoder as a plain function of images, which it normalises as its config says.

    forward: (N, 3, H, W) float32 in [0, 1], RGB -> logits (N, 2, H, W); in training mode those of the main head and
    of the auxiliary ones. Sides that are not a multiple of 32 are padded inside by repeating the edge.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, segmentor: Any, preprocessor: dict[str, Any], where: str) -> None:
        super().__init__()
        self.segmentor = segmentor
        self.pretraining = Pretraining("none")
        self.rgb = bool(preprocessor.get("bgr_to_rgb", False))
        for name, default in (("mean", 0.0), ("std", 1.0)):
            values = torch.tensor(preprocessor.get(name) or [default] * 3, dtype=torch.float32)
            if values.shape != (3,):
                raise BenchkitError(
                    f"{where}: data_preprocessor.{name} has {len(values)} values; images have 3 channels"
                )
            self.register_buffer(name, values.view(1, 3, 1, 1), persistent=False)

    def normalised(self, images: Tensor) -> Tensor:
        """Return what the backbone sees: the config's channel order and statistics, of grey levels from 0 to 255."""
        levels = images * 255
        return ((levels if self.rgb else levels.flip(1)) - self.mean) / self.std

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        height, width = images.shape[-2:]
        x = self.normalised(images)
        if height % STRIDE or width % STRIDE:
            x = functional.pad(x, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")
        features = self.segmentor.extract_feat(x)
        heads = _heads(self.segmentor) if self.training else _heads(self.segmentor)[:1]
        maps = tuple(_enlarged(head, head(features), x)[..., :height, :width] for head in heads)
        return maps if self.training else maps[0]


class Trunk(nn.Module):
    """The backbone and neck of a Segmentor: images (N, 3, H, W) in [0, 1] -> their maps."""

    def __init__(self, network: Segmentor) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> list[Tensor]:
        return list(self.network.segmentor.extract_feat(self.network.normalised(images)))


def _heads(segmentor: Any) -> list[Any]:
    """Return the main head, then the auxiliary ones."""
    others = getattr(segmentor, "auxiliary_head", None)
    if others is None:
        return [segmentor.decode_head]
    return [segmentor.decode_head, *(others if isinstance(others, nn.ModuleList) else [others])]


def _enlarged(head: Any, logits: Any, images: Tensor) -> Tensor:
    if not isinstance(logits, Tensor) or logits.ndim != 4:
        raise BenchkitError(f"{type(head).__name__} gives no map of logits: benchkit trains heads that do")
    size = images.shape[-2:]
    return functional.interpolate(logits, size=size, mode="bilinear", align_corners=head.align_corners or None)


def read(path: Path) -> dict[str, Any]:
    """Return a config's content, with what it inherits. Run the file's Python, as mmsegmentation does."""
    from mmengine.config import Config

    try:
        with quiet(), hushed():
            content: dict[str, Any] = Config.fromfile(path, lazy_import=False).to_dict()
    except Exception as error:  # the file is a program: it may raise anything
        raise BenchkitError(f"{path}: cannot be read as an mmsegmentation config: {_line(error)}") from error
    if not isinstance(content.get("model"), dict):
        raise BenchkitError(f"{path}: has no 'model': name an mmsegmentation config of a whole model")
    return content


def built(path: Path) -> Segmentor:
    """Return the config's network for two classes, with fresh weights drawn from torch's global generator.

    Raises BenchkitError for a config that cannot be read or built, and for a model whose heads answer with anything
    but one map of logits each.
    """
    model = read(path)["model"]
    preprocessor = model.get("data_preprocessor") or {}
    network = Segmentor(build_model(model, str(path)), preprocessor, str(path))
    with hushed():
        network.segmentor.init_weights()
    return network


def build_model(model: dict[str, Any], where: str, classes: int = CLASSES) -> Any:
    """mmsegmentation's own network of a config's `model`, with `classes` classes and as built: no weights are read."""
    with quiet(), hushed():
        import mmseg.models
        from mmseg.registry import MODELS

        assert mmseg.models  # imported for its registrations
        kind = str(model.get("type")).rpartition(".")[2]
        if kind != "EncoderDecoder":
            raise BenchkitError(f"{where}: its model is a {kind}; benchkit trains EncoderDecoder, one head's logits")
        try:
            segmentor = MODELS.build(_for_classes(model, classes))
        except Exception as error:  # whatever a constructor makes of the config's values
            raise BenchkitError(f"{where}: mmsegmentation cannot build it: {_line(error)}") from error
    _check_heads(segmentor, where)
    return segmentor


def _for_classes(model: dict[str, Any], classes: int) -> dict[str, Any]:
    plain = {key: value for key, value in _local(model).items() if key not in ("data_preprocessor", "train_cfg")}
    for name in ("decode_head", "auxiliary_head"):
        heads = plain.get(name)
        for head in heads if isinstance(heads, list) else [heads] if heads else []:
            for key in ("out_channels", "threshold", "sampler"):
                head.pop(key, None)
            head.update(num_classes=classes, loss_decode=LOSS)
    return plain | {"test_cfg": {"mode": "whole"}}


def _local(value: Any) -> Any:
    """Return a copy without weights to download, and with batch statistics of one process."""
    if isinstance(value, dict):
        kept = {k: _local(v) for k, v in value.items() if k != "pretrained" and not _fetches(k, v)}
        return kept | {"type": "BN"} if kept.get("type") in ("SyncBN", "MMSyncBN") else kept
    if isinstance(value, list | tuple):
        return type(value)(_local(one) for one in value)
    return value


def _fetches(key: str, value: Any) -> bool:
    return key == "init_cfg" and isinstance(value, dict) and value.get("type") == "Pretrained"


def _check_heads(segmentor: Any, where: str) -> None:
    """Refuse heads with a loss of their own: their output is not logits for cross-entropy."""
    from mmseg.models.decode_heads.decode_head import BaseDecodeHead

    for head in _heads(segmentor):
        kind, name = type(head), type(head).__name__
        plain = isinstance(head, BaseDecodeHead) and all(
            getattr(kind, method) is getattr(BaseDecodeHead, method) for method in ("loss", "loss_by_feat")
        )
        if not plain:
            raise BenchkitError(f"{where}: {name} has a loss of its own; benchkit trains heads that give plain logits")


def _line(error: Exception) -> str:
    # mmengine lists the whole sys.path after a module that lacks.
    text = " ".join(str(error).partition(", the current sys.path")[0].split()) or "no message"
    return f"{type(error).__name__}: {text[:300]}"


@contextmanager
def hushed() -> Iterator[None]:
    """Leave out mmengine's log lines below errors: it writes one for every weight it initialises."""
    from mmengine.logging import MMLogger

    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
