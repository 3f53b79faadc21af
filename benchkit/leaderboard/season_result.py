"""What a season shows: public and fresh figures of the same trained detectors, side by side.

Every row was trained once and scored twice: on the public test images, which everybody knows, and on the images of a
season, which nobody knew. Rows that were fitted to the public images fall behind on the fresh ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from benchkit.leaderboard.season import Season
from benchkit.leaderboard.season_lead import Identity, LeadChange, measure_lead_changes, row_identity
from benchkit.metrics import PRIMARY
from benchkit.report.board import Board
from benchkit.report.board_file import TRAINED
from benchkit.report.columns import RANKINGS, rank_columns
from benchkit.report.format_values import known
from benchkit.report.run_data import RunData
from benchkit.statistics.confidence_level import LEVEL
from benchkit.statistics.ranks import kendall
from benchkit.statistics.test_set_changes import Change

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

    submissions: their names; empty for a run. changes: see `measure_lead_changes`.
    """

    season: Season
    public: Board
    fresh: Board
    submissions: tuple[str, ...] = ()
    changes: Mapping[str, Mapping[Identity, LeadChange]] = field(default_factory=dict)

    @classmethod
    def of(cls, season: Season, public: RunData, fresh: RunData, submissions: tuple[str, ...] = ()) -> SeasonResult:
        """Return the result of rows that were scored twice."""
        changes = measure_lead_changes(public, fresh)
        return cls(season, Board.of(public), Board.of(fresh), submissions, changes)

    def lead_change(self, row: ScoredRow, ranking: str) -> LeadChange:
        """Return by how much a row's lead over `pseudo` changed, fresh minus public; NaN if unknown.

        The lead is a paired difference, so it does not depend on how difficult the images are.
        """
        return self.changes.get(ranking, {}).get(row_identity(row.public), LeadChange(Change(), float("nan")))

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
        tau = kendall(*zip(*both, strict=True)) if len(both) > 1 else None
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

        def change(row: ScoredRow, ranking: str) -> dict[str, float | str | None]:
            lead = self.lead_change(row, ranking)
            numbers = asdict(lead.change) | {"p_adjusted": lead.adjusted}
            return {name: value if known(value) else None for name, value in numbers.items()} | {
                "verdict": lead.verdict
            }

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
                | {"lead_change": {ranking: change(row, ranking) for ranking in RANKINGS}}
                for row in self.rows
            ],
        }


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
