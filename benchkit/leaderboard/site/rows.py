"""The rows of all boards: what the tables show, what ranks together, tiers, and who beats whom."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchkit.leaderboard.season_result import ScoredRow, SeasonResult
from benchkit.leaderboard.site.costs import Costs
from benchkit.leaderboard.site.fields import plain_column, read_fields
from benchkit.leaderboard.site.kinds import KindFigures
from benchkit.leaderboard.site.row_columns import Columns, Rows, make_column, stack_columns
from benchkit.leaderboard.site.sources import Slugs, Source, row_key
from benchkit.report.aggregate import KEY
from benchkit.report.board import short_names
from benchkit.report.board_file import TRAINED
from benchkit.report.board_table import selectors_by_detector
from benchkit.report.columns import RANKINGS, rank_columns
from benchkit.report.format_values import MISSING, bare, known, one_line
from benchkit.report.frames import line_records, to_objects
from benchkit.report.leaderboard_lines import PaperLine
from benchkit.specs.keys import digest

#: The board of the figures that the paper prints.
PAPER = "paper"
#: A difference is shown where its adjusted p-value is at most this; ranks use the same.
ALPHA = 0.05
#: What identifies a row among those of its group; links that people cite depend on it.
_IDENTITY = ("board_slug", "name", "selector", "detector", "dataset", "source", "label")
_UNRANKED = {"trivial": "without training", "missing": "without figures"}


@dataclass
class Group:
    """Rows that are ranked together. board, name: slug and name of their board.

    pairs: ranking -> (first, second) -> its record; they are places in the site's rows. joint: ranking -> low and high
    ends of the joint intervals of all rows of the site, in rankings that are too long for pairs.
    """

    board: str
    name: str
    title: str
    detector: str
    dataset: str
    protocol: str = ""
    ranked: bool = True
    rows: list[int] = field(default_factory=list)
    pairs: dict[str, dict[tuple[int, int], Mapping[str, Any]]] = field(default_factory=dict)
    joint: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = field(default_factory=dict)
    resolution: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def compares(self, ranking: str) -> bool:
        """Whether it is known which rows of a ranking differ."""
        return bool(self.pairs.get(ranking)) or ranking in self.joint

    def beats(self, ranking: str, first: int, second: int) -> int:
        """Return 1 where the first row is significantly better, -1 where it is worse, else 0."""
        if ranking in self.joint:  # a row without an interval, NaN, differs from none
            low, high = self.joint[ranking]
            return int(low[first] > high[second]) - int(low[second] > high[first])
        known_pairs = self.pairs.get(ranking, {})
        sign = 1 if (first, second) in known_pairs else -1
        pair = known_pairs.get((first, second) if sign > 0 else (second, first))
        if pair is None or not known(pair.get("p_adjusted")) or pair["p_adjusted"] > ALPHA:
            return 0
        return sign * (1 if pair["difference"] > 0 else -1)


@dataclass
class Tables:
    """Everything that the pages show. names: kind (method, detector, dataset, board) -> slug -> text for people.

    seasons: names of those in which rows were scored, the earliest first.
    """

    rows: Rows = field(default_factory=lambda: Rows({}))
    groups: list[Group] = field(default_factory=list)
    names: dict[str, dict[str, str]] = field(default_factory=dict)
    seasons: list[str] = field(default_factory=list)
    kinds: KindFigures = field(default_factory=KindFigures)

    def rows_by(self, kind: str) -> dict[str, Rows]:
        """Return slug -> its rows, for every method, detector, dataset or board that has rows."""
        found: dict[str, list[int]] = {slug: [] for slug in self.names.get(kind, {})}
        for place, slug in enumerate(self.rows.column(f"{kind}_slug").tolist()):
            found[slug].append(place)
        return {slug: self.rows.take(np.array(places)) for slug, places in found.items() if places}


class Maker:
    """Makes Tables from boards and from the paper's lines."""

    def __init__(self, costs: Costs) -> None:
        self.tables, self.costs = Tables(), costs
        self._slugs = {kind: Slugs() for kind in ("method", "detector", "dataset")}
        self._ids: set[str] = set()
        self._parts: list[tuple[int, Columns]] = []
        self._count = 0

    def add_board(self, source: Source) -> None:
        """Add all rows of a board."""
        frame, first = source.board.frame, self._count
        columns = read_fields(frame) | self._label_rows(source)
        if source.seasons:
            columns["seasons"] = _find_fresh(source)
        labels = (plain_column(frame[name]).tolist() for name in ("group", "test_set", "detector", "protocol"))
        keys = [
            (test_set, detector, protocol or "") if group == TRAINED else (group,)
            for group, test_set, detector, protocol in zip(*labels, strict=True)
        ]

        def make_group(key: tuple[Any, ...], row: int) -> Group:
            ranked = len(key) > 1
            title = columns["detector"][row] + (f", {one_line(key[2])}" if ranked and key[2] else "")
            return Group(
                source.slug,
                source.name,
                title if ranked else _UNRANKED[key[0]],
                columns["detector_slug"][row] if ranked else "",
                columns["dataset_slug"][row],
                key[2] if ranked else "",
                ranked,
            )

        self.tables.kinds.add(first, source)
        groups = self._append(columns, keys, make_group)
        for pair in source.board.pairs:
            places = (int(pair["first"]), int(pair["second"]))
            if max(places) < len(keys) and keys[places[0]] == keys[places[1]]:
                own = self.tables.groups[groups[keys[places[0]]]].pairs.setdefault(str(pair["metric"]), {})
                own[first + places[0], first + places[1]] = pair
        for found in source.board.resolution:
            key = (found.get("test_set"), found.get("detector"), found.get("protocol") or "")
            if key in groups:
                self.tables.groups[groups[key]].resolution[str(found.get("metric"))] = found

    def add_paper(self, lines: Iterable[PaperLine]) -> None:
        """Add the figures that the paper prints, a group per table and detector; they are not ranked."""
        printed = [line for line in lines if line.metric == RANKINGS[0]]
        if not printed:
            return
        rows = []
        for line in printed:
            detector = line.detector or line.detector_label
            row: dict[str, Any] = {
                "name": line.name if line.steps is None else f"{line.name}:steps={line.steps}",
                "role": line.method_role,
                "selector": line.selector,
                "source": line.dataset,
                "steps": line.steps,
                "iou": line.value / 100,
                "kind": "reported",
                "badge": "reported",
                "label": line.label,
                "printed": f"Table {line.table}, {one_line(line.label)}",
                "state": "done",
            }
            row |= self._link("method", self._slugs["method"].of(line.name), line.name)
            row |= self._link("detector", self._slugs["detector"].of(detector), line.detector_label, detector)
            row |= self._link("dataset", self._slugs["dataset"].of(line.test_set), line.test_set)
            rows.append(row | self._link("board", PAPER, "the paper"))

        def make_group(key: tuple[Any, ...], _: int) -> Group:
            title = f"{key[1]}, as printed in the paper's Table {key[0]}"
            return Group(PAPER, "the paper", title, "", "", ranked=False)

        keys = [(line.table, line.detector_label) for line in printed]
        self._append(dict(Rows.of(rows).columns), keys, make_group)

    def finish(self) -> Tables:
        """Return the tables, with tiers."""
        columns = stack_columns(self._parts) if self._parts else {}
        tables, rows, found = self.tables, Rows(columns), {}
        for ranking, key, end in zip(RANKINGS, ("iou", "ap"), ("", "_ap"), strict=True):
            ends = (rows.numbers(f"{key}_joint_low"), rows.numbers(f"{key}_joint_high"))
            joint = ~(np.isnan(ends[0]) | np.isnan(ends[1]))
            tiers: dict[int, int] = {}
            for group in tables.groups:
                if joint[group.rows].any():
                    group.joint[ranking] = ends
                tiers |= find_tiers(group, ranking, rows)
            if tiers:
                found[f"tier{end}"] = make_column([tiers.get(place) for place in range(len(rows))])
        # Before what only the paper's rows have.
        leading = {name: columns[name] for name in self._parts[0][1]} if self._parts else {}
        tables.rows = Rows({**leading, **found, **columns})
        return tables

    def _append(
        self, columns: dict[str, NDArray[Any]], keys: Sequence[tuple[Any, ...]], make_group: Callable[..., Group]
    ) -> dict[tuple[Any, ...], int]:
        """Add rows; those of one key are a group, which the key and the first of its rows give. Return key -> group."""
        groups: dict[tuple[Any, ...], int] = {}
        for row, key in enumerate(keys):
            if key not in groups:
                groups[key] = len(self.tables.groups)
                self.tables.groups.append(make_group(key, row))
            self.tables.groups[groups[key]].rows.append(self._count + row)
        own = [groups[key] for key in keys]
        columns["id"] = self._identify(columns, own)
        columns |= {"group": np.array(own, np.int64), "place": self._count + np.arange(len(keys))}
        self._parts.append((len(keys), columns))
        self._count += len(keys)
        return groups

    def _identify(self, columns: Columns, groups: Sequence[int]) -> NDArray[np.object_]:
        """Return the ids of rows: the beginning of the `digest` of what a row is, and of its group's title."""
        parts = [map_values(Rows(columns).column(name), json.dumps).tolist() for name in _IDENTITY]
        titles = [json.dumps(group.title) for group in self.tables.groups]
        found = []
        for group, *own in zip(groups, *parts, strict=True):
            # What `digest` does, without making the same texts again for every row.
            text = f"[[{','.join(own)}],{titles[group]}]"
            one = hashlib.sha256(text.encode()).hexdigest()[:8]
            while one in self._ids:
                one = digest([one])[:8]
            self._ids.add(one)
            found.append(one)
        return make_column(found)

    def _link(self, kind: str, slug: str, text: str, name: str | None = None) -> dict[str, str]:
        """Return the fields that name a page and link to it. name: of the page, by default the text."""
        names = self.tables.names.setdefault(kind, {})
        names.setdefault(slug, one_line(text if name is None else name))
        return {kind: one_line(text), f"{kind}_slug": slug}

    def _link_column(
        self, kind: str, values: Sequence[Any] | NDArray[Any], describe: Callable[[Any], tuple[str, str]]
    ) -> dict[str, NDArray[Any]]:
        """Return the same fields for a column. describe: value -> name of its page, and text in the row."""

        def link(value: Any) -> dict[str, str]:
            name, text = describe(value)
            return self._link(kind, self._slugs[kind].of(name), text, name)

        links = map_values(values, link).tolist()
        return {name: make_column([own[name] for own in links]) for name in (kind, f"{kind}_slug")}

    def _label_rows(self, source: Source) -> dict[str, NDArray[Any]]:
        """Return what the rows of a board are, in words for people, with the slugs of their pages."""
        board = source.board
        line = {name: plain_column(board.frame[name]) for name in (*KEY, "training_set", "group")}
        methods = [a or b or c for a, b, c in zip(*(line[k] for k in ("corruptor", "method", "role")), strict=True)]
        shown, selectors = short_names(board.frame["detector"], board.shown), selectors_by_detector(board)
        found = self._link_column("method", methods, lambda method: (bare(method),) * 2)
        found |= self._link_column(
            "dataset", line["test_set"], lambda test: (str(test).partition("[")[0], board.short(test))
        )
        found |= self._link_column(
            "detector",
            line["detector"],
            lambda one: ("none", MISSING) if one is None else (bare(one), shown.get(one, MISSING)),
        )
        chosen = list(zip(line["detector"].tolist(), line["selector"].tolist(), strict=True))
        settings = ("role", "corruptor", "corruptor_params", "num_inference_steps", "inverter")
        made = list(zip(*(_as_list(board.frame, name) for name in settings), strict=True))
        costs = {one: self.costs.evaluations(dict(zip(settings, one, strict=True))) for one in dict.fromkeys(made)}
        return found | {
            "kind": line["group"],
            "name": map_values(line["training_set"], one_line),
            "selector": map_values(chosen, lambda one: one_line(selectors[one[0]].get(one[1], "")) or None),
            "source": map_values(line["source_name"], lambda text: None if text is None else one_line(text)),
            "inverter": map_values(
                line["inverter"], lambda text: None if text is None else one_line(board.short(text))
            ),
            "evaluations": make_column([costs[one] for one in made]),
            **self._name_owners(source),
        }

    def _name_owners(self, source: Source) -> dict[str, NDArray[Any]]:
        """Return the badge of every row, and the run or submission that it is from."""
        frame = source.board.frame
        owners = [source.members[0]] * len(frame)
        if source.owners:
            owners = [source.owner(line) for line in line_records(frame[[*KEY]])]
        links = {
            own.slug: self._link("board", own.slug, own.name) for own in {own.slug: own for own in owners}.values()
        }
        return {
            "badge": make_column([own.badge for own in owners]),
            "board": make_column([links[own.slug]["board"] for own in owners]),
            "board_slug": make_column([own.slug for own in owners]),
        }


def map_values(values: Sequence[Any] | NDArray[Any], function: Callable[[Any], Any]) -> NDArray[np.object_]:
    """Return `function` of each value, which is called once for each distinct one, in their order."""
    plain = values.tolist() if isinstance(values, np.ndarray) else values
    found = {value: function(value) for value in dict.fromkeys(plain)}
    return to_objects([found[value] for value in plain])


def _as_list(frame: pd.DataFrame, name: str) -> list[Any]:
    """Return a column of a board, None where it is undefined; None in every line where the board has no such column."""
    values = plain_column(frame[name]).tolist() if name in frame else [None] * len(frame)
    return [None if value != value else value for value in values]


def _find_fresh(source: Source) -> NDArray[np.object_]:
    """Return season -> fresh figures for every row of a board; empty where it was not scored."""
    fresh = {
        (row_key(row.public), result.season.name): _fresh_figures(result, row)
        for result in source.seasons
        for row in result.rows
    }
    names = [result.season.name for result in source.seasons]
    keys = [row_key(line) for line in line_records(source.board.frame[[*KEY]])]
    return make_column([{name: fresh[key, name] for name in names if (key, name) in fresh} for key in keys])


def _fresh_figures(result: SeasonResult, row: ScoredRow) -> dict[str, Any]:
    """Return what a season gave for a row: its fresh figures, and its place among the rows that were scored."""
    found: dict[str, Any] = {}
    for ranking, short, end in zip(RANKINGS, ("fresh", "fresh_ap"), ("", "_ap"), strict=True):
        columns = rank_columns(ranking)
        for part, rank in zip(("", "_low", "_high"), columns, strict=True):
            found |= {short + part: row.fresh.get(ranking + part), f"rank_fresh{end}{part}": row.fresh.get(rank)}
        found[f"rank_public{end}"] = row.public.get(columns[0])
        lead = result.lead_change(row, ranking)
        figures = (lead.change.estimate, lead.change.low, lead.change.high, lead.adjusted, lead.verdict)
        parts = ("", "_low", "_high", "_p", "_verdict")
        found |= dict(zip((f"lead{end}{part}" for part in parts), figures, strict=True))
    return {name: value if known(value) else None for name, value in found.items()}


def by_rank(group: Group, ranking: str, rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the places of a group's ranked rows, the best first."""
    places = np.array(group.rows, np.int64)
    ranks = Rows.of(rows).take(places).numbers("rank" if ranking == RANKINGS[0] else "rank_ap")
    order = np.lexsort((places, ranks))[: np.count_nonzero(~np.isnan(ranks))]
    return [int(place) for place in places[order]]


def find_tiers(group: Group, ranking: str, rows: Sequence[Mapping[str, Any]]) -> dict[int, int]:
    """Return the tier of every ranked row.

    Each tier has a leader. Down the ranking, the first row that the leader beats beyond chance leads the next tier. So
    a tier never stretches along a chain of neighbours.
    """
    found: dict[int, int] = {}
    leader, tier = None, 0
    for place in by_rank(group, ranking, rows) if group.compares(ranking) else ():
        if leader is None or group.beats(ranking, leader, place) > 0:
            leader, tier = place, tier + 1
        found[place] = tier
    return found


def resolved_neighbours(group: Group, ranking: str, rows: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """Return how many neighbours of a ranking differ beyond chance, and how many there are."""
    order = by_rank(group, ranking, rows)
    neighbours = list(pairwise(order))
    return sum(group.beats(ranking, a, b) != 0 for a, b in neighbours), len(neighbours)


def make_tables(sources: Iterable[Source], paper: Iterable[PaperLine], costs: Costs) -> Tables:
    """Return the tables of a site: the boards in their order, then the paper's figures."""
    maker, seasons = Maker(costs), set()
    for source in sources:
        maker.add_board(source)
        seasons |= {(result.season.committed, result.season.name) for result in source.seasons}
    maker.tables.seasons = [name for _, name in sorted(seasons)]
    maker.add_paper(paper)
    return maker.finish()
