"""Check the scores of seasons inside submissions, and put public and fresh figures of all of them side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchkit.errors import BenchkitError
from benchkit.leaderboard.check import Checked, check_submission
from benchkit.leaderboard.merge import merge_submissions
from benchkit.leaderboard.season import Season
from benchkit.leaderboard.season_lead import measure_lead_changes
from benchkit.leaderboard.season_result import SeasonResult
from benchkit.leaderboard.submission import Submission, find_facts, read_submission
from benchkit.report.board import Board
from benchkit.report.format_values import known
from benchkit.report.run_data import RunData

#: A score lies in this folder of its submission, followed by the season's name. It has the files of a submission.
PREFIX = "season-"
#: What decides a row, whatever it is tested on.
_SAME = ("training_set", "role", "method", "selector", "detector", "inverter", "source_name", "seed", "state")


class SeasonScore(NamedTuple):
    """A submission that was scored in a season: its public figures and its fresh ones, both recomputed."""

    season: Season
    public: Checked
    fresh: Checked


def check_scores(
    folder: Path, public: Checked, seasons: Sequence[Season], shipped: Mapping[str, str]
) -> list[SeasonScore]:
    """Return the scores of a submission, whose folder this is, in the order of the seasons.

    Every figure is recomputed as those of a submission are. Raises BenchkitError, in one line, for the first fault.
    """
    by_name = {season.name: season for season in seasons}
    found = {}
    for one in sorted(folder.glob(f"{PREFIX}*")):
        where, name = f"{folder.name}/{one.name}", one.name.removeprefix(PREFIX)
        if name not in by_name:
            raise BenchkitError(f"{where}: the season is unknown: its file {name}.json is not among the seasons")
        submission = read_submission(one)
        try:
            _check_same(submission, public.submission, by_name[name])
            found[name] = SeasonScore(by_name[name], public, check_submission(submission, shipped))
        except BenchkitError as error:
            raise BenchkitError(f"{where}: {error}") from None
    return [found[season.name] for season in seasons if season.name in found]


def find_stale_scores(folder: Path, run: str) -> list[str]:
    """Return what in a submission's folder is the score of another run, or no score at all.

    A score of the same run stays: nothing of it changes when the run is submitted again.
    """
    found = []
    for one in sorted(folder.glob(f"{PREFIX}*")):
        try:
            own = find_facts(one).run == run
        except BenchkitError:
            own = False
        found += [] if own else [one.name]
    return found


def _check_same(fresh: Submission, public: Submission, season: Season) -> None:
    """Raise BenchkitError unless these are the rows of the submission, scored in this season."""
    if season.secret is None:
        raise BenchkitError("the season is not revealed yet, so nobody can have been scored in it")
    if fresh.facts.season != season.commitment:
        raise BenchkitError("its images are those of another season")
    if (fresh.facts.name, fresh.facts.run) != (public.facts.name, public.facts.run):
        raise BenchkitError(f"it is the score of '{fresh.facts.name}', run {fresh.facts.run}: of another submission")
    lines = []
    for submission in (fresh, public):
        records = submission.rows.to_dict("records")
        lines.append({r["cell"]: [r[name] if known(r[name]) else None for name in _SAME] for r in records})
    for cell in lines[0].keys() | lines[1].keys():
        if lines[0].get(cell) != lines[1].get(cell):
            raise BenchkitError(f"the cell {str(cell)[:12]} is not the one of the submission: score the season again")


def check_scores_together(scores: Iterable[SeasonScore]) -> None:
    """Raise BenchkitError where two submissions were scored on different images of one season."""
    first: dict[str, Submission] = {}
    for season, _, fresh in scores:
        other = first.setdefault(season.name, fresh.submission)
        if set(other.facts.test_sets.values()) != set(fresh.submission.facts.test_sets.values()):
            names = f"{fresh.submission.facts.name} was scored on other images than {other.facts.name}"
            raise BenchkitError(f"season '{season.name}': {names}")


def join_scores(scores: Iterable[SeasonScore]) -> list[SeasonResult]:
    """Return the scores of one protocol, a result for each season, in which all rows are ranked together."""
    by_season: dict[str, list[SeasonScore]] = {}
    for score in scores:
        by_season.setdefault(score.season.name, []).append(score)
    results = []
    for own in by_season.values():
        (public, board), (fresh, fresh_board) = _join([one.public for one in own]), _join([one.fresh for one in own])
        names = tuple(one.public.submission.facts.name for one in own)
        changes = measure_lead_changes(public, fresh)
        results.append(SeasonResult(own[0].season, board, fresh_board, names, changes))
    return results


def _join(checked: Sequence[Checked]) -> tuple[RunData, Board]:
    if len(checked) == 1:
        return checked[0].submission.data, checked[0].board
    merged = merge_submissions([one.submission for one in checked])
    return merged, Board.of(merged)
