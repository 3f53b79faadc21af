"""A submission: a finished run as a folder of files, without pictures, from which its board can be made again.

submission.json: who, what was declared, the grid, the environment. rows.parquet: a line per cell. images.parquet and
the other files of `terms_file`: what is kept of every test image. board.parquet: the board as it was reported, without
its pairs, which follow from the terms.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from benchkit.errors import BenchkitError, shortened
from benchkit.leaderboard.terms import ScoredImages, Terms
from benchkit.leaderboard.terms_file import (
    CURVES,
    GROUPS,
    IMAGES,
    SUMS,
    TEST_IMAGES,
    terms_from_files,
    terms_to_files,
)
from benchkit.metrics import is_metric
from benchkit.report.board import Board
from benchkit.report.board_parquet import board_from_parquet, board_to_parquet
from benchkit.report.format_values import known, one_line
from benchkit.report.frames import make_frame, to_objects
from benchkit.report.load_board import BOARD_FILE, BOARD_PARQUET
from benchkit.report.parquet_file import frame_to_table, read_parquet, table_to_frame, write_parquet
from benchkit.report.run_data import RunData
from benchkit.store.encoding import parse_json
from benchkit.system.files import read_regular
from benchkit.system.output_files import replace_folder

#: Version of the files. Earlier versions stay readable: see READABLE, and the samples in tests/leaderboard.
SCHEMA = 2
FACTS, ROWS = "submission.json", "rows.parquet"
_FILES = {
    1: (FACTS, ROWS, IMAGES, CURVES, SUMS, TEST_IMAGES, BOARD_FILE),
    2: (FACTS, ROWS, IMAGES, CURVES, GROUPS, SUMS, TEST_IMAGES, BOARD_PARQUET),
}
READABLE, FILES = tuple(_FILES), _FILES[SCHEMA]
#: Small images, where the submitter added them; submission.json has the sha256 of the file.
EXAMPLES = "examples.parquet"
#: Bytes of one file, and cells of one submission: more than any run has.
MOST_BYTES, MOST_CELLS = 2**27, 100_000
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
#: A name is a folder, an address and a cell of a table: no path, markup or formula can be one.
NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$"
#: What people write about themselves: one line that is no formula in a table and contains no markup.
Text = Annotated[
    str, Field(min_length=1, max_length=500, pattern=r"^[^=+\-@\s<>\x00-\x1f\x7f-\x9f][^<>\x00-\x1f\x7f-\x9f]*$")
]
Link = Annotated[str, Field(max_length=300, pattern=r"^https://[^\s<>\"'\x00-\x1f]+$")]
_RULES = {
    ("name",): "no name: use at most 40 letters, digits, '-' and '_'",
    ("link", "sources"): "no address: it begins with https:// and has no spaces or markup",
    ("contact", "tuned_on", "seen"): "not one line of at most 500 characters without < and >, or begins with = + - @",
}
_PATH = re.compile(r"(?<![\w.:/])(?:~?/|[A-Za-z]:\\)[^\s,;:'\"()|+=]+")


class _Described(BaseModel):
    """The keys of a record that are read; others may stand beside them."""

    model_config = ConfigDict(strict=True, extra="allow")


class _Grid(_Described):
    title: str
    note: str = ""
    remarks: list[str] = []
    dataset: str
    seeds: list[int]
    detectors: list[str]
    selectors: list[str] = []
    corruptors: list[str] = []
    with_human: list[str] = []
    baselines: list[str] = []
    trivial: list[str] = []
    sources: list[dict[str, Any]] = []
    on_detector: dict[str, _OnDetector] = {}
    shown: dict[str, str] = {}


class _OnDetector(_Described):
    seeds: list[int] | None = None


class _Plugin(_Described):
    origin: str
    source: Sha256
    version: str | None = None


class _Environment(_Described):
    plugins: dict[str, _Plugin]
    datasets: dict[str, str]
    git: dict[str, Any] | None = None


class Facts(BaseModel):
    """The contents of submission.json.

    link: where to read about the rows, if there is such a page. tuned_on: on which data settings were chosen. seen:
    which data plugins or their weights have been trained on. run, created: the run's id and time. grid: the run's
    description. environment: what
    `benchkit.runs.provenance.describe_environment` returned. protocol: digest of `read_protocol`. test_sets: name ->
    `ScoredImages.digest`. sources: `KIND NAME` of plugins that do not ship with benchkit -> where to get them.
    season: the commitment of the season whose images these are; None for the public ones. examples: sha256 of the
    file EXAMPLES; None without one, and in submissions of versions that did not state it.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    schema_version: Literal[1, 2] = Field(alias="schema")
    name: Annotated[str, Field(pattern=NAME)]
    link: Link | None = None
    contact: Text | None = None
    tuned_on: Text | None = None
    seen: Text | None = None
    run: Annotated[str, Field(pattern=r"^[\w.-]{1,80}$")]
    created: Annotated[str, Field(pattern=r"^[\w.:+-]{1,40}$")]
    grid: dict[str, Any]
    environment: dict[str, Any]
    protocol: Sha256
    test_sets: dict[str, Sha256]
    sources: dict[str, Link] = {}
    season: Sha256 | None = None
    examples: Sha256 | None = None

    @field_validator("grid", "environment")
    @classmethod
    def _has_the_keys_that_are_read(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        (_Grid if info.field_name == "grid" else _Environment).model_validate(value)
        return value


@dataclass(frozen=True, eq=False)
class Submission:
    """One submission. rows: a line per cell. terms: cell -> its terms. images: test set -> its images.

    board: the reported board as plain data; None where it has not been read. where: names it in messages.
    """

    facts: Facts
    rows: pd.DataFrame
    terms: Mapping[str, Terms]
    images: Mapping[str, ScoredImages]
    board: Mapping[str, Any] | None
    where: str

    @cached_property
    def data(self) -> RunData:
        """The run as a report sees it; its records are those of `Terms.record`."""
        sets = dict(zip(self.rows["cell"], self.rows["test_set"], strict=True))
        records = {cell: own.record(self.images[sets[cell]]) for cell, own in self.terms.items()}
        return RunData(self.facts.run, self.facts.grid, self.facts.environment, self.rows, records)

    @cached_property
    def figures(self) -> dict[str, dict[str, float]]:
        """Cell -> every figure that follows from its terms."""
        sets = dict(zip(self.rows["cell"], self.rows["test_set"], strict=True))
        return {cell: own.figures(self.images[sets[cell]]) for cell, own in self.terms.items()}

    def files(self) -> dict[str, bytes]:
        """Return file name -> contents, with the board that follows from the terms."""
        facts = self.facts.model_dump(mode="json", by_alias=True) | {"schema": SCHEMA}
        for later in ("season", "examples"):  # without them, as the versions wrote it that did not have them
            if facts[later] is None:
                del facts[later]
        board = Board.of(self.data)
        columns = [name for name in board.frame if ":" not in str(name)]
        return {
            FACTS: json.dumps(facts, indent=1, ensure_ascii=False, sort_keys=True).encode() + b"\n",
            ROWS: rows_to_parquet(self.rows.drop(columns=[name for name in self.rows if _follows(str(name))])),
            **terms_to_files(self.terms, self.images),
            BOARD_PARQUET: board_to_parquet(replace(board, frame=board.frame[columns], pairs=())),
        }


def write_submission(
    submission: Submission, folder: Path, force: bool = False, examples: bytes = b"", stale: Iterable[str] = ()
) -> dict[str, int]:
    """Write a submission into a folder, made if need be, all of its files or none; return file name -> bytes.

    examples: the contents of EXAMPLES, whose sha256 is then stated. stale: what else in the folder belongs to an
    earlier submission. Raises BenchkitError where the folder has other files, or a submission and `force` is not set.
    """
    stated = hashlib.sha256(examples).hexdigest() if examples else None
    files = replace(submission, facts=submission.facts.model_copy(update={"examples": stated})).files()
    files |= {EXAMPLES: examples} if examples else {}
    earlier = {EXAMPLES, *stale, *(name for names in _FILES.values() for name in names)}
    with replace_folder(folder, force, FACTS, lambda: earlier) as aside:
        for name, data in files.items():
            (aside / name).write_bytes(data)
    return {name: len(data) for name, data in files.items()}


def read_submission(folder: Path) -> Submission:
    """Return the submission in a folder; raise BenchkitError, in one line, for anything that is not one.

    Whether its figures are right is not checked here: see `benchkit.leaderboard.check`.
    """
    where = folder.name
    facts = read_facts(_read_file(folder, FACTS), f"{where}/{FACTS}")
    files = {name: _read_file(folder, name) for name in _FILES[facts.schema_version] if name != FACTS}
    rows = rows_from_parquet(files[ROWS], f"{where}/{ROWS}")
    thresholds = zip(rows["cell"], rows["threshold"], strict=True) if "threshold" in rows else ()
    terms, images = terms_from_files(files, where, {cell: float(value) for cell, value in thresholds if known(value)})
    if unknown := set(terms) - set(rows["cell"]):
        raise BenchkitError(f"{where}/{IMAGES}: the cell {min(unknown)[:12]} is in no line of {ROWS}")
    if missing := set(rows.loc[rows["cell"].isin(list(terms)), "test_set"]) - set(images):
        raise BenchkitError(f"{where}/{TEST_IMAGES}: the test set '{min(missing)}' is missing")
    if facts.schema_version == 1:
        return Submission(facts, rows, terms, images, _parse(files[BOARD_FILE], f"{where}/{BOARD_FILE}"), where)
    board = board_from_parquet(files[BOARD_PARQUET], f"{where}/{BOARD_PARQUET}").as_json()
    del board["pairs"]
    return _with_figures_by_kind(Submission(facts, rows, terms, images, board, where))


def _follows(column: str) -> bool:
    """Return whether a column of the rows is a figure by kind, which is not stored: it follows from the terms."""
    return ":" in column and is_metric(column)


def _with_figures_by_kind(submission: Submission) -> Submission:
    """Return the submission with the columns of its rows that are not stored."""
    names = dict.fromkeys(name for own in submission.figures.values() for name in own if _follows(name))
    missing = [name for name in names if name not in submission.rows]
    figures = [submission.figures.get(cell, {}) for cell in submission.rows["cell"]]
    found = {name: [own.get(name, np.nan) for own in figures] for name in missing}
    more = pd.DataFrame(found, submission.rows.index, dtype=float)
    complete = replace(submission, rows=pd.concat([submission.rows, more], axis=1))
    vars(complete)["figures"] = submission.figures  # of the same terms: not computed twice
    return complete


def find_facts(folder: Path) -> Facts:
    """Return what the submission in a folder says of itself; raise BenchkitError if there is none."""
    return read_facts(_read_file(folder, FACTS), f"{folder.name}/{FACTS}")


def read_facts(data: bytes, where: str) -> Facts:
    """Return the contents of submission.json; raise BenchkitError naming the key that is wrong."""
    found = _parse(data, where)
    if found["schema"] not in READABLE:
        read = " and ".join(map(str, READABLE))
        raise BenchkitError(f"{where}: schema {found['schema']!r}, but this version of benchkit reads schema {read}")
    try:
        return Facts.model_validate(found)
    except ValidationError as error:
        key, fault = describe_fault(error)
        raise BenchkitError(f"{where}: '{key}': {fault}") from None


def _parse(data: bytes, where: str) -> dict[str, Any]:
    try:
        found = parse_json(data)
    except BenchkitError as error:
        raise BenchkitError(f"{where}: {error}") from None
    if not isinstance(found, dict) or "schema" not in found:
        raise BenchkitError(f"{where}: it has no 'schema', so it is no file of a submission")
    return found


def describe_fault(error: ValidationError) -> tuple[str, str]:
    """Return the key of the first fault in submission.json, and what is wrong with its value."""
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"]))
    if first["type"] in ("string_pattern_mismatch", "string_too_long", "string_too_short"):
        shown = f"'{shortened(one_line(first['input']))}' is "
        for names, rule in _RULES.items():
            if first["loc"][0] in names:
                return key, f"{shown}{rule}"
    return key, str(first["msg"])


def digest_submission(folder: Path) -> str:
    """Return the sha256 of all files of a submission: another one for any change."""
    facts = read_facts(_read_file(folder, FACTS), f"{folder.name}/{FACTS}")
    names = _FILES[facts.schema_version]
    parts = [hashlib.sha256(_read_file(folder, name)).hexdigest() for name in names]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _read_file(folder: Path, name: str) -> bytes:
    path = folder / name
    try:
        if path.stat().st_size > MOST_BYTES:
            raise BenchkitError(f"{folder.name}/{name}: more than {MOST_BYTES} bytes")
        return read_regular(path)
    except FileNotFoundError:
        raise BenchkitError(f"{folder.name}: the file {name} is missing") from None
    except OSError as error:
        raise BenchkitError(f"{folder.name}/{name}: cannot be read: {error.strerror or error}") from None


def rows_to_parquet(rows: pd.DataFrame) -> bytes:
    """Return rows as Parquet: texts, flags, whole numbers and numbers, each undefined where nothing is known."""
    return write_parquet(frame_to_table(normalise_rows(rows)))


def rows_from_parquet(data: bytes, where: str) -> pd.DataFrame:
    """Return the rows as `normalise_rows` gives them; raise BenchkitError for other bytes."""
    needed = ("cell", "test_set", "checkpoint_sha256")
    return normalise_rows(table_to_frame(read_parquet(data, where, needed=needed, most_lines=MOST_CELLS)[0]))


def normalise_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with one type per column: text or flag with None, whole numbers, or numbers with NaN."""
    columns: dict[str, NDArray[Any]] = {}
    for name, column in zip(map(str, rows), rows.to_numpy(object).T.tolist(), strict=True):
        values = [value.item() if isinstance(value, np.generic) else value for value in column]
        values = [value if known(value) and value is not pd.NA else None for value in values]
        kinds = {type(value) for value in values if value is not None}
        if kinds and kinds <= {int} and None not in values:
            columns[name] = np.array(values, np.int64)
        elif kinds <= {int, float}:
            columns[name] = np.array([np.nan if value is None else float(value) for value in values], float)
        elif kinds == {bool}:
            columns[name] = to_objects(values)
        else:
            columns[name] = to_objects([value if value is None else str(value) for value in values])
    return make_frame(columns, len(rows))


def hide_paths(value: Any) -> Any:
    """Return plain data or text with every absolute path cut to its last part, `…/NAME`."""
    if isinstance(value, str):
        return _PATH.sub(lambda found: "…/" + re.split(r"[/\\]", found[0].rstrip("/\\"))[-1], value)
    if isinstance(value, Mapping):
        return {hide_paths(key): hide_paths(one) for key, one in value.items()}
    return [hide_paths(one) for one in value] if isinstance(value, list | tuple) else value
