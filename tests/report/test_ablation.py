"""The board of an ablation: differences equal those computed by hand, missing cells are told, files are whole."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchkit.metrics import Measured
from benchkit.report.ablation import FILES, AblationBoard, Point, ablation_files
from benchkit.report.board import Board
from benchkit.report.render_board import render
from benchkit.report.site.page import page
from benchkit.system.output_files import replace_files

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
    board = AblationBoard.of(points, data)
    means = [np.mean([iou(data, key) for key in point.cells.values()]) for point in points]
    assert np.allclose(board.frame["artifact_iou"], means)
    assert np.allclose(board.frame["delta_base"], np.array(means) - means[0])
    base = board.frame.iloc[0]
    assert [base[f"delta_base{part}"] for part in ("", "_low", "_high")] == [0, 0, 0]
    assert (board.frame["delta_base_low"] <= board.frame["delta_base"]).all()
    assert list(board.frame["delta_base_verdict"]) == [None, "better", "worse"]
    assert (board.frame["delta_base_p"].iloc[1:] <= 0.05).all()
    assert list(board.frame["seeds"]) == [2, 2, 2]


def test_a_cell_that_failed_has_no_difference_but_its_reason(made) -> None:
    data, points = made
    failed = points[1].cells
    rows = data.rows.copy()
    rows.loc[rows["cell"].isin(failed.values()), ["state", "reason"]] = ["failed", "corrupt: NaN"]
    records = {key: value for key, value in data.records.items() if key not in failed.values()}
    broken = type(data)(data.run, data.grid, data.environment, rows, records)
    board = AblationBoard.of(points, broken)
    assert np.isnan(board.frame["delta_base"].iloc[1])
    assert board.frame["state"].to_list() == ["done", "failed", "done"]
    assert "corrupt: NaN" in render(board, "table")


def test_every_file_holds_every_line(made, tmp_path: Path) -> None:
    data, points = made
    board = AblationBoard.of(points, data)
    replace_files(tmp_path, ablation_files(board), ())
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)
    for frame in (pd.read_parquet(tmp_path / "ablation.parquet"), pd.read_csv(tmp_path / "ablation.csv")):
        assert np.allclose(frame["delta_base"], board.frame["delta_base"])
    rows = json.loads((tmp_path / "ablation.json").read_text())["rows"]
    assert [row["value"] for row in rows] == list(VALUES)
    assert (tmp_path / "ablation.md").read_text().count("corruptor.steps") == 3
    assert (tmp_path / "ablation.svg").read_bytes().startswith(b"<?xml")
    assert (tmp_path / "ablation.png").read_bytes().startswith(b"\x89PNG")


HOSTILE = "<script>alert(1)</script>"


def hostile(points: list[Point]) -> list[Point]:
    """The same lines under one axis of an ordinary name and one of a hostile one, with hostile values and rows."""
    return [*points, *(replace(p, axis=HOSTILE, value=f"{p.value}{HOSTILE}", training_set=HOSTILE) for p in points)]


def test_the_page_has_a_table_of_differences_for_every_axis(made) -> None:
    data, points = made
    ablation = AblationBoard.of(hostile(points), data)
    board = Board.of(data)
    text = page(data, board, ablation=ablation)
    assert HOSTILE not in text
    section = text.split('<h2 id="ablation">')[1].split('<h2 id="board">')[0]
    assert '<a href="#ablation">' in text
    first, second = section.split("<h3>")[1:]
    assert first.startswith("corruptor.steps</h3>") and second.startswith("&lt;script&gt;alert(1)&lt;/script&gt;</h3>")
    sheet = ablation.sheet()
    for part, group in zip((first, second), sheet.groups, strict=True):
        deltas = re.findall(r"<td[^>]*>(base|[+\N{MINUS SIGN}][^<]*\[[^<]*\] \w+)</td>", part)
        column = [c.header for c in sheet.columns].index("Δ to base\n[95 % interval]")
        assert deltas == [row[column].text for row in group.rows]
        assert deltas[0] == "base" and deltas[1].startswith("+") and deltas[2].startswith("\N{MINUS SIGN}")
    for scheme in ("src", "srcset"):
        assert re.search(f'{scheme}="data:image/svg[+]xml;base64,', section)
    # Of an ordinary comparison the page says nothing of the kind.
    assert "ablation" not in page(data, board)


def test_an_ablation_of_which_nothing_ran_has_its_tables_and_reasons(made) -> None:
    data, points = made
    rows = data.rows.copy()
    rows["state"], rows["reason"] = "failed", f"corrupt: NaN {HOSTILE}"
    broken = type(data)(data.run, data.grid, data.environment, rows, {})
    ablation = AblationBoard.of(points, broken)
    text = page(broken, Board.of(broken), ablation=ablation)
    section = text.split('<h2 id="ablation">')[1].split('<h2 id="board">')[0]
    assert section.count(">failed</td>") == 3
    assert "<figure" not in section and "corrupt: NaN &lt;script&gt;" in section
