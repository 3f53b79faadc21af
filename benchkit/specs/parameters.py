"""The parameters of a plugin class: their declared types, ranges and choices, and values checked against them."""

from __future__ import annotations

import math
from dataclasses import Field, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import Field as Bounds
from pydantic import PydanticUserError, TypeAdapter, ValidationError

from benchkit.errors import BenchkitError, UnknownNameError, shortened
from benchkit.specs.grammar import Scalar, plain_text, print_value, read_value
from benchkit.specs.spec import Spec

if TYPE_CHECKING:
    from benchkit.api import Plugin

SCALARS = frozenset({bool, int, float, str, type(None)})
_ENDS = {
    "ge": "greater than or equal to",
    "gt": "greater than",
    "le": "less than or equal to",
    "lt": "less than",
}
_WANTED = {bool: "true or false", int: "a whole number", float: "a number", str: "text", type(None): "null"}


def parameters(cls: type[Plugin]) -> tuple[Field[Any], ...]:
    """Return the parameters of a plugin class: its dataclass fields."""
    return fields(cls)  # type: ignore[arg-type]


def validated(cls: type[Plugin], spec: Spec) -> dict[str, Any]:
    """Return the Spec's parameters, checked against the types, ranges and choices of the class's fields.

    An unquoted value is what the parameter's type says: `2024`, `no` and `null` are text for a parameter of type `str`.
    """
    known = {f.name: f for f in parameters(cls)}
    hints = _hints(cls)
    values: dict[str, Any] = {}
    for key, value in spec.params:
        if key not in known:
            raise BenchkitError(f"{spec.kind} '{spec.name}': {UnknownNameError('parameter', key, known)}")
        values[key] = _checked(cls, known[key], hints[key], as_declared(value, hints[key]))
    return values


def check_parameters(plugin: Plugin) -> None:
    """Raise BenchkitError unless every parameter of a live plugin has its declared type, range and choices.

    Fields of other types than parameters have belong to helper classes that are not registered plugins.
    """
    cls = type(plugin)
    if not is_dataclass(cls):
        return
    try:
        hints = _hints(cls)
    except BenchkitError:
        return
    for field in parameters(cls):
        if types_of(hints[field.name]) <= SCALARS:
            _checked(cls, field, hints[field.name], getattr(plugin, field.name))


def as_declared(value: Scalar, hint: Any) -> Scalar:
    """Return what a Spec's value is for a parameter of this type: text as it was written where text is declared."""
    if isinstance(value, str):
        return value
    read = float if isinstance(value, float) else type(value)
    allowed = types_of(hint)
    if str in allowed and read not in allowed and not (read is int and float in allowed):
        return plain_text(value)
    return float(value) if isinstance(value, float) else value


def types_of(hint: Any) -> set[Any]:
    """Return the types that a declaration allows; of a Literal, those of its values."""
    origin = get_origin(hint)
    if origin is Literal:
        return set(map(type, get_args(hint)))
    if origin in (Union, UnionType):
        return set().union(*map(types_of, get_args(hint)))
    return types_of(get_args(hint)[0]) if origin is Annotated else {hint}


@cache  # a plan asks for the same few classes some hundred times
def _hints(cls: type[Plugin]) -> dict[str, Any]:
    try:
        return get_type_hints(cls)
    except Exception as error:  # an annotation is evaluated here, and may be anything
        raise BenchkitError(f"{cls.__name__}: the type of a parameter cannot be read: {error}") from None


def _checked(cls: type[Plugin], field: Field[Any], hint: Any, value: Any) -> Any:
    """Return the value, an int as a float if declared so; raises BenchkitError with plugin and range."""
    choices = field.metadata.get("choices")
    if choices and not any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in choices):
        raise BenchkitError(f"{_where(cls, field, value)}: choose from {', '.join(map(str, choices))}")
    bounds = field.metadata.get("bounds", {})
    try:
        checked = _adapter(hint, tuple(bounds.items())).validate_python(value, strict=True)
    except ValidationError:
        raise BenchkitError(f"{_where(cls, field, value)}: {_wanted(hint, bounds, value)}") from None
    except (PydanticUserError, TypeError):
        raise BenchkitError(
            f"{_where(cls, field, value)}: its type {hint!r} or its range is none a parameter can have: use bool, int, "
            "float or str"
        ) from None
    if isinstance(checked, float) and not math.isfinite(checked):
        raise BenchkitError(f"{_where(cls, field, value)}: it must be a finite number")
    return checked


def _where(cls: type[Plugin], field: Field[Any], value: Any) -> str:
    shown = print_value(value) if isinstance(value, Scalar) else repr(value)
    name = f"{getattr(cls, 'kind', 'plugin')} '{getattr(cls, 'name', cls.__name__)}'"
    return f"{name}: parameter {field.name}={shortened(shown)}"


def _wanted(hint: Any, bounds: dict[str, float], value: Any) -> str:
    """Return the allowed values in words: `it must be a whole number, at least 0, at most 50`."""
    if get_origin(hint) is Literal:
        return f"choose from {', '.join(map(print_value, get_args(hint)))}"
    types = " or ".join(_WANTED.get(one, str(one)) for one in sorted(types_of(hint), key=str))
    ends = "".join(f", {_ENDS[name]} {end}" for name, end in bounds.items())
    quotes = isinstance(value, str) and not isinstance(as_declared(_read(value), hint), str)
    return f"it must be {types}{ends}{' (write it without quotes)' if quotes else ''}"


def _read(text: str) -> Scalar:
    try:
        return read_value(text)
    except BenchkitError:
        return text


@cache
def _adapter(hint: Any, bounds: tuple[tuple[str, Any], ...]) -> TypeAdapter[Any]:
    return TypeAdapter(Annotated[hint, Bounds(**dict(bounds))] if bounds else hint)
