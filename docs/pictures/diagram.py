"""Draw docs/images/comparison.svg: the stages of one comparison, and which plugin acts in which stage.

python docs/pictures/diagram.py          # writes the file
python docs/pictures/diagram.py --check  # exit code 1 if the file is not up to date
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

OUT = Path(__file__).parents[1] / "images" / "comparison.svg"
WIDTH, HEIGHT = 1010, 420
BOX_WIDTH, BOX_HEIGHT, COLUMN, ROW = 132, 52, 168, 112
FILL = {"data": "#e8eef7", "stage": "#ffffff", "plugin": "#fdebd3"}


class Box(NamedTuple):
    """A box of the grid of columns and rows; lines: its text, the first one bold."""

    column: int
    row: int
    kind: str
    lines: tuple[str, ...]

    @property
    def left(self) -> int:
        """Pixels from the left edge of the drawing."""
        return 20 + COLUMN * self.column

    @property
    def top(self) -> int:
        """Pixels from the upper edge of the drawing."""
        return 20 + ROW * self.row


BOXES = {
    "clean": Box(0, 0, "data", ("clean images", "dataset plugin")),
    "encode": Box(1, 0, "stage", ("encode", "once for all rows")),
    "invert": Box(2, 0, "plugin", ("invert", "inverter plugin")),
    "corrupt": Box(3, 0, "plugin", ("corrupt", "corruptor plugin")),
    "resample": Box(4, 0, "stage", ("resample, decode", "DDIM")),
    "pairs": Box(5, 0, "stage", ("training set", "images and masks")),
    "labelled": Box(0, 1, "data", ("labelled images", "dataset plugin")),
    "learn": Box(1, 1, "plugin", ("train", "the row human")),
    "select": Box(2, 1, "plugin", ("select", "selector plugin")),
    "train": Box(5, 1, "plugin", ("train", "detector plugin")),
    "test": Box(4, 2, "data", ("test images", "dataset plugin")),
    "evaluate": Box(5, 2, "stage", ("evaluate", "every seed")),
    "rows": Box(5, 3, "stage", ("row", "figures, intervals")),
    "board": Box(4, 3, "stage", ("board", "one run")),
    "leaderboard": Box(3, 3, "stage", ("leaderboard", "many runs")),
}
#: (points, label, where the label stands)
Arrow = tuple[list[tuple[int, int]], str, tuple[int, int]]


def right(a: str, b: str, label: str = "") -> Arrow:
    """An arrow from the right side of a box to the left side of the next."""
    y = BOXES[a].top + BOX_HEIGHT // 2
    start, end = BOXES[a].left + BOX_WIDTH, BOXES[b].left
    return [(start, y), (end, y)], label, ((start + end) // 2, y - 7)


def left(a: str, b: str) -> Arrow:
    """An arrow from the left side of a box to the right side of the one before."""
    y = BOXES[a].top + BOX_HEIGHT // 2
    return [(BOXES[a].left, y), (BOXES[b].left + BOX_WIDTH, y)], "", (0, 0)


def down(a: str, b: str) -> Arrow:
    """An arrow from the lower side of a box to the upper side of the one below."""
    x = BOXES[a].left + BOX_WIDTH // 2
    return [(x, BOXES[a].top + BOX_HEIGHT), (x, BOXES[b].top)], "", (0, 0)


def arrows() -> list[Arrow]:
    """Every arrow of the drawing."""
    clean, select, corrupt, pairs = (BOXES[name] for name in ("clean", "select", "corrupt", "pairs"))
    middle = corrupt.left + BOX_WIDTH // 2
    row, gap = select.top + BOX_HEIGHT // 2, clean.top + BOX_HEIGHT + 30
    low = clean.left + BOX_WIDTH // 2
    return [
        right("clean", "encode"),
        right("encode", "invert", "z_0"),
        right("invert", "corrupt", "z_t"),
        right("corrupt", "resample"),
        right("resample", "pairs"),
        right("labelled", "learn"),
        right("learn", "select"),
        (
            [(low, clean.top + BOX_HEIGHT), (low, gap), (select.left + 66, gap), (select.left + 66, select.top)],
            "images",
            (low + 60, gap - 6),
        ),
        (
            [(select.left + BOX_WIDTH, row), (middle, row), (middle, corrupt.top + BOX_HEIGHT)],
            "mask m",
            (middle + 28, row - 28),
        ),
        (
            [(middle, row), (pairs.left - 18, row), (pairs.left - 18, pairs.top + 42), (pairs.left, pairs.top + 42)],
            "mask as label",
            (middle + 130, row - 7),
        ),
        down("pairs", "train"),
        down("train", "evaluate"),
        right("test", "evaluate"),
        down("evaluate", "rows"),
        left("rows", "board"),
        left("board", "leaderboard"),
    ]


def draw() -> str:
    """Return the drawing as SVG."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="13">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#444"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for points, label, (x, y) in arrows():
        line = " ".join(f"{a},{b}" for a, b in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="#444" marker-end="url(#tip)"/>')
        if label:
            parts.append(
                f'<text x="{x}" y="{y}" text-anchor="middle" font-size="11" fill="#444">{escape(label)}</text>'
            )
    for box in BOXES.values():
        parts.append(
            f'<rect x="{box.left}" y="{box.top}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="5" '
            f'fill="{FILL[box.kind]}" stroke="#444"/>'
        )
        for i, text in enumerate(box.lines):
            weight, size = ("bold", 13) if i == 0 else ("normal", 11)
            parts.append(
                f'<text x="{box.left + BOX_WIDTH // 2}" y="{box.top + 22 + 18 * i}" text-anchor="middle" '
                f'font-weight="{weight}" font-size="{size}">{escape(text)}</text>'
            )
    for i, (kind, text) in enumerate(
        (("data", "data"), ("plugin", "a plugin acts here"), ("stage", "the suite itself"))
    ):
        y = 20 + ROW * 2 + 70 + 22 * i
        parts.append(f'<rect x="20" y="{y}" width="22" height="14" fill="{FILL[kind]}" stroke="#444"/>')
        parts.append(f'<text x="50" y="{y + 12}" font-size="12">{escape(text)}</text>')
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(OUT.read_text() != draw())
    OUT.write_text(draw())
