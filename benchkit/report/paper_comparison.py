"""Boards beside the paper. If data or protocol differ, only the order of methods can be compared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import pandas as pd

from benchkit.errors import BenchkitError
from benchkit.report.board import Board, plain_records, short_names
from benchkit.report.board_file import MISSING_ROWS, TRIVIAL
from benchkit.report.board_table import Column, Sheet, TableCell, TableGroup
from benchkit.report.format_values import MISSING, bracketed, known, listed, one_line, percent, plain_number, signed
from benchkit.report.leaderboard_lines import Line, Method, PaperLine, RunLine, board_lines, paper_lines
from benchkit.report.old_schemas import SCHEMA

NOT_RUN = "not run"
#: Printed in place of a difference that would mean nothing.
ORDER_ONLY = "order only"
_LABELS = ("run", "test_set", "detector", "selector", "training_set", "steps", "paper_steps", "state", "seeds")
_FIGURES = ("artifact_iou", "artifact_iou_low", "artifact_iou_high")


@dataclass(frozen=True, eq=False)
class PaperComparison:
    """Lines of boards beside the paper's.

    frame: a line per line of a board, then the paper's that no board has. run, test_set, detector, selector,
    training_set, steps, paper_steps (of the paper's line beside it), state, seeds; artifact_iou with _low and _high in
    [0, 1]; for each of the paper's datasets
    paper:NAME (its figure in [0, 1]), order:NAME and paper_order:NAME: the place of the line, here and in the paper,
    among the lines of its run, test set and detector that both have. difference:NAME: ours less the paper's, where
    the run is one of the paper's tables by its protocol.

    table: of the paper, where the runs are of one. differs: how their protocol differs from the paper's.
    """

    frame: pd.DataFrame
    datasets: tuple[str, ...]
    paper_test_set: str
    table: int | None = None
    differs: tuple[str, ...] = ()
    shown: Mapping[str, str] = field(default_factory=dict)

    def _name(self, kind: str, text: Any) -> str:
        """Return a selector or detector as people are shown it; MISSING where there is none."""
        own = self.frame.loc[self.frame["run"].map(known), kind]
        return one_line(short_names(own, self.shown).get(text, text)) if known(text) else MISSING

    @property
    def caption(self) -> str:
        """What may be compared and what not."""
        inferred = "The paper prints 'mIoU'; that it means artifact IoU is inferred from its values."
        if self.table is not None and not self.differs:
            return (
                f"Table {self.table} on the paper's data, by its protocol as far as it states one. Differences are "
                f"ours less the paper's, in points; the paper gives one figure without an interval. {inferred}"
            )
        ours = listed(self.shown.get(str(name), str(name)) for name in self.frame["test_set"] if known(name))
        if self.table is not None:
            return (
                f"Not the paper's protocol: figures here are measured on {ours or 'no test set'}, the paper's on "
                f"{self.paper_test_set}. Compare the order of methods, never the values. {inferred}"
            )
        return (
            f"Different data: figures here are measured on {ours or 'no test set'}, the paper's on "
            f"{self.paper_test_set}, after training on other images with another budget. Compare the order of methods, "
            f"never the values. {inferred}"
        )

    @property
    def agreement(self) -> tuple[str, ...]:
        """For each run, detector and dataset of the paper: how many pairs of methods stand in the same order."""
        sentences = []
        for (run, test_set, detector), lines in self.frame.groupby(["run", "test_set", "detector"], sort=False):
            for name in self.datasets:
                matched = lines.dropna(subset=[f"order:{name}"])
                same, pairs = _same_order(matched["artifact_iou"].to_list(), matched[f"paper:{name}"].to_list())
                if pairs:
                    sentences.append(
                        f"{self._heading(run, test_set, detector)}, paper's {one_line(name)}: {same} of {pairs} pairs "
                        "of methods in the same order, whether or not their difference is beyond chance."
                    )
        return tuple(sentences)

    def sheet(self) -> Sheet:
        """Return the comparison as a table for people."""
        columns = [
            Column("method", text=True, role="name"),
            Column("selector", text=True, vital=2),
            Column("artifact IoU here\n[95 % interval]", role="primary"),
        ]
        for name in self.datasets:
            columns.append(Column(f"paper,\n{one_line(name)}"))
            if self.table is not None:
                columns.append(Column("difference\n(points)"))
            columns.append(Column("order here\n/ paper", vital=1))
        groups = [
            TableGroup(self._heading(*key), tuple(self._row(line) for line in lines.to_dict("records")))
            for key, lines in self.frame.groupby(["run", "test_set", "detector"], sort=False, dropna=False)
        ]
        title = "Beside the paper" + (f", Table {self.table}" if self.table is not None else "")
        notes = [one_line(self.caption), *self.agreement]
        if self.differs:
            notes.insert(1, one_line(f"Where the protocol differs: {'; '.join(self.differs)}."))
        if any(_has_other_steps(line) for line in self.frame.to_dict("records")):
            notes.insert(1, "In parentheses: the steps of the paper's figure where they are not those of the row.")
        return Sheet(title, tuple(columns), tuple(groups), tuple(notes))

    def _heading(self, run: Any, test_set: Any, detector: Any) -> str:
        name = self._name("detector", detector) if known(detector) else "no detector"
        if not known(run):
            return f"{name}, in the paper only"
        runs = self.frame["run"].dropna().nunique()
        return f"{name}, run {one_line(run)} on {one_line(self.shown.get(test_set, test_set))}" if runs > 1 else name

    def _row(self, line: Mapping[Any, Any]) -> tuple[TableCell, ...]:
        figure = bracketed(*(percent(line[name]) for name in _FIGURES)) if line["seeds"] else str(line["state"])
        cells = [
            TableCell(one_line(line["training_set"])),
            TableCell(self._name("selector", line["selector"])),
            TableCell(figure, line["artifact_iou"]),
        ]
        for name in self.datasets:
            here, there = (plain_number(line[f"{order}:{name}"]) for order in ("order", "paper_order"))
            orders = MISSING if MISSING in (here, there) else f"{here} / {there}"
            theirs = percent(line[f"paper:{name}"])
            other = _has_other_steps(line) and theirs != MISSING
            shown = f"{theirs} ({line['paper_steps']:g})" if other else theirs
            cells.append(TableCell(shown, line[f"paper:{name}"]))
            if self.table is not None:
                both = known(line["artifact_iou"]) and theirs != MISSING
                difference = line[f"difference:{name}"]
                cells.append(TableCell(signed(difference) if known(difference) else ORDER_ONLY if both else MISSING))
            cells.append(TableCell(orders))
        return tuple(cells)

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""
        rows = [{"schema": SCHEMA, **row} for row in plain_records(self.frame)]
        notes: dict[str, Any] = {"caption": self.caption, "agreement": list(self.agreement)}
        notes |= {} if self.table is None else {"table": self.table, "differs": list(self.differs)}
        return {"schema": SCHEMA, **notes, "rows": rows}


def beside_table(board: Board) -> PaperComparison | None:
    """Return the board of one of the paper's tables beside that table; None for any other board."""
    if board.paper is None:
        return None
    try:
        return compare_with_paper(board_lines(board))
    except BenchkitError:
        return None  # a report is worth having without the paper's rows


def compare_with_paper(lines: Iterable[Line], paper: Sequence[PaperLine] | None = None) -> PaperComparison:
    """Compare lines of boards with the paper's lines: those among `lines`, else `paper`, else those in the package.

    Lines match if they have the same steps and the same names of training set, selector and detector, without
    parameters. If the paper has the method with other steps only, the nearest steps match. Methods of the paper that no
    board has are listed too, with the boards' detectors (with all detectors if there is no board). If all boards
    reproduce one table of the paper, only its lines are used, and a row is compared with the figure of its source.
    """
    lines = list(lines)
    own = [line for line in lines if isinstance(line, RunLine) and line.group != TRIVIAL]
    given = [line for line in lines if isinstance(line, PaperLine)]
    reported = given or list(paper_lines() if paper is None else paper)
    table = _table(own)
    reported = [line for line in reported if table in (None, line.table)]
    figures: dict[Method, dict[str | None, float]] = defaultdict(dict)
    for line in reported:
        figures[line.method].setdefault(line.dataset, round(line.value / 100, 6))
    datasets = tuple(dict.fromkeys(line.dataset for line in reported if line.dataset is not None))
    matches = _matches(own, list(figures))
    detectors = {line.method.detector for line in own}
    absent = [m for m in figures if m not in matches and (not own or m.detector in detectors)]
    pairs = zip(own, matches, strict=True)
    records = [
        _record(line, match, _by_dataset(figures, match, _matching_datasets(line, table, datasets)))
        for line, match in pairs
    ]
    records += [_absent(method, _by_dataset(figures, method, datasets)) for method in absent]
    figures_of = [*_FIGURES, *(f"{kind}:{name}" for name in datasets for kind in ("paper", "order", "paper_order"))]
    frame = pd.DataFrame(records, columns=[*_LABELS, *figures_of]).astype(dict.fromkeys(figures_of, float))
    frame = _with_orders(frame, datasets)
    shown = {full: short for line in own for full, short in line.shown.items()}
    if table is None:
        return PaperComparison(frame, datasets, listed(line.test_set for line in reported), shown=shown)
    exact = [not line.paper.differs if line.paper else False for line in own] + [False] * len(absent)
    for name in datasets:
        same_steps = ~frame.apply(_has_other_steps, axis=1) if len(frame) else False
        apart = frame["artifact_iou"] - frame[f"paper:{name}"]
        frame[f"difference:{name}"] = apart.where(pd.Series(exact, frame.index, dtype=bool) & same_steps)
    differs = dict.fromkeys(text for line in own if line.paper for text in line.paper.differs)
    return PaperComparison(frame, datasets, listed(line.test_set for line in reported), table, tuple(differs), shown)


def _table(own: Sequence[RunLine]) -> int | None:
    """Return the paper's table that all the runs reproduce, if it is one."""
    tables = {line.paper.table if line.paper else None for line in own}
    return tables.pop() if len(tables) == 1 else None


def _matching_datasets(line: RunLine, table: int | None, datasets: Sequence[str]) -> Sequence[str]:
    """Return those of the paper's datasets that a row's source stands for; all if it has no source or does not say."""
    if table is None or line.paper is None or line.selector is None:
        return datasets
    sources = line.paper.sources
    if not sources:
        return datasets
    if line.source_name is not None:
        return [name for name in datasets if name == sources.get(line.source_name)]
    return [name for name in datasets if name in sources.values()] if len(sources) == 1 else datasets


def _matches(own: Sequence[RunLine], reported: Sequence[Method]) -> list[Method | None]:
    """Return for every line the paper's method beside it: the same, else the same at the nearest other steps."""
    boards: dict[tuple[str, str], set[Method]] = defaultdict(set)
    for line in own:
        boards[line.run, line.test_set].add(line.method)
    found: list[Method | None] = []
    for line in own:
        method, own_methods = line.method, boards[line.run, line.test_set]
        # Step 0 replaces the image's own latent without any resampling: it is another method.
        near = [m for m in reported if m._replace(steps=method.steps) == method and m.steps and method.steps]
        near = [m for m in near if m not in own_methods]
        nearest = min(near, key=lambda m: abs((m.steps or 0) - (method.steps or 0)), default=None)
        found.append(method if method in reported else nearest)
    return found


def _by_dataset(
    figures: Mapping[Method, Mapping[str | None, float]], method: Method | None, datasets: Sequence[str]
) -> dict[str, float | None]:
    # The row human uses the labelled images only; it is compared with every dataset.
    found = figures[method] if method is not None else {}
    return {f"paper:{name}": found.get(name, found.get(None)) for name in datasets}


def _record(line: RunLine, match: Method | None, paper: Mapping[str, float | None]) -> dict[str, Any]:
    own = {name: getattr(line, name) for name in (*_LABELS, *_FIGURES) if name not in ("steps", "paper_steps")}
    missing = dict.fromkeys(_FIGURES) if line.group == MISSING_ROWS else {}
    return {**own, **missing, "steps": line.inversion_steps, "paper_steps": match.steps if match else None, **paper}


def _absent(method: Method, paper: Mapping[str, float | None]) -> dict[str, Any]:
    name = method.name if method.steps is None else f"{method.name}:steps={method.steps}"
    labels = {"selector": method.selector, "detector": method.detector, "steps": method.steps}
    labels |= {"training_set": name, "paper_steps": method.steps}
    return {**labels, "state": NOT_RUN, "seeds": 0, **paper}


def _with_orders(frame: pd.DataFrame, datasets: Sequence[str]) -> pd.DataFrame:
    """Fill the order columns: 1 is best, ties share the better place."""
    frame = frame.copy()
    for _, lines in frame.groupby(["run", "test_set", "detector"], sort=False):
        for name in datasets:
            matched = lines.dropna(subset=["artifact_iou", f"paper:{name}"])
            for order, figure in (("order", "artifact_iou"), ("paper_order", f"paper:{name}")):
                places = matched[figure].rank(ascending=False, method="min")
                frame.loc[matched.index, f"{order}:{name}"] = places
    return frame


def _has_other_steps(line: Mapping[Any, Any]) -> bool:
    return known(line["paper_steps"]) and line["paper_steps"] != line["steps"]


def _same_order(ours: Sequence[float], theirs: Sequence[float]) -> tuple[int, int]:
    """Return the number of pairs in the same order, and of all pairs; ties are skipped."""
    pairs = [(a - b) * (c - d) for (a, c), (b, d) in combinations(zip(ours, theirs, strict=True), 2)]
    decided = [product for product in pairs if product]
    return sum(product > 0 for product in decided), len(decided)
