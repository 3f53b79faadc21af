"""Grids from YAML: defaults, presets, and mistakes named with their line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchkit.config.grid import list_presets, load_grid, parse_grid
from benchkit.errors import BenchkitError

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
    assert grid.training.iterations == 2
    assert grid.seeds == (0,)
    assert tuple(map(str, grid.corruptors)) == ("x:steps=1",)


@pytest.mark.parametrize("name", sorted(list_presets()))
def test_presets_are_valid(name: str) -> None:
    assert load_grid(name).title


@pytest.mark.parametrize(
    ("change", "message"),
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
def test_mistakes_are_named_with_their_line(change: tuple[str, str], message: str) -> None:
    assert change[0] in GOOD
    with pytest.raises(BenchkitError) as caught:
        parse_grid(GOOD.replace(*change), "grid.yaml")
    assert message in str(caught.value)
    assert "grid.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("modell: x", "line 12: unknown key 'modell': did you mean 'model'? (at 'on_dataset.portraits.modell')"),
        ("training: {iteration: 5}", "line 12: unknown key 'iteration': did you mean 'iterations'? (at 'on_dataset."),
        ("source: {split: clean, sise: 5}", "line 12: unknown key 'sise': did you mean 'size'?"),
        ("sources: [{split: clean}, {splitt: a}]", "line 12: unknown key 'splitt': did you mean 'split'?"),
        ("labelled: 0", "line 12: on_dataset.portraits.labelled: Input should be greater than or equal to 1"),
        ("detectors: ['d:x']", "line 12: on_dataset.portraits.detectors.0: detector 'd:x': 'x' is not key=value"),
    ],
)
def test_mistakes_in_what_a_dataset_replaces_are_found_with_their_line(text: str, message: str) -> None:
    with pytest.raises(BenchkitError) as caught:
        parse_grid(f"{GOOD}on_dataset:\n  portraits:\n    {text}\n", "grid.yaml")
    assert f"grid.yaml, {message}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_mistakes_are_named_at_once() -> None:
    text = GOOD.replace("  lr: 1.0e-3", "  lr: fast\n  batsh: 1\n").replace("[d]", "['d:x']")
    text += "seeds: [-1]\non_dataset: {portraits: {modell: x}}\n"
    with pytest.raises(BenchkitError) as caught:
        parse_grid(text, "grid.yaml")
    parts = str(caught.value).split("; ")
    assert parts[0].startswith("grid.yaml, line 5: detectors.0: ")
    assert [part.split(": ")[0] for part in parts[1:]] == ["line 12", "line 9", "line 10", "grid.yaml, line 13"]


@pytest.mark.parametrize(
    ("key", "written"),
    [
        ("labelled", "true"), ("labelled", "'3'"), ("labelled", "3.0"), ("paste_background", "1"),
        ("paste_background", "'yes'"), ("seeds", "[true]"), ("title", "2024"), ("title", "2020-01-01"),
        ("dataset", "2024"), ("scale", "'x'"),
    ],
)  # fmt: skip
def test_no_value_is_turned_into_another_type(key: str, written: str) -> None:
    text = GOOD if key != "title" else GOOD.replace("title: a test\n", "")
    with pytest.raises(BenchkitError, match=f"{key}.*: Input should be a valid") as caught:
        parse_grid(f"{text}{key}: {written}\n", "grid.yaml")
    assert ("write it in quotes" in str(caught.value)) == (key in ("title", "dataset"))


@pytest.mark.parametrize("written", ["1e-3", "1.0e-3", ".001", "1E-3", "0.001"])
def test_a_number_is_one_however_it_is_written(written: str) -> None:
    assert parse_grid(GOOD.replace("1.0e-3", written), "file").training.lr == 0.001


def test_a_training_s_own_rules_are_checked_with_the_grid() -> None:
    with pytest.raises(BenchkitError, match="line 7: training: positive_crop needs a crop"):
        parse_grid(GOOD + "  positive_crop: 0.5\n", "grid.yaml")
    assert parse_grid(GOOD + "  checkpoint_every: 7\n", "file").training.checkpoint_every == 7


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


def test_paste_background_and_latent_labels_exclude_each_other() -> None:
    with pytest.raises(BenchkitError, match=r"^grid.yaml: 'paste_background: true' pastes .* write 'label: image', or"):
        parse_grid(f"{GOOD}label: latent\npaste_background: true\n", "grid.yaml")
    assert parse_grid(f"{GOOD}label: latent\n", "file").label == "latent"
    assert parse_grid(f"{GOOD}paste_background: true\n", "file").paste_background


def test_an_extension_says_a_part_of_a_training_and_the_whole_of_a_set() -> None:
    quick = load_grid("quick")
    text = "extends: quick\ntraining: {iterations: 50}\nsource: {split: clean}\n"
    grid = parse_grid(text, "file")
    assert grid.training == replace(quick.training, iterations=50)
    assert grid.selector_training == quick.selector_training
    assert grid.training.schedule == "one-cycle"
    assert quick.source.size is not None
    assert grid.source.size is None
    with pytest.raises(BenchkitError, match="line 2: unknown key 'iteration'"):
        parse_grid("extends: quick\ntraining: {iteration: 50}\n", "file")


def test_what_stands_twice_in_a_list_is_meant_once() -> None:
    twice = "seeds: [0, 1, 0]\ntrivial: [all-negative, all-negative]\nbaselines: [human, human]\n"
    grid = parse_grid(GOOD.replace('- "x:steps=1"', '- "x:steps=1"\n  - "x:steps=1"') + twice, "file")
    assert (grid.seeds, grid.trivial, grid.baselines) == ((0, 1), ("all-negative",), ("human",))
    assert tuple(map(str, grid.corruptors)) == ("x:steps=1",)


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
