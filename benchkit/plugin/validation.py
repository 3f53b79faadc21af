"""Checks of plugin classes when they are registered: kind, name, form and default values."""

from __future__ import annotations

import inspect
import re
from dataclasses import MISSING, fields
from typing import Any

from benchkit import api
from benchkit.errors import BenchkitError
from benchkit.plugin.loading import HOOKS
from benchkit.specs.parameters import parameters, validated
from benchkit.specs.spec import Spec

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def class_name(plugin: Any) -> str:
    """Return the name of a class, or the text of any other object."""
    return plugin.__name__ if inspect.isclass(plugin) else repr(plugin)


def default_parameters(cls: type[api.Plugin], spec: Spec) -> frozenset[str]:
    """Return the names of the Spec's parameters that have the default of this plugin class."""
    defaults = {field.name: field.default for field in parameters(cls)}
    # 1, 1.0 and true are equal in Python, and three values here.
    same = ((key, (type(value), value) == (type(defaults.get(key)), defaults.get(key))) for key, value in spec.params)
    return frozenset(key for key, is_default in same if is_default)


def check_class(cls: Any, base: type[api.Plugin]) -> None:
    """Raise BenchkitError unless `cls` is a usable plugin class of this kind, whose defaults its parameters allow."""
    if not (inspect.isclass(cls) and issubclass(cls, base)):
        kinds = [
            f"put it into {hook}" for hook, other in HOOKS.items() if inspect.isclass(cls) and issubclass(cls, other)
        ]
        raise BenchkitError(
            ": ".join([f"{class_name(cls)} is not a subclass of benchkit.api.{base.__name__}", *kinds[:1]])
        )
    check_name(cls)
    check_form(cls, base)
    defaults: dict[str, Any] = {f.name: f.default for f in parameters(cls)}
    validated(cls, Spec.of(cls.kind, cls.name, **defaults))


def check_name(cls: type[api.Plugin]) -> None:
    """Raise BenchkitError unless the class's name is one that a Spec can carry."""
    name = getattr(cls, "name", None)
    if not is_name(name):
        raise BenchkitError(f"{cls.__name__}.name must be lower-case words joined by '-', not {name!r}")


def give_name(cls: type[api.Plugin]) -> None:
    """Name a class of a session after itself, in kebab case, unless it has a `name` of its own.

    A base of benchkit.api, or another abstract class, gets none: all its subclasses would inherit it.
    """
    is_base = cls in HOOKS.values() or inspect.isabstract(cls)
    if "name" not in vars(cls) and not is_base:
        cls.name = kebab_name(cls.__name__)


def kebab_name(name: str) -> str:
    """Return a class's name as a plugin's: `MyBlur2D` as `my-blur2-d`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower().replace("_", "-").strip("-")


def is_name(name: Any) -> bool:
    """Whether this is a plugin's name: lower-case words of letters and digits, joined by '-'."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def check_form(cls: Any, base: type[api.Plugin]) -> None:
    """Raise BenchkitError unless `cls` is a frozen dataclass with this kind's methods, and defaults everywhere."""
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    if missing:
        raise BenchkitError(f"{cls.__name__} lacks {', '.join(missing)}")
    # A class without the decorator inherits its base's fields, and its own parameters would be none.
    if not getattr(vars(cls).get("__dataclass_params__"), "frozen", False):
        raise BenchkitError(f"{cls.__name__} must be decorated with @dataclass(frozen=True)")
    for field in fields(cls):
        if field.default is MISSING:
            raise BenchkitError(f"{cls.__name__}.{field.name} needs a default value")
