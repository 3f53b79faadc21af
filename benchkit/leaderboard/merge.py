"""Rows from several submissions of one protocol as one run, so that one board ranks and pairs them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchkit.errors import BenchkitError
from benchkit.leaderboard.protocol import ROWS
from benchkit.leaderboard.submission import Submission, normalise_rows
from benchkit.report.aggregate import KEY
from benchkit.report.format_values import known
from benchkit.report.names import named_rows
from benchkit.report.run_data import RunData
from benchkit.specs.keys import digest


def group_by_protocol(submissions: Sequence[Submission]) -> dict[str, list[Submission]]:
    """Return protocol -> its submissions, in their order: each protocol has a board of its own."""
    found: dict[str, list[Submission]] = defaultdict(list)
    for submission in submissions:
        found[submission.facts.protocol].append(submission)
    return dict(found)


def merge_submissions(submissions: Sequence[Submission]) -> RunData:
    """Return submissions of one protocol, which have been checked together, as one run.

    A row that several of them have (the same plugins of the same source, the same labels) is taken from the first one.
    Of two plugins with one name and different sources both rows stay; the later one's names its submission. The column
    `submission` names each row's. Raises BenchkitError for submissions of several protocols.
    """
    if len({one.facts.protocol for one in submissions}) != 1:
        raise BenchkitError("submissions of several protocols have no common board")
    rows: list[dict[str, Any]] = []
    records: dict[str, Mapping[str, np.ndarray]] = {}
    plugins: dict[str, Any] = {}
    shown: dict[str, str] = {}
    taken: dict[tuple[Any, ...], dict[str, Any]] = {}
    for submission in submissions:
        own = submission.facts.environment["plugins"]
        other = {name for name, facts in own.items() if name in plugins and plugins[name]["source"] != facts["source"]}
        renamed = {name: f"{name} ({submission.facts.name})" for name in other}
        plugins |= {
            renamed.get(name, name): facts for name, facts in own.items() if name not in plugins or name in other
        }
        shown |= submission.facts.grid.get("shown") or {}
        lines, new = submission.rows.to_dict("records"), {}
        for line in lines:
            key = tuple(str(line[name]) if known(line[name]) else "" for name in KEY)
            sources = {name: own[name]["source"] for name in _uses(line)}
            if taken.get(key, sources) != sources:  # one name, another source
                line |= {"method": f"{line['method']} ({submission.facts.name})"} if known(line["method"]) else {}
                key = (*key, submission.facts.name)
            if key in taken:
                continue
            new[key] = sources
            line["uses"] = "; ".join(sorted(renamed.get(name, name) for name in _uses(line))) or None
            rows.append({**{str(key): value for key, value in line.items()}, "submission": submission.facts.name})
            if line["cell"] in submission.data.records:
                records[line["cell"]] = submission.data.records[line["cell"]]
        taken |= new
    first = submissions[0].facts
    grid = {key: value for key, value in first.grid.items() if key not in (*ROWS, "note", "remarks", "paper")}
    frame = pd.DataFrame(rows).drop(columns="training_set")
    named = named_rows(normalise_rows(frame), shown)
    environment = {**first.environment, "plugins": plugins}
    name = f"leaderboard-{digest(sorted(one.facts.name for one in submissions))[:12]}"
    return RunData(name, {**grid, "shown": shown}, environment, named, records)


def _uses(line: Any) -> list[str]:
    return str(line["uses"]).split("; ") if known(line["uses"]) else []
