"""A parameter has its declared type and range by every way in: as text, as a Spec, and from Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest

from benchkit.api import BenchkitError, PixelCorruptor, param
from benchkit.specs.parameters import parameters, validated
from benchkit.specs.spec import Spec


@dataclass(frozen=True)
class Variance(PixelCorruptor):
    """Parameters of every sort."""

    name = "variance"
    strength: float = param(1.0, ge=0, le=4)
    steps: int = param(3, gt=0)
    flip: bool = False
    way: str = param("a", choices=("a", "b"))
    fraction: float = param(0.5, choices=(0.5, 1))
    fit: Literal["crop", "pad"] = "crop"
    root: str | None = None

    def corrupt(self, at):
        return at.images


@dataclass(frozen=True)
class WithOwnCheck(Variance):
    """Its own __post_init__ calls nobody's, and trusts the types."""

    name = "with-own-check"

    def __post_init__(self) -> None:
        if self.steps > 10:
            raise BenchkitError("too deep")


MISTAKES = [
    ("strength", 99.0, "99", "it must be a number, greater than or equal to 0, less than or equal to 4"),
    ("strength", float("nan"), None, "parameter strength=nan: "),
    ("strength", float("inf"), None, "parameter strength=inf: "),
    ("strength", "1", "'1'", "strength='1': it must be a number"),
    ("steps", "3", "'3'", "parameter steps='3': it must be a whole number, greater than 0 (write it without quotes)"),
    ("steps", 0, "0", "steps=0: it must be a whole number, greater than 0"),
    ("steps", 2.5, "2.5", "steps=2.5: it must be a whole number"),
    ("steps", True, "true", "steps=true: it must be a whole number"),
    ("steps", None, "null", "steps=null: it must be a whole number"),
    ("steps", [3], None, "steps=[3]: it must be a whole number"),
    ("flip", "yes", "yes", "flip=yes: it must be true or false"),
    ("flip", 1, "1", "flip=1: it must be true or false"),
    ("way", "c", "c", "way=c: choose from a, b"),
    ("fraction", 2, "2", "fraction=2: choose from 0.5, 1"),
    ("fraction", True, "true", "fraction=true: choose from 0.5, 1"),
    ("fit", "crops", "crops", "fit=crops: choose from crop, pad"),
    ("root", b"x", None, "root=b'x': it must be null or text"),
]


@pytest.mark.parametrize("cls", [Variance, WithOwnCheck])
@pytest.mark.parametrize(("key", "value", "text", "message"), MISTAKES)
def test_a_wrong_value_is_refused_by_every_way_in(cls: type, key: str, value: object, text: str, message: str) -> None:
    ways = [lambda: cls(**{key: value})]
    if text is not None:
        ways.append(lambda: validated(cls, Spec.parse("corruptor", f"{cls.name}:{key}={text}")))
    for way in ways:
        with pytest.raises(BenchkitError) as caught:
            way()
        assert str(caught.value).startswith(f"corruptor '{cls.name}': parameter {key}=")
        assert message in str(caught.value)


def test_right_values_are_taken_by_every_way_in() -> None:
    made = WithOwnCheck(strength=4, steps=10, flip=True, way="b", fit="pad", root="2024")
    spec = Spec.parse("corruptor", "with-own-check:strength=4,steps=10,flip=true,way=b,fit=pad,root=2024")
    assert WithOwnCheck(**validated(WithOwnCheck, spec)) == made
    assert len(parameters(WithOwnCheck)) == 7
    for text in ("1", "1.0", "1e0"):
        values = validated(WithOwnCheck, Spec.parse("corruptor", f"with-own-check:fraction={text}"))
        assert WithOwnCheck(**values).fraction == 1


def test_a_check_of_ones_own_still_runs() -> None:
    with pytest.raises(BenchkitError, match="too deep"):
        WithOwnCheck(steps=11)
