"""Rows by column: views equal the records they stand for, and many rows add few objects and few bytes."""

from __future__ import annotations

import gc
import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit.leaderboard.site.build import make_site
from benchkit.leaderboard.site.costs import Costs
from benchkit.leaderboard.site.fields import FIELDS
from benchkit.leaderboard.site.payload import data_script
from benchkit.leaderboard.site.row_columns import Rows, stack_columns
from benchkit.leaderboard.site.rows import make_tables
from benchkit.leaderboard.site.sources import Member, Source, load_sources
from benchkit.plugin.registry import Registry
from benchkit.report.board import Board, plain_records
from benchkit.report.board_parquet import board_to_parquet, pairs_to_parquet
from benchkit.report.columns import RANKINGS, joint_columns
from benchkit.report.leaderboard_lines import PACKAGE, load_boards, paper_lines
from benchkit.specs.keys import digest
from tests.leaderboard.made_site import board_folder, two_detectors

_VALUES = st.one_of(st.none(), st.floats(allow_nan=False), st.integers(-(2**50), 2**50))
_RECORDS = st.lists(
    st.fixed_dictionaries({"a": _VALUES}, optional={"b": st.text(), "c": st.booleans(), "d": st.none()}), min_size=1
)


def source_of(board: Board, slug: str = "made") -> Source:
    return Source(slug, slug, board, (Member(slug, slug),))


def shipped(name: str) -> Board:
    return max(load_boards(None, PACKAGE, name), key=lambda one: len(one.frame))


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load()


# --- views ------------------------------------------------------------------------------------------------------------


@given(_RECORDS)
def test_a_row_reads_what_its_record_says(records):
    rows = Rows.of(records)
    names = dict.fromkeys(name for record in records for name in record)
    assert [dict(row) for row in rows] == [{name: record.get(name) for name in names} for record in records]
    assert len(rows) == len(records) and rows[-1].get("a") == records[-1]["a"]
    assert rows[0].get("nothing", 5) == 5 and "nothing" not in rows[0]
    assert rows.distinct("a") == list(dict.fromkeys(record["a"] for record in records))
    assert rows.known("a").tolist() == [record["a"] is not None for record in records]


@given(_RECORDS, _RECORDS)
def test_columns_below_each_other_read_as_their_records(first, second):
    stacked = Rows(stack_columns([(len(part), Rows.of(part).columns) for part in (first, second)]))
    assert [dict(row) for row in stacked] == [dict(row) for row in Rows.of([*first, *second])]


def test_parts_of_rows_are_rows():
    rows = Rows.of([{"a": i} for i in range(6)])
    odd = rows.take(rows.column("a") % 2 == 1)
    assert [row["a"] for row in odd] == [1, 3, 5] and [row["a"] for row in odd[1:]] == [3, 5]
    assert odd.column("a").tolist() == [1, 3, 5] and odd[2]["a"] == 5
    assert odd.column("nothing").tolist() == [None] * 3


@pytest.mark.parametrize("name", ["portraits-detectors.jsonl", "portraits-frozen.jsonl"])
def test_rows_of_shipped_boards_are_their_lines(registry, name):
    board = shipped(name)
    tables = make_tables([source_of(board)], paper_lines(), Costs(registry))
    lines = plain_records(board.frame)
    assert len(tables.rows) == len(lines) + len(paper_lines())
    for row, line in zip(tables.rows, lines, strict=False):
        assert {field: row.get(field) for field in FIELDS} == {f: line.get(c) for f, c in FIELDS.items()}
    keys = ("board_slug", "name", "selector", "detector", "dataset", "source", "label")
    for row in tables.rows:
        # Links that people cited depend on it.
        assert row["id"] == digest([[row.get(key) for key in keys], tables.groups[row["group"]].title])[:8]
        assert row["place"] in tables.groups[row["group"]].rows


def test_figures_by_kind_are_those_of_the_board(registry):
    board = shipped("portraits-frozen.jsonl")
    tables = make_tables([source_of(board)], [], Costs(registry))
    assert tables.kinds.have("kind_iou", np.array([0, 1])).all()
    for (place, figure), bars in tables.kinds.read([(3, "kind_iou"), (0, "kind_recall")]).items():
        line = board.frame.iloc[place]
        having = [n for n in board.frame if n.startswith(f"{figure}:") and f"{n}_low" in board.frame]
        known = {name.partition(":")[2]: line[name] for name in having if np.isfinite(line[name])}
        assert {kind: value for kind, (value, _, _) in bars.items()} == known and known


# --- long boards ------------------------------------------------------------------------------------------------------


def long_board(rows: int) -> Board:
    """Return the trained rows of a shipped board repeated with other detectors, with joint intervals."""
    board = shipped("portraits-frozen.jsonl")
    base = board.frame[board.frame["group"] == "trained"]
    frame = pd.concat([base] * (1 + rows // len(base)), ignore_index=True).head(rows)
    frame["detector"] = [f"frozen-convnext:copy={i // len(base)}" for i in range(rows)]
    ends = [
        (name, ranking, shift)
        for ranking in RANKINGS
        for name, shift in zip(joint_columns(ranking), (-0.01, 0.01), strict=True)
    ]
    joint = pd.DataFrame({name: frame[ranking] + shift for name, ranking, shift in ends})
    return replace(board, frame=pd.concat([frame, joint], axis=1), pairs=(), resolution=(), across={})


def test_many_rows_add_few_objects_and_few_bytes(registry):
    """A record of each row had a hundred objects and ten kilobytes."""
    few, many = (source_of(long_board(rows)) for rows in (500, 2500))
    costs = Costs(registry)
    make_tables([few], [], costs)  # what is imported and cached on the way
    held = []
    for source in (few, many):
        gc.collect()
        before = len(gc.get_objects())
        tracemalloc.start()
        tables = make_tables([source], [], costs)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        gc.collect()
        held.append((len(gc.get_objects()) - before, peak))
        assert len(tables.rows) == len(source.board.frame)
        del tables
    objects, peak = ((high - low) / 2000 for low, high in zip(*held, strict=True))
    assert objects < 1  # those of the groups
    assert peak < 1500


def test_the_script_of_the_rows_is_never_whole_in_memory(registry):
    tables = make_tables([source_of(long_board(2500))], [], Costs(registry))
    blocks = list(data_script(tables))
    assert max(map(len, blocks)) < sum(map(len, blocks)) / 10
    text = b"".join(blocks).decode()
    data = json.loads(text.removeprefix("window.benchkitData = ").removesuffix(";\n"))
    assert data["fields"]["iou"][:3] == [float(f"{row['iou']:.6g}") for row in tables.rows[:3]]
    assert len(data["fields"]["tier"]) == 2500 and max(data["fields"]["tier"]) > 1


def test_a_long_board_gives_the_pages_of_its_columns_alone(tmp_path, monkeypatch, registry):
    folder = board_folder(tmp_path / "run", two_detectors())
    board = Board.of(two_detectors().run())
    (folder / "board.parquet").write_bytes(board_to_parquet(board))
    (folder / "pairs.parquet").write_bytes(pairs_to_parquet(board))
    whole = make_site(load_sources([folder], {}), (), registry)
    monkeypatch.setattr("benchkit.leaderboard.site.sources.LONG", 3)
    monkeypatch.setattr("benchkit.leaderboard.site.downloads.LONG", 3)
    (source,) = load_sources([folder], {})
    assert source.file == folder / "board.parquet"
    assert len(source.board.frame.columns) < len(board.frame.columns)
    alone = make_site([source], (), registry)
    gone = {"downloads/run/board.csv", "downloads/run/board.json", "downloads/run/board.tex"}
    assert set(whole) - set(alone) == gone
    assert alone["downloads/run/board.parquet"] == (folder / "board.parquet").read_bytes()
    pages = [path for path in alone if path.endswith(".html") and not path.startswith(("boards/", "downloads"))]
    assert {path for path in [*pages, "data/board.js", "downloads/rows.csv"] if alone[path] != whole[path]} == set()
