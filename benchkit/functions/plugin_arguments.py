"""Plugins as a Python caller gives them: text, a Spec, a class or an instance.

The single steps need a live plugin (`make_plugin`), a comparison the text that its grid holds (`name_plugin`).
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from benchkit.api import Plugin
from benchkit.errors import ArgumentTypeError, ArgumentValueError, BenchkitError, as_argument_error, describe_value
from benchkit.plugin.registry import PLUGINS_VARIABLE, Registry
from benchkit.plugin.validation import give_name
from benchkit.specs.grammar import Scalar
from benchkit.specs.parameters import parameters
from benchkit.specs.spec import Spec

if TYPE_CHECKING:
    from benchkit.executors.batch import Executor
    from benchkit.functions.datasets import DatasetView

P = TypeVar("P", bound=Plugin)
#: A plugin of one kind: `NAME:key=value`, a Spec, a class (its defaults) or an instance.
PluginLike = str | Spec | type[Plugin] | Plugin
if TYPE_CHECKING:
    #: A dataset in one of these forms, or what `load_dataset` returned.
    DatasetLike: TypeAlias = PluginLike | DatasetView
#: Where further plugins come from: files, folders of files, classes; or all plugins, loaded already.
PluginSources = Sequence[str | Path | type[Plugin]] | Registry
_log = logging.getLogger(__name__)


def load_plugins(plugins: PluginSources, strict: bool = False) -> Registry:
    """Return all plugins: the installed ones, and those of files, folders and classes; log what was skipped.

    Raises BenchkitError for a file or folder that does not exist, for a class that is no usable plugin, and with
    `strict` for a plugin that cannot be used.
    """
    if isinstance(plugins, Registry):
        return plugins
    if isinstance(plugins, str | Path | type) or not isinstance(plugins, Iterable):
        remedy = "give a list of files, folders or classes, such as ['my_plugins.py']"
        raise ArgumentTypeError(f"plugins: {describe_value(plugins)} is no list: {remedy}")
    given = list(plugins)
    if wrong := [one for one in given if not isinstance(one, str | Path | type)]:
        raise ArgumentTypeError(f"plugins: {describe_value(wrong[0])} is neither a file, a folder nor a class")
    classes = [one for one in given if inspect.isclass(one)]
    paths = [Path(one) for one in given if not inspect.isclass(one)]
    folders = [path for path in paths if path.is_dir()]
    with as_argument_error("plugin"):
        registry = Registry.load(folders, [path for path in paths if path not in folders], strict=strict)
    for broken in registry.broken:
        text = "plugin '%s' (%s) was skipped: %s"
        _log.warning(text, broken.name, broken.origin, broken.reason, extra={"tell": True})
    for cls in classes:
        add_class(cls, registry, "plugins")
    return registry


def open_plugins(plugins: PluginSources = ()) -> Registry:
    """Return the plugins as `load_plugins` does; the installed ones are loaded once, so nothing may be added."""
    if isinstance(plugins, list | tuple) and not plugins:
        return _load_installed(os.environ.get(PLUGINS_VARIABLE))
    return load_plugins(plugins)


@lru_cache(maxsize=1)
def _load_installed(variable: str | None) -> Registry:
    return load_plugins(())


def make_plugin(kind: str, wanted: Any, base: type[P], plugins: PluginSources = ()) -> P:
    """Return the live plugin that an argument means: `NAME:key=value`, a Spec, a class with defaults, or a plugin.

    Raises ArgumentTypeError for anything else, and for a class that needs arguments or lacks a method;
    ArgumentValueError for an unknown name and for wrong parameters.
    """
    cls = wanted if inspect.isclass(wanted) else type(wanted)
    if issubclass(cls, Plugin) and not hasattr(cls, "name"):
        give_name(cls)
    if isinstance(wanted, base):
        return wanted
    if inspect.isclass(wanted) and issubclass(wanted, base):
        return make_default(kind, wanted)
    if not isinstance(wanted, str | Spec):
        raise _explain_no_plugin(wanted, kind, kind)
    with as_argument_error(kind):
        spec = Spec.parse(kind, wanted) if isinstance(wanted, str) else wanted
    if spec.kind != kind:
        raise ArgumentTypeError(f"{kind}: '{spec}' is {_article(spec.kind)}, not {_article(kind)}")
    registry = open_plugins(plugins)
    with as_argument_error(kind):
        return registry.make(spec, base)


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


def _explain_no_plugin(value: Any, kind: str, argument: str) -> ArgumentTypeError:
    """Return the error for a value that is no plugin of this kind."""
    cls = value if inspect.isclass(value) else type(value)
    if issubclass(cls, Plugin):
        return ArgumentTypeError(
            f"{argument}: {cls.__name__} is {_article(getattr(cls, 'kind', 'plugin'))}, not {_article(kind)}"
        )
    remedy = "text such as 'NAME:key=value', a Spec, a plugin class or an instance of one"
    if kind == "dataset" and isinstance(value, Path):
        remedy = f"'folder:root={value}' for a folder of images"
    return ArgumentTypeError(f"{argument}: {describe_value(value)} is no {kind}: give {remedy}")


def _article(kind: str) -> str:
    """Return a kind of plugins with its article."""
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def add_class(cls: type[Plugin], registry: Registry, argument: str) -> str:
    """Return the name of a class in the registry, which gains it where no plugin file has it."""
    if not issubclass(cls, Plugin):
        raise ArgumentTypeError(f"{argument}: class {cls.__name__} is no plugin: derive it from one of benchkit.api")
    try:
        return (registry.find_class(cls) or registry.add_class(cls)).name
    except BenchkitError as error:
        raise ArgumentValueError(f"{argument}: {error}") from None


def name_plugin(value: Any, kind: str, registry: Registry, argument: str) -> str:
    """Return the text `NAME:key=value` of a plugin; text is returned as it is, and may be a sweep.

    argument: the name of the caller's argument, for messages. Raises ArgumentTypeError for anything that is no plugin,
    or one of another kind, and ArgumentValueError for a class that cannot be used.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Spec):
        if value.kind != kind:
            raise ArgumentTypeError(f"{argument}: '{value}' is {_article(value.kind)}, not {_article(kind)}")
        return str(value)
    if kind == "dataset":
        from benchkit.functions.datasets import DatasetView

        value = value.dataset if isinstance(value, DatasetView) else value
    cls = value if inspect.isclass(value) else type(value)
    if not issubclass(cls, Plugin) or getattr(cls, "kind", None) != kind:
        raise _explain_no_plugin(value, kind, argument)
    name = add_class(cls, registry, argument)
    own = {} if inspect.isclass(value) else {f.name: getattr(value, f.name) for f in parameters(cls)}
    for key, one in own.items():
        if not isinstance(one, Scalar):
            raise ArgumentTypeError(f"{argument}: {cls.__name__}.{key} is {describe_value(one)}, not a plain value")
    return str(Spec.of(kind, name, **own))


def name_plugins(values: Any, kind: str, registry: Registry, argument: str) -> list[str] | None:
    """Return the texts of several plugins, or of one that is given by itself; None for None."""
    if values is None:
        return None
    if isinstance(values, str | Spec | Plugin) or inspect.isclass(values):
        values = [values]
    if not isinstance(values, Sequence):
        hint = f"list({argument})" if isinstance(values, Iterable) else "a list"
        raise ArgumentTypeError(f"{argument}: {describe_value(values)} is no list: give {hint}")
    if not values:
        raise ArgumentValueError(f"{argument}: the list is empty: name {_article(kind)}, or omit an optional argument")
    return [name_plugin(value, kind, registry, argument) for value in values]


def name_choice(value: PluginLike | None, kind: str, registry: Registry) -> str | None:
    """Return the text of the detector or selector by which a row of a board is chosen; None for None."""
    return None if value is None else name_plugin(value, kind, registry, kind)


def keep_in_process(executor: Executor, registry: Registry, device: str) -> Executor:
    """Return the executor, or for `auto` one of this process, if classes of this session are among the plugins.

    Raises ArgumentValueError if another process would need such a class, with the remedy.
    """
    from benchkit.executors.auto import Auto
    from benchkit.executors.inline import Inline

    own = [entry for entry in registry.entries() if entry.in_session]
    if not own:
        return executor
    name = own[0].cls.__name__
    remedy = (
        f"write it to a file, benchkit.save_plugin({name}, '{own[0].name.replace('-', '_')}.py'), and name the file in "
        "`plugins`"
    )
    why = f"class {name} of this session cannot be found again by another process: {remedy}"
    if "," in device:
        raise ArgumentValueError(f"`device` {device}: {why}, or name one device")
    if isinstance(executor, Auto):
        return Inline(executor.time_limit)
    if not isinstance(executor, Inline):
        raise ArgumentValueError(f"`executor` {type(executor).__name__.lower()}: {why}, or use `executor` inline")
    return executor
