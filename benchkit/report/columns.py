"""Names of a board's columns, and the fields of the further records that it holds.

`uncertainty`, `setting_agreement` and `look_records` compute them. A board that is only read needs none of these.
"""

from __future__ import annotations

from benchkit.metrics import COMPANION, PRIMARY

#: The two declared rankings of every board: the paper's figure, and one that no threshold decides.
RANKINGS = (PRIMARY, COMPANION)
#: What a corruptor must beat: the same masks without corruption, and the labelled images alone.
BASELINES = ("pseudo", "human")
#: The figures by kind of artifact that get an interval.
BY_KIND = ("kind_iou", "kind_recall")
#: Declared before any result was seen: a difference of less than one point does not matter.
MARGIN = 0.01
_DELTA = ("", "_low", "_high", "_p", "_verdict")


def prefix(ranking: str) -> str:
    """Return what the columns of ranks and differences of one of RANKINGS begin with."""
    return "" if ranking == PRIMARY else f"{ranking}_"


def delta_columns(ranking: str, base: str) -> tuple[str, ...]:
    """Return the columns of the difference to a baseline: value, bounds, adjusted p-value, verdict."""
    return tuple(f"{prefix(ranking)}delta_{base}{part}" for part in _DELTA)


def rank_columns(ranking: str) -> tuple[str, ...]:
    """Return the columns of the rank and its simultaneous interval."""
    return tuple(f"{prefix(ranking)}rank{part}" for part in ("", "_low", "_high"))


def joint_columns(ranking: str) -> tuple[str, str]:
    """Return the columns of a line's joint interval, which rankings of very many lines have, see `add_uncertainty`.

    It is of the line's logit less that of the mean of the lines that are ranked together. Lines with disjoint ones
    differ.
    """
    return f"{ranking}_joint_low", f"{ranking}_joint_high"


#: The columns that `add_uncertainty` adds, by kind.
VERDICTS = tuple(delta_columns(ranking, base)[-1] for ranking in RANKINGS for base in BASELINES)
FLAGS = ("seed_variance", "unstable", "reordered")
TEXTS = (*VERDICTS, "protocol", "no_interval")
NUMBERS = (
    *("images", "floor"),
    *(f"{ranking}{end}" for ranking in RANKINGS for end in ("_low", "_high")),
    *(name for ranking in RANKINGS for name in rank_columns(ranking)),
    *(n for r in RANKINGS for base in BASELINES for n in delta_columns(r, base) if n not in VERDICTS),
)
COLUMNS = (*NUMBERS, *FLAGS, *TEXTS)

#: The row that lies at 0, and those that may lie at 1: the first is the default.
LOWER, REFERENCES = "pseudo", ("human", "oracle")
#: What a setting is.
PARTS = ("detector", "selector", "source_name", "test_set")
#: What several settings of a board say together: the fields of every record, by the list that it is in.
ACROSS_FIELDS = {
    "settings": PARTS,
    "distances": ("metric", "reference", "setting", "distance", "low", "high", "reason"),
    "shares": ("metric", "reference", "method", "share", "low", "high", "settings", "means", "trained_seeds"),
    "agreement": ("metric", "first", "second", "methods", "tau", "low", "high", "p", "same", "opposite"),
    "opposite": ("metric", "first", "second", "better_in_first", "better_in_second"),
}
#: Those of them that are places in `settings`.
ACROSS_PLACES = ("setting", "settings", "first", "second")

#: States of pairs as a board counts them.
STATES = ("different", "small", "known", "unresolved", "undefined")
