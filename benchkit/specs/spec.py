"""A Spec: the name of a plugin and its parameters, with the text form `NAME:key=value`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product

from benchkit.errors import BenchkitError, shortened
from benchkit.specs.grammar import Scalar, bracketed_pieces, print_value, quoted, read_items, read_value, unbracketed
from benchkit.specs.keys import SHOWN

#: A sweep of more combinations is refused: each of them would be trained.
ALTERNATIVES = 10_000


@dataclass(frozen=True, order=True)
class Spec:
    """Name and parameters of one plugin; parameters sorted by name, so equal Specs compare and hash equal.

    defaults: names of the parameters that have the plugin's default, as far as `Registry.complete` has set them. They
    are skipped in `short`, and do not count in comparisons.
    """

    kind: str
    name: str
    params: tuple[tuple[str, Scalar], ...] = ()
    defaults: frozenset[str] = field(default=frozenset(), compare=False, repr=False, metadata=SHOWN)

    @classmethod
    def of(cls, kind: str, name: str, /, **params: Scalar) -> Spec:
        """Return a Spec from keyword parameters, which may have any names (`kind` and `name` too)."""
        return cls(kind, name, tuple(sorted(params.items())))

    @classmethod
    def parse(cls, kind: str, text: str) -> Spec:
        """Read `NAME` or `NAME:key=value,key=value`; how values are written: benchkit.specs.grammar.

        Raises BenchkitError when the text has another form, or is a sweep of several values.
        """
        specs = cls.parse_all(kind, text)
        if len(specs) > 1:
            items = read_items(text.partition(":")[2])
            one = next((f"{key}={quoted('|'.join(texts).strip())}" for key, texts in items if len(texts) > 1), None)
            raise BenchkitError(
                f"{kind} '{shortened(text)}' names {len(specs)} of them where one is wanted: write it without '|'"
                + (f", or, if it belongs to the value, write {one}" if one else "")
            )
        return specs[0]

    @classmethod
    def parse_all(cls, kind: str, text: str) -> tuple[Spec, ...]:
        """Read a text in which a parameter may have alternatives, `NAME:key=value|value`; see `parse`.

        Of several such parameters every combination is returned, the last one varying fastest; equal ones are given
        once. So are the alternatives of a Spec in brackets, which a composite's parameter holds: `of=a+(b:x=1|2)`.
        Raises BenchkitError when the text has another form.
        """
        return tuple(dict.fromkeys(cls.parse_each(kind, text)))

    @classmethod
    def parse_each(cls, kind: str, text: str) -> tuple[Spec, ...]:
        """Read a text as `parse_all` does, with equal Specs as often as they are written."""
        name, _, rest = text.strip().partition(":")
        name = name.rstrip()
        if not name:
            raise BenchkitError(f"{kind} '{text}' has no name: write NAME or NAME:key=value,key=value")
        if len(names := [one.strip() for one in re.split(r"[|,]", name)]) > 1:
            raise BenchkitError(f"{kind} '{shortened(text)}' is several: write each by itself, {' and '.join(names)}")
        try:
            items = read_items(rest) if rest else []
            alternatives = {
                key: [read_value(one) for each in texts for one in cls._multiplied_out(kind, each)]
                for key, texts in items
            }
        except BenchkitError as error:
            raise BenchkitError(f"{kind} '{shortened(text)}': {error}") from None
        if (number := math.prod(map(len, alternatives.values()))) > ALTERNATIVES:
            raise BenchkitError(
                f"{kind} '{shortened(text)}' has {number} combinations of alternatives, the limit is {ALTERNATIVES}: "
                "write fewer"
            )
        combined = product(*alternatives.values())
        return tuple(cls.of(kind, name, **dict(zip(alternatives, values, strict=True))) for values in combined)

    @classmethod
    def _multiplied_out(cls, kind: str, text: str) -> list[str]:
        """Return the alternatives of one parameter's text, with every combination of the Specs in its brackets."""

        def alternatives(piece: str) -> list[str]:
            specs = cls.parse_all(kind, unbracketed(piece)) if piece[:1] == "(" and "|" in piece else ()
            return [f"({spec})" for spec in specs] if len(specs) > 1 else [piece]

        return ["".join(each) for each in product(*map(alternatives, bracketed_pieces(text)))]

    def __eq__(self, other: object) -> bool:
        return self._identity == other._identity if isinstance(other, Spec) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._identity)

    @cached_property
    def _identity(self) -> tuple[str, str, tuple[tuple[str, str], ...]]:
        """Kind, name and printed parameters: 1, 1.0 and true are equal in Python, but three parameters here."""
        return self.kind, self.name, tuple((key, print_value(value)) for key, value in self.params)

    @property
    def values(self) -> dict[str, Scalar]:
        """The parameters as a dict."""
        return dict(self.params)

    @property
    def short(self) -> str:
        """The text for people: without parameters that are known to have their default."""
        return str(Spec(self.kind, self.name, tuple((k, v) for k, v in self.params if k not in self.defaults)))

    def __str__(self) -> str:
        inner = ",".join(f"{k}={print_value(v)}" for k, v in self.params)
        return f"{self.name}:{inner}" if inner else self.name
