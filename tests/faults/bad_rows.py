"""Leaderboard lines and boards of others."""

from __future__ import annotations

import json
from typing import Any

from tests.faults.bad_world import Arguments, Bad, bad, deep

RUN: dict[str, Any] = {
    "schema": 1, "source": "run", "run": "r", "title": "t", "group": "trained", "state": "done",
    "training_set": "human", "selector": None, "detector": "dot", "test_set": "shapes/test", "corruptor_params": None,
    "seeds": 1, "planned_seeds": 1, "artifact_iou": 0.5, "artifact_iou_low": 0.4, "artifact_iou_high": 0.6,
}  # fmt: skip


def lines(text: object) -> Arguments:
    content = text if isinstance(text, str | bytes) else json.dumps(text)
    return lambda w: ("leaderboard", "show", w.file("rows.jsonl", content))


def line(**changes: Any) -> Arguments:
    return lines({**RUN, **changes})


def board(text: object) -> Arguments:
    content = text if isinstance(text, str | bytes) else json.dumps(text)
    return lambda w: ("leaderboard", "show", w.file("b/board.json", content).parent)


def of(**changes: Any) -> dict[str, Any]:
    head = {"schema": 1, "run": "r", "title": "t", "note": "", "replicates": 10, "level": 0.95, "rows": [dict(RUN)]}
    return {**head, **changes}


CASES: dict[str, Bad] = {
    "not JSON": bad(lines("{"), "rows.jsonl, line 1", "not JSON"),
    "nested too deep": bad(lines(deep()), "rows.jsonl, line 1", "not JSON"),
    "an endless number": bad(lines('{"schema": ' + "9" * 5000 + "}"), "rows.jsonl, line 1", "not JSON"),
    "a list": bad(lines("[1]"), "rows.jsonl, line 1", "no leaderboard line"),
    "another schema": bad(line(schema=99), "line 1", "schema 99", "reads schema"),
    "a schema that is nan": bad(lines('{"schema": NaN}'), "line 1"),
    "another source": bad(line(source="web"), "line 1", "source must be one of"),
    "a source that is a list": bad(line(source=["run"]), "line 1", "source must be one of"),
    "a fraction above one": bad(line(artifact_iou=1.5), "line 1: artifact_iou"),
    "a fraction below zero": bad(line(artifact_iou=-0.1), "line 1: artifact_iou"),
    "a fraction that is nan": bad(line(artifact_iou=float("nan")), "line 1: artifact_iou"),
    "an interval of infinity": bad(line(artifact_iou_high=float("inf")), "line 1: artifact_iou_high"),
    "a fraction as text": bad(line(artifact_iou="0.5"), "line 1: artifact_iou"),
    "seeds below zero": bad(line(seeds=-1), "line 1: seeds"),
    "seeds beyond all numbers": bad(line(seeds=10**30), "line 1: seeds"),
    "a name that is empty": bad(line(training_set=""), "line 1: training_set"),
    "a title that is a list": bad(line(title=["t"]), "line 1: title"),
    "a further figure that is a list": bad(line(auroc=[1]), "rows.jsonl"),
    "a paper's figure of another unit": bad(
        lines({"schema": 1, "source": "paper", "value": 3, "unit": "cm", "table": 1}), "line 1"
    ),
    "bytes that are no text": bad(lines(b"\xff\xfe{}"), "no text in UTF-8"),
    "only the first line is good": bad(
        lambda w: ("leaderboard", "show", "--paper", w.file("rows.jsonl", json.dumps(RUN) + "\n{")), "line 2"
    ),
    "no such file": bad(lambda w: ("leaderboard", "show", w.folder / "none.jsonl"), "none.jsonl", "cannot read"),
    "board: not JSON": bad(board("{"), "board.json", "not JSON"),
    "board: nested too deep": bad(board(deep()), "board.json", "not JSON"),
    "board: a list": bad(board([]), "board.json", "not a board"),
    "board: another schema": bad(board(of(schema=99)), "board.json", "schema"),
    "board: rows that are none": bad(board(of(rows=[1])), "board.json", "no list of records"),
    "board: no rows": bad(board(of(rows=[])), "board.json", "not a board"),
    "board: rows that lack what a row has": bad(board(of(rows=[{"run": "r"}])), "board.json", "lack"),
    "board: a title that is a list": bad(board(of(title=["t"])), "board.json", "title"),
    "board: a level of text": bad(board(of(level="high")), "board.json", "level"),
    "board: a paper that is a list": bad(board(of(paper=[1])), "board.json"),
    "board: bytes that are no text": bad(board(b"\xff\xfe"), "board.json"),
}
