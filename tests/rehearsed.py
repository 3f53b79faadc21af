"""What both rehearsals of the paper's tables share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchkit.cli.main import main

TABLES = ("table1", "table2", "table2-equal-depth", "table3", "table4")


def beside_the_paper(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The board is whole, and its lines stand beside the paper's."""
    board = json.loads((out / "board.json").read_text())
    assert board["paper"]["differs"], "what is no protocol of the paper's says so"
    capsys.readouterr()
    assert main(["leaderboard", "show", str(out), "--paper", "--format", "markdown"]) == 0
    shown = capsys.readouterr().out
    assert "Beside the paper, Table" in shown and "order only" in shown and "not run" not in shown
