"""The space that `tune` searches: ranges and choices of a plugin's parameters, by default from their declarations."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass
from typing import Any, get_type_hints

from benchkit.api import LatentCorruptor
from benchkit.errors import BenchkitError, UnknownNameError
from benchkit.plugin.registry import Registry, parameters
from benchkit.specs.grammar import Scalar, print_value, read_value, split
from benchkit.specs.parameters import as_declared
from benchkit.specs.spec import Spec

#: A number that declares no upper or lower end is searched this many times below and above its default.
WIDTH = 4.0
#: Searched floats are rounded, so that a Spec stays readable; what is rounded is what is scored.
DIGITS = 4


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both included. log: searched on a logarithmic scale."""

    low: float
    high: float
    whole: bool = False
    log: bool = False

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}{' (log)' if self.log else ''}"


@dataclass(frozen=True)
class Choices:
    """One of several values."""

    values: tuple[Scalar, ...]

    def __str__(self) -> str:
        return "|".join(map(print_value, self.values))


Space = Mapping[str, Range | Choices]


def parse_space(texts: Sequence[str]) -> dict[str, str]:
    """`key=low..high` or `key=a|b|c`, each key once; raises BenchkitError for another form."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, rest = (part.strip() for part in text.partition("="))
        if not equals or not key.isidentifier() or not all(part.strip() for part in split(rest, "|")):
            hint = "" if equals else f"; name the parameter: KEY={text.strip()}"
            raise BenchkitError(f"`space` '{text}': write KEY=LOW..HIGH or KEY=A|B|C{hint}")
        if key in found:
            raise BenchkitError(f"`space` {key}: given twice; write it once")
        found[key] = rest
    return found


def make_space(spec: Spec, given: Mapping[str, str], registry: Registry, steps: int) -> dict[str, Range | Choices]:
    """Return the space of a corruptor: the `given` one, otherwise every parameter with a declared range or choices.

    Parameters that the Spec sets are fixed. steps: the schedule's length, the largest `steps` of a corruptor. Raises
    BenchkitError for ends and choices that the parameter refuses, or if there is nothing to search.
    """
    cls = registry.entry(spec.kind, spec.name).cls
    registry.complete(spec)
    fields = {f.name: f for f in parameters(cls)}
    own = {key: text for key, text in given.items() if key in fields}
    if fixed := [key for key in own if key in spec.values]:
        raise BenchkitError(f"`space` {fixed[0]}: corruptor '{spec}' sets it already; remove one of the two")
    latent = issubclass(cls, LatentCorruptor)
    if own:
        space = {key: _given(spec, key, text, registry, steps if latent else None) for key, text in own.items()}
    else:
        hints = get_type_hints(cls)
        free = [f for f in fields.values() if f.name not in spec.values]
        found = {f.name: _declared(f, hints[f.name], steps if latent and f.name == "steps" else None) for f in free}
        space = {key: part for key, part in found.items() if part is not None}
    if not space:
        raise BenchkitError(f"corruptor '{spec}' has nothing to search: give `space` KEY=LOW..HIGH or KEY=A|B")
    return space


def check_keys(given: Mapping[str, str], specs: Sequence[Spec], registry: Registry) -> None:
    """Raise BenchkitError for a key of `space` that no corruptor has."""
    known = {f.name for spec in specs for f in parameters(registry.entry(spec.kind, spec.name).cls)}
    for key in given:
        if key not in known:
            names = ", ".join(spec.name for spec in specs)
            raise BenchkitError(f"`space` {key}: {names}: {UnknownNameError('parameter', key, known)}")


def _given(spec: Spec, key: str, text: str, registry: Registry, steps: int | None) -> Range | Choices:
    where = f"`space` {key}={text}"
    hint = get_type_hints(registry.entry(spec.kind, spec.name).cls)[key]
    low, dots, high = text.partition("..")
    is_range = bool(dots) and isinstance(as_declared(0, hint), int)  # a text may hold two dots
    try:
        ends = [read_value(part) for part in ((low, high) if is_range else split(text, "|"))]
        complete = [_completed(spec, key, value, registry) for value in ends]
    except BenchkitError as error:
        raise BenchkitError(f"{where}: {error}{_remedy(key, text)}") from None
    if steps is not None and key == "steps" and any(isinstance(v, int) and v > steps for v in ends):
        raise BenchkitError(f"{where}: steps must lie in 0...{steps}, the schedule's length")
    if not is_range:
        return Choices(tuple(dict.fromkeys(complete)))
    first, last = ends
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in ends) or not first < last:  # type: ignore
        raise BenchkitError(f"{where}: a range is two numbers, the lower one first, such as {key}=1..10")
    return Range(float(first), float(last), whole=hint is int)  # type: ignore[arg-type]


def _completed(spec: Spec, key: str, value: Scalar, registry: Registry) -> Scalar:
    return registry.complete(Spec.of(spec.kind, spec.name, **{**spec.values, key: value})).values[key]


def _remedy(key: str, text: str) -> str:
    """Return the probably intended form, if another separator was used."""
    if found := re.fullmatch(r"\s*([0-9.]+)\s*(?:-|:|\.\.\.)\s*([0-9.]+)\s*", text):
        return f"; a range is written `space` {key}={found[1]}..{found[2]}"
    choices = split(text, ",")
    remedy = shlex.quote(f"{key}={'|'.join(part.strip() for part in choices)}")
    return f"; several values are written `space` {remedy}" if choices[1:] else ""


def _declared(field: Field[Any], hint: Any, steps: int | None) -> Range | Choices | None:
    """Return the range or choices of a parameter's declaration; None if it declares neither, such as free text."""
    choices = field.metadata.get("choices")
    if choices:
        return Choices(tuple(choices)) if len(choices) > 1 else None
    if hint is bool:
        return Choices((False, True))
    if hint not in (int, float) or field.default is MISSING:
        return None
    low, high = _ends(field, hint is int)
    if steps is not None:
        # 0 steps are another method: noise that is decoded without any resampling.
        low, high = max(1.0, low or 0.0), float(min(steps, high or steps))
    log = hint is float and (low is None or high is None)
    default = float(field.default)
    if (low is None or high is None) and default <= 0:
        return None
    low = default / WIDTH if low is None or (log and low <= 0) else low
    high = max(default * WIDTH, low) if high is None else high
    if hint is int:
        low, high = float(round(low)), float(round(high))
    return Range(low, high, hint is int, log) if low < high else None


def _ends(field: Field[Any], whole: bool) -> tuple[float | None, float | None]:
    """Return the declared ends; an open end is moved inwards, by 1 or by a thousandth of the range."""
    bounds = field.metadata.get("bounds", {})
    low, high = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
    inwards = 1.0 if whole else (high - low) / 1000 if low is not None and high is not None else 0.0
    if low is not None and "ge" not in bounds:
        low = low + inwards
    if high is not None and "le" not in bounds:
        high = high - inwards
    return low, high


def rounded(value: Scalar, part: Range | Choices) -> Scalar:
    """Return a proposed value as a Spec contains it: whole, or with DIGITS digits and inside its range."""
    if isinstance(part, Choices) or isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if part.whole:
        return int(value)
    return min(max(float(f"{value:.{DIGITS}g}"), part.low), part.high)


def corners(spec: Spec, space: Space) -> tuple[Spec, Spec]:
    """Return the Specs at the lower and the upper ends of a space; of choices, the first and the last."""
    lows = {key: part.values[0] if isinstance(part, Choices) else part.low for key, part in space.items()}
    highs = {key: part.values[-1] if isinstance(part, Choices) else part.high for key, part in space.items()}
    ends = ({key: rounded(value, space[key]) for key, value in end.items()} for end in (lows, highs))
    first, last = (Spec.of(spec.kind, spec.name, **{**spec.values, **end}) for end in ends)
    return first, last
