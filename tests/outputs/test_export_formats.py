"""The table of export formats: every entry leads to a class with the protocol's methods."""

from __future__ import annotations

import pytest

from benchkit.cli.export import CHOICES, DETECTOR
from benchkit.outputs.exports import FORMATS, make_format


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_of_the_table_can_be_made(name: str) -> None:
    form = make_format(name)
    assert type(form).__module__ == f"benchkit.outputs.exports.{name}"
    assert "{split}" in form.reading
    assert callable(form.write) and isinstance(form.head("train"), str)


def test_the_command_line_offers_the_table_and_the_detector() -> None:
    assert set(CHOICES) == {*FORMATS, DETECTOR} and DETECTOR not in FORMATS
