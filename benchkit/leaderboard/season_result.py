"""What a season shows: public and fresh figures of the same trained detectors, side by side.

Every row was trained once and scored twice: on the public test images, which everybody knows, and on the images of a
season, which nobody knew. Rows that were fitted to the public images fall behind on the fresh ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from scipy import stats

from benchkit.leaderboard.season import Season
from benchkit.metrics import PRIMARY
from benchkit.report.aggregate import KEY
from benchkit.report.board import Board
from benchkit.report.board_file import TRAINED
from benchkit.report.columns import RANKINGS, delta_columns, rank_columns
from benchkit.report.text import known, numeric
from benchkit.statistics.intervals import subtract_independent
from benchkit.statistics.level import LEVEL

Line = Mapping[str, Any]
#: What `--json` gives of a row, beside its labels: once public and once fresh.
_SHOWN = tuple(
    column
    for ranking in RANKINGS
    for column in (*(ranking + end for end in ("", "_low", "_high")), *rank_columns(ranking))
)


class ScoredRow(NamedTuple):
    """A row of trained detectors: its lines on the public and on the fresh board."""

    public: Line
    fresh: Line

    def lead_change(self, ranking: str) -> tuple[float, float, float]:
        """Return by how much the lead over `pseudo` changed, fresh minus public, with its interval; NaN if unknown.

        The lead is a paired difference, so it does not depend on how difficult the images are. The two sets of images
        are independent of each other. The detectors are the same, so this interval is rather too wide.
        """
        columns = delta_columns(ranking, "pseudo")[:3]
        fresh, public = (tuple(numeric(line.get(name)) for name in columns) for line in (self.fresh, self.public))
        return subtract_independent(fresh, public)  # type: ignore[arg-type]


class Agreement(NamedTuple):
    """How the order by one ranking fares on fresh images.

    tau: Kendall's tau-b of the two orders, None with fewer than two rows. pairs: rows that differ beyond chance on the
    public images. confirmed: of these, those that differ beyond chance in the same direction on the fresh ones.
    reversed: in the other direction. The others are unresolved.
    """

    tau: float | None
    pairs: int
    confirmed: int
    reversed: int


@dataclass(frozen=True)
class SeasonResult:
    """What a season gave for rows of one protocol, which are ranked together on both boards.

    submissions: their names; empty for a run.
    """

    season: Season
    public: Board
    fresh: Board
    submissions: tuple[str, ...] = ()

    @property
    def rows(self) -> list[ScoredRow]:
        """The trained rows of both boards, in the order of the public one."""
        fresh = {row_identity(line): line for line in _trained(self.fresh)}
        public = ((row_identity(line), line) for line in _trained(self.public))
        return [ScoredRow(line, fresh[key]) for key, line in public if key in fresh]

    def agreement(self, detector: str, ranking: str = PRIMARY) -> Agreement:
        """Return how the order of a detector's rows by one ranking fares on fresh images."""
        rows = [row for row in self.rows if str(row.public["detector"]) == detector]
        figures = [(one.public[ranking], one.fresh[ranking]) for one in rows]
        both = [(float(a), float(b)) for a, b in figures if known(a) and known(b)]
        tau = float(stats.kendalltau(*zip(*both, strict=True)).statistic) if len(both) > 1 else None
        names = {row_identity(row.public) for row in rows}
        public, fresh = (
            {pair: sign for pair, sign in _resolved_pairs(board, ranking) if pair <= names}
            for board in (self.public, self.fresh)
        )
        kept = [fresh.get(pair) == winner for pair, winner in public.items() if pair in fresh]
        tau = None if tau is None or tau != tau else tau
        return Agreement(tau, len(public), sum(kept), len(kept) - sum(kept))

    @property
    def detectors(self) -> list[str]:
        """The detectors whose rows were scored."""
        return list(dict.fromkeys(str(row.public["detector"]) for row in self.rows))

    def as_json(self) -> dict[str, Any]:
        """Return plain data; equal results give equal data."""

        def figures(line: Line) -> dict[str, float | None]:
            return {name: float(line[name]) if known(line.get(name)) else None for name in _SHOWN}

        labels = ("training_set", "detector", "selector")
        return {
            "season": self.season.name,
            "commitment": self.season.commitment,
            "images_sha256": self.season.images,
            "submissions": list(self.submissions),
            "agreement": {d: {r: self.agreement(d, r)._asdict() for r in RANKINGS} for d in self.detectors},
            "rows": [
                {name: row.public[name] if known(row.public[name]) else None for name in labels}
                | {"public": figures(row.public), "fresh": figures(row.fresh)}
                for row in self.rows
            ],
        }


def row_identity(line: Line) -> tuple[str, ...]:
    """Return what identifies a row whatever it was tested on."""
    return tuple(str(line[name]) if known(line[name]) else "" for name in KEY if name != "test_set")


def _trained(board: Board) -> list[dict[str, Any]]:
    lines = board.frame[board.frame["group"] == TRAINED].to_dict("records")
    return [{str(name): value for name, value in line.items()} for line in lines]


def _resolved_pairs(board: Board, ranking: str) -> Iterator[tuple[frozenset[tuple[str, ...]], tuple[str, ...]]]:
    """Yield the pairs of rows that differ beyond chance, each with the row that is better."""
    lines: Sequence[Line] = board.frame.to_dict("records")  # type: ignore[assignment]
    for pair in board.pairs:
        if pair["metric"] == ranking and known(pair.get("p_adjusted")) and pair["p_adjusted"] <= 1 - LEVEL:
            first, second = (row_identity(lines[int(pair[name])]) for name in ("first", "second"))
            yield frozenset((first, second)), first if pair["difference"] > 0 else second
