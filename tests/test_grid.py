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
