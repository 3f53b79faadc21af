"""A board read back from the files of a report."""

from __future__ import annotations

import json
from pathlib import Path

from benchkit.errors import BenchkitError, describe_error
from benchkit.report.board import Board

BOARD_FILE = "board.json"


def load_board(folder_or_file: Path | str) -> Board:
    """Return the board of a report's folder, or of its board.json.

    Raises BenchkitError: no such file, no board, or one of another schema version.
    """
    path = Path(folder_or_file)
    path = path / BOARD_FILE if path.is_dir() else path
    try:
        data = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise BenchkitError(f"no board at '{path}': name the output folder of a comparison") from None
    except OSError as error:
        raise BenchkitError(f"cannot read '{path}': {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise BenchkitError(f"'{path}' is no board: not JSON ({describe_error(error)})") from None
    return Board.from_json(data, str(path))
