"""The board's answer in plain words: which method to use for a detector, what is not separable from it, how sure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from benchkit.leaderboard.site.row_columns import Row, Rows
from benchkit.leaderboard.site.rows import Group, by_rank
from benchkit.report.columns import BASELINES, RANKINGS
from benchkit.report.format_values import bracketed, known, numeric, percent, signed
from benchkit.report.notes import NAMES

#: Answers of one detector, and of the first page. A reader wants few; a board of 100,000 rows has thousands of groups.
MOST_ANSWERS = 40
#: Roles that a reader can choose, and what they train on: baselines and references are what these are compared with.
#: Each has an answer of its own, because labelled images cost work, and corrupted ones do not.
_CHOICES = {"corrupted": "corrupted images alone", "mixed": "corrupted and labelled images"}
_BASES = {"pseudo": "the same masks without corruption (pseudo)", "human": "the labelled images alone (human)"}
#: What is asked of each baseline, and of which roles.
_QUESTIONS = {
    "pseudo": (("corrupted",), f"Is any corruption better than {_BASES['pseudo']}?"),
    "human": (tuple(_CHOICES), f"Is any row with corrupted images better than {_BASES['human']}?"),
}
_VERDICTS = {
    "better": "Better than {}",
    "worse": "Worse than {}",
    "equivalent": "Equivalent to {}",
    "unresolved": "Not separable from {}",
}
_FRESH_VERDICTS = {
    "behind": "a loss beyond chance",
    "ahead": "a gain beyond chance",
    "unresolved": "which may be chance",
}
_OTHERWISE = {"worse": "worse", "equivalent": "equivalent", "unresolved": "not separable"}


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


class Reply(NamedTuple):
    """What one ranking says to a question. words: the reply, which begins with Yes, No or Not shown.

    sure: whether no row is left unresolved. lead: the row with the largest lead of those that are better, with its
    paired difference as the figure; None where none is better.
    """

    words: str
    sure: bool
    lead: Choice | None


class Question(NamedTuple):
    """A question that a reader has about a baseline, and the reply of each ranking, by the ranking's name."""

    base: str
    words: str
    replies: Mapping[str, Reply]


class Answer(NamedTuple):
    """The answer for one detector and test set. evidence: test images, seeds and badge, in words.

    board, board_slug: name and page of where the rows are from. advice: what follows, in a few sentences.
    """

    title: str
    href: str
    dataset: str
    board: str
    board_slug: str
    evidence: str
    questions: Sequence[Question]
    ranked: Sequence[Ranked]
    advice: Sequence[str]

    @property
    def rankings(self) -> list[str]:
        """The names of the rankings that answer, in their declared order."""
        return list(dict.fromkeys(one.ranking for one in self.ranked))

    @property
    def trained_on(self) -> list[str]:
        """The kinds of training images, each of which has a best method of its own."""
        return list(dict.fromkeys(one.trained_on for one in self.ranked))

    def by(self, ranking: str, trained_on: str) -> Ranked | None:
        """Return the answer by one ranking among the methods that train on these images; None where none is ranked."""
        return next((one for one in self.ranked if (one.ranking, one.trained_on) == (ranking, trained_on)), None)


def find_answers(groups: Sequence[Group], rows: Sequence[Mapping[str, Any]]) -> list[Answer]:
    """Return an answer for every group of ranked rows that has a method with a figure, in the order of the groups.

    Of one detector only the first MOST_ANSWERS groups have one.
    """
    rows, found, numbers = Rows.of(rows), [], Counter[str]()
    for group in groups:
        if not group.ranked or group.protocol or not group.rows or numbers[group.detector] >= MOST_ANSWERS:
            continue
        numbers[group.detector] += 1
        roles = [role for role in _CHOICES if any(rows[place]["role"] == role for place in group.rows)]
        ranked = [one for role in roles for ranking in RANKINGS if (one := _answer(group, ranking, rows, role))]
        if len(roles) < 2:
            ranked = [one._replace(trained_on="") for one in ranked]
        if ranked:
            first = rows[group.rows[0]]
            seeds = sorted({int(rows[i]["seeds"]) for i in group.rows if rows[i].get("seeds")})
            images = {int(own["test_images"]) for own in group.resolution.values() if known(own.get("test_images"))}
            parts = [
                f"{max(images)} images of {str(first['dataset']).partition('[')[0]}"
                if images
                else str(first["dataset"])
            ]
            parts.append(f"{'–'.join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))} seeds")
            parts.append(", ".join(dict.fromkeys(str(rows[i]["badge"]) for i in group.rows)))
            links = (
                f"detectors/{group.detector}.html",
                group.dataset,
                group.name,
                str(first.get("board_slug") or group.board),
            )
            questions = list(_ask(group, rows))
            advice = list(_advise(questions, {one.ranking: one for one in reversed(ranked)}))
            advice += _summarise_seasons([rows[place] for place in group.rows])
            found.append(Answer(group.title, *links, ", ".join(parts), questions, ranked, advice))
    return found


def _ask(group: Group, rows: Sequence[Row]) -> Iterator[Question]:
    """Yield whether any row is better than each baseline, by each ranking."""
    for base, (roles, question) in _QUESTIONS.items():
        replies = {}
        for ranking, key, end in zip(RANKINGS, ("iou", "ap"), ("", "_ap"), strict=True):
            places = by_rank(group, ranking, rows)
            own = [rows[i] for i in places if rows[i]["role"] in roles and rows[i].get(f"{base}{end}_verdict")]
            of_base = next(
                (f" The row {base} has {_figure(rows[i], key)}." for i in places if rows[i]["role"] == base), ""
            )
            if own:
                reply = _reply(own, f"{base}{end}")
                replies[NAMES[ranking]] = reply._replace(words=reply.words + of_base)
        if replies:
            yield Question(base, question, replies)


def _reply(rows: Sequence[Row], base: str) -> Reply:
    """Return whether any of the rows is better than a baseline. base: the baseline with the ranking's ending."""
    numbers = Counter(str(row[f"{base}_verdict"]) for row in rows)
    sure = not numbers["unresolved"]
    if numbers["better"]:
        best = max((row for row in rows if row[f"{base}_verdict"] == "better"), key=lambda row: row[base])
        lead = Choice(best["name"], f"methods/{best['method_slug']}.html", _difference(best, base))
        words = f"Yes: {numbers['better']} of {len(rows)}. {lead.name} has the largest lead: {lead.figure}."
        return Reply(words, sure, lead)
    rest = ", ".join(f"{numbers[verdict]} {words}" for verdict, words in _OTHERWISE.items() if numbers[verdict])
    return Reply(
        f"{'No' if sure else 'Not shown'}: of {len(rows)} row{'s' if len(rows) > 1 else ''}, {rest}.", sure, None
    )


def _advise(questions: Sequence[Question], best: Mapping[str, Ranked]) -> Iterator[str]:
    """Yield what a reader should do, a sentence for each ranking and one for the labelled images.

    best: ranking -> its answer among the rows that train on corrupted images.
    """
    for question in questions:
        without = [ranking for ranking, reply in question.replies.items() if reply.lead is None]
        for ranking, reply in question.replies.items():
            if reply.lead is not None and question.base == "pseudo":
                found = best[ranking]
                number = len(found.ties or ())
                others = f"; {number} other{'s are' if number > 1 else ' is'} not separable from it" if number else ""
                others = others if found.best.name == reply.lead.name else ""
                yield f"By {ranking}, use {reply.lead.name}: {reply.lead.figure} over pseudo{others}."
            elif reply.lead is not None:
                yield f"By {ranking}, {reply.lead.name} is better than {_BASES[question.base]}."
        if without:
            sure = all(question.replies[ranking].sure for ranking in without)
            subject = "corruption" if question.base == "pseudo" else "row with corrupted images"
            words = f"no {subject} is {'' if sure else 'shown to be '}better than {_BASES[question.base]}"
            yield f"By {' and by '.join(without)}, {words}."


def _summarise_seasons(rows: Sequence[Row]) -> Iterator[str]:
    """Yield how many rows lost their lead over `pseudo` on the fresh images of each season."""
    for season in dict.fromkeys(name for row in rows for name in row.get("seasons") or ()):
        lost: dict[str, tuple[int, int]] = {}
        for ranking, key in zip(RANKINGS, ("lead_verdict", "lead_ap_verdict"), strict=True):
            own = [row["seasons"][season].get(key) for row in rows if season in (row.get("seasons") or {})]
            if judged := [verdict for verdict in own if known(verdict)]:
                lost[NAMES[ranking]] = (judged.count("behind"), len(judged))
        where = f"On the fresh images of season {season}"
        if any(number for number, _ in lost.values()):
            parts = [f"by {ranking} {number} of {judged}" for ranking, (number, judged) in lost.items()]
            yield f"{where}, rows lost their lead over pseudo beyond chance: {', '.join(parts)}."
        elif lost:
            most = max(judged for _, judged in lost.values())
            yield f"{where}, none of {most} rows lost its lead over pseudo beyond chance, by {' and by '.join(lost)}."


def _answer(group: Group, ranking: str, rows: Sequence[Row], role: str) -> Ranked | None:
    places = [place for place in by_rank(group, ranking, rows) if rows[place]["role"] == role]
    if not places:
        return None
    key = "iou" if ranking == RANKINGS[0] else "ap"
    best, *others = places
    ties = None
    if group.compares(ranking):
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
    return Choice(row["name"], f"methods/{row['method_slug']}.html", _figure(row, key))


def _figure(row: Mapping[str, Any], key: str) -> str:
    value, low, high = (percent(numeric(row.get(key + end))) for end in ("", "_low", "_high"))
    return bracketed(f"{value} %" if known(row.get(key)) else value, low, high)


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
        value, verdict = numeric(row.get(f"{base}{end}")), row.get(f"{base}{end}_verdict")
        if known(value) and verdict in _VERDICTS:
            yield f"{_VERDICTS[verdict].format(_BASES[base])}: {_difference(row, base + end)}."


def _difference(row: Mapping[str, Any], key: str) -> str:
    value, low, high = (numeric(row.get(f"{key}{part}")) for part in ("", "_low", "_high"))
    return f"{bracketed(signed(value), percent(low), percent(high))} points"


def _describe_fresh(row: Mapping[str, Any], key: str) -> Iterator[str]:
    """Yield the figure and the place of a row on the images of each season in which it was scored."""
    fresh, rank, lead = ("fresh", "rank_fresh", "lead") if key == "iou" else ("fresh_ap", "rank_fresh_ap", "lead_ap")
    for season, own in (row.get("seasons") or {}).items():
        if not known(own.get(rank)):
            continue
        place = f"{_figure(own, fresh)}, place {own[rank]:.0f} of the rows scored there"
        beyond = _FRESH_VERDICTS.get(str(own.get(f"{lead}_verdict")))
        changed = f"; its lead over pseudo changed by {_difference(own, lead)}, {beyond}" if beyond else ""
        yield f"On the fresh images of season {season}: {place}{changed}."
