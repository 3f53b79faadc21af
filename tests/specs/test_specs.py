"""Specs and keys: equal descriptions are one, and nothing that should not matter enters a key."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchkit.errors import BenchkitError
from benchkit.specs.keys import digest
from benchkit.specs.spec import Spec
from benchkit.specs.training_sets import CHUNK, ImageSet, Labelled
from benchkit.stages.base import Model
from benchkit.stages.images import Latents, Source

names = st.from_regex(r"[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,5})?", fullmatch=True)
keys = st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True)
words = st.from_regex(r"[a-z][a-z0-9]{2,8}", fullmatch=True).filter(
    lambda w: w not in ("true", "false", "null", "yes", "off", "nan", "inf", "infinity") and w[1:2] != "e"
)
values = st.one_of(st.booleans(), st.integers(-1000, 1000), st.floats(-10, 10).map(lambda x: round(x, 3)), words)


@given(names, st.dictionaries(keys, values, max_size=4))
def test_text_round_trip(name: str, params: dict) -> None:
    spec = Spec.of("corruptor", name, **params)
    again = Spec.parse("corruptor", str(spec))
    assert again == spec and digest(again.values) == digest(spec.values)


@given(st.dictionaries(keys, values, min_size=2, max_size=4))
def test_order_of_parameters_does_not_matter(params: dict) -> None:
    backwards = dict(reversed(params.items()))
    assert Spec.of("corruptor", "x", **params) == Spec.of("corruptor", "x", **backwards)
    assert digest(Spec.of("corruptor", "x", **params)) == digest(Spec.of("corruptor", "x", **backwards))


def test_values_are_yaml_scalars() -> None:
    spec = Spec.parse("corruptor", "x:a=1,b=0.5,c=true,d=word,e=1e-3,f=null")
    assert spec.values == {"a": 1, "b": 0.5, "c": True, "d": "word", "e": 0.001, "f": None}


@pytest.mark.parametrize("text", ["", ":a=1", "x:a", "x:a=1,a=2", "x:1a=2", "x:a=", "x:a='1", "x:a='1'2"])
def test_malformed_specs_are_refused(text: str) -> None:
    with pytest.raises(BenchkitError):
        Spec.parse("corruptor", text)


@settings(deadline=None)
@given(names, st.dictionaries(keys, st.lists(values, min_size=1, max_size=3), max_size=3))
def test_a_sweep_is_every_combination_once(name: str, alternatives: dict[str, list]) -> None:
    written = ",".join(f"{k}={'|'.join(str(Spec.of('x', 'n', v=v))[4:] for v in vs)}" for k, vs in alternatives.items())
    specs = Spec.parse_all("corruptor", f"{name}:{written}" if written else name)
    wanted = {
        str(Spec.of("corruptor", name, **dict(zip(alternatives, combined, strict=True))))
        for combined in product(*alternatives.values())
    }
    assert len(specs) == len(wanted)
    assert {str(spec) for spec in specs} == wanted
    for spec in specs:  # each is what its own text says, and no sweep
        assert digest(Spec.parse("corruptor", str(spec)).values) == digest(spec.values)


def test_the_last_parameter_of_a_sweep_varies_fastest() -> None:
    specs = Spec.parse_all("corruptor", "x:b=1|2,a=u|v")
    assert [str(spec) for spec in specs] == ["x:a=u,b=1", "x:a=v,b=1", "x:a=u,b=2", "x:a=v,b=2"]
    assert [str(spec) for spec in Spec.parse_all("corruptor", "x:a=1|1|true|1.0")] == ["x:a=1", "x:a=true", "x:a=1.0"]


@pytest.mark.parametrize("text", ["x:a=1|", "x:a=|1", "x:a=1||2", "x:a=|", "x:a|b=1"])
def test_malformed_sweeps_are_refused(text: str) -> None:
    with pytest.raises(BenchkitError):
        Spec.parse_all("corruptor", text)


def test_where_one_is_wanted_a_sweep_is_refused() -> None:
    with pytest.raises(BenchkitError, match="names 3 of them where one is wanted"):
        Spec.parse("corruptor", "gaussian:steps=5|10|20")
    assert Spec.parse("corruptor", "x:a=1|1") == Spec.parse("corruptor", "x:a=1")


@given(st.integers(0, 70))
def test_chunks_cover_a_set_once_and_in_order(count: int) -> None:
    images = ImageSet(Spec.of("dataset", "d"), "clean", tuple(range(count)))
    chunks = images.chunks()
    assert tuple(i for chunk in chunks for i in chunk.indices) == images.indices
    assert all(len(chunk.indices) == CHUNK for chunk in chunks[:-1])


def test_digest_tells_types_apart() -> None:
    images = ImageSet(Spec.of("dataset", "d"), "clean", (1,))
    assert digest(Labelled(images)) != digest(images)
    assert digest(1) != digest("1")
    assert digest(True) != digest(1)


def source(root: str, fingerprint: str = "f") -> Source:
    return Source.of(ImageSet(Spec.of("dataset", "d", root=root), "clean", (0, 1)), fingerprint)


def test_keys_hold_no_path() -> None:
    here, there = Latents(source("/a"), Model("/m", "id")), Latents(source("/b"), Model("/n", "id"))
    assert here.key == there.key


def test_keys_hold_what_matters() -> None:
    base = Latents(source("/a"), Model("/m", "id"))
    others = [
        replace(base, model=Model("/m", "other")),
        replace(base, model=Model("/m", "id", dtype="float16")),
        replace(base, source=source("/a", "g")),
        replace(base, source=Source.of(ImageSet(Spec.of("dataset", "d"), "clean", (0, 2)), "f")),
    ]
    assert len({base.key, *(other.key for other in others)}) == 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("m:of=a+(b:x=4|8)", ["m:of=a+(b:x=4)", "m:of=a+(b:x=8)"]),
        ("m:of=a+(b:x=1,y=2|3),w=u", ["m:of=a+(b:x=1,y=2),w=u", "m:of=a+(b:x=1,y=3),w=u"]),
        ("m:of=(a:x=1|2)+(b:y=3|4)", [f"m:of=(a:x={x})+(b:y={y})" for x in (1, 2) for y in (3, 4)]),
        ("m:of=(u:of=a+(b:x=1|2))+c|d+e", ["m:of=(u:of=a+(b:x=1))+c", "m:of=(u:of=a+(b:x=2))+c", "m:of=d+e"]),
        ("m:of=a+(b:x=2,k=1)", ["m:of=a+(b:x=2,k=1)"]),
        ("m:of=a+(b:x='p|q'|r)", ["m:of=\"a+(b:x='p|q')\"", "m:of=a+(b:x=r)"]),
        ("m:of=a+(b:x=1|2", ["m:of='a+(b:x=1'", "m:of=2"]),
    ],
)
def test_a_sweep_inside_the_brackets_of_a_composite(text: str, expected: list[str]) -> None:
    assert [str(spec) for spec in Spec.parse_all("corruptor", text)] == expected


def test_a_mistake_inside_the_brackets_is_named() -> None:
    with pytest.raises(BenchkitError, match=r"'b:x=1\|': 'x=1\|' has an empty alternative"):
        Spec.parse_all("corruptor", "m:of=a+(b:x=1|)")
    with pytest.raises(BenchkitError, match="names 2 of them where one is wanted"):
        Spec.parse("corruptor", "m:of=a+(b:x=1|2)")
