"""Arguments of the Python API, checked: plugins, texts for each image, whole numbers, checkpoints."""

from __future__ import annotations

import inspect
import os
from collections.abc import Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from benchkit.api import Plugin
from benchkit.errors import ArgumentTypeError, ArgumentValueError
from benchkit.functions import plugin_arguments
from benchkit.functions.plugin_arguments import PluginSources
from benchkit.inference.image_batch import ImageBatch
from benchkit.inference.images import check_sequence
from benchkit.plugin.registry import PLUGINS_VARIABLE, Registry
from benchkit.plugin.validation import give_name
from benchkit.specs.spec import Spec
from benchkit.specs.training_sets import SEEDS

if TYPE_CHECKING:
    from benchkit.diffusion.backend import DiffusionBackend

P = TypeVar("P", bound=Plugin)
#: Files of further plugins, folders of such files, classes; or plugins that are loaded already.
Plugins = PluginSources | Registry


def load_plugins(plugins: Plugins = ()) -> Registry:
    """Return the installed plugins and further ones, see `plugin_arguments.load_plugins`; installed ones load once."""
    if isinstance(plugins, Registry) or plugins:
        return plugin_arguments.load_plugins(plugins)
    return _installed(os.environ.get(PLUGINS_VARIABLE))


@lru_cache(maxsize=1)
def _installed(variable: str | None) -> Registry:
    return Registry.load()


def make_plugin(kind: str, wanted: Any, base: type[P], plugins: Plugins = ()) -> P:
    """Return the live plugin that an argument means: `NAME:key=value`, a Spec, a class with defaults, or a plugin.

    Raises ArgumentTypeError for anything else, and for a class that needs arguments or lacks a method.
    """
    cls = wanted if inspect.isclass(wanted) else type(wanted)
    if issubclass(cls, Plugin) and not hasattr(cls, "name"):
        give_name(cls)
    if isinstance(wanted, base):
        return wanted
    if inspect.isclass(wanted) and issubclass(wanted, base):
        return make_default(kind, wanted)
    if isinstance(wanted, Plugin) or (inspect.isclass(wanted) and issubclass(wanted, Plugin)):
        raise ArgumentTypeError(
            f"{kind}: {_named(wanted)} is of the kind {wanted.kind}: give a plugin of the kind {kind}"
        )
    if not isinstance(wanted, str | Spec):
        raise ArgumentTypeError(
            f"a {kind} is text NAME:key=value, a Spec, a plugin's class or a plugin, not this {type(wanted).__name__}"
        )
    spec = Spec.parse(kind, wanted) if isinstance(wanted, str) else wanted
    if spec.kind != kind:
        raise ArgumentTypeError(f"{spec.kind} '{spec}' is not a {kind}")
    return load_plugins(plugins).make(spec, base)


def make_default(kind: str, cls: type[P]) -> P:
    """Return a plugin with the defaults of its class; raise ArgumentTypeError where that is not possible."""
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    if missing:
        raise ArgumentTypeError(f"{kind}: class {cls.__name__} lacks {', '.join(missing)}: write these methods")
    needed: list[str] = [f.name for f in fields(cls) if f.default is MISSING] if is_dataclass(cls) else []
    if needed:
        example = ", ".join(f"{name}=…" for name in needed)
        raise ArgumentTypeError(
            f"{kind}: class {cls.__name__} needs {', '.join(needed)}: give a plugin, {cls.__name__}({example})"
        )
    return cls()


def _named(plugin: Any) -> str:
    return plugin.__name__ if inspect.isclass(plugin) else repr(getattr(plugin, "name", plugin))


def check_whole(name: str, value: Any, least: int = 0, most: int | None = None) -> int:
    """Return a whole number in a range; raise ArgumentTypeError or ArgumentValueError that names the argument."""
    if hasattr(value, "__index__") and not isinstance(value, bool):
        value = value.__index__()
    if isinstance(value, bool) or not isinstance(value, int):
        raise ArgumentTypeError(f"{name}={value!r}: give a whole number")
    if value < least or (most is not None and value > most):
        limits = f"{least} or more" if most is None else f"from {least} to {most}"
        raise ArgumentValueError(f"{name}={value}: give a whole number, {limits}")
    return value


def check_seed(seed: Any) -> int:
    """Return a seed, a whole number from 0 to 2^31 - 1; raise ArgumentTypeError or ArgumentValueError."""
    return check_whole("seed", seed, 0, SEEDS - 1)


def texts_of(
    images: Any, count: int, captions: Sequence[str | None] | None, ids: Sequence[str] | None
) -> tuple[list[str | None], list[str]]:
    """Return a caption and an id for each of `count` images.

    Where they are not given, those of an ImageBatch; else no caption, and the ids "0", "1", ... Raises
    ArgumentTypeError and ArgumentValueError for other types, and for another number of texts.
    """
    own = isinstance(images, ImageBatch)
    texts: list[Any] = list(images.captions) if own else [None] * count
    names: list[Any] = list(images.ids) if own else [str(i) for i in range(count)]
    texts = texts if captions is None else _texts("captions", captions, count, "a text or None")
    names = names if ids is None else _texts("ids", ids, count, "a text")
    if any(name is None for name in names):
        raise ArgumentTypeError("ids: an id is a text, not None")
    return texts, [str(name) for name in names]


def _texts(name: str, given: Any, count: int, each: str) -> list[str | None]:
    if isinstance(given, str):
        raise ArgumentTypeError(f"{name}: one text for {count} images: give a list with {each} for each")
    listed = list(check_sequence(given, name, f"a list with {each} for each image"))
    if len(listed) != count:
        raise ArgumentValueError(f"{name}: {len(listed)} for {count} images: give a list with {each} for each")
    wrong = next((one for one in listed if one is not None and not isinstance(one, str)), None)
    if wrong is not None:
        raise ArgumentTypeError(f"{name}: {wrong!r} is not text: give {each} for each image")
    return listed


def find_model(model: Any, device: str = "auto") -> DiffusionBackend:
    """Return a loaded checkpoint, or load the one of a name; the last one is kept. Raises ArgumentTypeError."""
    from benchkit.diffusion.backend import DiffusionBackend

    if isinstance(model, DiffusionBackend):
        return model
    if not isinstance(model, str | Path):
        raise ArgumentTypeError(
            f"model: give a checkpoint's name or the result of benchkit.load_model, not this {type(model).__name__}"
        )
    from benchkit.system.devices import resolve_device

    return _model(str(model), resolve_device(device))


@lru_cache(maxsize=1)
def _model(name: str, device: str) -> DiffusionBackend:
    from benchkit.diffusion.backend import DiffusionBackend

    return DiffusionBackend.load(name, device)
