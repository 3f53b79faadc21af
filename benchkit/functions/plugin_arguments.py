"""Plugins as a Python caller gives them: text, a Spec, a class or an instance; each becomes text that a grid holds."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchkit.api import Plugin
from benchkit.errors import ArgumentTypeError, ArgumentValueError, BenchkitError
from benchkit.specs.grammar import Scalar
from benchkit.specs.parameters import parameters
from benchkit.specs.spec import Spec

if TYPE_CHECKING:
    from benchkit.executors.batch import Executor
    from benchkit.plugin.registry import Registry

#: A plugin of one kind: `NAME:key=value`, a Spec, a class (its defaults) or an instance.
PluginLike = str | Spec | type[Plugin] | Plugin
#: Where further plugins come from: files, folders of files, classes; or all plugins as a Registry.
PluginSources = Sequence[str | Path | type[Plugin]]
_log = logging.getLogger(__name__)


def load_plugins(plugins: PluginSources | Registry, strict: bool = False) -> Registry:
    """Return all plugins: the installed ones, and those of files, folders and classes; log what was skipped.

    Raises BenchkitError for a file or folder that does not exist, for a class that is no usable plugin, and with
    `strict` for a plugin that cannot be used.
    """
    from benchkit.plugin.registry import Registry

    if isinstance(plugins, Registry):
        return plugins
    if isinstance(plugins, str | Path | type) or not isinstance(plugins, Iterable):
        raise ArgumentTypeError(
            f"plugins: give a list of files, folders or classes, such as ['my_plugins.py'], not {plugins!r}"
        )
    given = list(plugins)
    if wrong := [one for one in given if not isinstance(one, str | Path | type)]:
        raise ArgumentTypeError(f"plugins: {wrong[0]!r} is neither a file, a folder nor a class")
    classes = [one for one in given if inspect.isclass(one)]
    paths = [Path(one) for one in given if not inspect.isclass(one)]
    folders = [path for path in paths if path.is_dir()]
    registry = Registry.load(folders, [path for path in paths if path not in folders], strict=strict)
    for broken in registry.broken:
        text = "plugin '%s' (%s) was skipped: %s"
        _log.warning(text, broken.name, broken.origin, broken.reason, extra={"tell": True})
    for cls in classes:
        add_class(cls, registry, "plugins")
    return registry


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
            raise ArgumentValueError(f"{argument}: the {value.kind} '{value}' is no {kind}: give a {kind}")
        return str(value)
    cls = value if inspect.isclass(value) else type(value)
    if not issubclass(cls, Plugin):
        form = "text such as 'NAME:key=value', a Spec, a plugin class or an instance of one"
        raise ArgumentTypeError(f"{argument}: {_describe(value)} is no {kind}: give {form}")
    if getattr(cls, "kind", None) != kind:
        raise ArgumentTypeError(f"{argument}: {cls.__name__} is a {getattr(cls, 'kind', 'plugin')}, not a {kind}")
    name = add_class(cls, registry, argument)
    own = {} if inspect.isclass(value) else {f.name: getattr(value, f.name) for f in parameters(cls)}
    for key, one in own.items():
        if not isinstance(one, Scalar):
            raise ArgumentTypeError(f"{argument}: {cls.__name__}.{key} is a {type(one).__name__}, not a plain value")
    return str(Spec.of(kind, name, **own))


def name_plugins(values: Any, kind: str, registry: Registry, argument: str) -> list[str] | None:
    """Return the texts of several plugins, or of one that is given by itself; None for None."""
    if values is None:
        return None
    if isinstance(values, str | Spec | Plugin) or inspect.isclass(values):
        values = [values]
    if not isinstance(values, Sequence):
        hint = "list(…) of it" if isinstance(values, Iterable) else "a list"
        raise ArgumentTypeError(f"{argument}: {_describe(values)} is no list: give {hint}")
    if not values:
        raise ArgumentValueError(f"{argument}: the list is empty: leave the argument out, or name a {kind}")
    return [name_plugin(value, kind, registry, argument) for value in values]


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


def _describe(value: Any) -> str:
    return f"class {value.__name__}" if inspect.isclass(value) else f"{type(value).__name__} {value!r}"[:80]
