"""Any mmsegmentation config as a detector.

A `.py` config is a program: building it runs it, with all that it inherits and imports, as mmsegmentation itself does.
Name only files that you would run, as with a plugin. Nothing of it is run while plugins are listed or runs are planned.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from benchkit.api import BenchkitError, Detector, hookimpl, param

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class MMSegConfig(Detector):
    """The network of an mmsegmentation config, its heads made for two classes.

    What the config says of data, losses, optimiser and schedule is not used: those are the suite's, the same for every
    detector. Mean, deviation and channel order of its `data_preprocessor` are applied inside the network.
    """

    name = "mmseg"
    config: str = param(
        "segformer_mit-b0_8xb2-160k_ade20k-512x512",
        doc="FILE (a .py config is a program, and is run), or the name of a config that mmsegmentation ships",
    )
    checkpoint: str = param("none", doc="FILE or URL of weights in mmsegmentation's format; none: random")

    def depends_on(self) -> str:
        """Return the digest of the config, of the files it inherits (`_base_`), and of the checkpoint.

        What a config imports, or reads in other ways, is not counted.
        """
        from benchkit_plugins.detectors import _identity

        total = hashlib.sha256()
        for file in _with_bases(self._file()):
            total.update(hashlib.sha256(file.read_bytes()).digest())
        total.update(_identity.weights_digest(self.checkpoint).encode())
        return total.hexdigest()

    def _file(self) -> Path:
        path = Path(self.config)
        if path.is_file():
            return path
        found = importlib.util.find_spec("mmseg")
        shipped = Path(found.origin).parent / ".mim" / "configs" if found and found.origin else Path()
        matches = sorted(shipped.glob(f"*/{path.stem if path.suffix == '.py' else path.name}.py"))
        if len(path.parts) > 1 or not matches:
            raise BenchkitError(f"mmseg:config={self.config}: no such file, and no config that mmsegmentation ships")
        return matches[0]

    def build(self) -> nn.Module:
        """Return the two-class network; `pretraining` on it names what was loaded of the checkpoint.

        Weights that the checkpoint lacks come from torch's global generator: seed it first. Raises BenchkitError for
        a config that cannot be built, heads that give no plain logits, and missing or unfit weights.
        """
        from benchkit_plugins.detectors import _segmentor, _weights

        network = _segmentor.built(self._file())
        if self.checkpoint != "none":
            _weights.load(network, self.checkpoint)
        return network


def _with_bases(path: Path, seen: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Yield the config and all that it inherits by `_base_`, without running any of it."""
    yield path
    for base in _bases(path):
        file = path.parent / base
        if file.is_file() and file.resolve() not in seen:
            yield from _with_bases(file, seen | {path.resolve()})


def _bases(path: Path) -> list[str]:
    """Return the names in a config's `_base_`; none if it cannot be parsed, which building it reports."""
    try:
        named = _assigned(path) if path.suffix == ".py" else _loaded(path).get("_base_", [])
    except (ValueError, SyntaxError, yaml.YAMLError, AttributeError):
        return []
    return [str(one) for one in (named if isinstance(named, list | tuple) else [named])]


def _assigned(path: Path) -> Any:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "_base_" for t in node.targets):
            return ast.literal_eval(node.value)
    return []


def _loaded(path: Path) -> Any:
    text = path.read_text()
    return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)


@hookimpl
def benchkit_detectors() -> list[type[Detector]]:
    return [MMSegConfig]
