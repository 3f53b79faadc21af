"""What the settings of a board say together, for people: fractions by method, agreement of orders, and sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchkit.report.board import Board, short_names
from benchkit.report.board_table import Column, Sheet, TableCell, TableGroup, selector_names
from benchkit.report.columns import LOWER, REFERENCES
from benchkit.report.format_values import MISSING, bracketed, known, listed, number, numeric, one_line, percent
from benchkit.report.notes import NAMES

#: Of nominal 95 % intervals of fractions with two seeds: benchmarks/coverage_across.py.
TWO_SEEDS = "85 to 96 %"


@dataclass(frozen=True)
class AcrossSection:
    """shares: a table per ranking. agreement: one of all settings. opposite: a line per pair of settings and ranking.
    notes: of all of it."""

    shares: tuple[Sheet, ...]
    agreement: Sheet
    opposite: tuple[str, ...]
    notes: tuple[str, ...]


def across_section(board: Board) -> AcrossSection | None:
    """Return what a page shows of several settings, None where there are not; every text is on one line, unescaped."""
    if not board.across:
        return None
    settings = setting_names(board)
    shares = (_shares_sheet(board, ranking, settings) for ranking in NAMES)
    tables = tuple(sheet for sheet in shares if sheet.rows)
    agreement, opposite = _agreement_sheet(board, settings), tuple(_opposite(board, settings))
    return AcrossSection(tables, agreement, opposite, (*_share_notes(board, settings), *_agreement_notes(board)))


def across_notes(board: Board) -> tuple[str, ...]:
    """Return a sentence or two per ranking, for a terminal."""
    if not board.across:
        return ()
    notes, settings = [], setting_names(board)
    for ranking, name in NAMES.items():
        own = [record for record in board.across["agreement"] if record["metric"] == ranking]
        taus = [numeric(record["tau"]) for record in own if known(record["tau"])]
        shares = sorted(_shares(board, ranking, REFERENCES[0]), key=lambda record: -numeric(record["share"]))
        if not taus:
            continue
        between = number(taus[0]) if len(taus) == 1 else f"{number(min(taus))} to {number(max(taus))}"
        opposite = sum(numeric(record["opposite"]) for record in own)
        text = f"Across {len(settings)} settings by {name}: Kendall's τ of their orders is {between}"
        text += f". Pairs of rows that two settings resolve in opposite directions: {opposite:g}."
        if shares:
            best = "; ".join(f"{record['method']} {_share(record)}" for record in shares[:3])
            text += f" Fraction of the distance from {LOWER} to {REFERENCES[0]}, per cent: {best}."
        notes.append(one_line(text))
    return (*notes, *_few_seeds(board), *_unused(board, settings))


def setting_names(board: Board) -> list[str]:
    """Return the name of every setting: those of its parts in which the settings differ."""
    detectors, records = short_names(board.frame["detector"], board.shown), board.across["settings"]
    parts = [
        {
            "detector": detectors.get(str(record["detector"]), MISSING),
            "selector": selector_names(board, record["detector"]).get(str(record["selector"]), MISSING),
            "source_name": str(record["source_name"]),
            "test_set": board.short(record["test_set"]),
        }
        for record in records
    ]
    varying = [name for name in parts[0] if len({own[name] for own in parts}) > 1] if parts else []
    return [one_line(" · ".join(own[name] for name in varying)) for own in parts]


def _shares(board: Board, ranking: str, reference: str) -> list[Mapping[str, Any]]:
    return [r for r in board.across["shares"] if (r["metric"], r["reference"]) == (ranking, reference)]


def _share(record: Mapping[str, Any]) -> str:
    return bracketed(*(number(numeric(record[name]), 1, 100) for name in ("share", "low", "high")))


def _shares_sheet(board: Board, ranking: str, settings: list[str]) -> Sheet:
    """Return a line per method: its fraction of the distance to each reference, and that in every setting."""
    by = {reference: {str(r["method"]): r for r in _shares(board, ranking, reference)} for reference in REFERENCES}
    shown = [reference for reference, own in by.items() if own]
    columns = [Column("method", text=True, role="name")]
    columns += [Column(f"to {reference}\n[95 % interval]", role="primary") for reference in shown]
    columns += [Column(f"to {shown[0]}\n{name}") for name in settings] if shown else []
    methods = list(dict.fromkeys(method for own in by.values() for method in own))
    first = by[shown[0]] if shown else {}
    methods.sort(key=lambda name: -numeric(first[name]["share"]) if name in first else float("inf"))
    rows = []
    for name in methods:
        cells = [TableCell(one_line(name))]
        for reference in shown:
            record = by[reference].get(name)
            text = MISSING if record is None else _share(record)
            fewer = f" ({len(record['settings'])} of {len(settings)})" if record and text != MISSING else ""
            whole = record is None or len(record["settings"]) == len(settings)
            cells.append(
                TableCell(text + ("" if whole else fewer), numeric(record["share"]) if record else float("nan"))
            )
        own = first.get(name)
        means = dict(zip(own["settings"], own["means"], strict=False)) if own else {}
        cells += [TableCell(percent_of(means.get(i)), numeric(means.get(i))) for i in range(len(settings))]
        rows.append(tuple(cells))
    title = f"Fraction of the distance from {LOWER}, per cent, by {NAMES[ranking]}"
    return Sheet(title, tuple(columns), (TableGroup("", tuple(rows)),))


def percent_of(share: Any) -> str:
    """Return a fraction in per cent with one decimal."""
    return number(numeric(share), 1, 100)


def _agreement_sheet(board: Board, settings: list[str]) -> Sheet:
    columns = (
        Column("one setting", text=True, role="name"),
        Column("other setting", text=True),
        Column("ranking", text=True),
        Column("methods"),
        Column("Kendall's τ\n[bounds]", role="primary"),
        Column("p of no\nrelation"),
        Column("resolved\nalike"),
        Column("resolved in\nopposite directions"),
    )
    rows = []
    for record in board.across["agreement"]:
        tau, low, high, p = (number(numeric(record[name])) for name in ("tau", "low", "high", "p"))
        p = "<0.001" if numeric(record["p"]) < 0.001 else number(numeric(record["p"]), 3)
        pairs = numeric(record["methods"]) * (numeric(record["methods"]) - 1) / 2
        counts = [f"{numeric(record[name]):g} of {pairs:g}" for name in ("same", "opposite")]
        names = [settings[record["first"]], settings[record["second"]], NAMES.get(record["metric"], "")]
        cells = [TableCell(one_line(text)) for text in names]
        cells += [TableCell(str(record["methods"]), numeric(record["methods"])), TableCell(bracketed(tau, low, high))]
        cells += [TableCell(p, numeric(record["p"]))]
        cells += [TableCell(text, numeric(record[n])) for text, n in zip(counts, ("same", "opposite"), strict=True)]
        rows.append(tuple(cells))
    return Sheet("Agreement of the settings' orders", columns, (TableGroup("", tuple(rows)),))


def _opposite(board: Board, settings: list[str]) -> list[str]:
    """Return a line for every two settings and ranking with pairs that are resolved in opposite directions."""
    found: dict[tuple[Any, ...], list[str]] = {}
    for record in board.across["opposite"]:
        key = (record["metric"], record["first"], record["second"])
        pair = f"{record['better_in_first']} above {record['better_in_second']}"
        found.setdefault(key, []).append(pair)
    return [
        one_line(
            f"By {NAMES.get(ranking, ranking)}, in {settings[a]}, and the reverse in {settings[b]}: {listed(own)}."
        )
        for (ranking, a, b), own in found.items()
    ]


def _share_notes(board: Board, settings: list[str]) -> tuple[str, ...]:
    return (
        f"The fraction of a row is (y − {LOWER}) / (reference − {LOWER}): 0 is {LOWER}, 100 the reference. The figure "
        "is the interquartile mean over all seeds of all settings: a quarter is cut from each end. Its interval covers "
        "new test images and new seeds in these settings, and no further setting. Seeds that a setting lacks are not "
        "used.",
        *_few_seeds(board),
        *_unused(board, settings),
    )


def _few_seeds(board: Board) -> tuple[str, ...]:
    """Return the warnings that fractions of one or two seeds need."""
    numbers = {record["trained_seeds"] for record in board.across["shares"]}
    one = "Fractions of one seed, the only one that all settings have: their intervals cover test images alone."
    two = f"Two seeds: nominal 95 % intervals of fractions cover too rarely, in simulation {TWO_SEEDS}."
    return tuple(text for number, text in ((1, one), (2, two)) if number in numbers)


def _unused(board: Board, settings: list[str]) -> tuple[str, ...]:
    """Return for which settings no fraction is given, and why."""
    found: dict[tuple[str, str], list[str]] = {}
    for record in board.across["distances"]:
        if known(record["reason"]):
            distance = bracketed(*(percent(numeric(record[name])) for name in ("distance", "low", "high")))
            size = f" ({distance} points)" if distance != MISSING else ""
            where = f"{settings[record['setting']]} by {NAMES.get(record['metric'], '')}"
            found.setdefault((where, f"{record['reason']}{size}"), []).append(str(record["reference"]))
    return tuple(one_line(f"No fraction in {where}: {reason}.") for where, reason in found)


def _agreement_notes(board: Board) -> tuple[str, ...]:
    level = f"{board.level * 100:g} %"
    return (
        f"Kendall's τ compares the orders of the rows that both settings have, without {' and '.join(REFERENCES)}: 1 "
        f"is the same order, 0 no relation, −1 the reverse. The bounds hold with {level} confidence: pairs that both "
        "settings resolve are counted, all others may lie either way.",
    )
