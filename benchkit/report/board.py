"""The board's data: a row per training set, selector and detector, seeds aggregated, best first, with uncertainty.

The columns that people see are chosen in `board_table`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd

from benchkit.errors import BenchkitError
from benchkit.metrics import PRIMARY, is_metric
from benchkit.report.aggregate import aggregate_rows
from benchkit.report.board_file import (
    GROUPS,
    HEAD,
    LEADING,
    MISSING_ROWS,
    TEXT,
    TRAINED,
    TRIVIAL,
    read_board,
    with_types,
)
from benchkit.report.format_values import MISSING, bare, known
from benchkit.report.frames import get_columns, line_records, make_frame, to_objects
from benchkit.report.old_schemas import READABLE, READABLE_TEXT, SCHEMA
from benchkit.report.run_data import RunData, read_look_rule
from benchkit.report.third_party import foreign_plugins, named_by
from benchkit.statistics.confidence_level import LEVEL
from benchkit.store.columns import SETTINGS

Record = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Board:
    """A run's board. frame: a line per (test set, detector, selector, training set), columns as follows.

    group: trained, trivial or missing. training_set: the printed name; role, method, selector, corruptor,
    corruptor_params, inverter, source_name, variant, detector, test_set: what the line is, see
    benchkit.specs.cell.Cell, None where there is none. state: done, partial (some seeds lack), failed, skipped or
    pending; reason: why. seeds: how many the figures are the mean of; planned_seeds. images: test images.

    Every metric as its mean over seeds in [0, 1] or its unit, and NAME_std, undefined where any seed's is (NAME_std
    also with one seed). The columns of benchkit.report.uncertainty: for both RANKINGS, METRIC_low and _high are the
    interval; rank, rank_low, rank_high the place among the trained lines of the same test set, detector and protocol,
    with its simultaneous interval; delta_pseudo, delta_human with _low, _high, _p (adjusted) and _verdict the paired
    difference to these baselines (of AP: average_precision_rank …); _low and _high of kind_iou and kind_recall of
    every kind. seed_variance: whether intervals cover it.
    unstable: its seeds vary far more than the other lines'. reordered: it changes places between the rankings.
    protocol: the settings that differ from the grid's. floor: IoU and AP of a detector that predicts an artifact
    everywhere. no_interval: why there is none.

    curve: the mean learning curve of the seeds, JSON of benchkit.report.curves.MeanCurve, or None; still_climbing: the
    fraction of the seeds with a curve whose curve still climbs, see benchkit.metrics.curves.

    Then the settings that decide the figures (benchkit.store.columns.SETTINGS; steps: inversion steps; iterations: of
    the training), the remaining numbers of the rows (train_images, dropped, confinement_* …), their means over seeds,
    and plugins: those of the line that do not ship with benchkit, with package, version and source hash, or None.

    pairs, resolution, across: see `Uncertainty`; first and second of pairs are places in the frame. paper: of a run of
    one of the paper's tables what benchkit.planning.paper_protocol.to_record says of it. shown: complete Specs and
    image sets -> their texts for people. looks: of a run with `until_resolved` what `looks_as_json` returns; every
    interval, rank and verdict then holds at `level` over all looks. replicates: bootstrap draws behind the intervals of
    a board of an earlier version, else 0.
    """

    run: str
    title: str
    note: str
    frame: pd.DataFrame
    level: float = LEVEL
    paper: Record | None = None
    shown: Mapping[str, str] = field(default_factory=dict)
    pairs: Sequence[Record] = ()
    resolution: Sequence[Record] = ()
    looks: Record | None = None
    replicates: int = 0
    across: Mapping[str, Sequence[Record]] = field(default_factory=dict)

    @classmethod
    def of(cls, run: RunData) -> Board:
        """Return the board of a run. Raises BenchkitError where rows and records do not fit."""
        # Here, because they load SciPy: a board that is only read needs none of it.
        from benchkit.report.look_records import follow_run, looks_as_json
        from benchkit.report.uncertainty import add_uncertainty

        aggregated, shown = aggregate_rows(run.rows, is_metric), run.grid.get("shown") or {}
        rule = read_look_rule(run.grid)
        looks = None if rule is None else looks_as_json(rule, follow_run(aggregated, run.records, rule, shown))
        found = add_uncertainty(aggregated, run.records, 1 if rule is None else len(rule.numbers))
        lines = found.lines
        foreign = foreign_plugins(run.environment)
        groups = [
            MISSING_ROWS if not seeds else TRIVIAL if role == "trivial" else TRAINED
            for role, seeds in zip(lines["role"], lines["seeds"], strict=True)
        ]
        plugins = [named_by(line, foreign) for line in line_records(lines)]
        # At once: pandas warns of columns that are added one by one to a frame of many.
        more = make_frame({"group": to_objects(groups), "plugins": to_objects(plugins)}, len(lines))
        lines = pd.concat([lines, more], axis=1)
        order = _sort_lines(lines)
        rest = [name for name in lines if name not in (*LEADING, *SETTINGS)]
        frame = with_types(get_columns(lines.loc[order, [*LEADING, *rest, *SETTINGS]]), len(order))
        place = {line: i for i, line in enumerate(order)}
        pairs = [pair | {"first": place[pair["first"]], "second": place[pair["second"]]} for pair in found.pairs]
        title = str(run.grid.get("title") or run.run)
        note = " ".join(map(str, filter(None, (run.grid.get("note"), *(run.grid.get("remarks") or ())))))
        paper, resolution = run.grid.get("paper"), _plain_values(found.resolution)
        across = {name: _plain_values(records) for name, records in found.across.items()}
        kept = (_plain_values(pairs), resolution, looks)
        return cls(run.run, title, note, frame, LEVEL, paper, shown, *kept, across=across)

    @property
    def trained(self) -> pd.DataFrame:
        """The lines of trained detectors that have figures."""
        return self.frame[self.frame["group"] == TRAINED]

    @property
    def trivial(self) -> pd.DataFrame:
        """The lines of predictions without training."""
        return self.frame[self.frame["group"] == TRIVIAL]

    @property
    def missing(self) -> pd.DataFrame:
        """The lines without figures."""
        return self.frame[self.frame["group"] == MISSING_ROWS]

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics on this board."""
        beside = ("_std", "_low", "_high")
        return tuple(name for name in map(str, self.frame) if is_metric(name) and not name.endswith(beside))

    def short(self, text: str | None) -> str:
        """Return a label of a line as people are shown it: a Spec without its defaults; MISSING where there is none."""
        return self.shown.get(text, text) if text is not None and known(text) else MISSING

    def rows(self) -> list[dict[str, Any]]:
        """Return the lines as plain records, each to be read on its own: what holds for the board, then the frame's."""
        head = {"schema": SCHEMA, "source": "run", **self._named()}
        return [{**head, **line, **self._shown_in(line)} for line in plain_records(self.frame)]

    def _shown_in(self, line: Record) -> dict[str, Any]:
        texts = (str(line.get(name)) for name in TEXT)
        found = {text: self.shown[text] for text in texts if text in self.shown}
        return {"shown": found} if found else {}

    def head(self) -> dict[str, Any]:
        """Return what holds for the whole board as plain data; the rows, the pairs and `shown` are not in it."""
        looks = {} if self.looks is None else {"looks": dict(self.looks)}
        across = {"across": {name: list(records) for name, records in self.across.items()}} if self.across else {}
        return {**self._named(), **looks, "resolution": list(self.resolution), **across}

    def as_json(self) -> dict[str, Any]:
        """Return the board as plain data; `from_json` reads it back."""
        return {"schema": SCHEMA, **self.head(), "rows": self.rows(), "pairs": list(self.pairs)}

    def _named(self) -> dict[str, Any]:
        paper = {} if self.paper is None else {"paper": dict(self.paper)}
        older = {"replicates": self.replicates} if self.replicates else {}
        return {name: getattr(self, name) for name in HEAD} | paper | older

    @classmethod
    def from_json(cls, data: Any, where: str, columns: Callable[[str], bool] | None = None) -> Board:
        """Return the board that `as_json` gave; `where` names it in messages.

        columns: which columns of the frame are needed, if not all. Raises BenchkitError for anything else, or for
        another schema version.
        """
        if not isinstance(data, Mapping) or "schema" not in data:
            raise BenchkitError(f"{where}: not a board")
        if data["schema"] not in READABLE:
            raise BenchkitError(f"{where}: schema {data['schema']}, but this version reads {READABLE_TEXT}")
        return cls(**read_board(data, where, columns))


def _sort_lines(lines: pd.DataFrame) -> list[Any]:
    """Return the board's order: trained lines by test set, detector and protocol as they came, best first; trivial;
    missing as they came."""
    place = pd.DataFrame(
        {
            "group": lines["group"].map({name: i for i, name in enumerate(GROUPS)}),
            **{
                name: pd.factorize(lines[name], use_na_sentinel=False)[0]
                for name in ("test_set", "detector", "protocol")
            },
            "primary": -lines[PRIMARY].fillna(-np.inf),
        }
    )
    place.loc[lines["group"] == MISSING_ROWS, ["test_set", "detector", "protocol", "primary"]] = 0
    return list(place.sort_values([*map(str, place)], kind="stable").index)


def plain_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a frame's lines as JSON's own types; what is undefined or not finite becomes None."""
    values, numbers = frame.to_numpy(object), frame.dtypes.to_numpy() == np.dtype(float)
    values[:, numbers] = np.where(np.isfinite(frame.loc[:, numbers].to_numpy()), values[:, numbers], np.array(None))
    values[:, ~numbers] = [[_plain(value) for value in line] for line in values[:, ~numbers].tolist()]
    names = [str(name) for name in frame]
    return [dict(zip(names, line, strict=True)) for line in values.tolist()]


def _plain_values(records: Sequence[Record]) -> list[Record]:
    return [
        {name: [*map(_plain, value)] if isinstance(value, tuple) else _plain(value) for name, value in record.items()}
        for record in records
    ]


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value if value is None or isinstance(value, str | bool | int) else str(value)


def short_names(specs: pd.Series, shown: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return every Spec's text -> its bare name where that is unambiguous among them, else the text shown for it."""
    texts = [text for text in specs.unique() if known(text)]
    names = [bare(text) for text in texts]
    shown = shown or {}
    # Texts that are shown alike are one plugin: a learned selector that names the detector of each of its rows, say.
    alike: dict[str, set[str]] = {}
    for text, name in zip(texts, names, strict=True):
        alike.setdefault(name, set()).add(shown.get(text, text))
    return {t: n if len(alike[n]) == 1 else shown.get(t, t) for t, n in zip(texts, names, strict=True)}
