"""Grids from YAML: defaults, presets, and mistakes named with their line."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchkit.errors import BenchkitError
from benchkit.grid import load_grid, parse_grid, presets

GOOD = """
title: a test
corruptors:
  - "x:steps=1"
detectors: [d]
selector_training: {iterations: 3}
training:
  iterations: 2
  lr: 1.0e-3
"""


def test_reads_and_fills_defaults() -> None:
    grid = parse_grid(GOOD, "file")
    assert grid.training.config().iterations == 2
    assert grid.seeds == (0,)
    assert grid.corruptors == ("x:steps=1",)


@pytest.mark.parametrize("name", sorted(presets()))
def test_presets_are_valid(name: str) -> None:
    assert load_grid(name).title


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("detectors: [d]", "detektors: [d]"), "line 5: unknown key 'detektors': did you mean 'detectors'?"),
        (("  lr: 1.0e-3", "  lrr: 1"), "line 9: unknown key 'lrr'"),
        (("  lr: 1.0e-3", "  lr: fast"), "line 9: training.lr"),
        (("iterations: 2", "iterations: 0"), "line 8: training.iterations"),
        (("title: a test", "title: [1"), "not YAML"),
        (('- "x:steps=1"', '- "x:steps"'), "line 4: corruptors.0"),
        (("title: a test", "titel: a test"), "titel"),
    ],
)
def test_mistakes_are_named_with_their_line(change: tuple[str, str], said: str) -> None:
    assert change[0] in GOOD
    with pytest.raises(BenchkitError) as caught:
        parse_grid(GOOD.replace(*change), "grid.yaml")
    assert said in str(caught.value)
    assert "grid.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_preset_suggests_the_nearest() -> None:
    with pytest.raises(BenchkitError, match="did you mean 'quick'"):
        load_grid("quik")


def test_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(BenchkitError, match="cannot read"):
        load_grid(str(tmp_path / "none.yaml"))
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BenchkitError, match="cannot read"):
        load_grid(str(tmp_path / "binary.yaml"))


def test_replaced_is_checked_again() -> None:
    grid = parse_grid(GOOD, "file")
    assert grid.replaced(seeds=[3, 4]).seeds == (3, 4)
    with pytest.raises(BenchkitError, match="seeds"):
        grid.replaced(seeds=[-1])


def test_composite_and_latent_labels_exclude_each_other() -> None:
    with pytest.raises(BenchkitError, match=r"^grid.yaml: 'composite: true' pastes .* write 'label: image', or"):
        parse_grid(f"{GOOD}label: latent\ncomposite: true\n", "grid.yaml")
    assert parse_grid(f"{GOOD}label: latent\n", "file").label == "latent"
    assert parse_grid(f"{GOOD}composite: true\n", "file").composite


def test_an_extension_says_a_part_of_a_training_and_the_whole_of_a_set() -> None:
    quick = load_grid("quick")
    text = "extends: quick\ntraining: {iterations: 50}\nsource: {split: clean}\n"
    grid = parse_grid(text, "file")
    assert grid.training == quick.training.model_copy(update={"iterations": 50})
    assert grid.selector_training == quick.selector_training
    assert grid.training.crop is not None
    assert quick.source.size is not None
    assert grid.source.size is None
    with pytest.raises(BenchkitError, match="line 2: unknown key 'iteration'"):
        parse_grid("extends: quick\ntraining: {iteration: 50}\n", "file")


def test_what_stands_twice_in_a_list_is_meant_once() -> None:
    twice = "seeds: [0, 1, 0]\ntrivial: [all-negative, all-negative]\nbaselines: [human, human]\n"
    grid = parse_grid(GOOD.replace('- "x:steps=1"', '- "x:steps=1"\n  - "x:steps=1"') + twice, "file")
    assert (grid.seeds, grid.trivial, grid.baselines) == ((0, 1), ("all-negative",), ("human",))
    assert grid.corruptors == ("x:steps=1",)


@pytest.mark.parametrize("weights", ["[-1, 2]", "[0, 1]", "[1, .inf]", "[.nan, 1]"])
def test_class_weights_are_positive_and_finite(weights: str) -> None:
    with pytest.raises(BenchkitError, match=r"line 10: training.class_weights.[01]: Input should be"):
        parse_grid(f"{GOOD}  class_weights: {weights}\n", "file")


def test_a_list_is_called_a_list() -> None:
    with pytest.raises(BenchkitError, match=r"corruptors: Input should be a list$"):
        parse_grid(GOOD.replace('\n  - "x:steps=1"', " x"), "file")


def test_a_grid_knows_where_its_file_says_what(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(GOOD.replace('- "x:steps=1"', "- 'x:steps=1|2'\n  - \"y: b=1, a=2\"") + "source: {split: pool}\n")
    grid = load_grid(str(file))
    assert [grid.origin.place("corruptors", text) for text in grid.corruptors] == [
        f"{file}, line 4: ",
        f"{file}, line 4: ",
        f"{file}, line 5: ",
    ]
    assert grid.origin.place("source", grid.source.model_dump()) == f"{file}, line 11: "
    changed = grid.replaced(corruptors=["z"], source={"split": "clean"})
    assert changed.origin.place("detectors", "d") == f"{file}, line 6: "
    assert changed.origin.place("corruptors", "z") == ""
    assert changed.origin.place("source", changed.source.model_dump()) == ""
    assert grid == parse_grid(file.read_text(), "elsewhere")


def test_inverters_are_one_or_a_list() -> None:
    body = "title: t\nselector_training: {iterations: 1}\ntraining: {iterations: 1}\n"
    several = parse_grid(body + "inverters: [ddim, 'renoise:iterations=1|4']\n", "mine.yaml")
    assert [str(spec) for spec in several.every_inverter] == ["ddim", "renoise:iterations=1", "renoise:iterations=4"]
    assert [str(spec) for spec in parse_grid(body + "inverter: ddim\n", "mine.yaml").every_inverter] == ["ddim"]
    with pytest.raises(BenchkitError, match=r"mine\.yaml, line 5: 'inverter' and 'inverters' exclude each other"):
        parse_grid(body + "inverter: ddim\ninverters: [ddim]\n", "mine.yaml")
    extended = parse_grid("extends: quick\ninverters: [ddim, sdedit]\n", "mine.yaml")
    assert [str(spec) for spec in extended.every_inverter] == ["ddim", "sdedit"]
