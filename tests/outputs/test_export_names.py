"""File names made of ids: any file system can have them, and they lead back."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote

from hypothesis import example, given
from hypothesis import strategies as st

from benchkit.outputs.exports.names import LONGEST, Names, file_name

IDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(IDS)
@example("pool/hand#3")
@example("\u0444\u043e\u0442\u043e (1)")
@example("../../etc/passwd")
@example("COM1")
@example("-rf")
@example("a%2Fb")
def test_a_name_leads_back_to_its_id(identifier: str) -> None:
    for capitals in (True, False):
        name = file_name(identifier, capitals=capitals)
        assert re.fullmatch(r"[A-Za-z0-9_%~-]+", name) and len(name) <= LONGEST
        assert name.casefold() not in ("con", "nul", "com1", "aux") and not name.startswith("-")
        if identifier and "~" not in name:
            assert unquote(name) == identifier


def test_ordinary_ids_are_names_already() -> None:
    assert [file_name(one) for one in ("clean-00012", "IMG_7", "a.b", "a b")] == [
        "clean-00012",
        "IMG_7",
        "a%2Eb",
        "a%20b",
    ]


def test_endless_ids_are_cut_between_characters_and_told_apart() -> None:
    one, other = "\u0444" * 300, "\u0444" * 301
    names = [file_name(one), file_name(other)]
    assert names[0] != names[1] and all(len(name) <= LONGEST for name in names)
    begin, _, digest = names[0].partition("~")
    assert set(unquote(begin, errors="strict")) == {"\u0444"}
    assert re.fullmatch("[0-9a-f]{16}", digest)


@given(st.lists(IDS, max_size=8, unique=True), st.booleans())
def test_no_two_ids_share_a_name_on_any_file_system(ids: list[str], again: bool) -> None:
    ids = [*ids, *(one.upper() for one in ids), *(unicodedata.normalize("NFD", one) for one in ids)]
    ids = ids if again else list(dict.fromkeys(ids))
    given_names = Names()
    names = [given_names.of(one) for one in ids]
    assert len({name.casefold() for name in names}) == len(ids)
    for name, identifier in zip(names, ids, strict=True):
        if identifier and not re.search("~[0-9a-f]{16}", name):  # which a cut name ends in
            assert unquote(name.partition("~")[0]) == identifier


def test_ids_that_differ_in_capitals_and_ids_that_come_again() -> None:
    names = Names()
    assert [names.of(one) for one in ("a", "A", "a", "A", "")] == ["a", "%41", "a~2", "A~3", "~"]


def test_names_that_are_no_text_are_names_too() -> None:
    assert file_name("\udcff") == "%ED%B3%BF"
