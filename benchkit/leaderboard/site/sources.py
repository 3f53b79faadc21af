"""What a site is built from: boards of runs and of submissions, each row with the badge that its checks earned."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from benchkit.errors import BenchkitError
from benchkit.leaderboard.check import Checked, check_folder, check_together
from benchkit.leaderboard.merge import group_by_protocol, merge_submissions
from benchkit.leaderboard.season import Season
from benchkit.leaderboard.season_check import check_scores, check_scores_together, join_scores
from benchkit.leaderboard.season_result import SeasonResult
from benchkit.leaderboard.site.fields import is_needed
from benchkit.leaderboard.site.gallery import Gallery, make_gallery, read_gallery
from benchkit.leaderboard.submission import FACTS
from benchkit.leaderboard.verified import read_verified
from benchkit.report.aggregate import KEY, read_object
from benchkit.report.board import Board
from benchkit.report.board_parquet import describe_board, read_board_file
from benchkit.report.format_values import known, one_line
from benchkit.report.load_board import BOARD_FILE, find_board, load_board
from benchkit.report.run_data import RunData

#: What stands behind a figure, and what it means; a submission has the last one that it earned.
BADGES = {
    "reported": "The figures are as a paper or a run states them. Nobody recomputed them.",
    "recomputed": "The submission contains what was measured on every test image with every seed. "
    "benchkit leaderboard check computed every figure again from it.",
    "re-run": "Recomputed. Besides, benchkit leaderboard verify trained some cells again from their description and "
    "got the same figures, within its tolerance. A hash chose the cells, so that the submitter could not.",
    "differs": "benchkit leaderboard verify trained some cells again and got other figures. Do not rely on these rows.",
}
_VERDICTS = {"verified": "re-run", "differs": "differs"}
_LONGEST_SLUG = 48
#: A board of more rows, with its hundreds of columns, has hundreds of megabytes as text: it is given as Parquet alone.
LONG = 2000


@dataclass(frozen=True)
class Member:
    """Where rows come from: one run, or one submission. declared: what its submitter declares. notes: of its check."""

    name: str
    slug: str
    badge: str = "reported"
    link: str = ""
    declared: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Source:
    """One board: of a run, or of all submissions of one protocol, which are ranked and paired together.

    owners: `row_key` of a row -> the member that it is from; the first member has all others. gallery: examples of
    its rows. seasons: those in which some of its rows were scored. file: of a LONG board whose frame has only the
    columns that pages need, the file that has all.
    """

    name: str
    slug: str
    board: Board
    members: tuple[Member, ...]
    owners: Mapping[tuple[str, ...], Member] = field(default_factory=dict)
    gallery: Gallery = field(default_factory=lambda: Gallery({}, {}))
    seasons: Sequence[SeasonResult] = ()
    file: Path | None = None

    def columns(self) -> list[str]:
        """Return the names of all columns of the board."""
        return [*map(str, self.board.frame)] if self.file is None else describe_board(self.file)[1]

    def read(self, names: Collection[str]) -> Iterator[tuple[str, NDArray[Any]]]:
        """Yield some columns of the board."""
        if self.file is not None:
            yield from read_board_file(self.file, names)
        else:
            yield from ((name, self.board.frame[name].to_numpy()) for name in names)

    def owner(self, line: Mapping[str, Any]) -> Member:
        """Return the member that a row of the board is from."""
        return self.owners.get(row_key(line), self.members[0])


def row_key(line: Mapping[Any, Any]) -> tuple[str, ...]:
    """Return what identifies a row of a board, of a run's cells as of a board's lines."""
    texts = {name: str(line[name]) if known(line[name]) else "" for name in KEY}
    params = line["corruptor_params"]
    texts["corruptor_params"] = _sort_text(params) if isinstance(params, str) else _sort_params(params)
    return tuple(texts.values())


def _sort_params(params: Any) -> str:
    return str(sorted(read_object(params).items()))


_sort_text = cache(_sort_params)


def load_sources(folders: Iterable[Path], shipped: Mapping[str, str], seasons: Sequence[Season] = ()) -> list[Source]:
    """Return the boards of all folders; a folder is a run's, a submission, or contains some of these.

    Every submission is checked with its scores of seasons, and those of one protocol give one board. shipped: see
    `check_submission`. seasons: all that there are. Raises BenchkitError for a folder without a board, for a board that
    cannot be read, and for a submission that fails its check.
    """
    found = sorted(_find_boards(folders), key=lambda path: (path.name, str(path)))
    slugs = Slugs()
    slugs.of("paper")  # the paper's rows have this one
    sources, checked = [], []
    for folder in found:
        if (folder / FACTS).is_file():
            checked.append((folder, check_folder(folder, shipped)))
        else:
            member = Member(one_line(folder.name), slugs.of(folder.name, folder))
            board, file = _load_run(folder)
            sources.append(Source(member.name, member.slug, board, (member,), {}, read_gallery(folder), file=file))
    check_together([one for _, one in checked])
    scores = {one.submission.facts.name: check_scores(folder, one, seasons, shipped) for folder, one in checked}
    check_scores_together([score for own in scores.values() for score in own])
    examples = {one.submission.facts.name: one.examples for _, one in checked}
    members = {one.submission.facts.name: _member(folder, one, slugs) for folder, one in checked}
    boards = {one.submission.facts.name: one.board for _, one in checked}
    for submissions in group_by_protocol([one.submission for _, one in checked]).values():
        own = tuple(members[one.facts.name] for one in submissions)
        found_scores = join_scores([score for one in submissions for score in scores[one.facts.name]])
        if len(own) == 1:
            gallery = make_gallery(examples[own[0].name], submissions[0].rows)
            sources.append(Source(own[0].name, own[0].slug, boards[own[0].name], own, {}, gallery, found_scores))
            continue
        merged = merge_submissions(submissions)
        name = " + ".join(member.name for member in own[:3]) + (" + …" if len(own) > 3 else "")
        board = Board.of(merged)
        owners = _find_owners(merged, members)
        gallery = make_gallery([one for member in own for one in examples[member.name]], merged.rows)
        sources.append(Source(name, slugs.of(f"ranking {name}"), board, own, owners, gallery, found_scores))
    return sources


def _load_run(folder: Path) -> tuple[Board, Path | None]:
    """Return the board of a run; if it is long, only the columns that pages need, and the file that has all."""
    file = find_board(folder)
    if file is None or file.suffix != ".parquet" or describe_board(file)[0] <= LONG:
        return load_board(folder), None
    return load_board(folder, columns=is_needed, curves=LONG), file


def _find_boards(folders: Iterable[Path]) -> set[Path]:
    """Return the folders that have a board, at the given places or one level below."""
    found: set[Path] = set()
    for folder in folders:
        if not folder.is_dir():
            raise BenchkitError(f"there is no folder '{folder}'")
        inner = [child for child in folder.iterdir() if find_board(child)]
        own = [folder] if find_board(folder) else inner
        if not own:
            raise BenchkitError(f"'{folder}' contains no {BOARD_FILE}: name a run's folder, or a folder of submissions")
        found |= {one.resolve() for one in own}
    return found


def _member(folder: Path, checked: Checked, slugs: Slugs) -> Member:
    facts, verified = checked.submission.facts, read_verified(folder)
    declared = {"run": facts.run, "created": facts.created, "protocol": facts.protocol}
    declared |= {"contact": facts.contact or "", "tuned on": facts.tuned_on or "", "has seen": facts.seen or ""}
    declared |= {f"where to get {plugin}": link for plugin, link in facts.sources.items()}
    notes = [*checked.notes, *_rerun_notes(verified)]
    badge = _VERDICTS.get(str(verified.get("verdict")), "recomputed")
    return Member(facts.name, slugs.of(facts.name, folder), badge, facts.link or "", declared, notes)


def _rerun_notes(verified: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each cell that was trained again."""
    cells = verified.get("cells") or ()
    words = [
        f"{cell.get('row')}, {cell.get('detector')}, seed {cell.get('seed')}: {cell.get('state')}"
        + (f" ({cell['reason']})" if cell.get("reason") else "")
        for cell in cells
        if isinstance(cell, Mapping)
    ]
    return [f"Trained again on {verified.get('date')} by {verified.get('tool')}: {'; '.join(words)}."] if words else []


def _find_owners(merged: RunData, members: Mapping[str, Member]) -> dict[tuple[str, ...], Member]:
    return {row_key(line): members[line["submission"]] for line in merged.rows.to_dict("records")}


class Slugs:
    """Names of files for foreign text: lower-case letters, digits and hyphens, each text its own."""

    def __init__(self) -> None:
        self._given: dict[Any, str] = {}

    def of(self, text: str, owner: Any = None) -> str:
        """Return the slug of a text; the same owner (by default the text) always has the same one."""
        owner = text if owner is None else owner
        if owner not in self._given:
            plain = re.sub(r"[^a-z0-9]+", "-", text.lower())[:_LONGEST_SLUG].strip("-") or "unnamed"
            used, slug, number = set(self._given.values()), plain, 2
            while slug in used:
                slug, number = f"{plain}-{number}", number + 1
            self._given[owner] = slug
        return self._given[owner]
