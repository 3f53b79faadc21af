"""The text form of values: any text comes back as it went in, and nothing is cut or turned into another type."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import asdict

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchkit.config.grid import load_grid, parse_grid
from benchkit.config.overrides import apply_settings
from benchkit.errors import BenchkitError
from benchkit.plugin.registry import Registry
from benchkit.search.search_space import Choices, make_space, parse_space
from benchkit.search.variants import Axis
from benchkit.specs.grammar import (
    plain_text,
    print_value,
    quoted,
    read_items,
    read_value,
    split,
    split_parts,
    split_values,
)
from benchkit.specs.keys import digest
from benchkit.specs.parameters import as_declared
from benchkit.specs.spec import Spec

REGISTRY = Registry.load()
QUICK = load_grid("quick")
AWKWARD = [
    *("names/name # two", "name, two", "name | two", "name: two", "name (two", "name) two", "2024", "0", "no", "null"),
    *("true", "True", "1e3", "1.50", "-0.0", "+1", "007", "1_000", "nan", ".inf", "0x10", "2020-01-01", "~", "~/x"),
    *(" name", "name ", "\tname\n", "", " ", "a\nb", "it's", '"two"', "'two'", "'", '"', "'\"", "a\\b", "\\", "a=b"),
    *("a+b", "(a)", "((", "))", ")(", "[a]", "{a: b}", "- a", "&a", "*a", "!!int 3", "%", "@a", "`a`", "$HOME", "…"),
    *("ä", "二", "\u200b", "\u00a0x", "a|'b|c", "x='y", "(b:x='", "https://h/p?q=1&r=2#s", "C:\\data\\x", "\0", "🙂"),
]
#: Text that looks like what the grammar gives a meaning to.
PIECES = st.lists(st.sampled_from([*AWKWARD, *"',\"|()+=: #\n\\", "x"]), max_size=4).map("".join)
TEXTS = st.one_of(st.text(max_size=20), PIECES)
NUMBERS = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False))
VALUES = st.one_of(st.booleans(), st.none(), NUMBERS, TEXTS)
KEYS = st.from_regex(r"[a-z][a-z_]{0,5}", fullmatch=True)


def same(one: object, other: object) -> bool:
    """Whether two values are one, also in type and sign."""
    return (type(one), repr(one)) == (type(other), repr(other))


@settings(deadline=None)
@given(VALUES)
@example(-0.0)
@example(1.0)
@example(1e-3)
@example(1e308)
@example(10**30)
def test_a_value_is_read_as_it_was_printed(value: object) -> None:
    assert same(read_value(print_value(value)), value)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", AWKWARD)
def test_awkward_texts_come_back(text: str) -> None:
    assert read_value(print_value(text)) == text
    assert read_value(quoted(text)) == text


@settings(deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=4))
@example({"a": "x (y", "b": "z)"})
@example({"a": "x='y", "b": "z'"})
@example({"a": "x|'y", "b": "z'"})
def test_a_spec_is_read_as_it_was_printed(params: dict) -> None:
    spec = Spec.of("dataset", "folder", **params)
    again = Spec.parse("dataset", str(spec))
    assert again == spec
    assert digest(again) == digest(spec)
    assert all(same(again.values[key], value) for key, value in params.items())


@settings(deadline=None)
@given(st.one_of(TEXTS, st.builds("{}={},{}={}".format, KEYS, TEXTS, KEYS, TEXTS)))
def test_what_was_read_prints_stably(text: str) -> None:
    try:
        specs = Spec.parse_all("dataset", f"folder:{text}")
    except BenchkitError as error:
        assert str(error)
        return
    for spec in specs:
        assert Spec.parse_all("dataset", str(spec)) == (spec,)
        assert str(Spec.parse("dataset", str(spec))) == str(spec)


@settings(deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=3))
def test_a_sweep_holds_any_values(values: list) -> None:
    written = "|".join(map(print_value, values))
    specs = Spec.parse_all("dataset", f"folder:x={written},y=1")
    distinct = dict.fromkeys(Spec.of("dataset", "folder", x=value, y=1) for value in values)
    assert specs == tuple(distinct)


@settings(deadline=None)
@given(st.lists(st.dictionaries(KEYS, VALUES, max_size=2), min_size=1, max_size=3))
def test_parts_hold_any_values(parts: list[dict]) -> None:
    specs = [Spec.of("selector", "a", **params) for params in parts]
    joined = "+".join(f"({spec})" for spec in specs)
    assert [Spec.parse("selector", part) for part in split_parts(joined)] == specs
    whole = Spec.of("selector", "union", of=joined, z=1)
    assert Spec.parse("selector", str(whole)) == whole
    if "|" not in joined:  # as it is written by hand: without quotes around
        assert Spec.parse("selector", f"union:of={joined},z=1") == whole


@settings(deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=4))
def test_a_list_holds_any_values(values: list) -> None:
    written = list(dict.fromkeys(f"({text})" if text[:1] == "(" else text for text in map(print_value, values)))
    assert list(map(read_value, split_values(",".join(written)))) == list(map(read_value, map(_bare, written)))


def _bare(text: str) -> str:
    return text[1:-1] if text[:1] == "(" else text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True), ("false", False), ("null", None), ("10", 10), ("-3", -3), ("0.5", 0.5), ("1e-3", 0.001),
        (".5", 0.5), ("5.", 5.0), ("True", "True"), ("yes", "yes"), ("~", "~"), ("007", "007"), ("1_000", "1_000"),
        ("nan", "nan"), ("1e999", "1e999"), ("2020-01-01", "2020-01-01"), ("names/name # two", "names/name # two"),
        ("'10'", "10"), ('"null"', "null"), ("''", ""), ("'it''s'", "it's"), ("  x  ", "x"), ("'  x  '", "  x  "),
        ("a\\n", "a\\n"), ("'a\nb'", "a\nb"), ("[1]", "[1]"), ("{a: b}", "{a: b}"), ("9" * 5000, "9" * 5000),
    ],
)  # fmt: skip
def test_the_rule_for_one_value(text: str, value: object) -> None:
    assert same(type(value)(read_value(text)) if isinstance(value, float) else read_value(text), value)


@pytest.mark.parametrize("text", ["1e-3", "1.50", ".5", "5.", "1E5", "-1.0e+03"])
def test_a_number_keeps_how_it_was_written(text: str) -> None:
    number = read_value(text)
    assert number == float(text)
    assert print_value(number) == plain_text(deepcopy(number)) == text
    assert as_declared(number, str) == text
    assert type(as_declared(number, float)) is float


@pytest.mark.parametrize(
    ("text", "hint", "value"),
    [
        ("2024", str, "2024"), ("no", str, "no"), ("null", str, "null"), ("true", str, "true"), ("1e3", str, "1e3"),
        ("null", str | None, None), ("'null'", str | None, "null"), ("0", str | None, "0"), ("1.0", str, "1.0"),
        ("1", int | str, 1), ("'1'", int | str, "1"), ("1", float | str, 1), ("1", int, 1), ("1", float, 1),
        ("'1'", int, "1"), ("true", bool, True), ("1.5", int, 1.5),
    ],
)  # fmt: skip
def test_the_declared_type_has_the_last_word(text: str, hint: object, value: object) -> None:
    assert same(as_declared(read_value(text), hint), value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("root=name, two", "'two' is not key=value; if it belongs to the value before it, write root='name, two'"),
        ("root=a, b, c,size=64", "write root='a, b, c'"),
        ("root='a, b', c", "'c' is not key=value"),
        ("root=a,root=b", "'root' is given twice"),
        ("root=", "'root=' has no value; the empty text is written root=''"),
        ("root=|a", "has an empty alternative"),
        ("root='tis", 'its first quote is not closed: write "\'tis"'),
        ("root='a' b", "text follows the closing quote: write \"'a' b\""),
    ],
)
def test_a_mistake_shows_the_right_form(text: str, message: str) -> None:
    with pytest.raises(BenchkitError) as caught:
        Spec.parse("dataset", f"folder:{text}")
    assert message in str(caught.value)


def test_one_plugin_whose_text_holds_a_bar_shows_the_quotes() -> None:
    with pytest.raises(BenchkitError, match=r"write root='name \| two'$"):
        Spec.parse("dataset", "folder:root=name | two")


def test_items_are_found_around_quotes_and_brackets() -> None:
    assert read_items("a='x, y',b=c+(d:e='f)',g=1)|h, i = 2") == [
        ("a", ["'x, y'"]),
        ("b", ["c+(d:e='f)',g=1)", "h"]),
        ("i", [" 2"]),
    ]
    assert split("a,'b, c',(d,e),f (g", ",") == ["a", "'b, c'", "(d,e)", "f (g"]


@settings(deadline=None, max_examples=10)
@given(TEXTS)
@example("\x85\u2028")
def test_every_way_in_gives_a_parameter_the_same_text(text: str) -> None:
    """A flag, a grid file, --set and --vary: the parameter of type `str` holds what was meant."""
    written = f"folder:root={quoted(text)},size=64"
    by_flag = Spec.parse("dataset", written)
    grid = QUICK.replaced(dataset=written)
    by_file = parse_grid(yaml.safe_dump({"extends": "quick", "dataset": written}), "file")
    by_set = apply_settings(QUICK, [f"dataset={written}"])
    assert grid.dataset == by_file.dataset == by_set.dataset == by_flag
    found = REGISTRY.complete(by_set.dataset)
    assert found.values["root"] == text
    assert read_value(Axis.parse(f"corruptor.path={quoted(text)},x").values[0]) == text


@pytest.mark.parametrize("text", ["a..b", "../x", "a|b", "a,b", "null", "1"])
def test_a_space_of_texts(text: str) -> None:
    spec = Spec.parse("corruptor", "prompt-swap")
    space = make_space(spec, parse_space([f"caption={quoted(text)}|reference"]), REGISTRY, 50)
    assert space == {"caption": Choices((text, "reference"))}
    assert str(space["caption"]) == f"{print_value(text)}|reference"


def test_settings_of_text_take_any_text() -> None:
    base = load_grid("quick")
    for text in ("2024", "true", "null", "2020-01-01", "a # b", "[x]", "1e3", "no"):
        assert apply_settings(base, [f"title={text}"]).title == text
    assert apply_settings(base, ["title=' x '"]).title == " x "
    assert apply_settings(base, ["seeds=[1, 2]", "training.lr=1e-3", "training.flip=false", "source.size=null"]) == (
        base.replaced(
            seeds=[1, 2],
            training={**asdict(base.training), "lr": 0.001, "flip": False},
            source={**base.source.model_dump(), "size": None},
        )
    )


def test_a_list_in_a_setting_is_written_in_brackets() -> None:
    with pytest.raises(BenchkitError, match=r"^`settings` seeds=0,1: '0,1' is not a list: write seeds=\[0,1\]$"):
        apply_settings(load_grid("quick"), ["seeds=0,1"])
    with pytest.raises(BenchkitError, match=r"write corruptors=\['gaussian:steps=5'\]$"):
        apply_settings(load_grid("quick"), ["corruptors=gaussian:steps=5"])


def test_equal_numbers_of_different_types_are_different_parameters() -> None:
    specs = {Spec.of("x", "a", p=value) for value in (1, 1.0, True, "1", -0.0, 0.0, None, "null")}
    assert len(specs) == 8
    assert Spec.parse("x", "a:p=1e3") != Spec.parse("x", "a:p=1000.0")
    assert math.isclose(float(Spec.parse("x", "a:p=1e3").values["p"]), 1000)  # type: ignore[arg-type]
