"""What a reader must know of a board's figures: what it resolves (its head), and how to read it (its foot)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd

from benchkit.metrics import PRIMARY
from benchkit.metrics.curves import CLIMB
from benchkit.report.board import Board, short_names
from benchkit.report.board_file import MISSING_ROWS
from benchkit.report.columns import MARGIN, RANKINGS, rank_columns
from benchkit.report.curves import climbing_seeds
from benchkit.report.format_values import MISSING, known, listed, number, numeric, percent
from benchkit.report.third_party import shorten_hashes

#: How people are shown the two rankings.
NAMES = {PRIMARY: "artifact IoU at 0.5", RANKINGS[1]: "AP"}
#: Marks of rows: the two rankings disagree; the seeds vary far more than those of other rows; training was too short.
REORDERED, UNSTABLE, CLIMBING = "†", "‡", "§"
#: Rows whose seeds differ by a larger standard deviation of IoU are named.
SEEDS_DIFFER = 0.02
#: Rows that a sentence names; a board of thousands of rows could name thousands.
_MOST_NAMES = 40
#: Of nominal 95 % intervals with two seeds, and of the row whose seeds vary far more: benchmarks/coverage.py.
TWO_SEEDS = "93 to 97 %"
UNSTABLE_ROWS = "77 % (2 seeds), 89 % (3) or 92 to 94 % (5 and 10)"


def head_notes(board: Board) -> tuple[str, ...]:
    """Return what a board resolves: a sentence or two per ranking, its looks, which rows are not worse than the best.

    Of an ablation only the rows of the grid's own protocol are included; board.json contains all.
    """
    of_grid = [found for found in board.resolution if not found.get("protocol")]
    resolutions = [_resolution(board, found) for found in of_grid[:_MOST_NAMES]]
    best = islice(_not_worse(board), _MOST_NAMES)
    left = len(board.trained[["test_set", "detector"]].drop_duplicates()) - _MOST_NAMES
    more = [f"There are {left} more groups of rows that are ranked together."] if left > 0 else []
    return (*resolutions, *_looks(board), *best, *more)


def foot_notes(board: Board) -> tuple[str, ...]:
    """Return how the figures are to be read, a sentence or two each."""
    measured = board.frame[board.frame["group"] != MISSING_ROWS]
    if measured.empty:
        return ("No row of this board has figures.",)
    each = measured[["images", "test_set"]].drop_duplicates()
    tests = listed(f"{int(n)} images of {board.short(t)}" for n, t in each.itertuples(index=False))
    level = f"{board.level * 100:g} %"
    notes = [
        f"Artifact IoU is pooled over all pixels of the test set ({tests}) at the threshold 0.5, as in the paper. "
        "Average precision (AP) depends on no threshold. IoU at the validation threshold takes the threshold with the "
        "best F1 on validation images. Figures are in per cent, differences in points."
    ]
    if board.replicates:
        notes.append(
            f"Brackets are {level} intervals from {board.replicates} bootstrap draws by an earlier version of "
            "benchkit. In simulation these cover 79 to 99 %. Nothing is corrected for many comparisons."
        )
    else:
        notes += _intervals(board, level)
    return (
        *notes,
        *_shared_selection(board),
        *_masked_resampling(board),
        *_marks(board),
        *_differing_seeds(board),
        *_floor(board),
        *_without_interval(board),
        *_foreign(board),
    )


def _intervals(board: Board, level: str) -> Iterator[str]:
    seeds = (board.trained if len(board.trained) else board.trivial)["seeds"]
    covered = "test images and seeds" if seeds.max() > 1 else "test images only"
    yield f"Brackets are {level} intervals over {covered}, by Student's t. {_seeds(board)}".strip()
    yield (
        f"Ranks are among the trained rows of one detector. Their intervals hold for all rows together with {level} "
        "confidence. Differences (Δ) are paired: same images, same seeds. Their verdicts are corrected for all "
        f"differences to the same baseline (max-t, step-down). Equivalent: within {100 * MARGIN:g} point either way, a "
        "margin declared before any result was seen. Unresolved: none of better, worse and equivalent is shown."
    )


def _shared_selection(board: Board) -> Iterator[str]:
    """Yield what the seeds of a board with one selection for all do not show."""
    seeds = board.frame.get("selection_seed", pd.Series(dtype=float)).dropna().unique()
    if len(seeds):
        yield (
            f"Shared selection: the regions, and so the corrupted images, of seed {listed(f'{s:.0f}' for s in seeds)} "
            "are those of all seeds and detectors. Seeds differ in the training, and in the labelled images of rows "
            "that train on them. Intervals and verdicts do not cover another selection, which may move a row by more "
            "than its bracket. This is another protocol than one selection for each seed: rows of the two are not "
            "ranked together."
        )


def _masked_resampling(board: Board) -> Iterator[str]:
    """Yield what an approximate resampling means for a board."""
    if "masked" in set(board.frame.get("resampling", pd.Series(dtype=object)).dropna()):
        yield (
            "Masked resampling: corrupted latents with compact masks were resampled by evaluations of the denoiser "
            "inside the mask and its surroundings only. This approximates eq. 6, and is another protocol than exact "
            "resampling: rows of the two are not ranked together."
        )


def _seeds(board: Board) -> str:
    seeds = (board.trained if len(board.trained) else board.trivial)["seeds"]
    if seeds.max() == 1:
        return "One seed: no seed variance is covered, another training run may differ by more than a bracket."
    notes = []
    if (seeds == 2).any():
        notes.append(f"Two seeds: in simulation a 95 % interval covers {TWO_SEEDS}, but is wide.")
    if seeds.min() == 1:
        notes.append("Rows with one seed cover no seed variance.")
    return " ".join(notes)


def _marks(board: Board) -> Iterator[str]:
    if board.frame["reordered"].any():
        yield (
            f"{REORDERED} These rows change places with another one between the two rankings, and at least one ranking "
            "resolves the pair. AP judges the order of scores alone, IoU at 0.5 also how many scores exceed 0.5: "
            "calibration moved them. IoU at the validation threshold shows how far."
        )
    if board.frame["unstable"].any():
        yield (
            f"{UNSTABLE} The seeds of this row vary far more than those of other rows. Its interval is from its own "
            f"seeds alone, and covers too rarely: in simulation {UNSTABLE_ROWS} instead of 95 %."
        )
    some = board.trained[board.trained["still_climbing"] > 0] if "still_climbing" in board.frame else board.trained[:0]
    read = [name for name in ("seeds", "still_climbing", "curve") if name in some]
    climbing = [found for line in some[read].to_dict("records") if (found := climbing_seeds(line))[0]]
    if climbing:
        examples = (f"{CLIMBING}{n}/{seeds}: in {n} of {seeds} seeds." for n, seeds in climbing if n < seeds)
        yield (
            f"{CLIMBING} Still climbing: average precision on validation images still rises at the end of the "
            f"training, by more than {100 * CLIMB:g} points over the last third of the learning curve "
            f"({len(climbing)} of {len(board.trained)} trained rows). More iterations would change these figures, so "
            f"compare these rows with care. {next(examples, '')}".strip()
        )


def climbing_mark(line: Mapping[str, Any]) -> str:
    """Return the mark of a line that still climbs, `§`, or `§2/5` if it does in 2 of 5 seeds; else an empty text."""
    climbing, seeds = climbing_seeds(line)
    return "" if not climbing else CLIMBING if climbing == seeds else f"{CLIMBING}{climbing}/{seeds}"


def _differing_seeds(board: Board) -> Iterator[str]:
    """Yield one sentence with the trained rows whose seeds differ by more than SEEDS_DIFFER, and what differs."""
    deviations = (f"{PRIMARY}_std", f"{RANKINGS[1]}_std")
    lines = board.trained[board.trained["seeds"] > 1].dropna(
        subset=[name for name in deviations if name in board.frame]
    )
    if lines.empty or any(name not in lines for name in deviations):
        return
    rows = []
    for training_set, at_threshold, of_ap in lines.loc[:, ["training_set", *deviations]].itertuples(index=False):
        if at_threshold > SEEDS_DIFFER:
            rows.append(f"{training_set} ({percent(at_threshold)}; AP {percent(of_ap)})")
    if rows:
        yield (
            f"Seeds differ by a standard deviation of more than {100 * SEEDS_DIFFER:g} points of artifact IoU at 0.5 "
            f"in {_some(rows)}. Where the deviation of AP, which depends on no threshold, is much smaller, the seeds "
            "differ in how many scores exceed 0.5, not in the order of the scores."
        )


def _floor(board: Board) -> Iterator[str]:
    lines = board.frame.dropna(subset=["floor"]).drop_duplicates(["test_set", "floor"])
    floors = {board.short(t): percent(f) for t, f in zip(lines["test_set"], lines["floor"], strict=True)}
    if floors:
        texts = [f"{text} % on {name}" if len(floors) > 1 else f"{text} %" for name, text in floors.items()]
        yield f"Floor: a detector that predicts an artifact everywhere has IoU and AP of {listed(texts)}."
    if full := [board.short(t) for t, f in zip(lines["test_set"], lines["floor"], strict=True) if f == 1]:
        yield f"Every pixel of {listed(full)} is annotated as an artifact, so the AP of every detector is 100 %."


def _without_interval(board: Board) -> Iterator[str]:
    lines = board.frame[board.frame["no_interval"].map(known)]
    for reason, rows in lines.groupby("no_interval", sort=False):
        yield f"No interval for {_some(rows['training_set'])}: {reason}."


def _foreign(board: Board) -> Iterator[str]:
    texts = [text for text in board.frame.get("plugins", ()) if known(text)]
    if names := sorted({part for text in texts for part in text.split("; ")}):
        yield f"Not shipped with benchkit: {'; '.join(map(shorten_hashes, names))}."


def _some(names: Iterable[str]) -> str:
    """Return names joined by commas, each once; of very many only the first ones."""
    every = list(dict.fromkeys(names))
    return ", ".join(every[:_MOST_NAMES]) + (f" and {len(every) - _MOST_NAMES} more" * (len(every) > _MOST_NAMES))


def _resolution(board: Board, found: Mapping[str, Any]) -> str:
    """Return what one ranking resolves, `Resolution` in words; every value may be missing."""
    name = NAMES.get(str(found.get("metric")), str(found.get("metric")))
    what = _begin(board, found, name)
    value, pairs = numeric(found.get("difference")), found.get("pairs")
    if not pairs:
        return f"{what}: one row alone resolves nothing."
    if not np.isfinite(value):
        return f"{what}: no pair of rows has an interval that is wider than 0, so nothing is resolved."
    text = f"{what}: resolves differences of {percent(value)} points; {found.get('resolved')} of {pairs} pairs resolved"
    shares = " ".join(
        f"{name} {numeric(found.get(key)):.0%},".replace("%", " %")
        for name, key in (("images", "images"), ("seeds", "seeds"), ("images × seeds", "interaction"))
    ).rstrip(",")
    images = _more(found.get("more_images"), "images")
    if found.get("trained_seeds") == 1:
        bought = f"{images}. What more seeds would resolve is unknown." if images else ""
        return f"{text}, as far as one seed shows. {bought}".strip()
    bought = ", or ".join(filter(None, (_more(found.get("more_seeds"), "seeds"), images)))
    halves = numeric(found.get("split_halves"))
    again = f"Two halves of the seeds order the rows alike with a rank correlation of {number(halves)}."
    sentences = (f"{text}. Variance of a difference: {shares}.", f"{bought}." if bought else "", again)
    return " ".join(filter(None, sentences[: 3 if np.isfinite(halves) else 2]))


def _more(value: Any, what: str) -> str:
    """Return what more images or seeds would resolve; empty where that is unknown."""
    number, difference = (numeric(v) for v in value) if isinstance(value, list) and len(value) == 2 else (np.nan,) * 2
    finite = np.isfinite([number, difference]).all()
    return f"{number:g} more {what} would resolve {percent(difference)} points" if finite else ""


def _not_worse(board: Board) -> Iterator[str]:
    """Yield for each group of ranked lines those that no other line beats beyond chance."""
    lines_of_grid = board.trained[board.trained["protocol"].isin([None, ""])]
    for key, lines in lines_of_grid.groupby(["test_set", "detector"], sort=False, dropna=False):
        labels = dict(zip(("test_set", "detector"), key, strict=True))
        parts = []
        for ranking in RANKINGS:
            rank, low, _ = rank_columns(ranking)
            best = lines[lines[low] == 1].sort_values(rank, kind="stable")
            if len(best) and not board.replicates:
                parts.append(f"by {NAMES[ranking]} {_some(best['training_set'])}")
        if parts:
            yield f"{_begin(board, labels, 'not worse than the best')}: {'; '.join(parts)}."


def _looks(board: Board) -> Iterator[str]:
    """Yield how the seeds were added, and what each look found."""
    if board.looks is None:
        return
    planned, taken = board.looks["planned"], board.looks["taken"]
    margin = f"±{100 * board.looks['margin']:g} points of {NAMES[PRIMARY]}"
    yield (
        f"Seeds were added only where pairs were unresolved, in looks at {listed(map(str, planned))} seeds, which were "
        "fixed beforehand. A pair is settled if a difference is shown, or if its simultaneous interval reaches at most "
        f"{margin} to either side. Every interval, rank and verdict is made at {100 * board.looks['level']:.4g} %, so "
        f"that all looks together hold at {100 * board.level:g} %. A difference uses the seeds that both rows have."
    )
    for place, look in enumerate(taken):
        counts = f"{look['unresolved']:g} of {look['pairs']:g} pairs unresolved"
        last = place + 1 == len(planned)
        ended = [f"{'complete' if last else 'stopped'}: {look['stopped']}"] if look["stopped"] else []
        ended += [f"a cell failed, so no more seeds: {look['failed']}"] if look["failed"] else []
        yield f"Look {place + 1}, {look['rows']:g} rows with {look['seeds']:g} seeds: {'; '.join([counts, *ended])}."


def _begin(board: Board, labels: Mapping[str, Any], words: str) -> str:
    """Return the beginning of a sentence: `DETECTOR on TEST SET: words` as far as there are several, else `Words`."""
    several = {name: board.trained[name].nunique(dropna=False) > 1 for name in ("detector", "test_set")}
    detectors = short_names(pd.Series(board.frame["detector"]), board.shown)
    name = detectors.get(str(labels.get("detector")), MISSING) if several["detector"] else ""
    name += f" on {board.short(labels.get('test_set'))}" if several["test_set"] else ""
    return f"{name.strip()}: {words}" if name.strip() else words[:1].upper() + words[1:]
