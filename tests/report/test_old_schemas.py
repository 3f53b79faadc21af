"""Boards that an earlier benchkit wrote are read: what their rows are is taken from their printed names once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchkit.report.board import Board
from benchkit.report.leaderboard_lines import RunLine, load_leaderboard
from benchkit.report.old_schemas import upgraded
from benchkit.store.columns import SETTINGS

STORED = Path(__file__).parent / "boards" / "schema-1.jsonl"
FIELDS = ("role", "method", "corruptor", "source_name", "variant")


@pytest.mark.parametrize(
    ("name", "corruptor", "fields"),
    [
        ("human", None, ("human", None, None, None, None)),
        ("pseudo [HPS]", None, ("pseudo", None, None, "HPS", None)),
        ("pseudo [labelled=50]", None, ("pseudo", None, None, None, "labelled=50")),
        ("mean-mask", None, ("trivial", "mean-mask", None, None, None)),
        ("mean-mask", "mean-mask", ("corrupted", "mean-mask", "mean-mask", None, None)),
        ("a:steps=5 via ddim [HPS]", "a", ("corrupted", "a:steps=5", "a", "HPS", None)),
        ("human+a:steps=5 [inverter=ddim, label=latent]", "a", ("mixed", "a:steps=5", "a", None, None)),
    ],
)
def test_a_row_of_schema_1_gets_its_fields(name: str, corruptor: str | None, fields: tuple[Any, ...]) -> None:
    row = upgraded({"schema": 1, "training_set": name, "corruptor": corruptor})
    expected = fields if "inverter=ddim" not in name else (*fields[:4], "inverter=ddim, label=latent")
    assert tuple(row[field] for field in FIELDS) == expected
    assert all(row[setting] is None for setting in SETTINGS)
    assert upgraded(row) == row


def test_the_stored_board_is_read_with_its_roles() -> None:
    lines = [line for line in load_leaderboard([STORED]) if isinstance(line, RunLine)]
    roles = {line.training_set: line.role for line in lines}
    assert roles["human"] == "human"
    assert roles["mean-mask"] == "trivial"
    assert roles["gaussian:steps=20"] == "corrupted"
    assert roles["human+renoise-masked:steps=10"] == "mixed"
    assert {line.inversion_steps for line in lines if line.corruptor == "gaussian"} == {0, 20}


def test_a_board_file_of_schema_1_is_read(make_standard) -> None:
    board = Board.of(make_standard().run())
    new = ("role", "method", "inverter", "source_name", "variant", *SETTINGS)
    data = json.loads(json.dumps(board.as_json()))
    data |= {"schema": 1, "rows": [{**row, "schema": 1} for row in data["rows"]]}
    for row in data["rows"]:
        for name in new:
            del row[name]
    read = Board.from_json(data, "it")
    assert read.frame["role"].to_list() == board.frame["role"].to_list()
    assert read.frame["artifact_iou"].to_list() == pytest.approx(board.frame["artifact_iou"].to_list(), nan_ok=True)
