"""`benchkit plugins`: what is there, what is broken, and what parameters mean."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchkit.plugin.description import format_range
from tests.helpers.small_comparison import PLUGINS, Run

KINDS = ("corruptor", "selector", "detector", "inverter", "dataset")


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    file = tmp_path / "half_done.py"
    file.write_text("import a_package_that_is_not_there\n")
    return file


def test_the_list_has_every_plugin_of_every_kind(run: Run) -> None:
    result = run("plugins", "list")
    assert result.code == 0, result.err
    for name in (*KINDS, "gaussian", "renoise-masked", "learned", "upernet-swin", "renoise", "portraits"):
        assert name in result.out


def test_the_list_as_json(run: Run) -> None:
    listed = json.loads(run("plugins", "list", "--json").out)
    assert listed["broken"] == []
    found = {(one["kind"], one["name"]): one for one in listed["plugins"]}
    assert {kind for kind, _ in found} == set(KINDS)
    gaussian = found["corruptor", "gaussian"]
    assert gaussian["parameters"][0]["name"] == "steps"
    assert gaussian["origin"] == "package artifact-benchkit"
    assert len(gaussian["source_hash"]) == 64


def test_a_broken_plugin_is_listed_with_its_reason(run: Run, broken: Path) -> None:
    result = run("plugins", "list", "--plugin", broken)
    assert result.code == 0
    assert "skipped: half_done" in result.out
    assert result.err.startswith(f"benchkit: warning: plugin 'half_done' ({broken}) was skipped: ModuleNotFoundError")
    as_json = json.loads(run("plugins", "list", "--json", "--plugin", broken).out)
    assert [one["name"] for one in as_json["broken"]] == ["half_done"]


def test_show_tells_what_a_parameter_is(run: Run) -> None:
    result = run("plugins", "show", "rotation")
    assert result.code == 0
    for text in ("corruptor rotation", "extent", "image or component", "what is rotated", ">= 0", "sha256 "):
        assert text in result.out


def test_show_as_json(run: Run) -> None:
    shown = json.loads(run("plugins", "show", "blur", "--json").out)
    sigma = next(one for one in shown["parameters"] if one["name"] == "sigma")
    assert (sigma["type"], sigma["default"], sigma["range"]) == ("float", 0.0625, "> 0, <= 1")
    assert shown["doc"].startswith("Blurs the inverted latent")


def test_a_plugin_without_parameters(run: Run) -> None:
    assert "no parameters" in run("plugins", "show", "annotated").out


def test_one_name_in_several_kinds(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "twice.py"
    file.write_text(PLUGINS.read_text().replace('name = "dot"', 'name = "gaussian"'))
    ambiguous = run("plugins", "show", "gaussian", "--plugin", file)
    assert ambiguous.code == 2
    assert "add --kind corruptor or --kind detector" in ambiguous.err
    assert "detector gaussian" in run("plugins", "show", "gaussian", "--kind", "detector", "--plugin", file).out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gausian"], "unknown plugin 'gausian': did you mean 'gaussian'?"),
        (["gaussian", "--kind", "selector"], "unknown selector 'gaussian'"),
        (["gaussian", "--kind", "corrupter"], "unknown kind of plugin 'corrupter': did you mean 'corruptor'?"),
    ],
)
def test_unknown_names(run: Run, arguments: list[str], message: str) -> None:
    result = run("plugins", "show", *arguments)
    assert result.code == 2
    assert message in result.err


def test_showing_a_broken_plugin_says_why_it_is_left_out(run: Run, broken: Path) -> None:
    result = run("plugins", "show", "half-done", "--plugin", broken)
    assert result.code == 2
    assert "was skipped: ModuleNotFoundError" in result.err.splitlines()[-1]


def test_ranges_in_words() -> None:
    assert format_range({"ge": 0, "lt": 1}, None) == ">= 0, < 1"
    assert format_range({}, ("a", "b", "c")) == "a, b or c"
    assert format_range({}, ("a",)) == "a"
    assert format_range({}, None) == ""
