"""`compare --until-resolved X --max-seeds N`: what the dry run prints, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers.small_comparison import PLUGINS, Run

SEEDS = ("--seeds", "0,1", "--until-resolved", 2, "--max-seeds", 4)


def test_a_dry_run_prints_the_first_look_and_the_largest_plan(run: Run, grid: Path) -> None:
    result = run("compare", grid, "--plugin", PLUGINS, *SEEDS, "--dry-run", "--json")
    assert result.code == 0, result.err
    assert "looks at 2, 3, 4 seeds, each at the level 98.33 %" in result.err
    plan = json.loads(result.out)
    assert {cell["seed"] for cell in plan["cells"]} == {0, 1}
    looks = plan["looks"]
    assert (looks["planned"], looks["margin"], round(looks["level"], 4)) == ([2, 3, 4], 0.02, 0.9833)
    trained = [cell for cell in plan["cells"] if cell["role"] != "trivial"]
    assert looks["largest"]["cells"] == len(plan["cells"]) * 2 and len(trained) == 8
    assert looks["largest"]["train_iterations"] == 2 * plan["train_iterations"]
    text = run("compare", grid, "--plugin", PLUGINS, *SEEDS, "--dry-run").out
    assert "this is the first of the looks at 2, 3, 4 seeds" in text
    assert "at most, if every row gets 4 seeds: " in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--seeds", "0,1", "--until-resolved", 2), "--until-resolved needs --max-seeds, the largest number of seeds"),
        (("--seeds", "0,1", "--max-seeds", 5), "--max-seeds needs --until-resolved"),
        (("--seeds", "0,1,2", "--until-resolved", 2, "--max-seeds", 2), "--max-seeds 2: the grid begins with 3 seeds"),
        (("--until-resolved", 2, "--max-seeds", 4), "a variance needs two: give --seeds 0,1"),
        (("--seeds", "0,1", "--until-resolved", 0, "--max-seeds", 4), "until_resolved"),
        (("--seeds", "0,1", "--until-resolved", -1, "--max-seeds", 4), "until_resolved"),
        (("--seeds", "0,1", "--until-resolved", "nan", "--max-seeds", 4), "until_resolved"),
        ((*SEEDS, "--set", "max_seeds=5"), "--set max_seeds=5: --max-seeds sets the same"),
        ((*SEEDS, "--set", "corruptors=[]", "--set", "baselines=[]"), "this grid has no two such rows"),
    ],
)
def test_what_cannot_be_looked_at_is_refused_in_one_line(
    run: Run, grid: Path, cache: Path, words: tuple[object, ...], message: str
) -> None:
    result = run("compare", grid, "--plugin", PLUGINS, "--device", "cpu", *words)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert len(result.err.splitlines()) == 1
    assert not cache.exists()
