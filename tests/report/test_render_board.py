"""Tables: hostile text stays text in every format, shares in per cent for people and raw for programs."""

import csv
import html
import io
import json
import re

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from benchkit.errors import BenchkitError, UnknownNameError
from benchkit.metrics import PRIMARY
from benchkit.report import format_values
from benchkit.report.board import Board
from benchkit.report.board_table import Column, Sheet, TableCell, TableGroup, board_sheet
from benchkit.report.render_board import (
    FORMATS,
    csv_text,
    latex,
    markdown,
    parquet_bytes,
    render,
    rich_notes,
    rich_table,
)
from benchkit.report.write import FILES, shown_text, write_report
from tests.report.conftest import standard

HOSTILE = [
    "<script>alert(1)</script>",
    "=cmd()",
    "a|b`c`",
    r"\input{x}%$&#_^~",
    "[click](javascript:alert(1))",
    "[red]loud[/red]\x1b[31m\u202eevil\n| new | row |",
    "@someone +1 -1",
]


@pytest.fixture(scope="module", params=HOSTILE)
def hostile(request, make_standard):
    return request.param, Board.of(make_standard(hostile=request.param).run())


@pytest.fixture
def board(make_standard):
    return Board.of(make_standard((0, 1)).run())


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "shown"), [(0.2327, "23.27"), (0.0, "0.00"), (-0.000001, "0.00"), (float("nan"), "–"), (None, "–")]
)
def test_shares_are_shown_in_per_cent(value, shown):
    assert format_values.percent(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(0.012, "+1.20"), (-0.004, "−0.40"), (0.000001, "0.00")])
def test_differences_carry_their_sign(value, shown):
    assert format_values.signed(value) == shown


def test_people_see_per_cent_and_programs_shares(board):
    best = board.frame.iloc[0]
    shown = f"{best[PRIMARY] * 100:.2f} [{best[f'{PRIMARY}_low'] * 100:.2f}, {best[f'{PRIMARY}_high'] * 100:.2f}]"
    assert shown in render(board, "table") and shown in render(board, "markdown")
    assert shown.replace("[", "{[}").replace("]", "{]}") in render(board, "latex")
    read = pd.read_csv(io.StringIO(render(board, "csv")))
    np.testing.assert_array_equal(read[PRIMARY], board.frame[PRIMARY])
    assert json.loads(render(board, "json"))["rows"][0][PRIMARY] == best[PRIMARY]
    parquet = pq.read_table(io.BytesIO(parquet_bytes(board.frame))).to_pandas()
    np.testing.assert_array_equal(parquet[PRIMARY], board.frame[PRIMARY])


def test_an_unknown_format_is_refused_with_the_nearest(board):
    with pytest.raises(UnknownNameError, match="did you mean 'markdown'"):
        render(board, "markdwon")


# --- hostile text -----------------------------------------------------------------------------------------------------


def test_markdown_stays_one_table_of_plain_text(hostile):
    name, board = hostile
    parser = MarkdownIt("gfm-like", {"linkify": False}).enable("table")
    sheet = board_sheet(board)
    page = parser.render(markdown(sheet))
    tags = set(re.findall(r"<(\w+)", page))
    titles = [group.title for group in sheet.groups if group.title]
    assert titles and page.count("<em>") == len(titles), "rows of two detectors are told apart"
    assert tags == {"h2", "table", "thead", "tbody", "tr", "th", "td", "em", "ul", "li", "p"}
    assert page.count("<tr>") == len(board.frame) + len(titles) + 1
    assert page.count("<td") == 16 * (len(board.frame) + len(titles))
    shown = html.unescape(page).replace("\u200b", "")
    assert format_values.one_line(name) in shown, "and it reads as it was"


@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_columns_and_the_title_are_text_too(name):
    shown = format_values.one_line(name)
    columns = (Column(shown, text=True), Column(f"{shown}\n[95 % interval]"))
    sheet = Sheet(shown, columns, (TableGroup("", ((TableCell("a"), TableCell("1.0", 1.0)),)),), (shown,))
    page = MarkdownIt("gfm-like", {"linkify": False}).enable("table").render(markdown(sheet))
    assert set(re.findall(r"<(\w+)", page)) == {"h2", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}
    assert page.count("<th") - page.count("<thead") == 2 and page.count("<td") == 2
    assert html.unescape(page).replace("\u200b", "").count(shown) == 4
    assert html.unescape(page).count("[95 % interval]") == 1
    written = latex(sheet)
    assert not re.search(r"(?<!\\)[$#_%^~](?!\S*Delta|-\$|\\usepackage)", re.sub(r"%.*booktabs.*", "", written))


def test_csv_holds_no_formula(hostile):
    name, board = hostile
    rows = list(csv.DictReader(io.StringIO(csv_text(board.frame))))
    assert len(rows) == len(board.frame)
    names = [row["training_set"] for row in rows]
    assert (f"'{name}" if name[0] in "=+-@" else name) in names
    for row in rows:
        for column in ("training_set", "selector", "corruptor", "reason"):
            assert not row[column].startswith(("=", "+", "-", "@", "\t", "\r"))
    deltas = [row["delta_pseudo"] for row in rows if row["delta_pseudo"]]
    assert any(delta.startswith("-") for delta in deltas), "numbers are untouched"


def test_latex_is_escaped(hostile):
    _, board = hostile
    written = latex(board_sheet(board))
    assert "\\input" not in written and "\\alert" not in written
    lines = written.splitlines()
    body = lines[lines.index("\\midrule") : lines.index("\\bottomrule")]
    rows = [line for line in body if line.endswith("\\\\") and "multicolumn" not in line]
    assert len(rows) == len(board.frame)
    for row in rows:
        assert row.replace("\\&", "").count("&") == 15 and not row.startswith("[")
    assert written.replace("\\{", "").replace("\\}", "").count("{") == written.replace("\\{", "").replace(
        "\\}", ""
    ).count("}")


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_a_terminal_gets_no_markup_no_escapes_and_no_broken_lines(hostile, width):
    _, board = hostile
    written = render(board, "table", width)
    assert "\x1b" not in written and "\u202e" not in written
    if width >= 80:
        assert all(len(line) <= width for line in written.splitlines())


def test_rich_styles_do_not_come_from_names(make_standard):
    sheet = board_sheet(Board.of(make_standard(hostile="[red]loud[/red]").run()))
    console = Console(width=160, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(rich_table(sheet, 160), rich_notes(sheet, 160))
    assert "[red]loud[/red]" in console.file.getvalue() and "\x1b[31m" not in console.file.getvalue()


def test_json_and_files_keep_hostile_text_as_it_is(hostile):
    name, board = hostile
    assert name in [row["training_set"] for row in json.loads(render(board, "json"))["rows"]]


# --- room -------------------------------------------------------------------------------------------------------------


def test_a_long_method_name_wraps_within_a_hundred_columns(make_standard):
    name = "a-method-of-somebody:" + ",".join(f"parameter_{i}={i}" for i in range(12))
    board = Board.of(make_standard((0, 1, 2), hostile=name).run())
    written = render(board, "table", 100)
    assert max(map(len, written.splitlines())) <= 100
    assert "artifact IoU" in written and "Δ to pseudo" in written and "No room here for" in written
    assert "No room" not in render(board, "table", 300)


def test_what_is_the_same_in_every_row_becomes_a_note(board):
    narrow, wide = render(board, "table", 100), render(board, "table", 300)
    assert "In every row: selector learned, detector upernet-swin." in narrow
    assert "In every row" not in wide and "selector" in wide


def test_missing_rows_name_their_reason(board):
    for form in ("table", "markdown", "latex"):
        written = " ".join(render(board, form, 300).split())
        assert "skipped" in written and "is not installed" in written


@pytest.mark.parametrize("form", FORMATS)
def test_a_board_without_any_figure_can_be_shown(maker, form):
    board = Board.of(maker().cell("blur", None, reason="no\nroom").run())
    assert "blur" in render(board, form)


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_report_is_written_whole_and_reads_back(make_standard, make_examples, tmp_path):
    maker = make_standard()
    maker.gallery["blur:steps=20"] = make_examples()
    run = maker.run()
    board = write_report(run, tmp_path / "new" / "out")
    out = tmp_path / "new" / "out"
    assert {path.name for path in out.iterdir()} == set(FILES)
    rows = pq.read_table(out / "rows.parquet").to_pandas()
    assert rows["training_set"].to_list() == run.rows["training_set"].to_list()
    np.testing.assert_array_equal(rows[PRIMARY], run.rows[PRIMARY])
    read = json.loads((out / "rows.json").read_text())
    assert read["schema"] == 2 and len(read["rows"]) == len(run.rows) == len(pd.read_csv(out / "rows.csv"))
    assert len((out / "board.jsonl").read_text().splitlines()) == len(board.frame)
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    write_report(run, out)
    assert first == {path.name: path.read_bytes() for path in out.iterdir()}, "equal runs, equal bytes"


def test_a_folder_that_cannot_be_made_is_one_clear_line(make_standard, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchkitError, match="cannot write to") as caught:
        write_report(make_standard().run(), tmp_path / "file" / "out")
    assert "\n" not in str(caught.value)


def test_columns_of_mixed_things_still_make_parquet():
    frame = pd.DataFrame({"a": [1, "x", None], "b": [True, None, 2.5]}, dtype=object)
    frame["c"] = pd.Series([True, None, False], dtype=object)
    read = pq.read_table(io.BytesIO(parquet_bytes(frame))).to_pydict()
    assert read == {"a": ["1", "x", None], "b": [1.0, None, 2.5], "c": [True, None, False]}


def test_a_report_shows_each_cell_once_however_often_the_plan_names_it() -> None:
    assert shown_text("r", ["a", "b", "a"]) == shown_text("r", ["b", "a"]) != shown_text("r", ["a"])


def test_a_long_table_has_the_best_rows_and_says_how_many_are_not_shown():
    board = Board.of(standard(seeds=(0, 1)).run())
    sheet, whole = board_sheet(board, most=2), board_sheet(board)
    texts = [[[cell.text for cell in row] for row in one.groups[0].rows] for one in (sheet, whole)]
    assert len(texts[0]) == 2
    assert texts[0] == texts[1][:2]
    shown = sum(len(group.rows) for group in sheet.groups)
    assert f"{len(board.frame) - shown} more rows are not shown." in sheet.notes
    assert not any("more rows" in note for note in whole.notes)
