"""A board read back from the files of a report."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from benchkit.errors import BenchkitError, describe_error
from benchkit.report.board import Board
from benchkit.report.board_parquet import board_from_parquet

BOARD_FILE, BOARD_PARQUET = "board.json", "board.parquet"
PAIRS_PARQUET = "pairs.parquet"


def find_board(folder: Path) -> Path | None:
    """Return the file of a folder that holds its board, the fastest to read first; None if there is none."""
    files = (folder / name for name in (BOARD_PARQUET, BOARD_FILE))
    return next((file for file in files if os.path.isfile(file)), None)  # noqa: PTH113  # False for an impossible name


def load_board(
    folder_or_file: Path | str,
    columns: Callable[[str], bool] | None = None,
    pairs: bool = True,
    curves: int | None = None,
) -> Board:
    """Return the board of a report's folder, or of its board.parquet or board.json.

    columns: which columns of the frame are needed, if not all: of Parquet only these are read. pairs: whether to read
    the paired differences, too. curves: of how many lines, if not all, learning curves are needed. Raises
    BenchkitError: no such file, no board, or one of another schema version.
    """
    path = Path(folder_or_file)
    path = find_board(path) or path / BOARD_FILE if path.is_dir() else path
    if path.suffix == ".parquet":
        beside = path.with_name(PAIRS_PARQUET)
        return board_from_parquet(path, str(path), columns, beside if pairs and beside.is_file() else None, curves)
    try:
        data = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise BenchkitError(f"no board at '{path}': name the output folder of a comparison") from None
    except OSError as error:
        raise BenchkitError(f"cannot read '{path}': {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise BenchkitError(f"'{path}' is no board: not JSON ({describe_error(error)})") from None
    return Board.from_json(data, str(path))
