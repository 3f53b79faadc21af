"""The result of a comparison for people: its board, its rows, its images, what it says of two methods, its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from benchkit.api import Plugin
from benchkit.errors import ArgumentTypeError, ArgumentValueError, UnknownNameError
from benchkit.functions.arguments import Plugins, load_plugins
from benchkit.metrics import COMPANION, COUNTS, PRIMARY, Measured, metric
from benchkit.report.text import known, listed, one_line

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from benchkit.outputs.finished_run import FinishedRun
    from benchkit.plugin.registry import Registry
    from benchkit.report.ablation import AblationBoard
    from benchkit.report.board import Board
    from benchkit.report.data import Example, RunData
    from benchkit.runs.run import Outcome, Places
    from benchkit.store.location import Location

#: The two rankings of a board by their short names.
Ranking = Literal["ap", "iou"]
RANKINGS: Mapping[str, str] = {"ap": COMPANION, "iou": PRIMARY, COMPANION: COMPANION, PRIMARY: PRIMARY}
_WORDS = {COMPANION: "AP", PRIMARY: "IoU"}
#: A row of a comparison: its printed name, its name without parameters, or its corruptor.
Row = str | Plugin | type[Plugin]


@dataclass(frozen=True)
class PairedDifference:
    """What a comparison says of two of its rows, first minus second. Its text is a sentence.

    difference, low, high: in points (per cent), with the interval at `level`, paired over the test images and the seeds
    that both rows have. p: of this pair, adjusted for all pairs of the board. improvement: the probability that the
    first row's true figure is the higher one. verdict: better, worse, equivalent (within one point) or unresolved; None
    where there is no interval. images, seeds: how many the figures are means over.

    Example:
        >>> import benchkit
        >>> comparison = benchkit.load_comparison("runs/first")
        >>> comparison.compare("gaussian", "pseudo")
        gaussian:steps=1 ...
    """

    first: str
    second: str
    metric: str
    difference: float
    low: float
    high: float
    p: float
    improvement: float
    verdict: str | None
    images: int
    seeds: int
    level: float
    detector: str

    def __str__(self) -> str:
        unit = f"{_WORDS[self.metric]} points"
        over = f"{_counted(self.images, 'image')} and {_counted(self.seeds, 'seed')}"
        where = f" with detector {self.detector}" if self.detector else ""
        if self.verdict is None or not np.isfinite(self.low):
            return (
                f"It is not known whether {self.first} or {self.second} is better{where}: they differ by "
                f"{self.difference:+.2f} {unit}, and there is no interval."
            )
        low, high = (self.low, self.high) if self.verdict != "worse" else (-self.high, -self.low)
        interval = f"{self.level * 100:g} % interval {low:.2f} to {high:.2f}, paired over {over}"
        if self.seeds == 1:
            interval += "; with one seed it does not cover what another seed would change"
        if self.verdict in ("better", "worse"):
            distance = abs(self.difference)
            return f"{self.first} is {self.verdict} than {self.second} by {distance:.2f} {unit}{where} ({interval})."
        middle = "differ by less than one point" if self.verdict == "equivalent" else "are not separable"
        return (
            f"{self.first} and {self.second} {middle}{where}: the difference is {self.difference:+.2f} {unit} "
            f"({interval})."
        )

    __repr__ = __str__


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


@dataclass(frozen=True, eq=False)
class Comparison:
    """A finished comparison. A notebook shows its board; `compare` and `load_comparison` return it.

    outcome: as `benchkit.runs.run.Outcome` describes it. places: where the run lies. registry: its plugins.

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
    places: Places = field(repr=False)
    registry: Registry = field(repr=False)

    @property
    def run(self) -> str:
        """The run's id."""
        return self.outcome.run

    @property
    def out(self) -> Path | None:
        """The folder of the report; None if none was written."""
        return self.places.out

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
        self, row: Row, *, detector: str | None = None, selector: str | None = None, seed: int | None = None
    ) -> pd.DataFrame:
        """Return the figures of each test image: image, seed, iou and ap in per cent, and tp, fp, fn, tn in pixels.

        seed: one seed; None gives all that are finished. A figure is NaN where it is undefined: the IoU of an image in
        which nothing is annotated and nothing predicted, the AP of one in which nothing is annotated. Raises
        BenchkitError for an unknown row, and where the cache does not hold it any more.
        """
        import pandas as pd

        from benchkit.outputs.finished_run import RowQuery
        from benchkit.store.encoding import parse_json

        run, parts = self._finished, []
        scored = [planned for planned in run.plan.cells if planned.evaluate is not None]
        first = run.find_cell(RowQuery(self._text(row), selector, detector, seed), scored)
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
            counts = {name: measured.table[name].to_numpy() for name in COUNTS}
            parts.append(pd.DataFrame({"image": ids, "seed": planned.cell.seed, **figures, **counts}))
        return pd.concat(parts, ignore_index=True)

    def images(
        self,
        row: Row,
        *,
        count: int = 6,
        detector: str | None = None,
        selector: str | None = None,
        seed: int | None = None,
    ) -> Sequence[Example]:
        """Return the first training images of a row whose selection is not empty.

        Each has `id`, `before` and `after`, (H, W, 3) uint8, and `mask`, the region that was corrupted, (H, W) bool.
        Raises BenchkitError for a row without a corruptor, and where the cache does not hold the images any more.
        """
        from benchkit.outputs.finished_run import RowQuery
        from benchkit.outputs.paper_figures import load_examples

        run = self._finished
        planned = run.find_cell(RowQuery(self._text(row), selector, detector, seed), run.corrupted())
        return load_examples(run, planned, count)

    def compare(
        self,
        first: Row,
        second: Row,
        *,
        metric: Ranking = "ap",
        detector: str | None = None,
        selector: str | None = None,
    ) -> PairedDifference:
        """Return what the board says of two of its rows: a paired difference with its interval and verdict.

        metric: `ap`, which depends on no threshold, or `iou`. detector, selector: needed where the board has several.
        The p-value is adjusted for all pairs of the board, since any of them may be looked at. Raises
        ArgumentValueError for rows that are not ranked together, or where several pairs fit.
        """
        if metric not in RANKINGS:
            raise ArgumentValueError(f"metric={metric!r}: choose 'ap' or 'iou'")
        ranking, board = RANKINGS[metric], self.outcome.board
        lines = [self._lines(row, detector, selector) for row in (first, second)]
        fits = [(pair, 1) for pair in board.pairs if pair["first"] in lines[0] and pair["second"] in lines[1]]
        fits += [(pair, -1) for pair in board.pairs if pair["first"] in lines[1] and pair["second"] in lines[0]]
        fits = [(pair, sign) for pair, sign in fits if pair["metric"] == ranking and pair["first"] != pair["second"]]
        names = f"rows {self._text(first)!r} and {self._text(second)!r}"
        if not fits:
            raise ArgumentValueError(
                f"{names} are not ranked together: both must be trained, finished, of the same detector, and different"
            )
        if len(fits) > 1:
            rows = {str(board.frame["training_set"][pair[end]]) for pair, _ in fits for end in ("first", "second")}
            if len(rows) > 2:
                raise ArgumentValueError(f"{names} may mean several rows: name two of {', '.join(sorted(rows))}")
            choices = {f"detector={board.short(board.frame['detector'][pair['first']])!r}" for pair, _ in fits}
            choices |= {f"selector={board.short(board.frame['selector'][pair['first']])!r}" for pair, _ in fits}
            raise ArgumentValueError(f"{names} meet {len(fits)} times: choose with {', '.join(sorted(choices))}")
        return self._difference(*fits[0], ranking)

    def _difference(self, pair: Mapping[str, Any], sign: int, ranking: str) -> PairedDifference:
        board = self.outcome.board
        places = (pair["first"], pair["second"]) if sign > 0 else (pair["second"], pair["first"])
        one, two = (board.frame.loc[place] for place in places)
        difference, low, high = (_points(pair[name]) for name in ("difference", "low", "high"))
        improvement = np.nan if pair["improvement"] is None else float(pair["improvement"])
        verdict = pair["verdict"] if known(pair["verdict"]) else None
        if sign < 0:
            difference, low, high, improvement = -difference, -high, -low, 1 - improvement
            verdict = {"better": "worse", "worse": "better"}.get(str(verdict), verdict)
        several = board.trained["detector"].nunique() > 1
        return PairedDifference(
            one_line(one["training_set"]),
            one_line(two["training_set"]),
            ranking,
            difference,
            low,
            high,
            np.nan if pair["p_adjusted"] is None else float(pair["p_adjusted"]),
            improvement,
            verdict,
            int(one["images"]),
            int(min(one["seeds"], two["seeds"])),
            board.level,
            one_line(board.short(one["detector"])) if several else "",
        )

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

        return FinishedRun.open(self.run, self.places, self.registry)

    @cached_property
    def _data(self) -> RunData:
        return _load_data(self.places, self.run)

    def _lines(self, row: Row, detector: str | None, selector: str | None) -> set[int]:
        """Return the places of a row's lines in the board; raise UnknownNameError for an unknown one."""
        board, text = self.outcome.board, self._text(row)
        frame = board.frame
        bare = [self._bare(line) for line in frame.to_dict("records")]
        lines = {i for i, name in enumerate(frame["training_set"]) if name == text}
        lines = lines or {i for i, name in enumerate(bare) if name == text}
        if not lines:
            raise UnknownNameError("row", text, {*map(str, frame["training_set"]), *bare})
        for kind, wanted in (("detector", detector), ("selector", selector)):
            if wanted is not None:
                fits = {i for i in lines if wanted in _texts(board, frame[kind][i])}
                if not fits:
                    given = {board.short(frame[kind][i]) for i in lines}
                    raise ArgumentValueError(f"{kind}={wanted!r}: row '{text}' has {listed(sorted(given))}")
                lines = fits
        return lines

    def _bare(self, line: Mapping[Any, Any]) -> str:
        from benchkit.report.names import Labels

        return Labels.of_line(line, self.outcome.board.shown).bare

    @staticmethod
    def _text(row: Row) -> str:
        if not isinstance(row, str | Plugin) and not (isinstance(row, type) and issubclass(row, Plugin)):
            raise ArgumentTypeError(f"a row is a name of the board or its corruptor, not this {type(row).__name__}")
        return row if isinstance(row, str) else row.name

    def __repr__(self) -> str:
        board = self.outcome.board
        figures = board.frame[board.frame["seeds"] > 0]
        rows, detectors = f"{_counted(len(figures), 'row')} with figures", figures["detector"].nunique()
        seeds = int(board.frame["seeds"].max()) if len(board.frame) else 0
        counts = f"{rows}, {_counted(detectors, 'detector')}, {_counted(seeds, 'seed')}"
        failed = f", {len(board.missing)} without" if len(board.missing) else ""
        return f"<Comparison '{one_line(board.title)}': {counts}{failed}, run {self.run}>"

    def _repr_html_(self) -> str:
        """Return the board as the page of the report shows it."""
        from benchkit.report.site.page import board_fragment

        return board_fragment(self.outcome.board)


def load_comparison(
    run: str | Path, *, cache: str | Path | Location | None = None, store: str | None = None, plugins: Plugins = ()
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

    from benchkit.report.board import Board
    from benchkit.report.load import find_board, load_board
    from benchkit.runs.finding import find_places, open_results
    from benchkit.runs.run import Outcome
    from benchkit.runs.run_folder import LOG
    from benchkit.store.location import parse_location

    place = parse_location(cache) if isinstance(cache, str) else cache
    places = find_places(str(run), place, store)
    found = open_results(places, str(run)).find_run(str(run))
    folder = Path(run) if find_board(Path(run)) else None
    data = _load_data(places, found)
    board = Board.of(data) if folder is None else load_board(folder)
    failed = data.rows.loc[data.rows["state"] == "failed", "reason"]
    log = None if folder is None or not (folder / LOG).is_file() else folder / LOG
    outcome = Outcome(found, board, {}, float("nan"), tuple(dict.fromkeys(map(str, failed))), log=log)
    return Comparison(outcome, replace(places, out=folder), load_plugins(plugins))


def _load_data(places: Places, run: str) -> RunData:
    """Return the rows and records of a run."""
    from benchkit.runs.finding import open_results
    from benchkit.runs.work import load_run_data

    results = open_results(places, run)
    info = next(one for one in results.runs() if one.id == run)
    return load_run_data(run, results, {}, info.config)


def _percent(frame: pd.DataFrame, name: str) -> Any:
    """Return a column of fractions in per cent; NaN where the frame lacks it."""
    return frame[name].astype(float) * 100 if name in frame else np.nan


def _points(value: Any) -> float:
    return np.nan if value is None else 100 * float(value)


def _same_line(one: Any, other: Any) -> bool:
    same_selector = one.training.selector == other.training.selector
    return bool(one.detector == other.detector and same_selector and one.test == other.test)


def _texts(board: Board, label: Any) -> set[str]:
    """Return the texts that name a line's detector or selector."""
    return {str(label), board.short(label), board.short(label).partition(":")[0]} if known(label) else set()
