"""Figures of a board that is read: numbers in their ranges, bounds in order, known words; the row is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchkit.errors import BenchkitError
from benchkit.report.board import Board
from benchkit.report.leaderboard_lines import load_leaderboard, make_boards


@pytest.fixture(scope="module")
def rows(make_standard: Any) -> list[dict[str, Any]]:
    return Board.of(make_standard((0, 1)).run()).rows()


def read(rows: list[dict[str, Any]], file: Path, **wrong: Any) -> list[Board]:
    """Return the boards of a file whose second row has these values."""
    changed = [rows[0], {**rows[1], **wrong}, *rows[2:]]
    file.write_text("".join(json.dumps(row) + "\n" for row in changed))
    return make_boards(load_leaderboard([file]), file.name)


def test_a_board_that_was_written_passes(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    (board,) = read(rows, tmp_path / "board.jsonl")
    assert [row["artifact_iou"] for row in board.rows()] == [row["artifact_iou"] for row in rows]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"average_precision": 1.7}, "'average_precision' is 1.7, not between 0 and 1"),
        ({"average_precision": 25}, "'average_precision' is 25, not between 0 and 1"),
        ({"average_precision": True}, "'average_precision' is True, not a number"),
        ({"average_precision": "x"}, "'average_precision' is 'x', not a number"),
        ({"artifact_iou_low": 7}, "'artifact_iou_low' is 7, not between -1 and 2"),
        ({"artifact_iou_low": 0.5, "artifact_iou_high": 0.25}, "'artifact_iou_low' is 0.5, above 'artifact_iou_high'"),
        ({"delta_pseudo": -9}, "'delta_pseudo' is -9, not between -1 and 1"),
        ({"rank": 0}, "'rank' is 0, not between 1 and 1,000,000,000"),
        ({"rank_low": 9, "rank_high": 2}, "'rank_low' is 9, above 'rank_high': 2"),
        ({"delta_pseudo_verdict": "great"}, "'delta_pseudo_verdict' is 'great', none of better, worse"),
    ],
)
def test_a_wrong_figure_is_refused_with_its_row_and_column(
    rows: list[dict[str, Any]], tmp_path: Path, wrong: dict[str, Any], message: str
) -> None:
    name = rows[1]["training_set"]
    with pytest.raises(BenchkitError) as raised:
        read(rows, tmp_path / "board.jsonl", **wrong)
    assert f"board.jsonl: not a board: row '{name}': {message}" in str(raised.value)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seeds": -3}, "'seeds' is -3"),
        ({"seeds": 2.5}, "'seeds' is 2.5, not a whole number"),
        ({"seeds": 10**30}, "'seeds' is 1e+30"),
        ({"artifact_iou": 3.0}, "'artifact_iou' is 3, not between 0 and 1"),
        ({"state": "x"}, "'state' is 'x', none of done, partial"),
    ],
)
def test_the_figures_of_a_boards_json_are_checked_too(make_standard: Any, wrong: dict[str, Any], message: str) -> None:
    data = json.loads(json.dumps(Board.of(make_standard((0, 1)).run()).as_json()))
    data["rows"][1] |= wrong
    with pytest.raises(BenchkitError) as raised:
        Board.from_json(data, "board.json")
    assert message in str(raised.value)
