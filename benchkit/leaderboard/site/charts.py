"""The charts of a method's page as plain data; site.js gives them to Plotly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchkit.leaderboard.site.kinds import Bars, KindFigures
from benchkit.leaderboard.site.row_columns import Row, Rows
from benchkit.report.columns import BY_KIND
from benchkit.report.curves import mean_curve
from benchkit.report.format_values import known

#: A chart's title, the sentence below it, and its data.
Chart = tuple[str, str, dict[str, Any]]
#: Lines of one chart; more cannot be told apart.
_MOST = 6
#: Rows whose learning curves are read; of a method on a board of 100,000 rows, all would take long.
_MOST_READ = 500
#: What tells two lines of a chart apart.
_LABELS = ("name", "detector", "selector", "board")


def depth_chart(rows: Rows) -> Chart | None:
    """Return artifact IoU and AP over inversion steps, two lines per detector and selector.

    None with fewer than two depths.
    """
    lines: dict[tuple[str | None, ...], dict[float, Row]] = {}
    measured = (rows.column("kind") == "trained") & (rows.column("role") == "corrupted")
    for row in rows.take(measured & rows.known("steps") & rows.known("iou")):
        others = row["name"].replace(f"steps={row['steps']:g}", "").strip(":,")
        key = (others, *(row[name] for name in _LABELS[1:]))
        lines.setdefault(key, {})[float(row["steps"])] = row
    lines = {key: dict(sorted(own.items())) for key, own in lines.items() if len(own) > 1}
    if not lines:
        return None
    traces: list[dict[str, Any]] = []
    labels = _label_lines(list(lines))
    for colour, (label, own) in enumerate(list(zip(labels, lines.values(), strict=True))[:_MOST]):
        for figure, name, dashed in (("iou", "artifact IoU", False), ("ap", "AP", True)):
            points = {steps: row for steps, row in own.items() if known(row.get(figure))}
            line: dict[str, Any] = {"kind": "line", "name": f"{label}: {name}", "color": colour, "dashed": dashed}
            if points:
                traces.append({**line, "x": list(points), **_bounds(points.values(), figure)})
    words = (
        "Artifact IoU and AP with their 95 % intervals over the number of inversion steps, counted from the clean end."
    )
    return "Over depth", words, {"x": "inversion steps", "y": "artifact IoU and AP, %", "traces": traces}


def learning_chart(rows: Rows) -> Chart | None:
    """Return average precision over training iterations, a line per row; None where no row has a learning curve."""
    curves = [(row, curve) for row in rows[:_MOST_READ] if (curve := mean_curve(row)) and len(curve.iterations) > 1]
    traces = []
    labels = _label_lines([tuple(row[name] for name in _LABELS) for row, _ in curves])
    for colour, (label, (_, curve)) in enumerate(list(zip(labels, curves, strict=True))[:_MOST]):
        names = ("average_precision", "average_precision_min", "average_precision_max")
        points = zip(*(getattr(curve, name) for name in names), strict=True)
        value, up, down = _errors(list(points))
        traces.append(
            {"kind": "line", "name": label, "color": colour, "x": curve.iterations, "y": value, "up": up, "down": down}
        )
    if not traces:
        return None
    words = (
        "Average precision on validation images during training, mean of the seeds; the bars reach from the lowest to "
        "the highest seed. A curve that still climbs at its end would gain from a longer training."
    )
    if len(curves) > _MOST:
        words += f" The first {_MOST} of {len(curves)} rows."
    return "Learning curves", words, {"x": "iterations", "y": "average precision, %", "traces": traces}


def pick_rows(rows: Rows, kinds: KindFigures) -> tuple[str, Rows]:
    """Return the figure by kind that is known of rows, empty if none is, and the best row of each of the detectors."""
    measured = rows.take((rows.column("kind") == "trained") & rows.known("iou"))
    for figure in BY_KIND:
        own = measured.take(kinds.have(figure, measured.column("place")))
        if len(own):
            order = np.argsort(-own.numbers("iou"), kind="stable")
            codes, detectors = pd.factorize(own.column("detector"))
            best = [order[np.argmax(codes[order] == code)] for code in range(min(len(detectors), _MOST))]
            return figure, own.take(np.array(best))
    return "", measured[:0]


def kinds_chart(figure: str, rows: Rows, kinds: Mapping[tuple[int, str], Bars]) -> Chart | None:
    """Return IoU, or else recall, by kind of artifact, as bars of each row; None without kinds.

    figure, rows: as `pick_rows` returns them. kinds: as `KindFigures.read` returns them.
    """
    traces = []
    for colour, row in enumerate(rows):
        own = kinds[row["place"], figure]
        value, up, down = _errors([*own.values()])
        names = [kind.replace("_", " ") for kind in own]
        label = f"{row['name']}, {row['detector']}"
        traces.append({"kind": "bars", "name": label, "color": colour, "x": names, "y": value, "up": up, "down": down})
    if not traces:
        return None
    name = "IoU" if figure == "kind_iou" else "recall"
    words = (
        f"{name} of each kind of artifact, with its 95 % interval, of the best row of each detector. Pixels of one "
        "kind against clean pixels: a rare kind has a low IoU, so compare methods, not kinds."
    )
    data = {"x": "", "y": f"{name}, %", "traces": traces, "category": True, "height": 480}
    return "By kind of artifact", words[:1].upper() + words[1:], data


def _label_lines(keys: Sequence[tuple[str | None, ...]]) -> list[str]:
    """Return a label for each line: its name, and what else differs between the lines."""
    differ = [i for i in range(len(_LABELS)) if i == 0 or len({key[i] for key in keys}) > 1]
    return [", ".join(str(key[i]) for i in differ if key[i]) for key in keys]


def cost_words(rows: Rows) -> Iterator[str]:
    """Yield what one corrupted image of a method costs, where that is known."""
    costs = sorted(int(cost) for cost in rows.distinct("evaluations") if cost is not None)
    if costs:
        span = str(costs[0]) if len(costs) == 1 else f"{costs[0]} to {costs[-1]}"
        yield f"One corrupted image takes {span} network evaluations of the diffusion model."


def _bounds(rows: Iterable[Row], key: str) -> dict[str, list[float]]:
    value, up, down = _errors([(row[key], row.get(f"{key}_low"), row.get(f"{key}_high")) for row in rows])
    return {"y": value, "up": up, "down": down}


def _errors(figures: Sequence[tuple[Any, Any, Any]]) -> tuple[list[float], list[float], list[float]]:
    """Return figures in per cent, and how far their intervals reach up and down."""
    values = [round(100 * float(value), 4) for value, _, _ in figures]
    up = [round(100 * (high - value), 4) if known(high) else 0.0 for value, _, high in figures]
    down = [round(100 * (value - low), 4) if known(low) else 0.0 for value, low, _ in figures]
    return values, up, down
