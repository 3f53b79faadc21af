"""Weights in mmsegmentation's format: read without unpickling anything else, and matched to a network key by key."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from benchkit.api import BenchkitError
from benchkit_plugins.detectors import _download, _identity

log = logging.getLogger("benchkit.detectors")


class _Dropped:
    """Stands for an object of the training that wrote the checkpoint (its curves): made, and forgotten."""

    def __setstate__(self, state: object) -> None:
        pass


def _nothing(*_: object) -> None:
    """Stands for `getattr`, which those objects ask for by name; called, it gets nothing."""


#: What checkpoints hold beside tensors: numpy's numbers (best scores) and arrays, under the names that old releases
#: gave their constructors too, and mmengine's curves. Not mmengine's own list, which lets `getattr` in and so anything.
_scalar: Any = np.float64().__reduce__()[0]
_array: Any = np.zeros(1).__reduce__()[0]
_kinds = [type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int32, np.int64)]
_old = [(_scalar, "numpy.core.multiarray.scalar"), (_array, "numpy.core.multiarray._reconstruct")]
_curves = [(_Dropped, "mmengine.logging.history_buffer.HistoryBuffer"), (_nothing, "builtins.getattr")]
PLAIN: list[Any] = [_scalar, _array, *_old, *_curves, np.ndarray, np.dtype, *_kinds]
#: How a zip archive begins, as torch writes them, and a web page.
ZIP, PAGE = b"PK\x03\x04", (b"<!doctype", b"<html", b"<?xml", b"<head")


@dataclass(frozen=True)
class Pretraining:
    """What a network took from its pre-training: names of loaded, re-initialised and unused weights.

    sha256: of the file, or nothing for embedded weights.
    """

    source: str
    loaded: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    sha256: str = ""

    def __str__(self) -> str:
        origin = f"{self.source} (sha256 {self.sha256[:16]})" if self.sha256 else self.source
        parts = [f"{origin}: {len(self.loaded)} weights loaded"]
        for names, verdict in ((self.fresh, "initialised afresh"), (self.unused, "of the file not used")):
            if names:
                shown = ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
                parts.append(f"{len(names)} {verdict} ({shown})")
        return "; ".join(parts)


def load_pretraining(
    network: Any, state: Mapping[str, Tensor], source: str, rename: Callable[[str], str] = str, sha256: str = ""
) -> None:
    """Load a state dict into `network.segmentor`; `network.pretraining` and the log say what was loaded and what not.

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
        elif not _other_classes(name, value, own[name]):
            message = f"{source}: {name} is {tuple(value.shape)}, the network's {tuple(own[name].shape)}: another size?"
            raise BenchkitError(message)
    wanted = [name for name, _ in network.segmentor.named_parameters()]
    backbone = [name for name in wanted if name.startswith("backbone.")]
    lacking = [name for name in backbone if name not in loadable]
    if lacking:
        which = "weights of another architecture: it" if len(lacking) == len(backbone) else "it"
        raise BenchkitError(f"{source}: {which} lacks {len(lacking)} weights of the backbone, such as {lacking[0]}")
    network.segmentor.load_state_dict(loadable, strict=False)
    network.pretraining = Pretraining(
        source,
        loaded=tuple(sorted(loadable)),
        fresh=tuple(name for name in wanted if name not in loadable),
        unused=tuple(sorted(set(given) - set(loadable))),
        sha256=sha256,
    )
    log.info("%s", network.pretraining)


def _other_classes(name: str, given: Tensor, own: Tensor) -> bool:
    """Return whether a head's weight differs only by the number of classes, which is 2 here."""
    if name.startswith("backbone.") or given.ndim != own.ndim:
        return False
    return all(mine == 2 for mine, theirs in zip(own.shape, given.shape, strict=True) if mine != theirs)


def load(network: Any, source: str, rename: Callable[[str], str] = str) -> None:
    """`load_pretraining` from a path or URL."""
    path = _download.located(source)
    state = checkpoint(path, source)
    load_pretraining(network, state, source, rename, _download.sha256(path))


def load_chosen(network: Any, name: str, size: str, pretrained: str, rename: Callable[[str], str] = str) -> None:
    """Load the weights that a UPerNet's parameters name; name: of the detector. Raises BenchkitError for unfit ones."""
    source = _identity.chosen_source(size, pretrained)
    if source == "parts":
        if size != "mini":
            raise BenchkitError(f"{name}: embedded weights exist for size=mini only")
        asset = f"{name}-mini.safetensors"
        load_pretraining(network, embedded(asset), asset)
    elif source != "none":
        load(network, source, rename)


def embedded(asset: str) -> dict[str, Tensor]:
    """Return the weights shipped as benchkit/assets/detectors/`asset`; raise BenchkitError if they are not shipped."""
    file = resources.files("benchkit") / "assets" / "detectors" / asset
    if not file.is_file():
        raise BenchkitError(f"the embedded weights {asset} are not shipped: make them (recipes) or set pretrained=none")
    weights: dict[str, Tensor] = safetensors.torch.load(file.read_bytes())
    return weights


def checkpoint(path: Path, source: str = "") -> dict[str, Tensor]:
    """Return the state dict of a local checkpoint: mmsegmentation's .pth, or safetensors; unpickles tensors only.

    source: what the user wrote for it, if not the path. Raises BenchkitError when the file is absent, damaged, a web
    page, or holds more than weights and plain data.
    """
    source = source or str(path)
    if not path.is_file():
        raise BenchkitError(f"pretrained={source}: no such file (known words: auto, parts, none)")
    _check_whole(path, source)
    try:
        if path.suffix == ".safetensors":
            content: Any = safetensors.torch.load_file(path)
        else:
            with torch.serialization.safe_globals(PLAIN):
                content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a torn or hostile file raises has no common class
        message = f"{source}: cannot be read as weights alone; save its 'state_dict', and nothing else, to a new file"
        raise BenchkitError(message) from error
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise BenchkitError(f"{source}: holds no state dict")
    return dict(content)


def _check_whole(path: Path, source: str) -> None:
    with path.open("rb") as file:
        head = file.read(512)
    if head.lstrip().lower().startswith(PAGE):
        raise BenchkitError(f"{source}: is a web page, not weights; download the file itself")
    if path.suffix == ".safetensors":
        try:
            safetensors.safe_open(path, framework="pt").keys()
        except safetensors.SafetensorError as error:
            raise BenchkitError(f"{source}: is damaged or incomplete ({error}); fetch it again") from None
    elif head.startswith(ZIP) and not zipfile.is_zipfile(path):
        raise BenchkitError(f"{source}: is incomplete ({path.stat().st_size:,} bytes, no end); fetch it again")
