"""The parts of the site that are made while it is built: a page for every plugin, key, command and public name."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

import benchkit
from benchkit import api, testing
from benchkit.config.grid import Grid, SetSize, SourceSet
from benchkit.config.grid_parts import OnDetector
from benchkit.config.settings import fields_of
from benchkit.plugin.registry import KINDS
from benchkit.specs.training_config import TrainingConfig

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS / "_ext"))

import command_pages  # noqa: E402
import docstrings  # noqa: E402
import grid_keys  # noqa: E402
import markdown_text  # noqa: E402
import plugin_pages  # noqa: E402
import python_pages  # noqa: E402

PLUGINS = [entry for kind in KINDS for entry in plugin_pages.built_in(kind)]


@pytest.mark.parametrize("entry", PLUGINS, ids=lambda entry: f"{entry.kind}-{entry.name}")
def test_every_plugin_has_a_page(entry: Any) -> None:
    page = plugin_pages.page(entry)
    for heading in ("Equation", "Parameters", "Preview", "Reference", "On the official board"):
        assert f"\n## {heading}\n\n" in page
    assert entry.kind == "dataset" or "$$" in page
    for one in plugin_pages.describe(entry)["parameters"]:
        assert f"\n| `{one['name']}` | {one['type']}".split("|")[1] in page
    (picture, *_) = re.findall(r"!\[[^]]*\]\(/(\S+)\)", page) or [None]
    assert (picture is None) == (f"{entry.kind} {entry.name}" in plugin_pages.UNSEEN)
    assert picture is None or (DOCS / picture).is_file(), "run: python docs/pictures/previews.py"


def test_no_text_belongs_to_a_plugin_that_is_gone() -> None:
    known = {f"{entry.kind} {entry.name}" for entry in PLUGINS}
    assert {key for key in plugin_pages.plugin_texts() if key.split()[0] != "dataset"} <= known
    assert {key for key in plugin_pages.UNSEEN if key.split()[0] != "dataset"} <= known


def test_a_page_says_what_the_board_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = {"": 0.268, "_low": 0.232, "_high": 0.308, "_rank": 20.0, "_rank_low": 2.0, "_rank_high": 30.0}
    row = {f"average_precision{key}": value for key, value in figure.items()}
    row |= {f"average_precision_delta_pseudo{key}": v for key, v in {"": -0.008, "_low": -0.02, "_high": 0.01}.items()}
    row |= {"average_precision_delta_pseudo_verdict": "unresolved", "group": "trained", "seeds": 3}
    row |= {"corruptor": "blur", "training_set": "blur:steps=10", "selector": "learned:detector=upernet-swin,tau=0.0"}
    row |= {"detector": "frozen-convnext:size=mini", "inverter": "ddim", "test_set": "portraits/test[5]"}
    (tmp_path / "board.jsonl").write_text(json.dumps(row) + "\n")
    monkeypatch.setattr(plugin_pages, "BOARD", tmp_path / "board.jsonl")
    plugin_pages.board_rows.cache_clear()
    try:
        table, note = plugin_pages.board_says("corruptor", "blur")
        assert "| `blur:steps=10` | 20 (2–30) of 1 | 26.8 [23.2, 30.8] | −0.8 [−2.0, 1.0] | unresolved |" in table
        assert "3 of 10 seeds" in note
        for kind, name, says in (
            ("corruptor", "rotation", "no row with it"),
            ("detector", "upernet-swin", "1 rows"),
            ("detector", "mmseg", "no row"),
            ("inverter", "ddim", "1 rows"),
            ("selector", "learned", "1 rows"),
            ("dataset", "portraits", "1 rows"),
        ):
            assert says in " ".join(plugin_pages.board_says(kind, name)), (kind, name)
    finally:
        plugin_pages.board_rows.cache_clear()


def test_every_key_of_a_grid_is_described() -> None:
    text = grid_keys.reference()
    for model in (Grid, SetSize, SourceSet, OnDetector, TrainingConfig):
        for key, field in fields_of(model).items():
            assert field.description and field.description.endswith("."), key
            assert f"| `{key}` |" in text


def test_every_command_has_its_section() -> None:
    text = command_pages.reference()
    for command in ("compare", "plugins preview", "leaderboard season score", "cache prune"):
        assert f"\n## {command}\n" in f"\n{text}"
    compare = text.partition("## ablate")[0]
    assert "| `--until-resolved POINTS` | Add seeds" in compare
    assert "--help" not in compare


@pytest.mark.parametrize(("part", "package"), [("benchkit", benchkit), ("api", api), ("testing", testing)])
def test_every_public_name_is_documented(part: str, package: Any) -> None:
    documented = re.findall(r"^\.\. auto\w+:: \S+\.(\w+)$", python_pages.reference(part), re.MULTILINE)
    assert sorted(documented) == sorted(set(package.__all__))


def test_docstrings_become_restructured_text() -> None:
    lines = ["Return `a*b` of *x* and z_.", "", "    code(`here`)", "", "Example:", "    >>> f(*x)", "", "    more `x`"]
    assert docstrings.converted(lines) == [
        "Return ``a*b`` of \\*x\\* and z\\_.",
        *("", "::", "", "    code(`here`)", ""),
        *("Example:", "    >>> f(\\*x)", "", "    more ``x``"),
    ]


def test_signs_of_markdown_keep_their_look_outside_of_code() -> None:
    assert markdown_text.escaped("a*b `a*b` $c_d$") == "a\\*b `a*b` \\$c\\_d\\$"
