"""What every submission must fulfil: its seeds, its rows, one protocol, plugins that others can get.

`submit` and `check` keep the same rules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import pandas as pd

from benchkit.errors import BenchkitError, UnknownNameError, shortened
from benchkit.leaderboard.protocol import digest_protocol, seeds_of
from benchkit.leaderboard.submission import MOST_CELLS, Facts
from benchkit.report.aggregate import KEY
from benchkit.report.format_values import bare, known, one_line
from benchkit.report.third_party import OWN
from benchkit.specs.cell import ROLES
from benchkit.specs.spec import Spec
from benchkit.store.columns import ROW_COLUMNS

#: A row needs at least so many seeds; on these datasets, which cost nothing to enlarge, more.
LEAST_SEEDS, LEAST_SEEDS_OF = 3, {"portraits": 5}
#: States of finished cells. Failed and skipped ones stay on the board, with their reasons.
ENDED = ("done", "failed", "skipped")
#: What the rows of one board have in common.
_COMMON = (
    *("test_set", "test_images", "validation_images", "label", "paste_background"),
    *("checkpoint_sha256", "dtype", "autoencoder", "num_inference_steps", "schema_version"),
)
_LONGEST = 2000
#: Roles that have a row for every selector and source.
_BY_REGION = ("pseudo", "corrupted", "mixed")


def check_rules(facts: Facts, rows: pd.DataFrame) -> None:
    """Raise BenchkitError for the first rule that a submission breaks."""
    for fault in _find_faults(facts, rows):
        raise BenchkitError(fault)


def least_seeds(dataset: str) -> int:
    """Return how many seeds every row needs on a dataset, a Spec as text."""
    return LEAST_SEEDS_OF.get(bare(dataset), LEAST_SEEDS)


def _find_faults(facts: Facts, rows: pd.DataFrame) -> Iterator[str]:
    if missing := [name for name in ("training_set", *ROW_COLUMNS) if name not in rows]:
        yield f"its rows have no column '{missing[0]}'"
    if not len(rows):
        yield "it has no rows"
    yield from _unfinished(rows)
    yield from _bad_texts(rows)
    yield from _repeated_rows(rows)
    yield from _several_protocols(facts, rows)
    yield from _wrong_seeds(facts.grid, rows)
    yield from _missing_rows(facts.grid, rows)
    yield from _unknown_plugins(facts, rows)


def _unfinished(rows: pd.DataFrame) -> Iterator[str]:
    for state, name, why in zip(rows["state"], rows["training_set"], rows["reason"], strict=True):
        if state not in ENDED:
            yield f"the run is not finished: a cell of the row '{_short(name)}' is {state}; run the same command again"
        if state != "done" and not known(why):
            yield f"a cell of the row '{_short(name)}' is {state} without a reason"


def _bad_texts(rows: pd.DataFrame) -> Iterator[str]:
    for name in ("cell", "training_set", "role", "test_set", "run"):
        if not all(isinstance(value, str) and value for value in rows[name]):
            yield f"its rows have no '{name}' in some line"
    if len(rows) > MOST_CELLS or rows["cell"].duplicated().any():
        yield f"the cell {rows.loc[rows['cell'].duplicated(), 'cell'].iloc[0][:12]} is in two lines"
    for role in rows["role"]:
        if role not in ROLES:
            yield str(UnknownNameError("role", _short(role), ROLES))
    if not all(isinstance(seed, int) for seed in rows["seed"].tolist()):
        yield "its rows have no 'seed' in some line"
    for name in ("training_set", "method", "corruptor", "selector", "detector", "inverter", "source_name", "test_set"):
        for text in dict.fromkeys(value for value in rows[name] if known(value)):
            if not isinstance(text, str) or len(text) > _LONGEST or one_line(text) != " ".join(text.split()):
                yield f"a row's '{name}' is not one line of text: '{_short(text)}'"


def _repeated_rows(rows: pd.DataFrame) -> Iterator[str]:
    labels = {name: [str(value) if known(value) else "" for value in rows[name]] for name in (*KEY, "seed")}
    for most, number in Counter(zip(*labels.values(), strict=True)).most_common(1):
        of = dict(zip(labels, most, strict=True))
        if number > 1:
            yield f"{number} lines are of the row '{_short(of['method'] or of['role'])}' and seed {of['seed']}"


def _several_protocols(facts: Facts, rows: pd.DataFrame) -> Iterator[str]:
    if any(map(known, rows["variant"])) or facts.grid.get("vary"):
        yield "its rows are of several protocols: an ablation has no ranking; submit the run of one grid"
    for name in _COMMON:
        values = list(dict.fromkeys(value for value in rows[name].tolist() if known(value)))
        if len(values) > 1:
            yield f"its rows are of several protocols: '{name}' is {_short(values[0])} and {_short(values[1])}"
    trained = rows[rows["role"] != "trivial"]
    # The row `oracle` may train longer than the others. `human` has the `selector_training` of its own detector, other
    # rows that of the network which chooses their regions.
    alike = {"training": trained[trained["role"] != "oracle"], "selector_training": trained}
    for name, by in (("training", ["detector"]), ("selector_training", ["detector", "selector"])):
        first: dict[tuple[Any, ...], Any] = {}
        for value, *key in zip(*(alike[name][column] for column in (name, *by)), strict=True):
            if known(value) and first.setdefault(tuple(key), value) != value:
                yield f"its rows are of several protocols: '{bare(str(key[0]))}' has two different '{name}'"
    steps = {value for value in rows["num_inference_steps"].tolist() if known(value)}
    if steps and facts.grid.get("num_inference_steps") not in steps:
        yield "its rows are of another protocol than its grid: 'num_inference_steps' differs"
    yield from _wrong_selection(facts.grid.get("selection_seed"), rows)
    if digest_protocol(facts.grid, facts.environment, rows) != facts.protocol:
        yield "'protocol' is not the digest of its grid, datasets and checkpoint"


def _wrong_selection(seed: Any, rows: pd.DataFrame) -> Iterator[str]:
    """Yield what is wrong with the seed of a selection that all rows share; None: each seed has its own."""
    if seed not in (None, 0):
        yield f"'selection_seed' is {_short(seed)}: use 0, so that nobody chooses"
    column = rows["selection_seed"] if "selection_seed" in rows else [None] * len(rows)
    for selector, own in zip(rows["selector"], column, strict=True):
        if known(selector) and (own if known(own) else None) != seed:
            yield "its rows are of another protocol than its grid: 'selection_seed' differs"


def _wrong_seeds(grid: Mapping[str, Any], rows: pd.DataFrame) -> Iterator[str]:
    least = least_seeds(str(grid.get("dataset")))
    trained = rows[rows["role"] != "trivial"]
    seeds: dict[str, dict[tuple[str, ...], set[int]]] = {}
    columns = (trained[name] for name in ("detector", "seed", "training_set", *KEY))
    for detector, seed, name, *key in zip(*columns, strict=True):
        seeds.setdefault(detector, {}).setdefault((name, *map(repr, key)), set()).add(seed)
    for detector, lines in seeds.items():
        wanted = set(seeds_of(grid, str(detector)))
        short = bare(str(detector))
        if len(wanted) < least:
            dataset = bare(str(grid.get("dataset")))
            yield f"rows of '{short}' have {len(wanted)} seeds: on '{dataset}' {least} are needed"
        if wanted != set(range(len(wanted))):
            last = len(wanted) - 1
            yield f"rows of '{short}' have the seeds {_list(wanted)}: use 0 to {last}, so that nobody chooses"
        for (name, *_), own in lines.items():
            if own != wanted:
                yield f"the row '{_short(name)}' has the seeds {_list(own)}, its protocol {_list(wanted)}"
    for seed in set(rows["seed"]) - set(seeds_of(grid, None)) if "trivial" in set(rows["role"]) else ():
        if set(rows.loc[rows["seed"] == seed, "role"]) == {"trivial"}:
            yield f"a row without training has the seed {seed}, which its protocol has not"


def _missing_rows(grid: Mapping[str, Any], rows: pd.DataFrame) -> Iterator[str]:
    """Yield the rows of the grid that have no line for one of its detectors, selectors and sources."""
    names = ("role", "method", "detector", "selector", "source_name")
    columns = ([value if known(value) else None for value in rows[name]] for name in names)
    lines = set(zip(*columns, strict=True))
    rules = {method for role, method, *_ in lines if role == "trivial"}
    yield from (
        f"the row '{_short(rule)}' of its grid is missing" for rule in grid.get("trivial", ()) if rule not in rules
    )
    baselines = [(role, None) for role in ("human", "oracle", "pseudo") if role in grid.get("baselines", ())]
    methods = [("corrupted", method) for method in grid.get("corruptors", ())]
    methods += [("mixed", method) for method in grid.get("with_human", ())]
    number = max(1, len(grid.get("sources", ()))) * len(grid.get("selectors", ()))
    for name in grid.get("detectors", ()):
        detectors = {line[2] for line in lines if line[2] is not None and _is(name, line[2])}
        if not detectors:
            yield f"the rows of the detector '{_short(name)}' of its grid are missing"
        for detector in sorted(detectors):
            own = {(role, method, *region) for role, method, of, *region in lines if of == detector}
            regions = {tuple(region) for role, _, *region in own if role in _BY_REGION}
            if len(regions) < number and (methods or ("pseudo", None) in baselines):
                yield f"rows of a selector or a source of its grid are missing ('{bare(detector)}')"
            for (role, method), region in product([*baselines, *methods], sorted(regions, key=str) or [(None, None)]):
                if (role, method, *(region if role in _BY_REGION else (None, None))) not in own:
                    of = _short(method or role)
                    yield f"the row '{of}' of its grid is missing ('{bare(detector)}'); a grid lists no row twice"


def _unknown_plugins(facts: Facts, rows: pd.DataFrame) -> Iterator[str]:
    plugins = facts.environment["plugins"]
    used = {name for text in rows["uses"] if known(text) for name in str(text).split("; ")}
    for name in sorted(used):
        if name not in plugins:
            yield f"the source of the plugin '{_short(name)}' is unknown: run the comparison again with this version"
            continue
        if plugins[name]["origin"] != OWN and name not in facts.sources:
            yield (
                f"the plugin '{_short(name)}' does not ship with benchkit: say where to get it, with the entry "
                f"'{_short(name)}=https://…' of `plugin_link`"
            )


def _is(name: str, complete: str) -> bool:
    """Return whether a complete detector is the one that a grid names, perhaps with fewer parameters."""
    written, full = Spec.parse("detector", name), Spec.parse("detector", complete)
    return written.name == full.name and {*map(repr, written.params)} <= {*map(repr, full.params)}


def _list(seeds: set[int]) -> str:
    return ", ".join(map(str, sorted(seeds))) or "none"


def _short(text: object) -> str:
    return shortened(one_line(text), 60)
