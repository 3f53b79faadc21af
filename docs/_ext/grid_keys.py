"""The reference of a grid file's keys, from the descriptions in benchkit.config.grid and benchkit.config.grid_parts."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from benchkit.config.grid import Grid, OracleSet, SetSize, SourceSet
from benchkit.config.grid_parts import Names, OnDetector, Sampling, SomeTraining, Sweep
from benchkit.config.settings import fields_of
from benchkit.specs.spec import Spec
from benchkit.specs.training_config import TrainingConfig

#: Model -> the heading of its section, and what it is called in a type.
SECTIONS: dict[type, tuple[str, str]] = {
    Grid: ("A grid", "grid"),
    SetSize: ("A set", "set"),
    OracleSet: ("An oracle", "oracle"),
    SourceSet: ("A source", "source"),
    Sampling: ("A sampling", "sampling"),
    TrainingConfig: ("A training", "training"),
    OnDetector: ("Settings of one detector", "settings of one detector"),
}
WORDS = {int: "whole number", float: "number", bool: "true or false", str: "text", type(None): "null", Any: "value"}
ENDS = {
    annotated_types.Ge: ("≥", "ge"),
    annotated_types.Gt: (">", "gt"),
    annotated_types.Le: ("≤", "le"),
    annotated_types.Lt: ("<", "lt"),
}


def reference() -> str:
    """Return one section for every part of a grid."""
    return "\n".join(line for model in SECTIONS for line in section(model))


def section(model: type) -> Iterator[str]:
    """Yield the heading and the table of one model."""
    yield f"## {SECTIONS[model][0]}\n"
    yield f"{(model.__doc__ or '').strip().splitlines()[0]}\n"
    yield "| key | type | default | meaning |"
    yield "|---|---|---|---|"
    if model is Grid:
        yield "| `extends` | text | – | A preset whose keys this file takes over. |"
    for key, field in fields_of(model).items():
        cells = (f"`{key}`", type_of(field), default_of(field), str(field.description))
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""


def type_of(field: FieldInfo) -> str:
    """Return a field's type in words, with its range."""
    return words(Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation)


def words(hint: Any) -> str:
    """Return a type in words."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        named = next((one for one in arguments[1:] if isinstance(one, Names)), None)
        if named:
            return f"{article(named.kind)} {named.kind}" + (", or a sweep" if named.sweep else "")
        return words(arguments[0]) + "".join(ends(arguments[1:]))
    if origin is Literal:
        return " or ".join(f"`{one}`" for one in arguments)
    if origin in (Union, UnionType):
        return " or ".join(map(words, arguments))
    if origin is tuple:
        inner = arguments[:1] if arguments[-1] is ... else arguments
        return f"list of {words(inner[0])}" if len(inner) == 1 else f"list of {len(inner)}: {words(inner[0])}"
    if origin is dict:
        return f"mapping of {words(arguments[0])} to {words(arguments[1])}"
    if hint is SomeTraining:
        return f"some keys of a {words(TrainingConfig)}"
    if hint in SECTIONS:
        heading, name = SECTIONS[hint]
        return f"[{name}](#{heading.lower().replace(' ', '-')})"
    return WORDS[hint]


def article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def ends(metadata: tuple[Any, ...]) -> Iterator[str]:
    """Yield the limits among a type's annotations."""
    for one in metadata:
        if isinstance(one, FieldInfo):
            yield from ends(tuple(one.metadata))
        elif isinstance(one, annotated_types.MinLen):
            yield f", {one.min_length} or more"
        elif type(one) in ENDS:
            sign, name = ENDS[type(one)]
            yield f", {sign} {getattr(one, name)}"


def default_of(field: FieldInfo) -> str:
    """Return a field's default as YAML writes it."""
    if field.default is PydanticUndefined:
        return "needed"
    value = field.default
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    plain = [str(one) if isinstance(one, Spec) else one for one in plain] if isinstance(plain, tuple) else plain
    plain = str(plain) if isinstance(plain, Spec | Sweep) else plain
    text = yaml.safe_dump(plain, default_flow_style=True, width=1000, sort_keys=False, allow_unicode=True)
    return f"`{text.removesuffix('...' + chr(10)).strip()}`"
