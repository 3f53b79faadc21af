"""What `tune` searches: declared ranges and choices, what `space` says instead, and the mistakes it refuses."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit.api import PixelCorruptor, param
from benchkit.errors import BenchkitError
from benchkit.plugin.registry import Entry, Registry
from benchkit.search.search_space import Choices, Range, check_keys, make_space, parse_space, rounded
from benchkit.specs.spec import Spec

DEPTH = 50


@dataclass(frozen=True)
class Wide(PixelCorruptor):
    """Parameters of every sort."""

    name = "wide"
    fraction: float = param(0.5, gt=0, lt=1)
    count: int = param(3, ge=1, le=9)
    odd: int = param(3, gt=0, lt=10)
    strength: float = param(2.0, gt=0)
    side: int = param(8)
    way: str = param("a", choices=("a", "b"))
    only: str = param("a", choices=("a",))
    flip: bool = False
    shift: float = 0.0
    text: str = "free"

    def corrupt(self, at):
        return at.images


@pytest.fixture(scope="module")
def registry() -> Registry:
    found = Registry.load()
    found._entries["corruptor", "wide"] = Entry("corruptor", "wide", Wide, "test", None, "0")
    return found


def space(registry: Registry, text: str, *given: str) -> dict[str, Range | Choices]:
    return make_space(Spec.parse("corruptor", text), parse_space(given), registry, DEPTH)


def test_the_declaration_says_where_to_look(registry: Registry) -> None:
    assert space(registry, "wide") == {
        "fraction": Range(0.001, 0.999),
        "count": Range(1, 9, whole=True),
        "odd": Range(1, 9, whole=True),
        "strength": Range(0.5, 8, log=True),
        "side": Range(2, 32, whole=True),
        "way": Choices(("a", "b")),
        "flip": Choices((False, True)),
    }


def test_a_depth_ends_with_the_schedule_and_what_the_spec_sets_is_fixed(registry: Registry) -> None:
    assert space(registry, "gaussian") == {"steps": Range(1, DEPTH, whole=True)}
    assert space(registry, "rotation:steps=10") == {"extent": Choices(("image", "component"))}


def test_a_given_space_replaces_the_declared_one(registry: Registry) -> None:
    found = space(registry, "wide", "fraction=0.2..0.4", "way=b|a", "count=2|4")
    assert found == {"fraction": Range(0.2, 0.4), "way": Choices(("b", "a")), "count": Choices((2, 4))}


@pytest.mark.parametrize(
    ("text", "given", "message"),
    [
        ("wide", ("fraction",), "write KEY=LOW..HIGH"),
        ("wide", ("fraction=",), "write KEY=LOW..HIGH"),
        ("wide", ("way=a|",), "write KEY=LOW..HIGH"),
        ("wide", ("fraction=0.1..0.2", "fraction=0.3..0.4"), "given twice"),
        ("wide", ("fraction=0.4..0.2",), "the lower one first"),
        ("wide", ("fraction=0.5..2",), "`space` fraction=0.5..2: corruptor 'wide': parameter fraction=2"),
        ("wide", ("way=a|c",), "choose from a, b"),
        ("wide", ("count=1.5..3",), "parameter count=1.5"),
        ("wide", ("way=a..b",), "parameter way=a..b: choose from a, b"),
        ("wide", ("way=a,b",), "choose from a, b; several values are written `space` 'way=a|b'"),
        ("wide", ("count=2-4",), "; a range is written `space` count=2..4"),
        ("gaussian", ("steps=5..99",), "0...50, the schedule's length"),
        ("gaussian:steps=5", (), "nothing to search"),
        ("gaussian:steps=5", ("steps=1..9",), "sets it already"),
        ("gaussian:steps=many", (), "parameter steps=many"),
        ("gausian", (), "did you mean 'gaussian'"),
    ],
)
def test_a_wrong_space_is_one_line(registry: Registry, text: str, given: tuple[str, ...], message: str) -> None:
    with pytest.raises(BenchkitError) as caught:
        space(registry, text, *given)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_key_that_nobody_has_is_refused(registry: Registry) -> None:
    specs = [Spec.parse("corruptor", text) for text in ("gaussian", "blur")]
    check_keys({"sigma": "0.1..0.2"}, specs, registry)
    with pytest.raises(BenchkitError, match="did you mean 'sigma'"):
        check_keys({"sgima": "0.1..0.2"}, specs, registry)


@given(st.floats(0.001, 0.999))
def test_a_rounded_value_is_short_and_inside(value: float) -> None:
    part = Range(0.001, 0.999)
    near = rounded(value, part)
    assert isinstance(near, float)
    assert part.low <= near <= part.high
    assert abs(near - value) <= 1e-3 * value
    assert rounded(near, part) == near
