"""The rows of all boards as records: what the tables show, what ranks together, tiers, and who beats whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from typing import Any

from benchkit.leaderboard.season_result import ScoredRow, SeasonResult
from benchkit.leaderboard.site.costs import Costs
from benchkit.leaderboard.site.sources import Slugs, Source, row_key
from benchkit.report.aggregate import KEY
from benchkit.report.board import Board, plain_records, short_names
from benchkit.report.board_file import TRAINED
from benchkit.report.board_table import selector_names
from benchkit.report.columns import BASELINES, BY_KIND, RANKINGS, delta_columns, joint_columns, rank_columns
from benchkit.report.leaderboard import PaperLine
from benchkit.report.text import bare, known, one_line
from benchkit.specs.keys import digest

#: The board of the figures that the paper prints.
PAPER = "paper"
#: Fields of a row of the site <- columns of a board.
_FIGURES = {
    "iou_validation": "artifact_iou_validation_threshold",
    "auroc": "auroc",
    "f1": "f1",
    "iou_per_image": "artifact_iou_per_image",
    "inside": "confinement_change_inside",
    "outside": "confinement_psnr_outside",
    "change_outside": "confinement_change_outside",
    **{name: name for name in ("steps", "seconds", "seeds", "planned_seeds", "iterations", "train_images", "role")},
    **{name: name for name in ("state", "reason", "unstable", "reordered", "plugins", "variant", "no_interval")},
    "curve": "curve",
    "sd": "artifact_iou_std",
}
_NEEDED = {
    *_FIGURES.values(),
    *(*KEY, "training_set", "group", "protocol", "num_inference_steps"),
    *(ranking + end for ranking in RANKINGS for end in ("", "_low", "_high")),
    *(column for ranking in RANKINGS for column in (*rank_columns(ranking), *joint_columns(ranking))),
    *(column for ranking in RANKINGS for base in BASELINES for column in delta_columns(ranking, base)),
}
#: A difference is shown where its adjusted p-value is at most this; ranks use the same.
ALPHA = 0.05
Row = dict[str, Any]


@dataclass
class Group:
    """Rows that are ranked together. board, name: slug and name of their board.

    pairs: ranking -> (first, second) -> its record; they are places in the site's rows. joint: ranking -> place -> the
    joint interval of a row, in rankings that are too long for pairs.
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
    joint: dict[str, dict[int, tuple[float, float]]] = field(default_factory=dict)
    resolution: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def compares(self, ranking: str) -> bool:
        """Whether it is known which rows of a ranking differ."""
        return bool(self.pairs.get(ranking) or self.joint.get(ranking))

    def beats(self, ranking: str, first: int, second: int) -> int:
        """Return 1 where the first row is significantly better, -1 where it is worse, else 0."""
        if bounds := self.joint.get(ranking):
            (low, high), (other_low, other_high) = (bounds.get(i, (-inf, inf)) for i in (first, second))
            return int(low > other_high) - int(other_low > high)
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

    rows: list[Row] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    names: dict[str, dict[str, str]] = field(default_factory=dict)
    seasons: list[str] = field(default_factory=list)

    def rows_by(self, kind: str) -> dict[str, list[Row]]:
        """Return slug -> its rows, for every method, detector, dataset or board that has rows."""
        found: dict[str, list[Row]] = {slug: [] for slug in self.names.get(kind, {})}
        for row in self.rows:
            found[row[f"{kind}_slug"]].append(row)
        return {slug: rows for slug, rows in found.items() if rows}


class Maker:
    """Makes Tables from boards and from the paper's lines."""

    def __init__(self, costs: Costs) -> None:
        self.tables, self.costs = Tables(), costs
        self._slugs = {kind: Slugs() for kind in ("method", "detector", "dataset")}
        self._ids: set[str] = set()

    def add_board(self, source: Source) -> None:
        """Add all rows of a board."""
        board, first = source.board, len(self.tables.rows)
        detectors = short_names(board.frame["detector"], board.shown)
        groups: dict[tuple[Any, ...], int] = {}
        fresh = {
            (row_key(row.public), result.season.name): _fresh_figures(result, row)
            for result in source.seasons
            for row in result.rows
        }
        selectors = {detector: selector_names(board, detector) for detector in dict.fromkeys(board.frame["detector"])}
        shown = [str(name) for name in board.frame if _is_shown(str(name))]
        kinds = [name for name in shown if name.partition(":")[0] in BY_KIND and f"{name}_low" in shown]
        for line in plain_records(board.frame[shown]):
            owner = source.owner(line)
            row = self._row(line, board, detectors, selectors[line["detector"]])
            row |= {"badge": owner.badge, "kinds": _find_kinds(line, kinds)}
            row |= self._linked("board", owner.slug, owner.name)
            names = [result.season.name for result in source.seasons]
            row["seasons"] = {name: fresh[row_key(line), name] for name in names if (row_key(line), name) in fresh}
            ranked = line["group"] == TRAINED
            protocol = (line["protocol"] or "") if ranked else ""
            key = (line["test_set"], line["detector"], protocol) if ranked else (line["group"],)
            if key not in groups:
                groups[key] = len(self.tables.groups)
                title = row["detector"] + (f", {one_line(protocol)}" if protocol else "")
                words = {"trivial": "without training", "missing": "without figures"}
                self.tables.groups.append(
                    Group(
                        source.slug,
                        source.name,
                        title if ranked else words[line["group"]],
                        row["detector_slug"] if ranked else "",
                        row["dataset_slug"],
                        protocol,
                        ranked,
                    )
                )
            self._append(row, groups[key])
        self._add_pairs(board, first, groups)

    def add_paper(self, lines: Iterable[PaperLine]) -> None:
        """Add the figures that the paper prints, a group per table and detector; they are not ranked."""
        groups: dict[Any, int] = {}
        for line in lines:
            if line.metric != RANKINGS[0]:
                continue
            key = (line.table, line.detector_label)
            if key not in groups:
                groups[key] = len(self.tables.groups)
                title = f"{line.detector_label}, as printed in the paper's Table {line.table}"
                self.tables.groups.append(Group(PAPER, "the paper", title, "", "", ranked=False))
            method = line.name if line.steps is None else f"{line.name}:steps={line.steps}"
            row: Row = {
                "name": method,
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
            row |= self._linked("method", self._slugs["method"].of(line.name), line.name)
            detector = line.detector or line.detector_label
            self._linked("detector", self._slugs["detector"].of(detector), detector)
            row |= self._linked("detector", self._slugs["detector"].of(detector), line.detector_label)
            row |= self._linked("dataset", self._slugs["dataset"].of(line.test_set), line.test_set)
            row |= self._linked("board", PAPER, "the paper")
            self._append(row, groups[key])

    def _append(self, row: Row, group: int) -> None:
        place = len(self.tables.rows)
        identity = [row.get(k) for k in ("board_slug", "name", "selector", "detector", "dataset", "source", "label")]
        row["id"] = digest([identity, self.tables.groups[group].title])[:8]
        while row["id"] in self._ids:
            row["id"] = digest([row["id"]])[:8]
        self._ids.add(row["id"])
        self.tables.rows.append(row | {"group": group, "place": place})
        self.tables.groups[group].rows.append(place)
        for ranking, key in zip(RANKINGS, ("iou", "ap"), strict=True):
            if (low := row.get(f"{key}_joint_low")) is not None and (high := row.get(f"{key}_joint_high")) is not None:
                self.tables.groups[group].joint.setdefault(ranking, {})[place] = (low, high)

    def _linked(self, kind: str, slug: str, text: str) -> Row:
        self.tables.names.setdefault(kind, {}).setdefault(slug, one_line(text))
        return {kind: one_line(text), f"{kind}_slug": slug}

    def _row(
        self, line: Mapping[str, Any], board: Board, detectors: Mapping[str, str], selectors: Mapping[str, str]
    ) -> Row:
        row: Row = {name: line.get(column) for name, column in _FIGURES.items()}
        for ranking, short, end in zip(RANKINGS, ("iou", "ap"), ("", "_ap"), strict=True):
            row |= {short + part: line.get(ranking + part) for part in ("", "_low", "_high")}
            joint = zip(("_joint_low", "_joint_high"), joint_columns(ranking), strict=True)
            row |= {short + part: line[column] for part, column in joint if line.get(column) is not None}
            row |= dict(
                zip((f"rank{end}{p}" for p in ("", "_low", "_high")), map(line.get, rank_columns(ranking)), strict=True)
            )
            for base in BASELINES:
                parts = zip(("", "_low", "_high", "_p", "_verdict"), delta_columns(ranking, base), strict=True)
                row |= {f"{base}{end}{part}": line.get(column) for part, column in parts}
        method = line["corruptor"] or line["method"] or line["role"]
        detector, test = line["detector"], line["test_set"]
        row |= self._linked("method", self._slugs["method"].of(bare(method)), bare(method))
        images = str(test).partition("[")[0]
        row |= self._linked("dataset", self._slugs["dataset"].of(images), board.short(test))
        self.tables.names["dataset"][row["dataset_slug"]] = one_line(images)
        name = bare(detector) if known(detector) else "none"
        row |= self._linked("detector", self._slugs["detector"].of(name), detectors.get(detector, "–"))
        self.tables.names["detector"][row["detector_slug"]] = one_line(name)
        return row | {
            "kind": line["group"],
            "name": one_line(line["training_set"]),
            "selector": one_line(selectors.get(line["selector"], "")) or None,
            "source": one_line(line["source_name"]) if known(line["source_name"]) else None,
            "inverter": one_line(board.short(line["inverter"])) if known(line["inverter"]) else None,
            "evaluations": self.costs.evaluations(line),
        }

    def _add_pairs(self, board: Board, first: int, groups: Mapping[Any, int]) -> None:
        rows, made = self.tables.rows, [self.tables.groups[place] for place in groups.values()]
        for pair in board.pairs:
            places = (first + int(pair["first"]), first + int(pair["second"]))
            if max(places) < len(rows) and rows[places[0]]["group"] == rows[places[1]]["group"]:
                self.tables.groups[rows[places[0]]["group"]].pairs.setdefault(str(pair["metric"]), {})[places] = pair
        for found in board.resolution:
            key = (found.get("test_set"), found.get("detector"), found.get("protocol") or "")
            if key in groups:
                self.tables.groups[groups[key]].resolution[str(found.get("metric"))] = found
        for group in made:
            for ranking, end in zip(RANKINGS, ("", "_ap"), strict=True):
                for place, tier in find_tiers(group, ranking, rows).items():
                    rows[place][f"tier{end}"] = tier


def _fresh_figures(result: SeasonResult, row: ScoredRow) -> Row:
    """Return what a season gave for a row: its fresh figures, and its place among the rows that were scored."""
    found: Row = {}
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


def _is_shown(column: str) -> bool:
    """Return whether the site shows a column of a board, or needs it; a board has hundreds of others."""
    figure, _, kind = column.partition(":")
    return figure in BY_KIND if kind else column in _NEEDED


def _find_kinds(line: Mapping[str, Any], columns: Sequence[str]) -> dict[str, dict[str, list[Any]]]:
    """Return figure -> kind of artifact -> value and bounds, for the figures by kind that have intervals."""
    found: dict[str, dict[str, list[Any]]] = {}
    for column in columns:
        figure, _, kind = column.partition(":")
        found.setdefault(figure, {})[kind] = [line[column + end] for end in ("", "_low", "_high")]
    return found


def by_rank(group: Group, ranking: str, rows: Sequence[Row]) -> list[int]:
    """Return the places of a group's ranked rows, the best first."""
    column = "rank" if ranking == RANKINGS[0] else "rank_ap"
    return sorted((place for place in group.rows if known(rows[place].get(column))), key=lambda i: (rows[i][column], i))


def find_tiers(group: Group, ranking: str, rows: Sequence[Row]) -> dict[int, int]:
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


def resolved_neighbours(group: Group, ranking: str, rows: Sequence[Row]) -> tuple[int, int]:
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
    return maker.tables
