"""A run as one HTML page that needs nothing else: no network, no other file; all foreign text is escaped."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from typing import Any, NamedTuple

import pandas as pd
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from benchkit.errors import BenchkitError
from benchkit.metrics import COMPANION, METRICS, metric
from benchkit.report.ablation import AblationBoard
from benchkit.report.across_table import across_section
from benchkit.report.board import Board, short_names
from benchkit.report.board_table import (
    Sheet,
    board_sheet,
    delta_text,
    kinds_sheet,
    primary_text,
    selector_names,
    unfinished,
)
from benchkit.report.figures import confinement_figure, ranking_figure
from benchkit.report.format_values import MISSING, known, number, numeric, one_line, percent
from benchkit.report.frames import line_records
from benchkit.report.leaderboard_lines import PaperLine, board_lines, paper_lines
from benchkit.report.paper_comparison import NOT_RUN, PaperComparison, compare_with_paper
from benchkit.report.run_data import RunData
from benchkit.report.site.ablation import ablation_section
from benchkit.report.site.curves import curves_section
from benchkit.report.site.gallery import GAIN, Strip, galleries
from benchkit.report.site.picture import Picture

#: The text under the confinement figure.
CONFINEMENT_WORDS = (
    "Mean absolute change inside and outside the mask, per method. A latent method replaces whole latent pixels: the "
    "part of them beyond the mask counts as outside. A pixel method changes it only through the autoencoder."
)


class Method(NamedTuple):
    """One row and selector in the gallery: heading, figures, examples."""

    title: str
    remarks: list[str]
    strips: list[Strip]


def page(
    run: RunData,
    board: Board,
    reference: Sequence[PaperLine] | None = None,
    ablation: AblationBoard | None = None,
) -> str:
    """Return the page of a run.

    reference: the paper's lines to put beside it, None for those that ship with benchkit. ablation: the differences of
    an ablation's run, shown first.
    """
    style, script = _asset("page.css"), _asset("page.js")
    strips, pictures = galleries(run.gallery, run.rows["cell"])
    context = {
        "title": one_line(board.title),
        "note": one_line(board.note),
        "facts": _facts(run, board),
        "policy": _policy(style, script),
        "style": Markup(style),
        "script": Markup(script),
        "ablation": ablation_section(ablation) if ablation is not None else None,
        "sheet": _sheet(board),
        "figures": _figures(board),
        "curves": curves_section(board),
        "kinds": kinds_sheet(board),
        "across": across_section(board),
        "unfinished": _unfinished(board),
        "gallery": _gallery(run, board, strips),
        "images": pictures.images,
        "gain": GAIN,
        "beside": _beside(board, reference),
        "metrics": _metrics(board),
        "every": _every_metric(board),
        "grid": _yaml({name: value for name, value in run.grid.items() if name != "shown"}),
        **_provenance(run, board),
    }
    return _templates().get_template("page.html").render(context)


def board_fragment(board: Board) -> str:
    """Return the board as the page shows it, as HTML for a notebook; all foreign text is escaped."""
    context = {
        "title": one_line(board.title),
        "note": one_line(board.note),
        "sheet": _sheet(board),
        "unfinished": unfinished(board),
    }
    return _templates().get_template("notebook.html").render(context)


def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("benchkit.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _asset(name: str) -> str:
    return (resources.files("benchkit.report") / "templates" / name).read_text("utf-8")


def _policy(style: str, script: str) -> str:
    """Return a content security policy under which only this very style and script apply, and nothing is fetched."""
    style_hash, script_hash = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii") for text in (style, script)
    )
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{style_hash}'; script-src 'sha256-{script_hash}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _sheet(board: Board) -> Sheet:
    """Return the board's table without what the page shows elsewhere: detectors, the note, unfinished rows."""
    sheet = board_sheet(board).without_constants()
    sheet = sheet.without(i for i, column in enumerate(sheet.columns) if column.header == "detector")
    elsewhere = {one_line(board.note), *unfinished(board)}
    return replace(sheet, notes=tuple(note for note in sheet.notes if note not in elsewhere))


def _facts(run: RunData, board: Board) -> dict[str, str]:
    seeds = sorted({int(seed) for seed in run.rows["seed"]})
    facts = {
        "Run": run.run,
        "Test images": ", ".join(dict.fromkeys(board.short(name) for name in board.frame["test_set"] if known(name))),
        "Seeds": ", ".join(map(str, seeds)) + (" (no seed variance is covered)" if len(seeds) == 1 else ""),
        "Detectors": ", ".join(short_names(board.frame["detector"], board.shown).values()) or MISSING,
        "Rows": f"{len(board.trained)} trained, {len(board.trivial)} without training, "
        f"{len(board.missing)} without figures",
    }
    return {name: one_line(value) for name, value in facts.items()}


def _figures(board: Board) -> dict[str, Picture]:
    words = "of every row with its interval; the table has the figures."
    drawn = {
        "primary": (ranking_figure(board), f"Pooled artifact IoU {words}"),
        "companion": (ranking_figure(board, COMPANION), f"Average precision {words}"),
        "confinement": (confinement_figure(board), CONFINEMENT_WORDS),
    }
    return {name: Picture.of(svg, text) for name, (svg, text) in drawn.items() if svg is not None}


def _unfinished(board: Board) -> list[dict[str, str]]:
    lines = board.frame[board.frame["state"] != "done"].to_dict("records")
    names = ("training_set", "selector", "detector", "state", "reason")
    return [{name: one_line(board.short(line[name])) for name in names} for line in lines]


def _gallery(run: RunData, board: Board, strips: Mapping[str, list[Strip]]) -> list[Method]:
    """Return the strips of every row and selector, with what the board says of it."""
    rows = run.rows.set_index("cell")
    found = []
    for key, shown in strips.items():
        row = {name: rows[name][key] for name in ("training_set", "selector")}
        # A learned selector names its own detector, and is the same selector for each.
        selector = board.short(row["selector"])
        same = board.frame["selector"].map(board.short) == selector
        lines = board.frame[same & (board.frame["training_set"] == row["training_set"])]
        several = board.frame.loc[board.frame["selector"].map(known), "selector"].map(board.short).nunique() > 1
        title = f"{row['training_set']} · {selector}" if several else str(row["training_set"])
        found.append(Method(one_line(title), _remarks(board, lines), shown))
    return found


def _remarks(board: Board, lines: pd.DataFrame) -> list[str]:
    """Return the figures of a gallery's row, a sentence per detector."""
    detectors = short_names(board.frame["detector"], board.shown)
    remarks = []
    for line in line_records(lines):
        parts = [f"artifact IoU {primary_text(line)}"]
        if known(line["delta_pseudo"]):
            parts.append(f"Δ to pseudo {delta_text(line, 'pseudo')}")
        inside = percent(numeric(line.get("confinement_change_inside")))
        if inside != MISSING:
            outside = number(numeric(line.get("confinement_psnr_outside")), 1)
            parts.append(f"mean change inside {inside} %, PSNR outside {outside} dB")
        where = detectors.get(line["detector"], "")
        remarks.append(one_line(f"{where}: {'; '.join(parts)}."))
    return remarks


def _beside(board: Board, reference: Sequence[PaperLine] | None) -> PaperComparison | None:
    """Return the board beside the paper, None where they have no method in common."""
    try:
        compared = compare_with_paper(board_lines(board), paper_lines() if reference is None else reference)
    except BenchkitError:
        return None  # a report is worth having without the paper's rows
    figures = compared.frame.loc[compared.frame["state"] != NOT_RUN, [f"paper:{name}" for name in compared.datasets]]
    return compared if figures.notna().any(axis=None) else None


def _metrics(board: Board) -> list[dict[str, str]]:
    named = [*METRICS, *(name for name in board.metrics if name not in METRICS)]
    infos = {name: metric(name) for name in named}
    return [
        {
            "name": one_line(name),
            "description": one_line(info.description),
            "unit": "per cent" if info.unit == "fraction" else info.unit,
            "better": "higher" if info.higher_is_better else "lower",
        }
        for name, info in infos.items()
    ]


def _every_metric(board: Board) -> dict[str, Any]:
    """Return every metric of every row that has figures: names, and per row its labels and cells (text, value)."""
    detectors = short_names(board.frame["detector"], board.shown)
    rows = []
    for line in board.frame[board.frame["seeds"] > 0].to_dict("records"):
        cells = []
        for name in board.metrics:
            is_fraction = metric(name).unit == "fraction"
            mean, spread = (number(line[key], 2, 100.0 if is_fraction else 1.0) for key in (name, f"{name}_std"))
            cells.append((mean if spread == MISSING else f"{mean} ± {spread}", line[name]))
        selector = selector_names(board, line["detector"]).get(line["selector"], MISSING)
        names = (line["training_set"], selector, detectors.get(line["detector"], MISSING))
        labels = tuple(map(one_line, names))
        rows.append((labels, cells))
    return {"names": [one_line(name) for name in board.metrics], "rows": rows}


def _provenance(run: RunData, board: Board) -> dict[str, Any]:
    environment = dict(run.environment)
    plugins = environment.pop("plugins", {})
    names = ("training_set", "selector", "detector", "seed", "test_set", "state", "seconds", "cell")
    cells = [
        {
            name: one_line(f"{v:.1f}" if name == "seconds" else board.shown.get(v, v)) if known(v) else MISSING
            for name, v in line.items()
        }
        for line in run.rows[list(names)].to_dict("records")
    ]
    plain = plugins if isinstance(plugins, Mapping) else {}
    identities = [
        {"name": one_line(name), **{k: one_line(v) for k, v in (about if isinstance(about, Mapping) else {}).items()}}
        for name, about in plain.items()
    ]
    return {"environment": _yaml(environment), "plugins": identities, "cells": cells}


def _yaml(data: Mapping[str, Any]) -> str:
    """Return plain data as YAML, for reading; tuples as lists, other values as text."""
    plain = json.loads(json.dumps(dict(data), default=str))
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100))
