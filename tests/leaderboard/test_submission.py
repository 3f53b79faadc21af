"""The files of a submission: what is read is what was written, and a board of them is the run's, to the last digit."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchkit.errors import BenchkitError
from benchkit.leaderboard.submission import (
    FACTS,
    FILES,
    Submission,
    hide_paths,
    normalise_rows,
    read_facts,
    read_submission,
    rows_from_parquet,
    rows_to_parquet,
    write_submission,
)
from benchkit.leaderboard.terms import FROM_GROUPS, GROUPS_MOVE, ScoredImages, Terms
from benchkit.leaderboard.terms_file import terms_from_files, terms_to_files
from benchkit.metrics import by_kind, coverage, measure, summarise
from benchkit.report.board import Board
from benchkit.report.run_data import RunData


def assert_equal(one: Terms, other: Terms) -> None:
    for field in fields(Terms):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        if isinstance(mine, dict):
            assert mine.keys() == theirs.keys()
            for key in mine:
                np.testing.assert_array_equal(mine[key], theirs[key])
        else:
            np.testing.assert_array_equal(mine, theirs)


@given(seed=st.integers(0, 2**32), images=st.integers(1, 7), levels=st.sampled_from([2, 5, 1000]), kinds=st.booleans())
@settings(max_examples=25, deadline=None)
def test_terms_come_back_and_give_every_figure(seed: int, images: int, levels: int, kinds: bool) -> None:
    rng = np.random.default_rng(seed)
    scores = (rng.integers(0, levels, (images, 6, 6)) / levels).astype(np.float32)
    labels = rng.random((images, 6, 6)) < rng.random()
    masks = [{"melt": mark, "odd, kind": mark & (rng.random(mark.shape) < 0.5)} for mark in labels]
    measured = measure(scores, labels, masks if kinds else None, threshold=0.25)
    tested = {"t": ScoredImages.of(measured, [f"image {i}" for i in range(images)])}
    terms = {"a": Terms.of(measured), "b": Terms.of(measured, 0.25)}
    back, images_back = terms_from_files(terms_to_files(terms, tested), "here", {"b": 0.25})
    assert {name: own.digest for name, own in tested.items()} == {n: own.digest for n, own in images_back.items()}
    for cell, own in terms.items():
        assert_equal(own, back[cell])
    assert back["a"].find_fault(images_back["t"]) is None
    wanted = {**summarise(measured), **by_kind(measured), **coverage(measured)}
    found = back["b"].figures(images_back["t"])
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        near = abs(found[name] - value) <= GROUPS_MOVE and name.partition(":")[0] in FROM_GROUPS
        assert found[name] == value or near or (np.isnan(found[name]) and np.isnan(value)), name


VALUES = st.one_of(st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.floats(), st.text(max_size=8))


@given(st.data(), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_rows_come_back(data: st.DataObject, lines: int) -> None:
    fixed = {name: ["x"] * lines for name in ("cell", "test_set", "checkpoint_sha256")}
    drawn = {f"column {i}": data.draw(st.lists(VALUES, min_size=lines, max_size=lines)) for i in range(3)}
    try:
        rows = normalise_rows(
            pd.DataFrame({**fixed, **{name: pd.Series(own, dtype=object) for name, own in drawn.items()}})
        )
        written = rows_to_parquet(rows)
    except UnicodeEncodeError:
        return  # half a surrogate: the result store has none
    pd.testing.assert_frame_equal(rows_from_parquet(written, "here"), rows)


def test_a_submission_gives_the_board_of_its_run(full_data: RunData, written: Path) -> None:
    read = read_submission(written)
    assert_alike(Board.of(read.data).as_json(), Board.of(full_data).as_json())
    (board := Board.of(read.data).as_json()).pop("pairs")
    rows = [{name: value for name, value in row.items() if ":" not in name} for row in board["rows"]]
    assert {**board, "rows": rows} == dict(read.board or {})


def assert_alike(one: Any, other: Any, name: str = "") -> None:
    """Compare plain data; numbers may differ by what rounding the figures without one image changes, or by groups."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_alike(one[key], other[key], str(key))
    elif isinstance(one, list):
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            assert_alike(mine, theirs)
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-6, abs=GROUPS_MOVE if name.startswith(FROM_GROUPS) else 1e-9)
    else:
        assert one == other


def test_what_is_read_is_what_was_written(submission: Submission, written: Path) -> None:
    read = read_submission(written)
    assert read.facts == submission.facts
    pd.testing.assert_frame_equal(read.rows, submission.rows, check_like=True)
    assert read.terms.keys() == submission.terms.keys()
    for cell, own in submission.terms.items():
        assert_equal(own, read.terms[cell])


def test_equal_submissions_are_equal_bytes(submission: Submission, written: Path) -> None:
    assert {name: (written / name).read_bytes() for name in FILES} == submission.files()
    assert sorted(path.name for path in written.iterdir()) == sorted(FILES)


def test_another_submission_is_not_replaced(submission: Submission, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    write_submission(submission, folder)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    with pytest.raises(BenchkitError, match="not empty"):
        write_submission(submission, folder)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    write_submission(submission, folder, force=True)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("folder:root=/home/me/data set,size=3", "folder:root=…/data set,size=3"),
        ("detector (C:\\Users\\me\\net.pth)", "detector (…/net.pth)"),
        ("No such file: '~/weights/a.pth'", "No such file: '…/a.pth'"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("portraits/test[12]", "portraits/test[12]"),
        ("f1 = 2 tp / (2 tp + fp)", "f1 = 2 tp / (2 tp + fp)"),
    ],
)
def test_absolute_paths_are_hidden(text: str, shown: str) -> None:
    assert hide_paths({text: [text]}) == {shown: [shown]}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("schema", 7, "schema 7, but this version of benchkit reads schema 1 and 2"),
        ("name", "../up", "'../up' is no name"),
        ("name", "<b>bold</b>", "is no name"),
        ("name", "=cmd()", "is no name"),
        ("name", "a" * 41, "is no name"),
        ("link", "javascript:alert(1)", "is no address"),
        ("seen", "=HYPERLINK(1)", "not one line"),
        ("contact", "<script>", "not one line"),
        ("protocol", "12", "protocol"),
        ("prize", "first", "prize"),
    ],
)
def test_facts_that_are_refused(written: Path, key: str, value: object, message: str) -> None:
    data = json.loads((written / FACTS).read_text()) | {key: value}
    with pytest.raises(BenchkitError, match=message) as refused:
        read_facts(json.dumps(data).encode(), "here")
    assert "\n" not in str(refused.value)
