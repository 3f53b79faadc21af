"""Boards as text: terminal, Markdown, LaTeX for people (escaped), CSV, JSON, Parquet for programs (raw fractions)."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pandas.api.types import infer_dtype
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchkit.errors import UnknownNameError
from benchkit.report.across_table import across_notes
from benchkit.report.board import Board
from benchkit.report.board_table import Sheet, TableCell, board_sheet
from benchkit.report.column_texts import join_columns, join_texts, map_texts, number_texts
from benchkit.report.format_values import known

#: Column -> its values, all of one length.
Columns = pd.DataFrame | Mapping[str, NDArray[Any]]
#: Values of CSV that are made into text at once.
_BLOCK = 100_000
FORMATS = ("table", "markdown", "csv", "json", "latex")
_NARROWEST_TEXT = 24
#: What makes a spreadsheet take a text for a formula (OWASP, "CSV Injection"), full-width forms included.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_MARKDOWN = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"} | {c: f"\\{c}" for c in "\\`*_|[]~$#"})
_LATEX = str.maketrans(
    {c: f"\\{c}" for c in "{}$&#_%"}
    | {"\\": "\\textbackslash{}", "^": "\\textasciicircum{}", "~": "\\textasciitilde{}", "|": "\\textbar{}"}
    | {"<": "\\textless{}", ">": "\\textgreater{}", '"': "\\textquotedbl{}", "`": "\\textasciigrave{}"}
    | {"'": "\\textquotesingle{}", "[": "{[}", "]": "{]}", "*": "{*}", "-": "{-}"}
    | {"Δ": "$\\Delta$", "\N{MINUS SIGN}": "$-$", "±": "$\\pm$", "–": "--", "…": "\\ldots{}"}
)


class Tabular(Protocol):
    """Anything that can be shown like a board."""

    @property
    def frame(self) -> pd.DataFrame:
        """Raw figures, a line per row."""

    def sheet(self) -> Sheet:
        """Return the table for people."""

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""


def render(shown: Board | Tabular, form: str, width: int = 100, most: int | None = None) -> str:
    """Return a board, or a board beside the paper, as text in one of FORMATS; width: of the terminal, in characters.

    most: of each part of a board, how many rows a table for people has; CSV and JSON have all.

    Raises UnknownNameError for another format.
    """
    if form not in FORMATS:
        raise UnknownNameError("format", form, FORMATS)
    if form == "csv":
        return csv_text(shown.frame)
    if form == "json":
        return json_text(shown.as_json())
    sheet = board_sheet(shown, most).without([], *across_notes(shown)) if isinstance(shown, Board) else shown.sheet()
    if form == "table":
        return _printed(sheet, width)
    return markdown(sheet) if form == "markdown" else latex(sheet)


def rich_table(sheet: Sheet, width: int = 100) -> Table:
    """Return a sheet for a terminal of `width` characters: constant columns become notes, less vital ones are dropped.

    Nothing in it is read as rich's markup.
    """
    fitted = _fitted(sheet, width)
    title = Text("\n").join([Text(fitted.title, style="bold"), *(Text(line, style="not bold") for line in fitted.head)])
    table = Table(
        title=title,
        title_style="",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    widths = _widths(fitted)
    for column, needed in zip(fitted.columns, widths, strict=True):
        justify: Any = "left" if column.text else "right"
        table.add_column(
            Text(column.header),
            justify=justify,
            overflow="fold",
            no_wrap=not column.text,
            min_width=None if column.text else needed,
        )
    for group in fitted.groups:
        table.add_section()
        if group.title and len(fitted.groups) > 1:
            first = next((i for i, column in enumerate(fitted.columns) if column.text), 0)
            titles = [Text(group.title if i == first else "", style="italic") for i in range(len(fitted.columns))]
            table.add_row(*titles)
        for row in group.rows:
            table.add_row(*(Text(cell.text) for cell in row))
    return table


def rich_notes(sheet: Sheet, width: int = 100) -> Text:
    """Return the notes below `rich_table`, a line each, with the columns that had no room."""
    return Text("\n".join(_fitted(sheet, width).notes), style="dim")


def markdown(sheet: Sheet) -> str:
    """Return a sheet as a GitHub table with its notes; foreign text cannot become markup, links or HTML."""
    columns = sheet.columns
    lines = [f"## {_markdown(sheet.title)}", "", *(f"{_markdown(text)}\n" for text in sheet.head)]
    lines.append(_bars(_markdown(column.header.replace("\n", " ")) for column in columns))
    lines.append(_bars(":--" if column.text else "--:" for column in columns))
    for group in sheet.groups:
        if group.title and len(sheet.groups) > 1:
            lines.append(_bars([f"*{_markdown(group.title)}*", *[""] * (len(columns) - 1)]))
        for row in group.rows:
            pairs = zip(columns, row, strict=True)
            lines.append(_bars(_markdown(cell.text) if column.text else cell.text for column, cell in pairs))
    notes = [f"- {_markdown(note)}" for note in sheet.notes]
    return "\n".join([*lines, "", *notes, ""])


def latex(sheet: Sheet) -> str:
    """Return a sheet as a LaTeX table (needs booktabs, and textcomp before 2020), every special character escaped.

    Bold is only a figure that is resolved as the best of its ranking.
    """
    columns, number = sheet.columns, len(sheet.columns)
    body: list[str] = []
    for group in sheet.groups:
        body.append("\\midrule")
        if group.title and len(sheet.groups) > 1:
            body.append(f"\\multicolumn{{{number}}}{{l}}{{\\emph{{{latex_text(group.title)}}}}} \\\\")
        body += [" & ".join(map(_latex_cell, row)) + " \\\\" for row in group.rows]
    bold = ["Bold: every other row of its ranking is worse beyond chance."] * any(c.best for r in sheet.rows for c in r)
    header = " & ".join(_stacked(column.header) for column in columns) + " \\\\"
    return "\n".join(
        [
            "% \\usepackage{booktabs}",
            "\\begin{table}",
            f"\\caption{{{latex_text(sheet.title)}}}",
            f"\\begin{{tabular}}{{{''.join('l' if column.text else 'r' for column in columns)}}}",
            "\\toprule",
            header,
            *body,
            "\\bottomrule",
            "\\end{tabular}",
            *(f"\\par\\footnotesize {latex_text(note)}" for note in (*sheet.head, *bold, *sheet.notes)),
            "\\end{table}",
            "",
        ]
    )


def csv_text(frame: Columns) -> str:
    """Return a frame as CSV (RFC 4180, lines end with a newline): raw numbers, undefined ones empty.

    Text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    return "".join(csv_blocks(frame))


def csv_blocks(frame: Columns) -> Iterator[str]:
    """Yield the text of `csv_text`, some thousand lines at a time: it is longer than the frame's own memory."""
    columns = {str(name): np.asarray(column) for name, column in frame.items()}
    yield ",".join(map(_csv, columns)) + "\n"
    lines, step = min(map(len, columns.values()), default=0), 1 + _BLOCK // max(1, len(columns))
    for start in range(0, lines, step):
        fields = join_columns(_csv_fields([column[start : start + step] for column in columns.values()]), ",")
        # The only field of a line must not be empty: readers skip empty lines.
        fields = pc.if_else(pc.equal(fields, ""), '""', fields) if len(columns) == 1 else fields
        yield join_texts(fields, "\n") + "\n"


def _csv_fields(columns: Sequence[NDArray[Any]]) -> Iterator[pa.Array]:
    """Yield the texts of each column. Numbers are made into text together: hundreds of short columns take as long."""
    numbers = [np.empty(0), *(column for column in columns if column.dtype == float)]
    joined, place = number_texts(np.concatenate(numbers)), 0
    for column in columns:
        if column.dtype == float:
            yield joined.slice(place, len(column))
            place += len(column)
        else:
            yield number_texts(column) if column.dtype.kind == "i" else map_texts(column, _csv)


def json_text(data: Any) -> str:
    """Return plain data as indented JSON with a newline at the end; NaN is refused, see `plain_records`."""
    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def parquet_bytes(frame: pd.DataFrame) -> bytes:
    """Return a frame as Parquet; a column of mixed things becomes text."""
    plain = pd.DataFrame({str(name): _one_type(column) for name, column in frame.items()})
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pandas(plain, preserve_index=False, nthreads=1), sink, compression="zstd")
    return bytes(sink.getvalue())


def _printed(sheet: Sheet, width: int) -> str:
    sink = io.StringIO()
    console = Console(file=sink, width=width, color_system=None, force_terminal=False)
    console.print(rich_table(sheet, width), "", rich_notes(sheet, width), sep="\n")
    lines = [line.rstrip() for line in sink.getvalue().splitlines()]
    return "\n".join(lines) + "\n"


def _fitted(sheet: Sheet, width: int) -> Sheet:
    """Return the sheet with as many columns as fit; a note names the others."""
    if sum(_needed(sheet)) <= width:
        return sheet
    sheet = sheet.without_constants()
    needed, columns = _needed(sheet), sheet.columns
    kept, dropped = list(range(len(columns))), list[int]()
    while sum(needed[i] for i in kept) > width:
        least = columns[max(kept, key=lambda i: columns[i].vital)]
        if not least.vital:
            break
        places = [i for i in kept if columns[i] is least or columns[i].together == least.together != ""]
        kept = [i for i in kept if i not in places]
        dropped += places
    headers = ", ".join(columns[i].header.replace("\n", " ") for i in dropped)
    return sheet.without(dropped, f"No room here for: {headers}.") if dropped else sheet


def _needed(sheet: Sheet) -> list[int]:
    """Return the least width of every column with the space beside it."""
    widths = zip(sheet.columns, _widths(sheet), strict=True)
    return [(min(width, _NARROWEST_TEXT) if column.text else width) + 2 for column, width in widths]


def _widths(sheet: Sheet) -> list[int]:
    """Return the width of every column's longest line, in terminal cells."""
    widths = []
    for i, column in enumerate(sheet.columns):
        texts = [*column.header.split("\n"), *(row[i].text for row in sheet.rows)]
        widths.append(max(Text(text).cell_len for text in texts))
    return widths


def _bars(cells: Any) -> str:
    return "| " + " | ".join(cells) + " |"


def _markdown(text: str) -> str:
    # A zero-width space stops GitHub from linking bare addresses and naming people; they read the same.
    return text.translate(_MARKDOWN).replace("://", ":\u200b//").replace("www.", "www\u200b.").replace("@", "@\u200b")


def latex_text(text: str) -> str:
    """Return foreign text with every special character of LaTeX escaped."""
    return text.translate(_LATEX)


def _latex_cell(cell: TableCell) -> str:
    text = latex_text(cell.text)
    return f"\\textbf{{{text}}}" if cell.best else text


def _stacked(header: str) -> str:
    lines = [latex_text(line) for line in header.split("\n")]
    return lines[0] if len(lines) == 1 else "\\shortstack[r]{" + " \\\\ ".join(lines) + "}"


def _csv(value: Any) -> str:
    """Return a value as a field of CSV: quoted where it must be."""
    text = "" if not known(value) else _harmless(value) if isinstance(value, str) else str(value)
    return f'"{text.replace(chr(34), chr(34) * 2)}"' if any(c in text for c in ',"\r\n') else text


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _one_type(column: pd.Series) -> pd.Series:
    if column.dtype != object:
        return column
    if infer_dtype(column, skipna=True) == "string":
        return column.where(column.notna(), None)
    values = [value for value in column if known(value)]
    if values and all(isinstance(value, bool) for value in values):
        return pd.Series([value if known(value) else None for value in column], index=column.index, dtype=object)
    if values and all(isinstance(value, bool | int | float) for value in values):
        return pd.to_numeric(column, errors="coerce").astype(float)
    return pd.Series([str(v) if known(v) else None for v in column], index=column.index, dtype=object)
