"""Settings of a grid by their paths, such as `training.lr`: their types, and their values from text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel

from benchkit.config.grid_parts import Sweep
from benchkit.config.origin import UNREADABLE
from benchkit.errors import BenchkitError, shortened
from benchkit.specs.grammar import quoted, read_value
from benchkit.specs.parameters import as_declared, types_of
from benchkit.specs.spec import Spec


def fields_of(hint: Any) -> Mapping[str, Any]:
    """Return the fields of a grid's part by their keys; none for any other type."""
    found: Mapping[str, Any] = getattr(hint, "__pydantic_fields__", {}) if isinstance(hint, type) else {}
    return found


def setting_type(model: type[BaseModel], path: Sequence[str]) -> Any:
    """Return the declared type of a setting; Any where there is none of that name."""
    if path[:1] == ["on_dataset"] and len(path) > 2:
        return setting_type(model, path[2:])
    hint: Any = model
    for part in path:
        hint = next((found for one in options_of(hint) if (found := _inner(one, part)) is not None), Any)
    return hint


def options_of(hint: Any) -> list[Any]:
    """Return what a type may be: the members of a union, without annotations."""
    if get_origin(hint) in (Union, UnionType):
        return [option for one in get_args(hint) for option in options_of(one)]
    if get_origin(hint) is Annotated:
        return options_of(get_args(hint)[0])
    return [str if hint in (Spec, Sweep) else hint]  # a grid file contains their text


def _inner(hint: Any, part: str) -> Any:
    """Return the type of a key's value or a list's entry; None if there is no such key or position."""
    if fields := fields_of(hint):
        return fields[part].annotation if part in fields else None
    arguments = get_args(hint)
    if get_origin(hint) is tuple and part.isdecimal():
        return arguments[0] if arguments[-1] is ... else dict(enumerate(arguments)).get(int(part))
    return arguments[1] if get_origin(hint) is dict else None


def known_keys(model: type[BaseModel], path: Sequence[Any]) -> list[str]:
    """Return the allowed keys at a path; none if there is no mapping of known keys."""
    found = options_of(setting_type(model, list(map(str, path))))
    return [key for one in found for key in fields_of(one)]


def read_setting(model: type[BaseModel], path: Sequence[str], text: str) -> Any:
    """Return the value of a setting from its text: by benchkit.specs.grammar, lists and mappings as YAML writes them.

    Raises BenchkitError for a text that is neither.
    """
    options = options_of(setting_type(model, path))
    types = set().union(*map(types_of, options))
    listed = any(get_origin(one) is tuple for one in options)
    if text.strip()[:1] in ("[", "{") and str not in types:
        try:
            return yaml.safe_load(text)
        except (yaml.YAMLError, *UNREADABLE):
            raise BenchkitError(f"'{shortened(text)}' is not a list or a mapping as YAML writes it") from None
    if listed and not (text.strip() == "null" and type(None) in types):
        entries = text if ":" not in text else quoted(text)
        raise BenchkitError(f"'{shortened(text)}' is not a list: write {'.'.join(path)}=[{shortened(entries.strip())}]")
    return as_declared(read_value(text), Union[*options])
