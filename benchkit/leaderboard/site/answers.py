"""The board's answer in plain words: which method to use for a detector, what is not separable from it, how sure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from benchkit.leaderboard.site.rows import Group, Row, by_rank
from benchkit.report.columns import BASELINES, RANKINGS
from benchkit.report.notes import NAMES
from benchkit.report.text import bracketed, known, numeric, percent, signed

#: Roles that a reader can choose, and what they train on: baselines and references are what these are compared with.
#: Each has an answer of its own, because labelled images cost work, and corrupted ones do not.
_CHOICES = {"corrupted": "corrupted images alone", "mixed": "corrupted and labelled images"}
_BASES = {"pseudo": "the same masks without corruption (pseudo)", "human": "the labelled images alone (human)"}
_VERDICTS = {
    "better": "Better than {}",
    "worse": "Worse than {}",
    "equivalent": "Equivalent to {}",
    "unresolved": "Not separable from {}",
}


class Choice(NamedTuple):
    """A method that an answer names, with the address of its page and its figure."""

    name: str
    href: str
    figure: str


class Ranked(NamedTuple):
    """The answer by one ranking, among the methods that train on the same kinds of images.

    trained_on: these kinds in words; empty where the board has one kind. best: the method with the best figure. ties:
    the methods that it does not beat beyond chance, None where nothing is known of pairs. rows: how many methods are
    ranked. cheapest: of best and ties, with its cost in words; None where costs are unknown, or where it is the best.
    against: a sentence for each baseline, and for each season.
    """

    ranking: str
    trained_on: str
    best: Choice
    ties: Sequence[Choice] | None
    rows: int
    cheapest: tuple[Choice, str] | None
    against: Sequence[str]


class Answer(NamedTuple):
    """The answer for one detector and test set. evidence: test images, seeds and badge, in words."""

    title: str
    href: str
    dataset: str
    board: str
    evidence: str
    ranked: Sequence[Ranked]


def find_answers(groups: Sequence[Group], rows: Sequence[Row]) -> list[Answer]:
    """Return an answer for every group of ranked rows that has a method with a figure, in the order of the groups."""
    found = []
    for group in groups:
        if not group.ranked or group.protocol or not group.rows:
            continue
        roles = [role for role in _CHOICES if any(rows[place]["role"] == role for place in group.rows)]
        ranked = [one for role in roles for ranking in RANKINGS if (one := _answer(group, ranking, rows, role))]
        if len(roles) < 2:
            ranked = [one._replace(trained_on="") for one in ranked]
        if ranked:
            first = rows[group.rows[0]]
            seeds = sorted({int(rows[i]["seeds"]) for i in group.rows if rows[i].get("seeds")})
            parts = [str(first["dataset"]), f"{'–'.join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))} seeds"]
            badges = ", ".join(dict.fromkeys(str(rows[i]["badge"]) for i in group.rows))
            href = f"detectors/{group.detector}.html"
            found.append(Answer(group.title, href, group.dataset, group.name, ", ".join([*parts, badges]), ranked))
    return found


def _answer(group: Group, ranking: str, rows: Sequence[Row], role: str) -> Ranked | None:
    places = [place for place in by_rank(group, ranking, rows) if rows[place]["role"] == role]
    if not places:
        return None
    key = "iou" if ranking == RANKINGS[0] else "ap"
    best, *others = places
    ties = None
    if group.pairs.get(ranking):
        ties = [place for place in others if group.beats(ranking, best, place) <= 0]
    return Ranked(
        NAMES[ranking],
        _CHOICES[role],
        _choice(rows[best], key),
        None if ties is None else [_choice(rows[place], key) for place in ties],
        len(places),
        _find_cheapest(rows, [best, *(ties or ())], key),
        [*_compare(rows[best], "" if key == "iou" else "_ap"), *_describe_fresh(rows[best], key)],
    )


def _choice(row: Row, key: str) -> Choice:
    figure = bracketed(*(percent(numeric(row.get(key + end))) for end in ("", "_low", "_high")))
    return Choice(row["name"], f"methods/{row['method_slug']}.html", figure)


def _find_cheapest(rows: Sequence[Row], places: Sequence[int], key: str) -> tuple[Choice, str] | None:
    """Return the method with the fewest network evaluations; of equals the best. None where it is the first."""
    costs = [place for place in places if known(rows[place].get("evaluations"))]
    cheapest = min(costs, key=lambda place: rows[place]["evaluations"], default=places[0])
    if cheapest == places[0] or rows[cheapest]["evaluations"] == rows[places[0]].get("evaluations"):
        return None
    number = int(rows[cheapest]["evaluations"])
    words = f"{number} network evaluations an image" if number else "no network evaluation"
    return _choice(rows[cheapest], key), words


def _compare(row: Mapping[str, Any], end: str) -> Iterator[str]:
    """Yield how a row stands against each baseline: the verdict and the paired difference."""
    for base in BASELINES:
        value, low, high = (numeric(row.get(f"{base}{end}{part}")) for part in ("", "_low", "_high"))
        verdict = row.get(f"{base}{end}_verdict")
        if known(value) and verdict in _VERDICTS:
            difference = bracketed(signed(value), percent(low), percent(high))
            yield f"{_VERDICTS[verdict].format(_BASES[base])}: {difference} points."


def _describe_fresh(row: Mapping[str, Any], key: str) -> Iterator[str]:
    """Yield the figure and the place of a row on the images of each season in which it was scored."""
    fresh, rank = ("fresh", "rank_fresh") if key == "iou" else ("fresh_ap", "rank_fresh_ap")
    for season, own in (row.get("seasons") or {}).items():
        figure = bracketed(*(percent(numeric(own.get(fresh + end))) for end in ("", "_low", "_high")))
        if known(own.get(rank)):
            yield f"On the fresh images of season {season}: {figure}, place {own[rank]:.0f} of the rows scored there."
