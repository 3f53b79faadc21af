"""No library warning reaches a user: neither of a board of many columns nor of one with little in it."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from benchkit.cli.sidebyside import SideBySide
from benchkit.report.board import Board
from benchkit.report.leaderboard_lines import board_lines
from benchkit.report.paper_comparison import compare_with_paper
from benchkit.report.render_board import FORMATS, render
from benchkit.report.write import write_report

#: More columns than pandas takes one by one without a warning of a fragmented frame.
MANY = {f"kind_iou:{i}": i / 1000 for i in range(200)}


@pytest.fixture
def made(make_standard, make_examples):
    maker = make_standard((0, 1))
    for line in maker.lines:
        if line["state"] == "done":
            line |= MANY
    maker.gallery["blur:steps=20"] = make_examples()
    return maker


def test_a_board_of_many_columns(made, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        board = write_report(made.run(), tmp_path)
        again = Board.from_json(board.as_json(), "it")
        for form in FORMATS:
            assert render(again, form)


def test_boards_beside_each_other_and_beside_the_paper(made, maker) -> None:
    one = Board.of(made.run())
    other = Board.of(maker().cell("human", None).corrupted("blur:steps=20", 0.5).run())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for form in FORMATS:
            assert render(SideBySide((one, other)), form)
            assert render(compare_with_paper(board_lines(one)), form)


def test_a_board_without_figures(maker, tmp_path: Path) -> None:
    made = maker().corrupted("gaussian:steps=5", None, reason="not installed").cell("human", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_report(made.run(), tmp_path)


def test_rows_of_many_metrics_from_the_store(tmp_path: Path) -> None:
    from benchkit.store.results import CellInfo, ResultStore

    results = ResultStore(tmp_path / "results.sqlite")
    run = results.create_run({}, {})
    cells = [CellInfo(str(i), "corrupted", 0, "portraits/test[4]", method=f"m{i}") for i in range(3)]
    results.upsert_cells(run, cells)
    results.save_row("0", MANY | dict.fromkeys(map(str, range(150))))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert results.rows(run)["149"].dtype == float
