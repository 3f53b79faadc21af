"""The board of an ablation: differences equal those computed by hand, missing cells are told, files are whole."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchkit.metrics import Measured
from benchkit.report.ablation import FILES, AblationBoard, Point, write_ablation
from benchkit.report.tables import render

VALUES = {"2": 0.5, "5": 0.8, "10": 0.3}


def iou(run, cell: str) -> float:
    table = Measured.from_arrays(run.records[cell]).table
    tp, fp, fn = (int(table[name].sum()) for name in ("tp", "fp", "fn"))
    return tp / (tp + fp + fn)


@pytest.fixture
def made(maker):
    run = maker()
    for seed in (0, 1):
        for value, quality in VALUES.items():
            run.corrupted(f"gaussian:steps={value}", quality, seed=seed)
    data = run.run()
    cells = {value: {0: f"{i:064x}", 1: f"{i + 3:064x}"} for i, value in enumerate(VALUES)}
    line = {"axis": "corruptor.steps", "training_set": "gaussian:steps=2", "selector": "learned", "detector": "dot"}
    points = [Point(value=v, is_base=v == "2", cells=own, **line) for v, own in cells.items()]
    return data, points


def test_differences_are_those_computed_by_hand(made) -> None:
    data, points = made
    board = AblationBoard.of(points, data, replicates=200)
    means = [np.mean([iou(data, key) for key in point.cells.values()]) for point in points]
    assert np.allclose(board.frame["artifact_iou"], means)
    assert np.allclose(board.frame["delta_base"], np.array(means) - means[0])
    base = board.frame.iloc[0]
    assert [base[f"delta_base{part}"] for part in ("", "_low", "_high")] == [0, 0, 0]
    assert (board.frame["delta_base_low"] <= board.frame["delta_base"]).all()
    assert list(board.frame["delta_base_positive"]) == [0.5, 1, 0]
    assert list(board.frame["seeds"]) == [2, 2, 2]


def test_a_cell_that_failed_has_no_difference_but_its_reason(made) -> None:
    data, points = made
    failed = points[1].cells
    rows = data.rows.copy()
    rows.loc[rows["cell"].isin(failed.values()), ["state", "reason"]] = ["failed", "corrupt: NaN"]
    records = {key: value for key, value in data.records.items() if key not in failed.values()}
    broken = type(data)(data.run, data.grid, data.environment, rows, records)
    board = AblationBoard.of(points, broken, replicates=50)
    assert np.isnan(board.frame["delta_base"].iloc[1])
    assert board.frame["state"].to_list() == ["done", "failed", "done"]
    assert "corrupt: NaN" in render(board, "table")


def test_every_file_holds_every_line(made, tmp_path: Path) -> None:
    data, points = made
    board = AblationBoard.of(points, data, replicates=50)
    write_ablation(board, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)
    for frame in (pd.read_parquet(tmp_path / "ablation.parquet"), pd.read_csv(tmp_path / "ablation.csv")):
        assert np.allclose(frame["delta_base"], board.frame["delta_base"])
    rows = json.loads((tmp_path / "ablation.json").read_text())["rows"]
    assert [row["value"] for row in rows] == list(VALUES)
    assert (tmp_path / "ablation.md").read_text().count("corruptor.steps") == 3
    assert (tmp_path / "ablation.svg").read_bytes().startswith(b"<?xml")
    assert (tmp_path / "ablation.png").read_bytes().startswith(b"\x89PNG")
