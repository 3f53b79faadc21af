"""A comparison that adds seeds only where pairs are unresolved: which rows get more, its record, how it resumes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchkit.config.grid import Grid, parse_grid
from benchkit.errors import BenchkitError
from benchkit.executors.batch import StageResult
from benchkit.plugin.registry import Registry
from benchkit.report.board import Board
from benchkit.report.notes import head_notes
from benchkit.runs.run import Outcome, RunLocations, RunOptions, compare, make_plan
from benchkit.search.ablation import make_ablation
from benchkit.search.variants import Axis
from tests.helpers import frozen_plugins, noisy_plugins
from tests.helpers.small_comparison import GRID

FILES = [Path(str(module.__file__)) for module in (frozen_plugins, noisy_plugins)]
APART, ALIKE = ("human", "pseudo"), ("none:steps=1", "gaussian:steps=1")


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load(files=FILES)


@pytest.fixture(scope="module")
def grid(tiny_checkpoint: Path) -> Grid:
    changes: dict[str, Any] = {
        "dataset": "plain",
        "detectors": ["brightness"],
        "seeds": [0, 1, 2],
        "test": {"split": "test", "size": 6},
    }
    changes |= {"until_resolved": 0.01, "max_seeds": 5}
    return parse_grid(GRID.format(model=tiny_checkpoint), "small").replaced(**changes)


def run(
    grid: Grid, registry: Registry, folder: Path, report: Callable[[StageResult], None] = lambda _: None
) -> Outcome:
    return compare(grid, registry, RunLocations(folder / "out", folder / "cache"), RunOptions(report=report))


@pytest.fixture(scope="module")
def ended(grid: Grid, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    folder = tmp_path_factory.mktemp("looks")
    return folder, run(grid, registry, folder)


def without_times(board: Board) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in ("seconds", "run")} for row in board.rows()]


def test_a_separated_row_stops_early_and_equal_rows_get_all_seeds(ended: tuple[Path, Outcome]) -> None:
    board = ended[1].board
    seeds = dict(zip(board.frame["training_set"], board.frame["seeds"], strict=True))
    assert seeds == {"all-negative": 1, **dict.fromkeys(APART, 3), **dict.fromkeys(ALIKE, 5)}
    assert board.frame["planned_seeds"].tolist() == board.frame["seeds"].tolist()
    verdicts = {(p["first"], p["second"]): p["verdict"] for p in board.pairs if p["metric"] == "artifact_iou"}
    names = board.frame["training_set"].tolist()
    assert all(
        (verdict in ("better", "worse")) == ({names[first], names[second]} != {*ALIKE})
        for (first, second), verdict in verdicts.items()
    )


def test_the_record_states_the_looks_and_who_stopped_where(ended: tuple[Path, Outcome], registry: Registry) -> None:
    folder, outcome = ended
    looks = json.loads((folder / "out" / "board.json").read_text())["looks"]
    assert looks["planned"] == [3, 5]
    assert (looks["level"], looks["margin"]) == (pytest.approx(0.975), pytest.approx(0.0001))
    first, last = looks["taken"]
    assert (first["seeds"], first["rows"], first["pairs"], first["unresolved"]) == (3, 4, 6, 1)
    assert (first["stopped"], first["different"]) == ("human; pseudo", 5)
    assert (last["seeds"], last["rows"], last["unresolved"]) == (5, 2, 1)
    assert Board.from_json(outcome.board.as_json(), "here").looks == looks
    page = (folder / "out" / "index.html").read_text()
    for text in head_notes(outcome.board)[2:5]:
        assert text.split(";")[0] in page
    assert "looks at 3, 5 seeds" in page and "stopped: human; pseudo" in page
    recorded = RunLocations(cache=folder / "cache").result_store().runs()[0].config
    assert (recorded["until_resolved"], recorded["max_seeds"]) == (0.01, 5)


def test_intervals_are_wider_than_those_of_one_look(
    ended: tuple[Path, Outcome], grid: Grid, registry: Registry
) -> None:
    board = ended[1].board
    plain = grid.replaced(until_resolved=None, max_seeds=None, seeds=list(range(5)))
    one = compare(plain, registry, RunLocations(cache=ended[0] / "cache"), RunOptions())
    assert one.board.looks is None
    of = "artifact_iou_high"
    for row in ALIKE:
        several, alone = (b.frame.set_index("training_set").loc[row] for b in (board, one.board))
        assert several["artifact_iou"] == alone["artifact_iou"]
        assert several[of] > alone[of]


def test_the_same_run_again_computes_nothing(ended: tuple[Path, Outcome], grid: Grid, registry: Registry) -> None:
    again = run(grid, registry, ended[0])
    assert again.run == ended[1].run
    assert again.stages["run"] == 0
    assert without_times(again.board) == without_times(ended[1].board)


def test_a_run_that_is_interrupted_in_its_second_look_ends_with_the_same_board(
    ended: tuple[Path, Outcome], grid: Grid, registry: Registry, tmp_path: Path
) -> None:
    stages, run_stages = 75, 0

    def interrupt(result: StageResult) -> None:
        nonlocal run_stages
        run_stages += result.state == "run"
        if run_stages == stages:
            raise KeyboardInterrupt

    assert ended[1].stages["run"] > stages
    with pytest.raises(KeyboardInterrupt):
        run(grid, registry, tmp_path, interrupt)
    resumed = run(grid, registry, tmp_path)
    assert 0 < resumed.stages["run"] <= ended[1].stages["run"] - stages + 1
    assert without_times(resumed.board) == without_times(ended[1].board)
    assert resumed.board.looks == ended[1].board.looks


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_seeds": None}, "`until_resolved` needs `max_seeds`"),
        ({"until_resolved": None}, "`max_seeds` needs `until_resolved`"),
        ({"max_seeds": 2}, "begins with 3 seeds"),
        ({"seeds": [4]}, "a variance needs two"),
        ({"on_detector": {"brightness": {"seeds": [0, 1]}}}, "has its own in 'on_detector'"),
        ({"baselines": ["human"], "corruptors": []}, "no two such rows"),
        ({"baselines": [], "corruptors": []}, "no two such rows"),
    ],
)
def test_grids_that_cannot_add_seeds_are_refused(
    changes: dict[str, Any], message: str, grid: Grid, registry: Registry
) -> None:
    with pytest.raises(BenchkitError) as refused:
        make_plan(grid.replaced(**changes), registry)
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_an_ablation_adds_no_seeds(grid: Grid, registry: Registry) -> None:
    with pytest.raises(BenchkitError, match="an ablation has fixed seeds"):
        make_ablation(grid, [Axis.parse("labelled=2,4")], registry)
