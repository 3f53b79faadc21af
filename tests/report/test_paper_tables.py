"""A run of one of the paper's tables beside that table: differences where they mean something, else the order only."""

from __future__ import annotations

import pytest

from benchkit.errors import BenchkitError
from benchkit.report.board import Board
from benchkit.report.leaderboard_lines import board_lines, parse_lines, to_jsonl
from benchkit.report.paper_comparison import NOT_RUN, ORDER_ONLY, beside_table, compare_with_paper
from benchkit.report.render_board import json_text, render
from benchkit.report.run_data import RunData
from benchkit.report.site.page import page
from benchkit.report.write import write_report

SOURCES = {"HPS": "HPS", "rest": "RichHF-7701"}


def table_1(maker, differs: list[str], sources: dict[str, str] = SOURCES) -> RunData:
    """A run of Table 1 with two sources, of which the second is the easier one."""
    made = maker().cell("human", 0.45)
    for name, better in (("HPS", 0.0), ("rest", 0.1)):
        made.cell("pseudo", 0.5 + better, selector="learned:threshold=0.5", source_name=name)
        made.corrupted("renoise-masked:steps=10", 0.6 + better, source_name=name)
    made.grid |= {"paper": {"table": 1, "sources": sources, "differs": differs}}
    return made.run()


@pytest.fixture(scope="module")
def exact(maker) -> Board:
    return Board.of(table_1(maker, []))


def test_each_row_stands_beside_the_figure_of_its_own_source(exact: Board) -> None:
    frame = compare_with_paper(board_lines(exact)).frame.set_index("training_set")
    paper = frame.loc[:, ["paper:HPS", "paper:RichHF-7701"]]
    assert paper.loc["pseudo [HPS]"].to_list() == [0.2651, pytest.approx(float("nan"), nan_ok=True)]
    assert paper.loc["renoise-masked:steps=10 [rest]", "paper:RichHF-7701"] == 0.2809
    assert paper.loc["human"].to_list() == [0.2623, 0.2623]
    assert NOT_RUN not in set(frame["state"]), "all of Table 1's Swin-T rows are on the board"


def test_by_the_papers_protocol_the_difference_is_a_value(exact: Board) -> None:
    compared = beside_table(exact)
    assert compared is not None and compared.table == 1
    frame = compared.frame.set_index("training_set")
    ours = exact.frame.set_index("training_set")["artifact_iou"]
    apart = ours["pseudo [HPS]"] - 0.2651
    assert frame.loc["pseudo [HPS]", "difference:HPS"] == pytest.approx(apart)
    for form in ("table", "markdown", "latex"):
        written = render(compared, form, 200)
        assert f"{abs(100 * apart):.2f}" in written and ORDER_ONLY not in written and "Table 1" in written


def test_by_another_protocol_only_the_order_is_compared(maker) -> None:
    board = Board.of(table_1(maker, ["scaled: by 0.01", "dataset: portraits, not <b>x</b>"]))
    compared = beside_table(board)
    assert compared is not None
    assert compared.frame[["difference:HPS", "difference:RichHF-7701"]].isna().all(axis=None)
    written = render(compared, "table", 200)
    assert written.count(ORDER_ONLY) == 6
    assert "Where the protocol differs: scaled: by 0.01; dataset: portraits, not <b>x</b>." in written
    assert "never the values" in " ".join(written.split())


def test_the_report_holds_the_table_in_every_form(maker, tmp_path) -> None:
    run = table_1(maker, ["scaled: by 0.01", "dataset: portraits, not <b>x</b>"])
    board = write_report(run, tmp_path)
    assert "Beside the paper, Table 1" in (tmp_path / "board.md").read_text()
    html = page(run, board)
    assert "Where the protocol differs" in html and ORDER_ONLY in html
    assert "<b>x</b>" not in html
    read = Board.from_json(board.as_json(), "here")
    assert read.paper == board.paper == run.grid["paper"]
    (first, *_) = parse_lines(to_jsonl(board), "lines")
    assert first.paper.table == 1 and first.paper.sources == SOURCES


def test_a_board_of_no_table_says_nothing_of_one(maker) -> None:
    board = Board.of(maker().cell("human", 0.5).run())
    assert beside_table(board) is None and "paper" not in board.as_json()
    assert "difference" not in render(compare_with_paper(board_lines(board)), "table", 200)


def test_a_board_with_a_wrong_paper_is_refused(exact: Board) -> None:
    with pytest.raises(BenchkitError, match="'paper' lacks"):
        Board.from_json({**exact.as_json(), "paper": {"table": "1"}}, "here")
    assert json_text(exact.as_json())


def test_one_source_needs_no_name_and_another_depth_no_difference(maker) -> None:
    made = maker().cell("human", 0.45).corrupted("gaussian:steps=15", 0.3).corrupted("blur:steps=20", 0.2)
    made.grid |= {"paper": {"table": 2, "sources": {"clean": "HPS"}, "differs": []}}
    compared = beside_table(Board.of(made.run()))
    assert compared is not None and compared.datasets == ("HPS",)
    frame = compared.frame.set_index("training_set")
    assert frame.loc["blur:steps=20", "paper:HPS"] == 0.0173
    assert frame.loc["gaussian:steps=15", "paper_steps"] == 20
    assert frame["difference:HPS"].notna().to_dict()["gaussian:steps=15"] is False
    assert frame.loc["blur:steps=20", "difference:HPS"] > 0
    assert frame.loc["rotation:steps=20", "state"] == NOT_RUN and "pseudo" not in frame.index


def test_differences_to_pseudo_are_taken_within_a_source(exact: Board) -> None:
    frame = exact.frame.set_index("training_set")
    for name in SOURCES:
        row, base = frame.loc[f"renoise-masked:steps=10 [{name}]"], frame.loc[f"pseudo [{name}]"]
        assert row["delta_pseudo"] == pytest.approx(row["artifact_iou"] - base["artifact_iou"])
    assert frame.loc[["pseudo [HPS]", "pseudo [rest]", "human"], "delta_pseudo"].isna().all()
    assert frame.loc[["pseudo [HPS]", "renoise-masked:steps=10 [HPS]"], "delta_human"].notna().all()
