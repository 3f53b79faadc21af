"""The board: a line per training set, selector and detector, its seeds aggregated, best first, with how sure it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from benchkit.errors import BenchkitError, describe_error
from benchkit.metrics import PRIMARY, is_metric
from benchkit.report.aggregate import aggregated
from benchkit.report.compared import with_uncertainty
from benchkit.report.data import RunData
from benchkit.report.foreign import foreign_plugins, named_by, shortened
from benchkit.report.older import READABLE, READABLE_TEXT, SCHEMA, upgraded
from benchkit.report.text import MISSING, bare, known, listed, short_reason
from benchkit.specs.cell import ROLES
from benchkit.statistics.bootstrap import LEVEL, REPLICATES
from benchkit.store.schema import SETTINGS

#: Which part of the board a line belongs to, in this order.
TRAINED, TRIVIAL, MISSING_ROWS = "trained", "trivial", "missing"
_HEAD = ("run", "title", "note", "replicates", "level")


@dataclass(frozen=True, eq=False)
class Board:
    """A run's board. frame: a line per (test set, detector, selector, training set), columns as follows.

    group: trained, trivial or missing. rank, rank_low, rank_high: among the trained lines of the same test set and
    detector. training_set: the printed name; role, method, selector, corruptor, corruptor_params, inverter,
    source_name, variant, detector, test_set: what the line is, see benchkit.specs.cell.Cell, None where there is none.
    state: done, partial (some seeds lack), failed, skipped or pending; reason: why. seeds: how many the figures are
    the mean of; planned_seeds; seed_variance: whether the intervals cover it. images: test images. Every metric as
    its mean over seeds in [0, 1] or its unit, and NAME_std, undefined where any seed's is (NAME_std also with one
    seed). PRIMARY_low, PRIMARY_high: its interval. delta_pseudo, delta_human with _low, _high and _positive (share of
    draws above zero): the primary's paired difference to these baselines of the same detector (and selector). Then
    the remaining numbers of the rows (train_images, dropped, confinement_* ...), their means over seeds, and the
    settings that decide the figures, benchkit.store.schema.SETTINGS. plugins: those of the line that do not ship with
    benchkit, with package, version and source hash, or None.

    paper: of a run of one of the paper's tables what benchkit.planning.paper_protocol.recorded says of it. shown:
    complete Specs and image sets -> their texts for people.
    """

    run: str
    title: str
    note: str
    frame: pd.DataFrame
    replicates: int = REPLICATES
    level: float = LEVEL
    paper: Mapping[str, Any] | None = None
    shown: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, run: RunData, replicates: int = REPLICATES, seed: int = 0) -> Board:
        """The board of a run; seed: of the bootstrap. Raises BenchkitError where rows and records do not fit."""
        lines = aggregated(run.rows, is_metric)
        lines = with_uncertainty(lines, run.rows, run.records, replicates, seed)
        foreign = foreign_plugins(run.environment)
        groups = list(map(_group, lines["role"], lines["seeds"]))
        plugins = pd.Series([named_by(line, foreign) for line in lines.to_dict("records")], lines.index, dtype=object)
        # At once: pandas warns of columns that are added one by one to a frame of many.
        lines = pd.concat([lines, pd.DataFrame({"group": groups, "plugins": plugins}, index=lines.index)], axis=1)
        title = str(run.grid.get("title") or run.run)
        note = " ".join(map(str, filter(None, (run.grid.get("note"), *(run.grid.get("remarks") or ())))))
        paper, shown = run.grid.get("paper"), run.grid.get("shown") or {}
        return cls(run.run, title, note, _ordered(lines), replicates, paper=paper, shown=shown)

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
        return tuple(name for name in map(str, self.frame) if is_metric(name) and not name.endswith("_std"))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know to read the figures, a sentence or two each."""
        measured = self.frame[self.frame["group"] != MISSING_ROWS]
        if measured.empty:
            return ("No row of this board has figures.",)
        sets = (self.short(text) for text in measured["test_set"])
        tests = listed(f"{int(n)} images of {t}" for n, t in zip(measured["images"], sets, strict=True))
        share = f"{self.level * 100:g} %"
        return (
            f"Artifact IoU is pooled over all pixels of the test set ({tests}) at the threshold 0.5. Shares are in per "
            "cent.",
            f"Brackets are {share} intervals from {self.replicates} bootstrap draws of the test images, the same draws "
            f"for every row. {self._seed_note()}",
            "Ranks are by pooled artifact IoU among the trained rows of one detector. Differences (Δ) are paired: same "
            f"images, same seeds. Nothing is corrected for many comparisons: of 20 equal pairs, {share} intervals call "
            "one different.",
            *self._foreign_note(),
        )

    def short(self, text: str | None) -> str:
        """A label of a line as people are shown it: a Spec without its defaults; MISSING where there is none."""
        return self.shown.get(text, text) if text is not None and known(text) else MISSING

    def _foreign_note(self) -> tuple[str, ...]:
        texts = [text for text in self.frame.get("plugins", ()) if known(text)]
        names = sorted({part for text in texts for part in text.split("; ")})
        return (f"Not shipped with benchkit: {'; '.join(map(shortened, names))}.",) if names else ()

    def _seed_note(self) -> str:
        seeds = (self.trained if len(self.trained) else self.trivial)["seeds"]
        if seeds.max() == 1:
            return "One seed: no seed variance is covered, another training run may differ by more than a bracket."
        note = "They cover seeds as well, as far as so few seeds can tell."
        if seeds.min() == 1:
            note += " Rows with one seed cover no seed variance."
        return note

    def rows(self) -> list[dict[str, Any]]:
        """The lines as plain records, each to be read on its own: what holds for the board, then the frame's."""
        head = {"schema": SCHEMA, "source": "run", **self._head()}
        return [{**head, **line, **self._shown_in(line)} for line in plain_records(self.frame)]

    def _shown_in(self, line: Mapping[str, Any]) -> dict[str, Any]:
        """What is shown in the place of this line's texts."""
        texts = (str(line.get(name)) for name in _TEXT)
        found = {text: self.shown[text] for text in texts if text in self.shown}
        return {"shown": found} if found else {}

    def as_json(self) -> dict[str, Any]:
        """The board as plain data; `from_json` reads it back."""
        return {"schema": SCHEMA, **self._head(), "rows": self.rows()}

    def _head(self) -> dict[str, Any]:
        paper = {} if self.paper is None else {"paper": dict(self.paper)}
        return {name: getattr(self, name) for name in _HEAD} | paper

    @classmethod
    def from_json(cls, data: Any, where: str) -> Board:
        """The board that `as_json` gave; `where` names it in messages.

        Raises BenchkitError for anything else, or for another schema version.
        """
        if not isinstance(data, Mapping) or "schema" not in data:
            raise BenchkitError(f"{where}: not a board")
        if data["schema"] not in READABLE:
            raise BenchkitError(f"{where}: schema {data['schema']}, but this version reads {READABLE_TEXT}")
        if missing := [name for name in (*_HEAD, "rows") if name not in data]:
            raise BenchkitError(f"{where}: not a board: '{missing[0]}' is missing")
        facts = {name: data[name] for name in _HEAD}
        for name, value in facts.items():
            if not _HEAD_KINDS[name](value):
                raise BenchkitError(f"{where}: not a board: '{name}' is {short_reason(repr(value))}")
        if not isinstance(data["rows"], list) or not all(isinstance(row, Mapping) for row in data["rows"]):
            raise BenchkitError(f"{where}: not a board: 'rows' is no list of records")
        rows = [upgraded(row) for row in data["rows"]]
        head = ("schema", "source", "paper", "shown", *_HEAD)
        frame = pd.DataFrame([{k: v for k, v in row.items() if k not in head} for row in rows])
        if lacking := [name for name in _LEADING if name not in frame]:
            raise BenchkitError(f"{where}: not a board: its rows lack '{lacking[0]}'")
        return cls(**facts, frame=_checked(frame, where), paper=_paper(data, where), shown=_shown(rows, where))


_LABELS = (
    *(
        "training_set",
        "role",
        "method",
        "selector",
        "corruptor",
        "corruptor_params",
        "inverter",
        "source_name",
        "variant",
    ),
    *("detector", "test_set"),
)
_NUMBERS = ("labelled", "source_images", "test_images", "validation_images", "num_inference_steps")
_TEXT = (
    "group",
    *_LABELS,
    "state",
    "reason",
    "plugins",
    *(n for n in SETTINGS if n not in (*_NUMBERS, "paste_background")),
)
_COUNTS = ("seeds", "planned_seeds")
_LEADING = (
    *("group", "rank", "rank_low", "rank_high", *_LABELS),
    *("state", "reason", "seeds", "planned_seeds", "seed_variance", "images"),
    *(PRIMARY, f"{PRIMARY}_std", f"{PRIMARY}_low", f"{PRIMARY}_high"),
    *("delta_pseudo", "delta_pseudo_low", "delta_pseudo_high", "delta_pseudo_positive"),
    *("delta_human", "delta_human_low", "delta_human_high", "delta_human_positive"),
)


#: What a board's head may hold: it may be anybody's.
_HEAD_KINDS: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("run", "title", "note"), lambda value: isinstance(value, str)),
    "replicates": lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0,
    "level": lambda value: isinstance(value, int | float) and 0 < value < 1,
}


def _checked(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """The frame with its types; raises BenchkitError for what is of another."""
    for name, column in frame.items():
        if bad := [value for value in column if isinstance(value, Mapping | list)]:
            raise BenchkitError(f"{where}: not a board: a row's '{name}' is {short_reason(repr(bad[0]))}")
    if not set(frame["role"]) <= set(ROLES):
        raise BenchkitError(f"{where}: not a board: a row's 'role' is none of {', '.join(ROLES)}")
    if not set(frame["group"]) <= {TRAINED, TRIVIAL, MISSING_ROWS}:
        raise BenchkitError(f"{where}: not a board: a row's 'group' is none of {TRAINED}, {TRIVIAL}, {MISSING_ROWS}")
    if lacking := [name for name in ("training_set", "role", "test_set", "state") if not frame[name].map(known).all()]:
        raise BenchkitError(f"{where}: not a board: a row without '{lacking[0]}'")
    try:
        typed = _typed(frame)
    except (ValueError, TypeError, OverflowError) as error:
        raise BenchkitError(f"{where}: not a board: {describe_error(error)}") from None
    measured = typed.loc[typed["group"] != MISSING_ROWS, "images"]
    if not np.isfinite(measured).all():
        raise BenchkitError(f"{where}: not a board: a row with figures does not say of how many 'images'")
    return typed


def _paper(data: Mapping[str, Any], where: str) -> Mapping[str, Any] | None:
    """A board's `paper`, checked; raises BenchkitError where it is not what
    `benchkit.planning.paper_protocol.recorded` gives."""
    paper = data.get("paper")
    if paper is None:
        return None
    kinds = {"table": int, "sources": Mapping, "differs": list}
    if not isinstance(paper, Mapping) or not all(isinstance(paper.get(name), kind) for name, kind in kinds.items()):
        raise BenchkitError(f"{where}: not a board: 'paper' lacks {', '.join(kinds)}")
    return paper


def _shown(rows: Sequence[Mapping[str, Any]], where: str) -> dict[str, str]:
    """What is shown in the place of the rows' texts; raises BenchkitError where that is no mapping of texts."""
    found: dict[str, str] = {}
    for row in rows:
        shown = row.get("shown", {})
        if not isinstance(shown, Mapping) or not all(isinstance(text, str) for pair in shown.items() for text in pair):
            raise BenchkitError(f"{where}: not a board: 'shown' is {short_reason(repr(shown))}")
        found |= shown
    return found


def _group(role: str, seeds: int) -> str:
    if not seeds:
        return MISSING_ROWS
    return TRIVIAL if role == "trivial" else TRAINED


def _ordered(lines: pd.DataFrame) -> pd.DataFrame:
    """Board order: trained lines by test set and detector as they came, best first; trivial; missing as they came."""
    groups = {name: i for i, name in enumerate((TRAINED, TRIVIAL, MISSING_ROWS))}
    place = pd.DataFrame(
        {
            "group": lines["group"].map(groups),
            "test_set": pd.factorize(lines["test_set"])[0],
            "detector": pd.factorize(lines["detector"], use_na_sentinel=False)[0],
            "primary": -lines[PRIMARY].fillna(-np.inf),
        }
    )
    place.loc[lines["group"] == MISSING_ROWS, ["test_set", "detector", "primary"]] = 0
    order = place.sort_values([*map(str, place)], kind="stable").index
    rest = [name for name in lines if name not in (*_LEADING, *SETTINGS)]
    rest += SETTINGS
    return _typed(lines.loc[order, [*_LEADING, *rest]].reset_index(drop=True))


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Text columns hold str or None, seed_variance bool, numbers of seeds int, all else float."""
    typed = {}
    for key, column in frame.items():
        name = str(key)
        if name in _TEXT:
            values = [str(value) if known(value) else None for value in column]
            typed[name] = pd.Series(values, dtype=object)
        elif name == "seed_variance":
            typed[name] = column.astype(bool)
        elif name == "paste_background":
            typed[name] = pd.Series([bool(value) if known(value) else None for value in column], dtype=object)
        else:
            typed[name] = pd.to_numeric(column, errors="coerce").astype(int if name in _COUNTS else float)
    return pd.DataFrame(typed)


def plain_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A frame's lines as JSON's own types; what is undefined or not finite becomes None."""
    columns = {str(name): [_plain(value) for value in column] for name, column in frame.items()}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def short_names(specs: pd.Series, shown: Mapping[str, str] | None = None) -> dict[str, str]:
    """Every Spec's text -> its bare name where that is unambiguous among them, else the text that is shown for it."""
    texts = list(dict.fromkeys(text for text in specs if known(text)))
    names = [bare(text) for text in texts]
    shown = shown or {}
    # Texts that are shown alike are one plugin: a learned selector that names the detector of each of its rows, say.
    alike = [{shown.get(t, t) for t, other in zip(texts, names, strict=True) if other == n} for n in names]
    return {t: n if len(own) == 1 else shown.get(t, t) for t, n, own in zip(texts, names, alike, strict=True)}
