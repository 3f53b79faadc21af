"""The rows of `benchkit predict`: corruptors measured by its small instrument, and the same ones on a larger board."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchkit.errors import BenchkitError, UnknownNameError
from benchkit.report.aggregate import read_object
from benchkit.report.board import Board
from benchkit.report.board_file import TRAINED
from benchkit.report.columns import delta_columns
from benchkit.report.format_values import bare, known
from benchkit.report.leaderboard_lines import load_boards

Floats = NDArray[np.float64]
#: The reference rows that ship: the board.jsonl that `benchkit compare predict` wrote, unchanged.
SHIPPED = ("benchkit.assets", "predict/reference.jsonl")
#: The board that ships for it: the board.jsonl that `benchkit compare portraits-whole` wrote, unchanged.
SHIPPED_BOARD = ("benchkit.assets", "predict/board.jsonl")
#: The baseline from which the instrument's figures are counted: the same regions without corruption.
BASE = "pseudo"
_REMEDY = "measure it again with 'benchkit compare', and name its folder as `reference`"
#: Settings that decide what an instrument measures, from a row of BASE.
_SETTINGS = (
    *("test_set", "selector", "labelled", "source_set", "validation_images", "checkpoint_sha256", "dtype"),
    *("autoencoder", "num_inference_steps", "training", "selector_training", "seeds"),
)


@dataclass(frozen=True, eq=False)
class Table:
    """The rows of an instrument. frame: the lines of its board, see Board. where: file or folder."""

    frame: pd.DataFrame
    where: str

    def line(self, detector: str, role: str) -> Mapping[Any, Any] | None:
        """Return the only line of a role and detector; None where there is none."""
        found = self.frame[(self.frame["detector"] == detector) & (self.frame["role"] == role)]
        return found.iloc[0].to_dict() if len(found) == 1 else None

    def corrupted(self, detector: str) -> pd.DataFrame:
        """Return the lines of corruptors with one detector, in the file's order, indexed by their keys."""
        return _by_corruptor(self.frame[self.frame["detector"] == detector], self.where)


def load_table(path: Path | None = None) -> Table:
    """Return the reference rows of a file or folder, or those that ship.

    Raises BenchkitError for what is no board of one run.
    """
    package, file = SHIPPED
    if path is None and not (resources.files(package) / file).is_file():
        raise BenchkitError(
            f"the reference rows ({file}) are not installed: measure them with 'benchkit compare predict', and name "
            "its output folder as `reference`"
        )
    boards = load_boards(path, package, file)
    where = "the reference rows that ship" if path is None else f"'{path}'"
    if len(boards) != 1:
        raise BenchkitError(f"`reference`: {where} has the rows of {len(boards)} runs, where one is needed")
    return Table(boards[0].frame[boards[0].frame["group"] == TRAINED], where)


def check_same_instrument(table: Table, planned: Iterable[Mapping[str, Any]]) -> None:
    """Raise BenchkitError where reference rows were measured in another way than the instrument would measure now.

    planned: of each detector the labels and settings of its row of BASE, with `seeds`. Training settings that one of
    the two does not know are not compared.
    """
    for row in planned:
        line = table.line(row["detector"], BASE)
        if line is None:
            raise BenchkitError(
                f"{table.where}: no row '{BASE}' of the detector '{row['detector']}': the instrument has changed; "
                f"{_REMEDY}"
            )
        for name in _SETTINGS:
            before, now = _comparable(line.get(name), row.get(name))
            if before != now:
                raise BenchkitError(
                    f"{table.where}: measured with {name} {_text(before)}, where the instrument has {_text(now)} now; "
                    f"{_REMEDY}"
                )


def _comparable(before: Any, now: Any) -> tuple[Any, Any]:
    """Return two values of a setting as they can be compared: of two trainings only the settings that differ."""
    if one := read_object(before):
        other = read_object(now)
        both = [key for key in one if key in other and one[key] != other[key]]
        return {key: one[key] for key in both}, {key: other[key] for key in both}
    return tuple(None if not known(v) else float(v) if isinstance(v, int | float) else str(v) for v in (before, now))  # type: ignore[return-value]


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {own}" for key, own in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, eq=False)
class Target:
    """The rows of one detector on a larger board.

    lines: indexed as those of `Table.corrupted`. base: the line of BASE, empty where the board has none.
    """

    where: str
    title: str
    detector: str
    seeds: int
    lines: pd.DataFrame
    base: Mapping[Any, Any] = field(default_factory=dict)


def find_target(path: Path | None, detector: str | None, table: Table) -> Target:
    """Return the rows to predict, whose regions a selector of the table's kind chose.

    path: a board's file or folder; None: the board of `portraits-whole`, which ships. detector: its name, complete or
    bare; without one, the detector with the most rows, trained whole (not one of the table's) if there is such a one.
    Raises BenchkitError for a board without such rows, an unknown detector, and one that is on several boards.
    """
    selectors = {bare(str(text)) for text in table.frame["selector"] if known(text)}
    found = [
        (board.title, str(detector), lines)
        for board in load_boards(path, *SHIPPED_BOARD)
        for detector, lines in _fitting(board, selectors).groupby("detector", sort=False)
        if (lines["role"] == "corrupted").any()
    ]
    if not found:
        raise BenchkitError(f"`board`: no row of a corruptor with the selector {' or '.join(sorted(selectors))}")
    if detector is not None:
        named = [one for one in found if detector in (one[1], bare(one[1]))]
        if not named:
            raise UnknownNameError("detector on the board", detector, {bare(own) for _, own, _ in found})
        if len(named) > 1:
            several = ", ".join(f"{own} in '{title}'" for title, own, _ in named)
            raise BenchkitError(
                f"`detector` '{detector}' is on several boards ({several}): name a file with one of them"
            )
        found = named
    ours = set(table.frame["detector"])
    title, chosen, lines = max(found, key=lambda one: (one[1] not in ours, len(one[2])))
    where = "the board of portraits-whole that ships" if path is None else str(path)
    base, corrupted = lines[lines["role"] == BASE], _by_corruptor(lines, where)
    figures = base.iloc[0].to_dict() if len(base) == 1 else {}
    return Target(where, title, chosen, int(corrupted["seeds"].min()), corrupted, figures)


def _fitting(board: Board, selectors: Collection[str]) -> pd.DataFrame:
    """Return a board's trained lines without variants whose regions come from these selectors, or from none."""
    lines = board.trained
    fits = [
        not known(variant) and (not known(selector) or bare(selector) in selectors)
        for variant, selector in zip(lines["variant"], lines["selector"], strict=True)
    ]
    return lines[np.array(fits, bool)]


def _by_corruptor(lines: pd.DataFrame, where: str) -> pd.DataFrame:
    """Return the lines of corruptors, indexed by name and parameters; raise BenchkitError where two are alike."""
    own = lines[lines["role"] == "corrupted"]
    keys = [corruptor_key(line["corruptor"], line["corruptor_params"]) for line in own.to_dict("records")]
    if twice := [key for key in keys if keys.count(key) > 1]:
        name = own["training_set"].iloc[keys.index(twice[0])]
        raise BenchkitError(f"{where}: several rows of '{name}' with one detector: name a board with one of them")
    return own.set_axis(pd.Index(keys, dtype=object), axis=0)


def corruptor_key(name: Any, params: Any) -> str:
    """Return a text that is equal for equal corruptors. params: a mapping, or its JSON."""
    return f"{name} {sorted(read_object(params).items())}"


@dataclass(frozen=True, eq=False)
class Known:
    """Rows that both instrument and board have, by one metric, the best of the board first.

    names: as printed. methods: bare names of corruptors. inputs: (N, K), the difference to BASE by each detector of the
    instrument. targets: (N,), the board's figures.
    """

    names: Sequence[str]
    methods: Sequence[str]
    inputs: Floats
    targets: Floats

    def without(self, method: str) -> Known:
        """Return the rows of the other methods."""
        kept = [i for i, own in enumerate(self.methods) if own != method]
        names, methods = ([given[i] for i in kept] for given in (self.names, self.methods))
        return Known(names, methods, self.inputs[kept], self.targets[kept])


def match_rows(table: Table, detectors: Sequence[str], target: Target, metric: str) -> Known:
    """Return the rows that all detectors of the instrument and the board have figures of."""
    delta = delta_columns(metric, BASE)[0]
    inputs = pd.DataFrame({detector: table.corrupted(detector)[delta] for detector in detectors})
    rows = inputs.join(target.lines[["training_set", "corruptor", metric]], how="inner").dropna()
    rows = rows.sort_values(metric, ascending=False, kind="stable")
    return Known(
        [str(name) for name in rows["training_set"]],
        [str(name) for name in rows["corruptor"]],
        rows[[*detectors]].to_numpy(float),
        rows[metric].to_numpy(float),
    )
