"""The result of a comparison for people: its board, its rows, its images, what it says of two methods, its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchkit.errors import ArgumentTypeError, ArgumentValueError, describe_value
from benchkit.functions.arguments import check_whole
from benchkit.functions.paired_difference import PairedDifference, Ranking, Row, compare_rows, counted, row_text
from benchkit.functions.plugin_arguments import PluginLike, PluginSources, load_plugins, name_choice
from benchkit.functions.session import check_store, parse_cache
from benchkit.metrics import COMPANION, COUNTS, PRIMARY, Measured, metric
from benchkit.report.format_values import known, one_line

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from benchkit.outputs.finished_run import FinishedRun
    from benchkit.plugin.registry import Registry
    from benchkit.report.ablation import AblationBoard
    from benchkit.report.run_data import Example, RunData
    from benchkit.runs.run import Outcome, RunLocations
    from benchkit.store.location import Location


@dataclass(frozen=True, eq=False)
class Comparison:
    """A finished comparison. A notebook shows its board; `compare` and `load_comparison` return it.

    outcome: as `benchkit.runs.run.Outcome` describes it. locations: where the run lies. registry: its plugins.

    Example:
        >>> import benchkit
        >>> comparison = benchkit.load_comparison("runs/first")
        >>> comparison
        <Comparison 'A tiny comparison': 5 rows with figures, 1 detector, 1 seed, run ...>
        >>> sorted(comparison.board["row"])
        ['all-negative', 'gaussian:steps=1', 'human', 'none:steps=1', 'pseudo']
        >>> comparison.compare("gaussian", "pseudo").verdict in ("better", "worse", "equivalent", "unresolved")
        True
    """

    outcome: Outcome = field(repr=False)
    locations: RunLocations = field(repr=False)
    registry: Registry = field(repr=False)

    @property
    def run(self) -> str:
        """The run's id."""
        return self.outcome.run

    @property
    def out(self) -> Path | None:
        """The folder of the report; None if none was written."""
        return self.locations.out

    @property
    def stages(self) -> Mapping[str, int]:
        """How many stages were run, cached, failed and skipped; empty for a comparison that was opened again."""
        return self.outcome.stages

    @property
    def seconds(self) -> float:
        """How long the call took; NaN for a comparison that was opened again."""
        return self.outcome.seconds

    @property
    def failures(self) -> tuple[str, ...]:
        """Why stages failed, in this call or before, and which plugins were skipped because they cannot be used."""
        return (*self.outcome.failures, *self.outcome.earlier, *self.outcome.skipped_plugins)

    @cached_property
    def board(self) -> pd.DataFrame:
        """The board, best first, one line per row, selector and detector.

        row, role, detector, selector, corruptor, inverter: what the line is. seeds: how many it is the mean of. iou,
        ap: pooled artifact IoU at the threshold 0.5 and average precision, in per cent, with the bounds of the 95 %
        interval. rank: by IoU, among the lines of the same detector. to_pseudo: IoU minus that of `pseudo`, in points;
        verdict: what this difference shows.
        """
        board = self.outcome.board
        frame = board.frame
        tidy = frame[[]].copy()
        tidy["row"] = frame["training_set"]
        tidy["role"] = frame["role"]
        for name in ("detector", "selector"):
            tidy[name] = [board.short(text) if known(text) else None for text in frame[name]]
        tidy["corruptor"] = frame["method"].where(frame["corruptor"].map(known), None)
        tidy["inverter"] = [board.short(text) if known(text) else None for text in frame["inverter"]]
        tidy["seeds"] = frame["seeds"]
        for short, name in (("iou", PRIMARY), ("ap", COMPANION)):
            for end in ("", "_low", "_high"):
                tidy[f"{short}{end}"] = _percent(frame, f"{name}{end}")
        tidy["rank"] = frame["rank"]
        tidy["to_pseudo"] = _percent(frame, "delta_pseudo")
        tidy["verdict"] = frame["delta_pseudo_verdict"]
        return tidy

    def metrics(self) -> pd.DataFrame:
        """Return the board with every column, as `board.csv` has it: fractions in [0, 1] (docs/how-to/outputs.md)."""
        return self.outcome.board.frame.copy()

    @cached_property
    def rows(self) -> pd.DataFrame:
        """One line per row and seed: what it is, its state, its figures in per cent, seconds, why it failed."""
        data, board = self._data.rows, self.outcome.board
        tidy = data[[]].copy()
        tidy["row"] = data["training_set"]
        tidy["role"] = data["role"]
        for name in ("detector", "selector"):
            tidy[name] = [board.short(text) if known(text) else None for text in data[name]]
        tidy["seed"], tidy["state"] = data["seed"], data["state"]
        for short, name in (("iou", PRIMARY), ("ap", COMPANION), ("auroc", "auroc"), ("f1", "f1")):
            tidy[short] = _percent(data, name)
        tidy["seconds"], tidy["reason"] = data["seconds"], data["reason"]
        return tidy

    def per_image(
        self,
        row: Row,
        *,
        detector: PluginLike | None = None,
        selector: PluginLike | None = None,
        seed: int | None = None,
    ) -> pd.DataFrame:
        """Return the figures of each test image: image, seed, iou and ap in per cent, and tp, fp, fn, tn in pixels.

        seed: one seed; None gives all that are finished. A figure is NaN where it is undefined: the IoU of an image in
        which nothing is annotated and nothing predicted, the AP of one in which nothing is annotated. Raises
        BenchkitError for an unknown row, and where the cache does not hold it any more.
        """
        import pandas as pd

        from benchkit.functions.finished import make_query
        from benchkit.store.encoding import parse_json

        run, parts = self._finished, []
        scored = [planned for planned in run.plan.cells if planned.evaluate is not None]
        first = run.find_cell(make_query(run, row, selector, detector, seed), scored)
        same = [p for p in scored if run.name(p) == run.name(first) and _same_line(p.cell, first.cell)]
        for planned in [p for p in same if seed in (None, p.cell.seed) and run.is_done(p)]:
            assert planned.evaluate is not None
            run.require([planned.evaluate], run.name(planned))
            measured = Measured.from_arrays(self._data.records[planned.key])
            ids = parse_json(run.env.store.open(planned.evaluate.key).read("row.json"))["ids"]
            figures = {
                short: 100 * metric(name).pooled(metric(name).additive(measured))
                for short, name in (("iou", PRIMARY), ("ap", COMPANION))
            }
            counts = {name: measured.columns[name] for name in COUNTS}
            parts.append(pd.DataFrame({"image": ids, "seed": planned.cell.seed, **figures, **counts}))
        return pd.concat(parts, ignore_index=True)

    def images(
        self,
        row: Row,
        *,
        count: int = 6,
        detector: PluginLike | None = None,
        selector: PluginLike | None = None,
        seed: int | None = None,
    ) -> Sequence[Example]:
        """Return the first training images of a row whose selection is not empty.

        Each has `id`, `before` and `after`, (H, W, 3) uint8, and `mask`, the region that was corrupted, (H, W) bool.
        Raises BenchkitError for a row without a corruptor, and where the cache does not hold the images any more.
        """
        from benchkit.functions.finished import make_query
        from benchkit.outputs.paper_figures import load_examples

        run = self._finished
        check_whole("count", count, 1)
        planned = run.find_cell(make_query(run, row, selector, detector, seed), run.corrupted())
        return load_examples(run, planned, count)

    def compare(
        self,
        first: Row,
        second: Row,
        *,
        metric: Ranking = "ap",
        detector: PluginLike | None = None,
        selector: PluginLike | None = None,
    ) -> PairedDifference:
        """Return what the board says of two of its rows: a paired difference with its interval and verdict.

        metric: `ap`, which depends on no threshold, or `iou`. detector, selector: needed where the board has several.
        The p-value is adjusted for all pairs of the board, since any of them may be looked at. Raises
        ArgumentValueError for rows that are not ranked together, or where several pairs fit.
        """
        chosen = (name_choice(detector, "detector", self.registry), name_choice(selector, "selector", self.registry))
        return compare_rows(self.outcome.board, row_text(first), row_text(second), metric, *chosen)

    def plot_board(self, *, metric: Ranking = "iou") -> Figure:
        """Return `benchkit.plot_board` of this comparison."""
        from benchkit.functions.plots import plot_board

        return plot_board(self, metric=metric)

    def plot_depth(self) -> Figure:
        """Return `benchkit.plot_depth` of this comparison."""
        from benchkit.functions.plots import plot_depth

        return plot_depth(self)

    def plot_ablation(self) -> Figure:
        """Return `benchkit.plot_ablation` of this ablation."""
        from benchkit.functions.plots import plot_ablation

        return plot_ablation(self)

    def gallery(self, *, row: Row | None = None, count: int = 4) -> Figure:
        """Return `benchkit.gallery` of this comparison."""
        from benchkit.functions.plots import gallery

        return gallery(self, row=row, count=count)

    @cached_property
    def ablation(self) -> AblationBoard:
        """What each value of an ablation changes; raises ArgumentValueError for a comparison that varied nothing."""
        from benchkit.outputs.finished_run import parse_record
        from benchkit.report.ablation import AblationBoard
        from benchkit.search.ablation import make_ablation, points
        from benchkit.search.variants import Axis

        config = self._data.grid
        if not config.get("vary"):
            raise ArgumentValueError(f"run {self.run} is no ablation: use benchkit.ablate")
        axes = [Axis(name, tuple(values)) for name, values in config["vary"].items()]
        grid = parse_record(config, f"run {self.run}")
        made = make_ablation(grid, axes, self.registry, bool(config.get("crossed")))
        return AblationBoard.of(points(made), self._data)

    @cached_property
    def _finished(self) -> FinishedRun:
        from benchkit.outputs.finished_run import FinishedRun

        return FinishedRun.open(self.run, self.locations, self.registry)

    @cached_property
    def _data(self) -> RunData:
        return _load_data(self.locations, self.run)

    def __repr__(self) -> str:
        board = self.outcome.board
        figures = board.frame[board.frame["seeds"] > 0]
        rows, detectors = f"{counted(len(figures), 'row')} with figures", figures["detector"].nunique()
        seeds = int(board.frame["seeds"].max()) if len(board.frame) else 0
        counts = f"{rows}, {counted(detectors, 'detector')}, {counted(seeds, 'seed')}"
        failed = f", {len(board.missing)} without" if len(board.missing) else ""
        return f"<Comparison '{one_line(board.title)}': {counts}{failed}, run {self.run}>"

    def _repr_html_(self) -> str:
        """Return the board as the page of the report shows it."""
        from benchkit.report.site.page import board_fragment

        return board_fragment(self.outcome.board)


def load_comparison(
    run: str | Path,
    *,
    cache: str | Path | Location | None = None,
    store: str | None = None,
    plugins: PluginSources = (),
) -> Comparison:
    """Open a finished comparison again; nothing is computed.

    run: the output folder, the run's id or the start of it. cache, store: where it lies; None is what the folder
    records, or the user's cache. plugins: files of further plugins. Raises BenchkitError if there is no such run.

    Example:
        >>> import benchkit
        >>> comparison = benchkit.load_comparison("runs/first")
        >>> comparison.rows[["seed", "state"]].drop_duplicates().values.tolist()
        [[0, 'done']]
    """
    from dataclasses import replace

    from benchkit.plugin.placeholders import TolerantRegistry
    from benchkit.report.board import Board
    from benchkit.report.load_board import find_board, load_board
    from benchkit.runs.find_run import find_run_locations, open_results
    from benchkit.runs.run import Outcome
    from benchkit.runs.run_folder import LOG

    if not isinstance(run, str | Path):
        raise ArgumentTypeError(f"run: {describe_value(run)} is no run: give its id or its output folder")
    check_store(store)
    place = None if cache is None else parse_cache(cache)
    locations = find_run_locations(str(run), place, store)
    found = open_results(locations, str(run)).find_run(str(run))
    folder = Path(run) if find_board(Path(run)) else None
    data = _load_data(locations, found)
    board = Board.of(data) if folder is None else load_board(folder)
    failed = data.rows.loc[data.rows["state"] == "failed", "reason"]
    log = None if folder is None or not (folder / LOG).is_file() else folder / LOG
    outcome = Outcome(found, board, {}, float("nan"), tuple(dict.fromkeys(map(str, failed))), log=log)
    return Comparison(outcome, replace(locations, out=folder), TolerantRegistry(load_plugins(plugins)))


def _load_data(locations: RunLocations, run: str) -> RunData:
    """Return the rows and records of a run."""
    from benchkit.runs.execution import load_run_data
    from benchkit.runs.find_run import open_results

    results = open_results(locations, run)
    info = next(one for one in results.runs() if one.id == run)
    return load_run_data(run, results, {}, info.config)


def _percent(frame: pd.DataFrame, name: str) -> Any:
    """Return a column of fractions in per cent; NaN where the frame lacks it."""
    return frame[name].astype(float) * 100 if name in frame else np.nan


def _same_line(one: Any, other: Any) -> bool:
    same_selector = one.training.selector == other.training.selector
    return bool(one.detector == other.detector and same_selector and one.test == other.test)
