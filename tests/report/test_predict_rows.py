"""Reference rows: the instrument they belong to, the same corruptors on a larger board, and what does not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchkit.errors import BenchkitError, UnknownNameError
from benchkit.report.leaderboard_lines import load_boards
from benchkit.report.predict_rows import (
    SHIPPED_BOARD,
    Table,
    check_same_instrument,
    corruptor_key,
    find_target,
    load_table,
    match_rows,
)

STORED = Path(__file__).parent / "boards" / "schema-1.jsonl"
SWIN, CONVNEXT = (f"upernet-{name}:pretrained=auto,size=mini" for name in ("swin", "convnext"))


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    """A board of two detectors with three seeds, as it was written."""
    (board,) = load_boards(STORED, *SHIPPED_BOARD)
    return [{**row, "title": "portraits"} for row in board.rows()]


@pytest.fixture
def write(lines: list[dict[str, Any]], tmp_path: Path) -> Callable[..., Path]:
    """Write lines of that board, each changed or, by None, skipped."""

    def write_lines(change: Callable[[dict[str, Any]], dict[str, Any] | None], *more: dict[str, Any]) -> Path:
        file = tmp_path / "rows.jsonl"
        changed = (change(dict(line)) for line in lines)
        file.write_text("".join(json.dumps(line) + "\n" for line in (*changed, *more) if line is not None))
        return file

    return write_lines


@pytest.fixture
def table(write: Callable[..., Path]) -> Table:
    """The rows of one of its detectors, as if it were an instrument."""
    return load_table(write(lambda line: line if line["detector"] == SWIN else None))


def test_the_other_detectors_rows_are_found_and_matched(table: Table, lines: list[dict[str, Any]]) -> None:
    target = find_target(STORED, None, table)
    assert (target.where, target.detector, target.seeds) == (str(STORED), CONVNEXT, 3)
    found = match_rows(table, [SWIN], target, "artifact_iou")
    of_rows = {(line["training_set"], line["detector"]): line for line in lines if line["role"] == "corrupted"}
    assert len(found.names) == 8
    assert list(found.targets) == [of_rows[name, CONVNEXT]["artifact_iou"] for name in found.names]
    assert list(found.inputs[:, 0]) == [of_rows[name, SWIN]["delta_pseudo"] for name in found.names]
    assert list(found.targets) == sorted(found.targets, reverse=True)
    assert target.base["artifact_iou"] == next(
        line["artifact_iou"] for line in lines if line["role"] == "pseudo" and line["detector"] == CONVNEXT
    )
    without = found.without("gaussian")
    assert set(found.methods) - set(without.methods) == {"gaussian"}
    assert np.array_equal(
        without.targets, [t for t, m in zip(found.targets, found.methods, strict=True) if m != "gaussian"]
    )


def test_the_shipped_board_gives_the_network_that_is_trained_whole(table: Table) -> None:
    target = find_target(None, None, table)
    assert (target.where, target.detector) == ("the board of portraits-whole that ships", CONVNEXT)
    assert target.seeds == 1 and len(target.lines) == 21


def test_parameters_tell_corruptors_apart_in_any_order() -> None:
    assert corruptor_key("x", {"a": 1, "b": 2}) == corruptor_key("x", '{"b": 2, "a": 1}')
    assert corruptor_key("x", {"steps": 10}) != corruptor_key("x", {"steps": 20})
    assert corruptor_key("x", None) == corruptor_key("x", {})


def test_a_detector_is_named_bare_or_complete(table: Table) -> None:
    assert find_target(STORED, "upernet-swin", table).detector == SWIN
    assert find_target(STORED, SWIN, table).detector == SWIN
    with pytest.raises(UnknownNameError, match="did you mean 'upernet-swin'"):
        find_target(STORED, "upernet-swim", table)


def test_rows_of_other_selectors_do_not_count(table: Table, write: Callable[..., Path]) -> None:
    boxes = write(lambda line: {**line, "selector": line["selector"] and "random-boxes:boxes=2"})
    with pytest.raises(BenchkitError, match="no row of a corruptor with the selector learned"):
        find_target(boxes, None, table)


def test_two_rows_of_one_corruptor_are_refused(
    table: Table, write: Callable[..., Path], lines: list[dict[str, Any]]
) -> None:
    twice = next(line for line in lines if line["role"] == "corrupted")
    assert twice["detector"] == SWIN
    file = write(lambda line: line, {**twice, "source_name": "other"})
    assert find_target(file, None, table).detector == CONVNEXT
    with pytest.raises(BenchkitError, match=rf"several rows of '{twice['training_set']}'"):
        find_target(file, SWIN, table)


def test_a_detector_on_two_boards_is_refused(
    table: Table, write: Callable[..., Path], lines: list[dict[str, Any]]
) -> None:
    again = [{**line, "run": "another", "title": "another board"} for line in lines]
    with pytest.raises(BenchkitError, match=r"is on several boards .*'portraits'.*'another board'"):
        find_target(write(lambda line: line, *again), "upernet-swin", table)


def test_rows_of_several_runs_are_no_instrument(write: Callable[..., Path], lines: list[dict[str, Any]]) -> None:
    with pytest.raises(BenchkitError, match="rows of 2 runs"):
        load_table(write(lambda line: line, {**lines[0], "run": "another"}))


def test_a_changed_instrument_is_refused(table: Table) -> None:
    line = {**(table.line(SWIN, "pseudo") or {}), "training": '{"iterations": 100, "batch": 4}', "labelled": 64.0}
    known = Table(table.frame.assign(**{name: line[name] for name in ("training", "labelled")}), "rows.jsonl")
    check_same_instrument(known, [line])
    check_same_instrument(known, [{**line, "labelled": 64, "training": '{"iterations": 100, "batch": 4, "new": 1}'}])
    for change, message in (
        ({"labelled": 65}, "labelled 64, where the instrument has 65 now"),
        (
            {"training": '{"iterations": 90, "batch": 4}'},
            "training iterations 100, where the instrument has iterations 90",
        ),
        ({"seeds": 2}, "seeds 3, where the instrument has 2 now"),
        ({"detector": "other"}, "no row 'pseudo' of the detector 'other'"),
    ):
        with pytest.raises(BenchkitError, match=f"rows.jsonl: .*{message}"):
            check_same_instrument(known, [{**line, **change}])
