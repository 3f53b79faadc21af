"""A comparison with one selection for all seeds and detectors, from the dry run to the board."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from tests.helpers.small_comparison import GRID, PLUGINS, Run

#: Three seeds, whose regions a detector chooses that is trained for them.
CHANGES = ("--seeds", "0,1,2", "--set", "baselines=[pseudo]", "--selector", "learned:detector=dot")


def test_a_shared_selection_from_dry_run_to_board(run: Run, tiny_checkpoint: Path, tmp_path: Path) -> None:
    file = tmp_path / "grid.yaml"
    file.write_text(GRID.format(model=tiny_checkpoint))
    command = ("compare", file, "--plugin", PLUGINS, *CHANGES)
    planned = [
        json.loads(run(*command, *more, "--dry-run", "--json").out) for more in ((), ("--set", "selection_seed=1"))
    ]
    own, shared = (one["network_evaluations"]["total"] for one in planned)
    assert own > shared
    assert planned[1]["network_evaluations_of_own_selections"] == own
    assert "network_evaluations_of_own_selections" not in planned[0]
    assert planned[1]["stages"]["pending"]["select"] == 1

    lines = run(*command, "--set", "selection_seed=1", "--dry-run").out
    assert f"a selection for each seed would take {own:,} network evaluations" in " ".join(lines.split())

    made = run(*command, "--set", "selection_seed=1", "--out", tmp_path / "out")
    assert made.code == 0, made.err
    rows = pd.read_parquet(tmp_path / "out" / "rows.parquet")
    trained = rows[rows["role"] != "trivial"]
    assert set(trained["selection_seed"]) == {1} and set(trained["seed"]) == {0, 1, 2}
    assert rows.loc[rows["role"] == "trivial", "selection_seed"].isna().all()
    for _, of_row in trained[trained["role"] == "corrupted"].groupby("training_set"):
        assert of_row["confinement_mask_area"].nunique() == of_row["confinement_mse_inside"].nunique() == 1, "one set"
        assert of_row["average_precision"].nunique() == 3, "three trainings"
    text = (tmp_path / "out" / "board.md").read_text()
    assert "Shared selection: the regions, and so the corrupted images, of seed 1" in text
    assert "selection shared, of seed 1" in text

    refused = run("compare", file, "--plugin", PLUGINS, "--selector", "learned", "--set", "selection_seed=0")
    assert refused.code == 2
    assert "name one detector for all" in " ".join(refused.err.split())
