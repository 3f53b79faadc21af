"""Figures of a comparison, as matplotlib figures that a notebook shows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from benchkit.errors import ArgumentTypeError, ArgumentValueError
from benchkit.functions.comparison import Comparison
from benchkit.functions.paired_difference import RANKINGS, Ranking, Row, row_text
from benchkit.report.format_values import known

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def plot_board(comparison: Comparison, *, metric: Ranking = "iou") -> Figure:
    """Draw every row of the board as a dot with its interval, a panel per detector.

    metric: `iou`, pooled artifact IoU at the threshold 0.5, or `ap`, average precision; both in per cent. Lines mark
    the rows `human` and `pseudo`; hollow dots are predictions without training. Raises ArgumentValueError for another
    metric, and if no row has figures.

    Example:
        >>> import benchkit
        >>> figure = benchkit.plot_board(benchkit.load_comparison("runs/first"))
        >>> figure.savefig("board.pdf")
    """
    from benchkit.report.figures import draw_ranking

    check_comparison(comparison)
    if not isinstance(metric, str) or metric not in RANKINGS:
        raise ArgumentValueError(f"metric={metric!r}: choose 'ap' or 'iou'")
    figure = draw_ranking(comparison.outcome.board, RANKINGS[metric])
    if figure is None:
        raise ArgumentValueError(f"run {comparison.run}: no row has figures: see .failures and .metrics()['reason']")
    return figure


def plot_ablation(comparison: Comparison) -> Figure:
    """Draw artifact IoU against the values of each axis of an ablation, with intervals; the base's point is hollow.

    Raises ArgumentValueError for a comparison that varied nothing.

    Example:
        >>> import benchkit
        >>> benchkit.plot_ablation(benchkit.load_comparison("runs/first"))
        Traceback (most recent call last):
        benchkit.errors.ArgumentValueError: run ... is no ablation: use benchkit.ablate
    """
    from benchkit.report.ablation_figure import draw_ablation

    return draw_ablation(check_comparison(comparison).ablation)


def plot_depth(comparison: Comparison) -> Figure:
    """Draw artifact IoU against the number of inversion steps, one line per corruptor, with intervals.

    The corruptors are those of the board that work on latents. The paper's Table 4 has such rows. Raises
    ArgumentValueError unless at least one corruptor has rows with two numbers of steps.

    Example:
        >>> import benchkit
        >>> benchkit.plot_depth(benchkit.load_comparison("runs/first"))
        Traceback (most recent call last):
        benchkit.errors.ArgumentValueError: run ... has no corruptor with several numbers of steps: ...
    """
    from benchkit.report.ablation import AblationBoard
    from benchkit.report.ablation_figure import draw_ablation

    board = check_comparison(comparison).outcome.board
    frame = board.trained
    frame = frame[(frame["role"] == "corrupted") & frame["steps"].map(known) & ~frame["variant"].map(known)]
    frame = frame.sort_values("steps", kind="stable")
    value = [f"{steps:g}" for steps in frame["steps"]]
    frame = frame.assign(value=value, training_set=_without_steps(frame), axis="inversion steps", is_base=False)
    same = ["training_set", "selector", "detector", "test_set", "protocol"]
    table = frame[frame.groupby(same, dropna=False)["value"].transform("nunique") > 1]
    if table.empty:
        raise ArgumentValueError(
            f"run {comparison.run} has no corruptor with several numbers of steps: compare 'NAME:steps=5|10|20'"
        )
    return draw_ablation(AblationBoard(board.run, board.title, table.reset_index(drop=True), board.level, board.shown))


def gallery(comparison: Comparison, *, row: Row | None = None, count: int = 4) -> Figure:
    """Draw images of a comparison: every corruptor on the same images and regions, or one row before and after.

    row: the row to show before and after (the paper's Figure 4); None shows all of them side by side (Figure 5). count:
    number of images. Raises BenchkitError if the run has no such row, or if the cache does not hold its images any
    more.

    Example:
        >>> import benchkit
        >>> figure = benchkit.gallery(benchkit.load_comparison("runs/first"), count=2)
        >>> figure.savefig("gallery.png")
    """
    from benchkit.functions.arguments import check_whole
    from benchkit.outputs.finished_run import RowQuery
    from benchkit.outputs.paper_figures import FigureRequest, draw_figure
    from benchkit.report.pictures import pictures_figure

    run = check_comparison(comparison)._finished
    query = RowQuery() if row is None else RowQuery(row_text(row))
    request = FigureRequest(query, check_whole("count", count, 1))
    return pictures_figure(draw_figure(5 if row is None else 4, run, request))


def check_comparison(comparison: Any) -> Comparison:
    """Return a comparison; raise ArgumentTypeError for anything else."""
    if not isinstance(comparison, Comparison):
        raise ArgumentTypeError(
            "comparison: give what benchkit.compare or benchkit.load_comparison returned, not this "
            f"{type(comparison).__name__}"
        )
    return comparison


def _without_steps(frame: pd.DataFrame) -> list[str]:
    """Return the names of rows without their numbers of steps, and without what all rows of a corruptor share."""
    parameters = [json.loads(text or "{}") for text in frame["corruptor_params"]]
    others = [json.dumps({k: v for k, v in one.items() if k != "steps"}, sort_keys=True) for one in parameters]
    parts = frame[["corruptor", "inverter", "source_name"]].assign(others=others)
    several = {
        name: parts.groupby("corruptor")[name].transform("nunique") > 1
        for name in ("others", "inverter", "source_name")
    }
    texts = zip(*(parts[name].where(shown, None) for name, shown in several.items()), strict=True)
    return [
        " ".join([bare, *(text for text in more if known(text))])
        for bare, more in zip(parts["corruptor"], texts, strict=True)
    ]
