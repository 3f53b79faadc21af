"""Where a run has two selectors of one name, every table, figure, caption and gallery says which one a row has."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from benchkit.report import figures
from benchkit.report.ablation import AblationBoard, Point
from benchkit.report.ablation_figure import _styles
from benchkit.report.board import Board
from benchkit.report.leaderboard_lines import board_lines
from benchkit.report.paper_comparison import compare_with_paper
from benchkit.report.render_board import render
from benchkit.report.site.page import page

#: Complete Specs, as a run keeps them, and what people are shown.
FULL = [f"random-boxes:boxes={n},largest=0.3,smallest=0.1" for n in (1, 2)]
SHORT = ["random-boxes:boxes=1", "random-boxes"]


@pytest.fixture(scope="module")
def made(maker, make_examples):
    run = maker()
    for selector in FULL:
        run.cell("pseudo", 0.5, selector=selector).corrupted("blur:steps=5", 0.6, selector=selector)
    run.grid |= {"shown": dict(zip(FULL, SHORT, strict=True))}
    data = run.run()
    cells = data.rows.loc[data.rows["method"] == "blur:steps=5", "cell"]
    return replace(data, gallery=dict.fromkeys(cells, make_examples()))


@pytest.fixture(scope="module")
def board(made) -> Board:
    return Board.of(made)


def test_tables_name_both_and_no_default(board: Board) -> None:
    for form in ("table", "markdown", "latex"):
        text = render(board, form, 200).replace("{-}", "-")
        assert "random-boxes:boxes=1" in text, form
        assert "largest" not in text, form


def test_a_narrow_terminal_keeps_what_tells_rows_apart(board: Board) -> None:
    text = render(board, "table", 80)
    assert "random-boxes:boxes=1" in text
    assert max(map(len, text.split("A demonstration")[0].splitlines())) <= 80


def test_every_part_of_the_page_names_both(made, board: Board) -> None:
    text = page(made, board)
    headings = re.findall(r"<h3>(blur[^<]*)</h3>", text)
    assert headings == [f"blur:steps=5 · {name}" for name in SHORT]
    every = text.split("Every metric of every row")[1].split("</table>")[0]
    assert every.count("random-boxes:boxes=1</td>") == 2
    assert every.count("random-boxes</td>") == 2
    assert "largest=0.3" not in text.split('<h2 id="provenance">')[0]


def test_figures_name_both(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    labels: list[str] = []
    shown = figures.short_label
    monkeypatch.setattr(figures, "short_label", lambda *given: labels.append(shown(given[0])) or shown(*given))
    for draw in (figures.ranking_figure, figures.confinement_figure):
        labels.clear()
        assert draw(board)
        assert set(SHORT) <= set(labels), draw


def test_the_ablation_names_both(made) -> None:
    cells = made.rows.loc[made.rows["method"] == "blur:steps=5", "cell"]
    points = [
        Point("labelled", "5", True, "blur:steps=5", selector, "dot", {0: cell})
        for selector, cell in zip(FULL, cells, strict=True)
    ]
    ablation = AblationBoard.of(points, made)
    assert "random-boxes:boxes=1" in render(ablation, "markdown")
    names = [name for name, *_ in _styles(ablation).values()]
    assert len(set(names)) == 2
    assert "random-boxes:boxes=1" in names[0]


def test_the_comparison_with_the_paper_names_both(board: Board) -> None:
    text = render(compare_with_paper(board_lines(board)), "markdown")
    assert "random-boxes:boxes=1" in text
    assert "largest" not in text
