"""Checks of plugins of every kind: name, docstring, parameters, Spec."""

from __future__ import annotations

import inspect
import types
from dataclasses import Field
from pathlib import Path
from typing import Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from benchkit.api import Plugin
from benchkit.errors import BenchkitError
from benchkit.plugin.loading import HOOKS
from benchkit.plugin.registry import parameters as declared
from benchkit.plugin.registry import validated
from benchkit.plugin.validation import check_form, check_name
from benchkit.specs.spec import Spec
from benchkit.testing.checks import Subject, Violation, check

SCALARS = (bool, int, float, str, type(None))


@check("name", "its name is lower-case words joined by '-', and no other plugin of its kind has it")
def name(subject: Subject) -> str:
    check_name(subject.cls)
    for entry in subject.registry.entries(subject.kind):
        if entry.name == subject.name and not _one_source(entry.cls, subject.cls):
            raise Violation(f"a name that no other {subject.kind} has", f"'{subject.name}', which {entry.origin} has")
    return subject.name


def _one_source(first: type, second: type) -> bool:
    """Return whether two classes are one that was imported twice: from its package, and as a file."""
    return first is second or (_file(first) is not None and _file(first) == _file(second))


def _file(cls: type) -> Path | None:
    try:
        return Path(inspect.getsourcefile(cls) or "").resolve()
    except TypeError:
        return None


@check("docstring", "it has a docstring")
def docstring(subject: Subject) -> str:
    text = inspect.cleandoc(subject.cls.__dict__.get("__doc__") or "")
    # A dataclass without a docstring gets its signature as docstring.
    if not text or text.startswith(f"{subject.cls.__name__}("):
        raise Violation(f"a docstring of class {subject.cls.__name__} that says what it does", "none")
    return text.partition("\n")[0]


@check("class", "it is a frozen dataclass with every method of its kind", gate=True)
def form(subject: Subject) -> None:
    base = next(base for base in HOOKS.values() if base.kind == subject.kind)
    try:
        check_form(subject.cls, base)
    except BenchkitError as error:
        raise Violation("a frozen dataclass with every method of its kind", str(error)) from None


@check("parameters", "every parameter has a type: bool, int, float or str")
def parameters(subject: Subject) -> str:
    untyped = sorted(
        key for key, value in vars(subject.cls).items() if _looks_like_a_parameter(subject.cls, key, value)
    )
    if untyped:
        actual = f"{', '.join(untyped)} without a type, which makes it a constant"
        raise Violation("a type for every parameter, such as 'strength: float = 0.5'", actual)
    hints = get_type_hints(subject.cls)
    for field in declared(subject.cls):
        if not _is_scalar(hints[field.name]):
            raise Violation(f"bool, int, float, str or a choice of them as the type of '{field.name}'", str(field.type))
    return ", ".join(f"{field.name}: {_plain(hints[field.name])}" for field in declared(subject.cls)) or "none"


def _looks_like_a_parameter(cls: type[Plugin], key: str, value: Any) -> bool:
    if key.startswith("_") or key.isupper() or key in inspect.get_annotations(cls):
        return False
    inherited = any(key in vars(base) or key in inspect.get_annotations(base) for base in cls.__mro__[1:])
    return not inherited and isinstance(value, bool | int | float | str | Field)


def _is_scalar(hint: Any) -> bool:
    origin = get_origin(hint)
    if origin is Literal:
        return all(isinstance(value, SCALARS) for value in get_args(hint))
    if origin in (Union, types.UnionType):
        return all(map(_is_scalar, get_args(hint)))
    return origin is not ClassVar and hint in SCALARS


def _plain(hint: Any) -> str:
    return getattr(hint, "__name__", str(hint)) if isinstance(hint, type) else str(hint)


@check("defaults", "every default is in its parameter's range", gate=True)
def defaults(subject: Subject) -> str:
    own: dict[str, Any] = {field.name: field.default for field in declared(subject.cls)}
    try:
        validated(subject.cls, Spec.of(subject.kind, subject.name, **own))
    except BenchkitError as error:
        raise Violation("defaults of the declared types, ranges and choices", str(error)) from None
    made = subject.plugin
    return ", ".join(f"{field.name}={getattr(made, field.name)}" for field in declared(subject.cls)) or "no parameters"


@check("spec", "its Spec as text can be parsed, and makes an equal plugin")
def spec(subject: Subject) -> str:
    made = subject.plugin
    own = Spec.of(subject.kind, subject.name, **{f.name: getattr(made, f.name) for f in declared(subject.cls)})
    text = str(own)
    try:
        again = Spec.parse(subject.kind, text)
        equal = subject.cls(**validated(subject.cls, again)) == made and hash(again) == hash(own)
    except BenchkitError as error:
        raise Violation(f"'{text}' to be parsed to the same Spec", str(error)) from None
    if again != own or not equal:
        raise Violation(f"'{text}' to be parsed to the same Spec", f"'{again}'")
    return text


@check("available", "it can run here: unavailable() returns None", gate=True)
def available(subject: Subject) -> None:
    reason = subject.cls.unavailable()
    if reason is not None:
        raise Violation("a plugin that can run here", f"unavailable() says: {reason}")
    if not isinstance(subject.plugin.depends_on(), str):
        raise Violation("depends_on() to return a str", repr(subject.plugin.depends_on()))


def is_plugin_class(value: Any) -> bool:
    """Return whether this is a plugin class; `form` checks the rest."""
    return inspect.isclass(value) and issubclass(value, Plugin) and hasattr(value, "kind")


CHECKS = (name, docstring, form, parameters, defaults, spec, available)
