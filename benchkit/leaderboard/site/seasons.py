"""The pages of seasons: what was committed to, what was revealed, who was scored, public and fresh figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from benchkit.leaderboard.season import Season
from benchkit.leaderboard.season_result import Agreement, ScoredRow, SeasonResult
from benchkit.leaderboard.site.page_tables import PageTable
from benchkit.leaderboard.site.payload import script_json
from benchkit.leaderboard.site.sources import Source
from benchkit.leaderboard.site.table_cells import TableCell, make_delta, make_figure, make_rank
from benchkit.report.board import short_names
from benchkit.report.board_table import selector_names
from benchkit.report.columns import RANKINGS, delta_columns, rank_columns
from benchkit.report.format_values import MISSING, bare, known, numeric, one_line
from benchkit.report.notes import NAMES

_HEADERS = (
    *(("row", True), ("selector", True), ("lead change, points", False), ("public, %", False), ("fresh, %", False)),
    *(("public rank", False), ("fresh rank", False)),
    *(("Δ to pseudo, public, points", False), ("Δ to pseudo, fresh, points", False)),
)


class RankedTable(NamedTuple):
    """Public and fresh figures by one ranking: a table, the agreement of the two orders, and a chart.

    leads: verdict -> number of rows whose lead over `pseudo` changed so.
    """

    ranking: str
    table: PageTable
    agreement: Agreement
    leads: Mapping[str, int]
    chart_id: str
    chart: Markup


class DetectorPart(NamedTuple):
    """What a season gave for one detector and the submissions of one protocol."""

    title: str
    ranked: Sequence[RankedTable]


class SeasonPage(NamedTuple):
    """Everything that the pages show of a season. members: (name, slug of its page) of the scored submissions."""

    season: Season
    state: str
    members: Sequence[tuple[str, str]]
    rows: int
    parts: Sequence[DetectorPart]

    @property
    def facts(self) -> dict[str, str]:
        """What was committed to, and what was revealed."""
        season = self.season
        last = season.first + season.count - 1
        found = {"State": self.state, "Committed": season.committed, "Commitment": f"sha256 {season.commitment}"}
        found |= {"Dataset": bare(season.dataset), "Images": f"{season.count}, indices {season.first} to {last}"}
        found["Fingerprint"] = season.fingerprint
        found["Secret"] = season.secret if season.secret is not None else "not revealed yet"
        found["Beacon"] = "none: the person who opened the season could know its images first"
        if season.beacon_source is not None:
            found["Beacon"] = f"{season.beacon_source}: {season.beacon or 'not revealed yet'}"
        if season.images is not None:
            found["Image file"] = f"sha256 {season.images}"
        return {name: one_line(text) for name, text in found.items()}


def describe_season(season: Season, sources: Sequence[Source]) -> SeasonPage:
    """Return what the pages show of a season."""
    parts: list[DetectorPart] = []
    members: dict[str, str] = {}
    rows = 0
    for source in sources:
        for result in source.seasons:
            if result.season.name == season.name:
                rows += len(result.rows)
                members |= {member.name: member.slug for member in source.members if member.name in result.submissions}
                parts += (
                    _part(source, result, detector, len(parts) + i) for i, detector in enumerate(result.detectors)
                )
    return SeasonPage(season, season.describe_state(bool(members)), list(members.items()), rows, parts)


def _part(source: Source, result: SeasonResult, detector: str, number: int) -> DetectorPart:
    title = short_names(result.public.frame["detector"], result.public.shown).get(detector, detector)
    rows = [row for row in result.rows if str(row.public["detector"]) == detector]
    selectors = selector_names(result.public, detector)
    named = {selectors.get(row.public["selector"], "") for row in rows} - {""}
    chosen = one_line(named.pop()) if len(named) == 1 else ""
    headers = [header for header in _HEADERS if not (chosen and header[0] == "selector")]
    common = [("regions selected by", chosen, "")] if chosen else []
    ranked: list[RankedTable] = []
    for ranking in RANKINGS:
        shown = sorted(rows, key=lambda row: numeric(row.public.get(rank_columns(ranking)[0])))
        lines = [_line(result, row, ranking, selectors) for row in shown]
        chart = Markup(script_json(_chart(shown, ranking)))
        lines = [[line[0], *line[2:]] for line in lines] if chosen else lines
        table = PageTable(NAMES[ranking], headers, lines, len(lines), common)
        leads = [result.lead_change(row, ranking) for row in rows]
        found = (result.agreement(detector, ranking), Counter(lead.verdict for lead in leads if lead.verdict))
        ranked.append(RankedTable(NAMES[ranking], table, *found, f"chart-{number}-{len(ranked)}", chart))
    return DetectorPart(one_line(title) + (f" ({source.name})" if len(source.members) > 1 else ""), ranked)


def _line(result: SeasonResult, row: ScoredRow, ranking: str, selectors: Mapping[str, str]) -> list[TableCell]:
    ranks = rank_columns(ranking)
    lead = result.lead_change(row, ranking)
    change = {"lead": lead.change.estimate, "lead_low": lead.change.low, "lead_high": lead.change.high}
    selector = one_line(selectors.get(row.public["selector"], "")) or MISSING
    cells = [TableCell(one_line(row.public["training_set"])), TableCell(selector)]
    cells.append(make_delta(change | {"lead_verdict": lead.verdict}, "lead"))
    cells += [make_figure({**line, "state": "done"}, ranking) for line in row]
    cells += [
        make_rank(dict(zip(("rank", "rank_low", "rank_high"), map(line.get, ranks), strict=True)), "") for line in row
    ]
    for line in row:
        parts = zip(
            ("pseudo", "pseudo_low", "pseudo_high", "_p", "pseudo_verdict"),
            delta_columns(ranking, "pseudo"),
            strict=True,
        )
        cells.append(make_delta({name: line.get(column) for name, column in parts}))
    return cells


def _chart(rows: Sequence[ScoredRow], ranking: str) -> dict[str, Any]:
    """Return a scatter of fresh over public figures, with the intervals of both."""
    known_rows = [row for row in rows if all(known(line.get(ranking)) for line in row)]

    def values(place: int) -> dict[str, list[float]]:
        lines = [row[place] for row in known_rows]
        value = [100 * float(line[ranking]) for line in lines]
        up, down = (
            [abs(100 * numeric(line.get(ranking + end)) - v) for line, v in zip(lines, value, strict=True)]
            for end in ("_high", "_low")
        )
        return {
            "value": value,
            "up": [u if known(u) else 0.0 for u in up],
            "down": [d if known(d) else 0.0 for d in down],
        }

    public, fresh = values(0), values(1)
    trace = {"kind": "points", "name": "rows", "color": 0, "x": public["value"], "y": fresh["value"]}
    trace |= {"right": public["up"], "left": public["down"], "up": fresh["up"], "down": fresh["down"]}
    trace["text"] = [one_line(row.public["training_set"]) for row in known_rows]
    top = max([*public["value"], *fresh["value"], 0.0])
    same = {"kind": "front", "name": "equal on both", "color": 1, "x": [0, top], "y": [0, top], "shape": "linear"}
    return {"x": f"{NAMES[ranking]} on the public images, %", "y": "on fresh images, %", "traces": [trace, same]}
