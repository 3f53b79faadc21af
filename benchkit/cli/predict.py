"""`benchkit predict`: a corruptor's rank on a board, from detectors that train in seconds."""

from __future__ import annotations

import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchkit.cli import options
from benchkit.cli.common import cache_root, console, load_registry, log_file, print_json, tell
from benchkit.cli.outcome import SOME_CELLS_FAILED

if TYPE_CHECKING:
    from rich.table import Table

    from benchkit.search.prediction import Prediction


def predict(
    corruptor: Annotated[
        str,
        typer.Argument(metavar="CORRUPTOR", help="The corruptor: NAME or NAME:key=value,…, such as gaussian:steps=20."),
    ],
    board: Annotated[
        Path | None,
        typer.Option(
            "--board",
            metavar="FILE|DIR",
            help="The board on which to predict the rank: rows as .jsonl, a board.json, or a run's --out folder. "
            "Default: the board of portraits-whole that ships.",
        ),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(
            "--detector",
            metavar="NAME",
            help="One of the board's detectors. Default: the one with the most rows, of those that are trained whole.",
        ),
    ] = None,
    instrument: Annotated[
        str,
        typer.Option(
            "--instrument",
            metavar="PRESET|FILE.yaml",
            help="The small comparison that measures the corruptor. Another one than the preset needs --reference.",
        ),
    ] = "predict",
    reference: Annotated[
        Path | None,
        typer.Option(
            "--reference",
            metavar="FILE|DIR",
            help="Rows that the instrument has measured, by 'benchkit compare INSTRUMENT --out DIR'. Default: those "
            "that ship.",
        ),
    ] = None,
    cache: options.Cache = None,
    device: options.Device = "auto",
    time_limit: options.TimeLimit = None,
    as_json: options.AsJson = False,
    plugin: options.PluginFiles = None,
    plugin_folder: options.PluginFolders = None,
    strict: options.Strict = False,
) -> None:
    """Predict a corruptor's rank on a board of fully trained detectors, from short trainings.

    Two detectors with a frozen trunk measure the corruptor. Rows that they and the board have in common turn their
    figures into the board's, and say how often such predictions were right. Exit code 3: the corruptor failed.
    """
    from benchkit.functions.predict import predict as run_prediction
    from benchkit.search.prediction import PredictionError

    began = time.monotonic()
    try:
        with redirect_stdout(sys.stderr):  # stdout is for results, not for what plugins print
            prediction = run_prediction(
                corruptor,
                board=board,
                detector=detector,
                instrument=instrument,
                reference=reference,
                cache=cache_root(cache),
                device=device,
                time_limit=time_limit,
                plugins=load_registry(plugin, plugin_folder, strict),
            )
    except PredictionError as error:
        tell(f"failed: {error}")
        tell(f"no rank is predicted; the traceback is in {log_file()}")
        raise typer.Exit(SOME_CELLS_FAILED) from None
    if as_json:
        print_json(prediction.as_json())
        return
    _print(prediction, time.monotonic() - began)


def _print(prediction: Prediction, seconds: float) -> None:
    """Print what the instrument measured, the predicted rank, how right such predictions were, and the warnings."""
    from benchkit.report.format_values import number, one_line
    from benchkit.search.prediction import LABELS

    screen = console()
    screen.print(_readings(prediction))
    if board := prediction.board:
        on = f"on the board '{board['title']}' ({board['where']})"
        print(one_line(f"predicted for {board['detector']}, {board['seeds']} seeds, {on}"))
        screen.print(_forecasts(prediction))
        for one in prediction.forecasts:
            found = one.validation
            print(
                f"{LABELS[one.metric]}: each of {found.rows} rows was predicted from the rows of the other "
                f"{found.methods - 1} methods: rank correlation {number(found.spearman)} (Spearman), "
                f"{number(found.kendall)} (Kendall); the true rank lay in the interval in {100 * found.covered:.0f} % "
                "of the rows"
            )
    for text in prediction.warnings:
        tell(f"warning: {text}")
    print(f"\n{seconds:.1f} s")


def _readings(prediction: Prediction) -> Table:
    from benchkit.report.format_values import MISSING, bracketed, number, percent, signed
    from benchkit.search.prediction import LABELS

    table = _table(
        f"{prediction.corruptor}, as the instrument measures it",
        ("detector", "ranking", "figure [95 %]", "Δ to pseudo [95 %]", "of human's", "rank by Δ"),
    )
    for one in prediction.readings:
        place = _place(one.rank, one.rank_low, one.rank_high, one.rows)
        figure = bracketed(percent(one.figure), percent(one.low), percent(one.high))
        delta = bracketed(signed(one.delta), signed(one.delta_low), signed(one.delta_high))
        covered = MISSING if one.covered is None else f"{number(one.covered, 0, 100)} %"
        table.add_row(one.detector.partition(":")[0], LABELS[one.metric], figure, delta, covered, place)
    return table


def _forecasts(prediction: Prediction) -> Table:
    from benchkit.report.format_values import MISSING, bracketed, one_line, percent
    from benchkit.search.prediction import LABELS

    def neighbour(named: tuple[str, float] | None) -> str:
        return MISSING if named is None else f"{one_line(named[0])} {percent(named[1])}"

    table = _table("", ("ranking", "rank [95 %]", "figure [95 %]", "pseudo", "next better", "next worse"))
    for one in prediction.forecasts:
        place = one.place
        table.add_row(
            LABELS[one.metric],
            _place(place.rank, place.rank_low, place.rank_high, one.rows),
            bracketed(percent(place.figure), percent(max(0.0, place.low)), percent(min(1.0, place.high))),
            percent(one.base),
            neighbour(one.above),
            neighbour(one.below),
        )
    return table


def _place(rank: int, low: int, high: int, rows: int) -> str:
    """Return a rank among `rows` other rows and itself."""
    return f"{rank} [{low}–{high}] of {rows + 1}"


def _table(title: str, headers: tuple[str, ...]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title) if title else None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for i, header in enumerate(headers):
        table.add_column(header, justify="left" if i < 2 else "right")
    return table
