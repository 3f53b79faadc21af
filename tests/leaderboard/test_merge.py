"""Rows from several submissions of one protocol on one board, paired image by image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from benchkit.errors import BenchkitError
from benchkit.leaderboard.merge import group_by_protocol, merge_submissions
from benchkit.leaderboard.submission import Submission
from benchkit.report.board import Board
from tests.leaderboard.conftest import make_data, submit_data

Make = Callable[..., Submission]


def named_apart(submission: Submission) -> Submission:
    """The same with other keys of its methods' cells, as those of other plugins have."""
    methods = submission.rows["role"] == "corrupted"
    keys = {cell: f"{submission.facts.name}-{cell}" for cell in submission.rows.loc[methods, "cell"]}
    rows = submission.rows.assign(cell=[keys.get(cell, cell) for cell in submission.rows["cell"]])
    return replace(submission, rows=rows, terms={keys.get(cell, cell): own for cell, own in submission.terms.items()})


def with_source(submission: Submission, plugin: str, source: str) -> Submission:
    plugins = submission.facts.environment["plugins"]
    changed = plugins | {plugin: plugins[plugin] | {"source": source}}
    environment = submission.facts.environment | {"plugins": changed}
    return replace(submission, facts=submission.facts.model_copy(update={"environment": environment}))


def test_rows_of_two_places_are_ranked_and_paired_as_those_of_one(make: Make) -> None:
    together = Board.of(make_data({"renoise-masked:steps=10": 0.62, "blur:steps=20": 0.2}))
    one, other = make({"renoise-masked:steps=10": 0.62}, "one"), named_apart(make({"blur:steps=20": 0.2}, "other"))
    merged = Board.of(merge_submissions([one, other]))
    columns = ["training_set", "artifact_iou", "artifact_iou_low", "rank", "rank_low", "delta_pseudo", "seeds"]
    assert merged.frame[columns].equals(together.frame[columns])
    np.testing.assert_allclose(*([pair["p"] for pair in board.pairs] for board in (merged, together)), rtol=1e-6)


def test_a_row_of_both_counts_once(make: Make) -> None:
    one, other = make({"blur:steps=20": 0.2}, "one"), make({"blur:steps=20": 0.2}, "other")
    merged = merge_submissions([one, other])
    assert len(merged.rows) == len(one.rows)
    assert set(merged.rows["submission"]) == {"one"}


def test_two_plugins_of_one_name_stay_apart(make: Make) -> None:
    one, other = make({"blur:steps=20": 0.2}, "one"), named_apart(make({"blur:steps=20": 0.6}, "other"))
    merged = merge_submissions([one, with_source(other, "corruptor blur", "cd" * 32)])
    board = Board.of(merged)
    assert list(board.frame["training_set"]) == ["blur:steps=20 (other)", "pseudo", "human", "blur:steps=20"]
    assert merged.environment["plugins"]["corruptor blur (other)"]["source"] == "cd" * 32
    uses = dict(zip(merged.rows["training_set"], merged.rows["uses"], strict=True))
    assert "corruptor blur (other)" in uses["blur:steps=20 (other)"]
    assert "(other)" not in uses["blur:steps=20"]


def test_protocols_have_boards_of_their_own(make: Make) -> None:
    one, other = make({"blur:steps=20": 0.2}, "one"), submit_data(make_data({"blur:steps=20": 0.2}, range(7)), "other")
    assert [[own.facts.name for own in group] for group in group_by_protocol([one, other]).values()] == [
        ["one"],
        ["other"],
    ]
    with pytest.raises(BenchkitError, match="several protocols have no common board"):
        merge_submissions([one, other])
