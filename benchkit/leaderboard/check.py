"""Check submissions: is every figure the one that follows from the terms, and do several of them fit together?

This finds contradictions. Figures that were invented together with their terms contradict nothing: whether a row can
be computed again is another question, which re-running its cells answers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchkit.errors import BenchkitError, describe_error
from benchkit.leaderboard.examples import SmallExample, find_unstated, read_examples
from benchkit.leaderboard.rules import check_rules
from benchkit.leaderboard.submission import FACTS, Submission, read_submission
from benchkit.metrics import COMPANION, PRIMARY, is_metric
from benchkit.report.board import Board
from benchkit.report.format_values import known
from benchkit.report.frames import line_records
from benchkit.report.third_party import OWN
from benchkit.runs.provenance import get_package_versions, read_git_revision

#: Figures are equal up to this: the last bits of a logarithm depend on the processor.
TOLERANCE = 1e-9
_PACKAGE = "artifact-benchkit"


@dataclass(frozen=True)
class Checked:
    """A submission whose figures are those of its terms.

    notes: what does not count against it, but should be known. examples: its small images.
    """

    submission: Submission
    board: Board
    notes: tuple[str, ...] = ()
    examples: tuple[SmallExample, ...] = ()


def find_submissions(paths: Iterable[Path]) -> list[Path]:
    """Return the folders of submissions: each path is one, or contains some. Raises BenchkitError where there is none.

    Folders without a submission.json beside submissions are faults, files are not: a README may stand there.
    """
    found = []
    for path in paths:
        if not path.exists():
            raise BenchkitError(f"there is no folder '{path}'")
        if not path.is_dir():
            raise BenchkitError(f"'{path}' is a file: unpack an archive, and name the folder of a submission")
        inner = [one for one in sorted(path.iterdir()) if one.is_dir() and not one.name.startswith(".")]
        if (path / FACTS).exists():
            found.append(path)
        elif not any((one / FACTS).exists() for one in inner):
            raise BenchkitError(f"'{path}' is no submission and contains none: there is no {FACTS}")
        else:
            found += inner
    return list(dict.fromkeys(found))


def check_folder(folder: Path, shipped: Mapping[str, str]) -> Checked:
    """Read and check one submission; raise BenchkitError, in one line, for its first fault."""
    try:
        return _check_folder(folder, shipped)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:  # made by a stranger
        raise BenchkitError(f"{folder.name}: not what a submission contains: {describe_error(error)}") from error


def _check_folder(folder: Path, shipped: Mapping[str, str]) -> Checked:
    submission = read_submission(folder)
    if folder.resolve().name != submission.facts.name:
        raise BenchkitError(f"{folder.name}: its name is '{submission.facts.name}': name the folder so")
    if submission.facts.season is not None:
        raise BenchkitError(f"{folder.name}: it is the score of a season, which belongs into its submission's folder")
    try:
        checked = check_submission(submission, shipped)
    except BenchkitError as error:
        raise BenchkitError(f"{submission.where}: {error}") from None
    examples = read_examples(folder, submission)
    notes = (*checked.notes, *find_unstated(examples, submission))
    return replace(checked, notes=notes, examples=tuple(examples))


def check_submission(submission: Submission, shipped: Mapping[str, str]) -> Checked:
    """Check one submission; raise BenchkitError, in one line, for its first fault.

    shipped: `KIND NAME` of this version's own plugins -> sha256 of their source; a submission of another version may
    have other ones, which becomes a note.
    """
    check_rules(submission.facts, submission.rows)
    _check_terms(submission)
    for cell, name, seed, column, reported, right in _differing_figures(submission):
        raise BenchkitError(
            f"row '{name}', seed {seed} (cell {cell[:12]}): '{column}' is {_text(reported)}, but its terms give "
            f"{_text(right)}"
        )
    board = Board.of(submission.data)
    notes = [*_notes(submission, shipped), *_compare_boards(submission, board)]
    return Checked(submission, board, tuple(notes))


def check_together(checked: Sequence[Checked]) -> None:
    """Raise BenchkitError where submissions of one protocol contradict each other: other images, or one cell twice."""
    tested: dict[tuple[str, str], Submission] = {}
    cells: dict[str, Submission] = {}
    for submission in (one.submission for one in checked):
        for test_set, own in submission.images.items():
            first = tested.setdefault((submission.facts.protocol, test_set), submission)
            if first.images[test_set].digest != own.digest:
                raise BenchkitError(
                    f"{submission.where}: its test images '{test_set}' are others than those of {first.where}, which "
                    "has the same protocol"
                )
        for cell, terms in submission.terms.items():
            other = cells.setdefault(cell, submission).terms[cell]
            if not (np.array_equal(terms.tp, other.tp) and np.array_equal(terms.fp, other.fp)):
                raise BenchkitError(
                    f"{submission.where}: the cell {cell[:12]} has other counts than in {cells[cell].where}: one "
                    "cell has one result, up to the last bits of a device; run it again"
                )


def _check_terms(submission: Submission) -> None:
    done = set(submission.rows.loc[submission.rows["state"] == "done", "cell"])
    if other := done.symmetric_difference(submission.terms):
        what = "no terms are there" if min(other) in done else "terms are there, but it is not done"
        raise BenchkitError(f"the cell {min(other)[:12]}: {what}")
    digests = {test_set: images.digest for test_set, images in submission.images.items()}
    for test_set in digests.keys() | submission.facts.test_sets.keys():
        if digests.get(test_set) != submission.facts.test_sets.get(test_set):
            raise BenchkitError(f"the test images '{test_set}' are not those whose digest it states")
    for line in line_records(submission.rows):
        if line["cell"] in submission.terms:
            images = submission.images[line["test_set"]]
            if line["test_images"] != len(images):
                raise BenchkitError(f"a row of {line['test_images']} test images has terms of {len(images)}")
            if fault := submission.terms[line["cell"]].find_fault(images):
                raise BenchkitError(
                    f"row '{line['training_set']}', seed {line['seed']} (cell {line['cell'][:12]}): {fault}"
                )


def _differing_figures(submission: Submission) -> Iterator[tuple[str, str, int, str, Any, Any]]:
    """Yield cell, row, seed, column, reported and recomputed value of every figure that differs."""
    for name in (PRIMARY, COMPANION):
        if submission.terms and name not in submission.rows:
            raise BenchkitError(f"its rows have no column '{name}'")
    names = [name for name in map(str, submission.rows) if is_metric(name) or name.endswith("images")]
    for line in line_records(submission.rows):
        terms = submission.terms.get(line["cell"])
        if terms is None:
            continue
        right = submission.figures[line["cell"]]
        for name in names:
            if name in right or is_metric(name):
                value = right.get(name, np.nan)
                if not _equal(line[name], value):
                    yield line["cell"], line["training_set"], line["seed"], name, line[name], value


def _compare_boards(submission: Submission, board: Board) -> Iterator[str]:
    """Raise BenchkitError where the reported board is not the recomputed one; yield what another version explains.

    Intervals, ranks and p-values may be computed otherwise by another version of benchkit: its board is not wrong then.
    Means over seeds and their standard deviations are the same in every version.
    """
    other_version = _is_of_another_version(submission.facts.environment)
    explained = None
    for place, column, reported, right in _differences(submission.board, _as_stored(submission, board), (), ""):
        where = "the board"
        if len(place) > 1 and place[0] == "rows":
            where = f"row '{board.frame['training_set'][place[1]]}' of the board"
        elif place:
            where = f"'{place[0]}' of the board"
        fault = f"{where}: '{column}' is {_text(reported)}, but the terms give {_text(right)}"
        if not other_version or (place[:1] == ("rows",) and is_metric(column.removesuffix("_std"))):
            raise BenchkitError(fault)
        explained = explained or fault
    if explained:
        yield f"its board is of another version of benchkit, which computed otherwise, and is not shown: {explained}"


def _as_stored(submission: Submission, board: Board) -> dict[str, Any]:
    """Return the recomputed board as plain data; from schema 2 on without what the reported one does not contain."""
    right, reported = board.as_json(), submission.board or {}
    if submission.facts.schema_version > 1:
        reported_names = {name for row in reported["rows"] for name in row}
        by_kind = {name for row in right["rows"] for name in row if ":" in name} - reported_names
        right["rows"] = [{name: row[name] for name in row if name not in by_kind} for row in right["rows"]]
        right |= {} if "pairs" in reported else {"pairs": None}
    return right


def _is_of_another_version(environment: Mapping[str, Any]) -> bool:
    own, theirs = _own_version(), _version(environment.get("packages") or {}, environment.get("git"))
    return any(one and other and one != other for one, other in zip(own, theirs, strict=True))


@cache
def _own_version() -> tuple[str | None, str | None]:
    return _version(get_package_versions(), read_git_revision())


def _version(packages: Mapping[str, Any], git: Mapping[str, Any] | None) -> tuple[str | None, str | None]:
    return packages.get(_PACKAGE), (git or {}).get("commit")


def _differences(
    reported: Any, right: Any, place: tuple[Any, ...], column: str
) -> Iterator[tuple[tuple[Any, ...], str, Any, Any]]:
    if isinstance(reported, dict) and isinstance(right, dict):
        for key in dict.fromkeys((*right, *reported)):
            yield from _differences(reported.get(key), right.get(key), (*place, key), str(key))
    elif isinstance(reported, list) and isinstance(right, list):
        if len(reported) != len(right):
            yield place, f"number of {column}", len(reported), len(right)
        for i, (one, other) in enumerate(zip(reported, right, strict=False)):
            yield from _differences(one, other, (*place, i), column)
    elif not _equal(reported, right):
        yield place, column, reported, right


def _equal(reported: Any, right: Any, tolerance: float = TOLERANCE) -> bool:
    if not known(reported) or not known(right):
        return not known(reported) and not known(right)
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (reported, right))
    if numbers:
        return math.isclose(reported, right, rel_tol=TOLERANCE, abs_tol=tolerance)
    return type(reported) is type(right) and bool(reported == right)


def _notes(submission: Submission, shipped: Mapping[str, str]) -> Iterator[str]:
    plugins = submission.facts.environment["plugins"]
    own = {name: facts["source"] for name, facts in plugins.items() if facts.get("origin") == OWN}
    other = [name for name, source in own.items() if shipped.get(name) != source]
    if other:
        yield f"computed with another version of {', '.join(sorted(other))} than this one has"
    if (submission.facts.environment.get("git") or {}).get("dirty"):
        yield "computed with changed files, which its commit does not have"


def _text(value: Any) -> str:
    return "unknown" if not known(value) else repr(value)
