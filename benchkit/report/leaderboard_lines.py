"""The leaderboard's lines: reported results and rows of finished boards, each checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchkit.errors import BenchkitError, describe_error
from benchkit.report.aggregate import read_object
from benchkit.report.board import Board
from benchkit.report.figure_checks import MOST, RowState
from benchkit.report.format_values import bare
from benchkit.report.load_board import BOARD_FILE, find_board, load_board
from benchkit.report.old_schemas import READABLE, READABLE_TEXT, SCHEMA, upgraded
from benchkit.specs.cell import Role
from benchkit.statistics.confidence_level import LEVEL

PACKAGE = "benchkit_leaderboard"
PAPER_FILE = "paper.jsonl"
Figure = Annotated[float, Field(allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1)]


class Method(NamedTuple):
    """A row by bare names, from any report. name: the corruptor's, the rule's, or the role itself."""

    role: str
    name: str
    steps: int | None
    selector: str | None
    detector: str | None


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, populate_by_name=True)

    version: int = Field(alias="schema")
    training_set: Name
    selector: str | None
    detector: str | None
    test_set: Name

    @property
    def method(self) -> Method:
        """What identifies the method in lines of different sources."""
        selector, detector = (name if name is None else bare(name) for name in (self.selector, self.detector))
        return Method(self.method_role, self.name, self.inversion_steps, selector, detector)

    @property
    def method_role(self) -> str:
        """The role by which lines are matched."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """The name among rows of its role."""
        raise NotImplementedError

    @property
    def inversion_steps(self) -> int | None:
        """Inversion steps of the corruptor, None where there is none."""
        raise NotImplementedError


class PaperLine(_Line):
    """A figure as printed in a paper. value: in per cent. inferred: fields that the paper does not state outright."""

    model_config = ConfigDict(extra="forbid")

    source: Literal["paper"]
    table: int = Field(ge=1)
    label: Name
    steps: int | None = Field(ge=0)
    dataset: str | None
    detector_label: str
    metric: Name
    metric_label: str
    value: float = Field(ge=0, le=100, allow_inf_nan=False)
    unit: Literal["%"]
    inferred: list[str] = []

    @property
    def method_role(self) -> str:
        """The role by which lines are matched."""
        return self.training_set if self.training_set in ("human", "pseudo") else "corrupted"

    @property
    def name(self) -> str:
        """The method's name in benchkit."""
        return self.training_set

    @property
    def inversion_steps(self) -> int | None:
        """Inversion steps as printed."""
        return self.steps


class PaperTable(BaseModel):
    """Which of the paper's tables a run is: see `benchkit.planning.paper_protocol.to_record`, which writes it."""

    model_config = ConfigDict(frozen=True)

    table: int
    sources: dict[str, str]
    differs: list[str]


class RunLine(_Line):
    """A line of a finished board, see benchkit.report.board.Board; fractions in [0, 1], further figures allowed."""

    model_config = ConfigDict(extra="allow")

    source: Literal["run"]
    run: Name
    title: str
    group: Literal["trained", "trivial", "missing"]
    state: RowState
    role: Role
    method_text: str | None = Field(None, alias="method")
    corruptor: str | None = None
    corruptor_params: str | None
    source_name: str | None = None
    seeds: int = Field(ge=0, le=MOST)
    planned_seeds: int = Field(ge=0, le=MOST)
    artifact_iou: Fraction | None
    # Those of schema 1 may lie outside of [0, 1].
    artifact_iou_low: Figure | None
    artifact_iou_high: Figure | None
    paper: PaperTable | None = None
    shown: dict[str, str] = {}

    @property
    def method_role(self) -> str:
        """The role by which lines are matched."""
        return self.role

    @property
    def name(self) -> str:
        """The corruptor's bare name, the rule of a trivial row, else the role."""
        return self.corruptor or self.method_text or self.role

    @property
    def inversion_steps(self) -> int | None:
        """Inversion steps from the corruptor's parameters."""
        steps = read_object(self.corruptor_params).get("steps")
        return steps if isinstance(steps, int) else None


Line: TypeAlias = PaperLine | RunLine
_MODELS: Mapping[str, type[PaperLine] | type[RunLine]] = {"paper": PaperLine, "run": RunLine}


def load_leaderboard(paths: Iterable[Path | str]) -> tuple[Line, ...]:
    """Return the lines of all paths: JSON Lines files, boards (board.json), folders of a report or of such files.

    Raises BenchkitError, naming file and line, for anything that cannot be read.
    """
    return tuple(line for path in paths for line in _load(Path(path)))


def paper_lines() -> tuple[PaperLine, ...]:
    """Return the paper's reported rows that ship with benchkit."""
    where, text = _shipped_text(PACKAGE, PAPER_FILE)
    return tuple(line for line in parse_lines(text, where) if isinstance(line, PaperLine))


def board_lines(board: Board) -> tuple[RunLine, ...]:
    """Return a board's lines as the leaderboard holds them."""
    return tuple(RunLine.model_validate(row) for row in board.rows())


def make_boards(lines: Iterable[Line], where: str, columns: Callable[[str], bool] | None = None) -> list[Board]:
    """Return one board per run from lines of runs; lines of the paper make none.

    where: names the lines in messages. columns: which columns of the frames are needed, if not all.
    """
    rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for line in lines:
        if isinstance(line, RunLine):
            rows.setdefault((line.run, line.title), []).append(line.model_dump(by_alias=True))
    heads = {"schema": SCHEMA, "note": "", "level": LEVEL}
    return [
        Board.from_json({**heads, "run": run, "title": title, "rows": own}, where, columns)
        for (run, title), own in rows.items()
    ]


def load_boards(path: Path | None, package: str, file: str) -> list[Board]:
    """Return the boards of a file or folder, see `load_leaderboard`; without one, of a file that ships in a package.

    Raises BenchkitError for what cannot be read, or holds no board.
    """
    if path is not None:
        where, lines = str(path), load_leaderboard([path])
    else:
        where, text = _shipped_text(package, file)
        lines = tuple(parse_lines(text, where))
    boards = make_boards(lines, where)
    if not boards:
        raise BenchkitError(f"'{where}' has no row of a finished board")
    return boards


def to_jsonl(board: Board) -> str:
    """Return a board as JSON Lines, ready to be submitted: one object per line."""
    return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in board.rows())


def parse_lines(text: str, where: str) -> Iterator[Line]:
    """Parse and check JSON Lines; `where` names them in messages; blank lines are skipped."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield _parse(line, f"{where}, line {number}")


def _parse(text: str, where: str) -> Line:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BenchkitError(f"{where}: not JSON: {describe_error(error)}") from None
    if not isinstance(data, dict) or "schema" not in data:
        raise BenchkitError(f'{where}: no leaderboard line: expected an object with "schema": {SCHEMA}')
    if type(data["schema"]) is not int or data["schema"] not in READABLE:
        raise BenchkitError(f"{where}: schema {data['schema']!r}, but this version of benchkit reads {READABLE_TEXT}")
    source = data.get("source")
    if not isinstance(source, str) or source not in _MODELS:
        raise BenchkitError(f"{where}: source must be one of {', '.join(_MODELS)}, not {source!r}")
    try:
        return _MODELS[source].model_validate(upgraded(data) if source == "run" else data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise BenchkitError(f"{where}: {key}: {first['msg']}") from None


def _load(path: Path) -> Sequence[Line]:
    if path.is_dir():
        if find_board(path):
            return board_lines(load_board(path))
        found = sorted(path.glob("*.jsonl"))
        if not found:
            raise BenchkitError(f"'{path}' contains neither a {BOARD_FILE} nor a .jsonl file")
        return [line for file in found for line in _load(file)]
    if path.suffix in (".json", ".parquet"):
        return board_lines(load_board(path))
    try:
        return list(parse_lines(path.read_text("utf-8"), str(path)))
    except OSError as error:
        raise BenchkitError(f"cannot read '{path}': {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise BenchkitError(f"'{path}' is no text in UTF-8") from None


@cache
def _shipped_text(package: str, file: str) -> tuple[str, str]:
    """Return where a shipped file of lines is, and its text: in the installed package, else in the checkout."""
    try:
        folder: Any = resources.files(package)
    except ModuleNotFoundError:
        if package != PACKAGE:
            raise
        folder = Path(__file__).parents[2] / "leaderboard"
    found = folder / file
    if not found.is_file():
        raise BenchkitError(f"the file {file} of {package} is not installed: reinstall artifact-benchkit")
    return f"{'leaderboard' if package == PACKAGE else package}/{file}", found.read_text("utf-8")
