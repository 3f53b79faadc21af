"""`benchkit predict`: the place it gives where the map is known, what it says of itself, and how mistakes end."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import benchkit
from benchkit.config.grid import load_grid
from benchkit.errors import BenchkitError
from benchkit.plugin.registry import Registry
from benchkit.report.predict_rows import SHIPPED, check_same_instrument, corruptor_key, load_table
from benchkit.runs.run import make_plan
from benchkit.search.prediction import describe_instrument
from tests.cli.test_tune_cli import BRITTLE
from tests.helpers.small_comparison import GRID, PLUGINS, Run, compare_once

#: Corruptors of enough methods, one of them with several numbers of steps.
CORRUPTORS = (
    *("none:steps=1", "blur:steps=1", "rotation:steps=1", "gaussian:steps=1", "gaussian:steps=2", "gaussian:steps=3"),
    *("pixel-blur", "cutpaste", "jpeg-block", "perlin-texture"),
)
INSTRUMENT = GRID.replace("[all-negative]", "[]").replace(
    '["none:steps=1", "gaussian:steps=1"]', json.dumps([*CORRUPTORS])
)
METRICS = {"artifact_iou": "delta_pseudo", "average_precision": "average_precision_delta_pseudo"}


def figure(delta: float) -> float:
    """The synthetic board's figure of a row whose difference to `pseudo` is `delta`."""
    return 0.3 + 0.5 * delta


@pytest.fixture(scope="module")
def instrument(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the instrument, the rows it measured, and a plugin file of one corruptor.

    The differences of the reference rows are made up, since so small a training tells nothing.
    """
    folder = tmp_path_factory.mktemp("instrument")
    (folder / "small.yaml").write_text(INSTRUMENT.format(model=tiny_checkpoint))
    (folder / "mine.py").write_text(BRITTLE)
    made = compare_once(folder, folder / "small.yaml", "--out", folder / "out", "--device", "cpu")
    assert made.result.code == 0, made.result.err
    lines = [json.loads(line) for line in (made.out / "board.jsonl").read_text().splitlines()]
    rows = [line for line in lines if line["role"] == "corrupted"]
    assert len(rows) == len(CORRUPTORS)
    for i, line in enumerate(rows):
        line |= {delta: float(np.sin(1 + 7 * i + len(delta))) / 5 for delta in METRICS.values()}
    base = next(line for line in lines if line["role"] == "pseudo")
    human = next(line for line in lines if line["role"] == "human")
    human |= {"artifact_iou": base["artifact_iou"], "average_precision": base["average_precision"] + 0.1}
    (folder / "reference.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def write_board(folder: Path, change: Callable[[int, dict[str, Any]], dict[str, Any] | None]) -> Path:
    """Write the reference rows as a board of the detector `whole`, with the figures that `figure` says."""
    lines = [json.loads(line) for line in (folder / "reference.jsonl").read_text().splitlines()]
    lines = [{**line, "run": "r", "title": "made up", "detector": "whole:size=mini", "seeds": 5} for line in lines]
    for line in lines:
        line |= {metric: figure(line[delta] or 0) for metric, delta in METRICS.items()}
    changed = (change(i, line) for i, line in enumerate(lines))
    file = folder / "board.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in changed if line is not None))
    return file


@pytest.fixture
def predict(run: Run, instrument: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `benchkit predict` with the small instrument, in the cache that its reference rows filled."""
    monkeypatch.setenv("BENCHKIT_CACHE", str(instrument / "cache"))
    files = ("--instrument", instrument / "small.yaml", "--reference", instrument / "reference.jsonl")
    plugins = ("--plugin", PLUGINS, "--plugin", instrument / "mine.py", "--device", "cpu")
    return lambda *arguments: run("predict", *arguments, *files, *plugins)


def test_the_place_is_that_of_the_known_map(predict: Run, instrument: Path) -> None:
    board = write_board(instrument, lambda i, line: line)
    ended = predict("brittle", "--board", board, "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert found["corruptor"] == "brittle"
    assert found["board"] == {"where": str(board), "title": "made up", "detector": "whole:size=mini", "seeds": 5}
    rows = [json.loads(line) for line in board.read_text().splitlines()]
    for forecast, metric in zip(found["forecasts"], METRICS, strict=True):
        (reading,) = [one for one in found["readings"] if one["metric"] == metric]
        expected = figure(reading["delta"])
        others = [line[metric] for line in rows if line["role"] == "corrupted"]
        assert forecast["place"]["figure"] == pytest.approx(expected)
        rank = 1 + sum(value > expected + 1e-9 for value in others)
        assert [forecast["place"][name] for name in ("rank", "rank_low", "rank_high")] == [rank] * 3
        assert forecast["rows"] == forecast["validation"]["rows"] == len(CORRUPTORS)
        assert forecast["validation"]["methods"] == len(CORRUPTORS) - 2
        assert forecast["validation"]["spearman"] == pytest.approx(1)
        better = {"artifact_iou": None, "average_precision": pytest.approx(reading["delta"] / 0.1)}
        assert reading["covered"] == better[metric]
        assert forecast["base"] == figure(0)
        true = {line["training_set"]: line[metric] for line in rows if line["role"] == "corrupted"}
        assert forecast["checked"] == {name: [pytest.approx(value)] * 2 for name, value in true.items()}
        assert forecast["above"] is None or forecast["above"][1] >= expected
    assert found["warnings"] == [f"the prediction was validated on {len(CORRUPTORS)} rows, fewer than 20"]


def test_it_prints_the_place_and_how_right_it_has_been(predict: Run, instrument: Path) -> None:
    board = write_board(instrument, lambda i, line: {**line, "average_precision": 5 * i % 12 / 20})  # no map gives this
    ended = predict("gaussian:steps=2", "--board", board, "--detector", "whole")
    assert ended.code == 0, ended.err
    assert "gaussian:steps=2, as the instrument measures it" in ended.out
    assert "predicted for whole:size=mini, 5 seeds, on the board 'made up'" in ended.out
    assert (
        "each of 10 rows was predicted from the rows of the other 7 methods: rank correlation 1.00 (Spearman)"
        in ended.out
    )
    assert "by AP the rank correlation of predicted and true figures is" in ended.err
    assert "below 0.8: the predicted rank says little" in ended.err
    assert "rows of 'gaussian' are on the board and were not used to predict it" in ended.err
    assert " of 8" in ended.out  # seven rows of other methods, and this one
    assert " of 10" in ended.out  # all other rows of the instrument, and this one


def test_without_a_fitting_board_there_is_the_place_among_the_instruments_rows(predict: Run, instrument: Path) -> None:
    ended = predict("brittle", "--json")
    found = json.loads(ended.out)
    assert (ended.code, found["board"], found["forecasts"]) == (0, None, [])
    assert all(1 <= one["rank_low"] <= one["rank"] <= one["rank_high"] <= one["rows"] + 1 for one in found["readings"])
    assert "no rank is predicted: `board`: no row of a corruptor with the selector random-boxes" in found["warnings"][0]
    few = write_board(instrument, lambda i, line: line if line["corruptor"] in (None, "gaussian", "blur") else None)
    found = json.loads(predict("brittle", "--board", few, "--json").out)
    assert found["forecasts"] == []
    assert all("needs rows of at least 4 methods, not 2" in text for text in found["warnings"])


def test_a_baseline_that_moved_is_reported(run: Run, predict: Run, instrument: Path, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (instrument / "reference.jsonl").read_text().splitlines()]
    moved = [{**line, "artifact_iou": 0.9} if line["role"] == "pseudo" else line for line in lines]
    (tmp_path / "moved.jsonl").write_text("".join(json.dumps(line) + "\n" for line in moved))
    assert "which should be equal" not in predict("brittle").err
    files = ("--instrument", instrument / "small.yaml", "--reference", tmp_path / "moved.jsonl")
    ended = run("predict", "brittle", *files, "--plugin", PLUGINS, "--plugin", instrument / "mine.py")
    assert ended.code == 0
    assert "dot: artifact IoU of 'pseudo' is" in ended.err
    assert "and 90.00 in the reference rows, which should be equal" in ended.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("brittel",), "unknown corruptor 'brittel': did you mean 'brittle'?"),
        (("gaussian:steps=1|2",), "names 2 of them where one is wanted"),
        (("gaussian:stepz=1",), "stepz"),
        (("brittle", "--detector", "hole", "--board", "BOARD"), "did you mean 'whole'?"),
        (("brittle", "--board", "missing.jsonl"), "cannot read 'missing.jsonl'"),
    ],
)
def test_mistakes_are_one_line(predict: Run, instrument: Path, arguments: tuple[str, ...], message: str) -> None:
    board = write_board(instrument, lambda i, line: line)
    ended = predict(*(str(board) if one == "BOARD" else one for one in arguments))
    assert ended.code == 2
    assert message in ended.err
    assert len(ended.err.splitlines()) == 1
    assert ended.out == ""


def test_a_changed_instrument_is_refused(run: Run, instrument: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text((instrument / "small.yaml").read_text().replace("iterations: 2", "iterations: 3"))
    ended = run("predict", "brittle", "--instrument", other, "--reference", instrument / "reference.jsonl",
                "--plugin", PLUGINS, "--plugin", instrument / "mine.py", "--device", "cpu")  # fmt: skip
    assert ended.code == 2
    assert "measured with training iterations 2, where the instrument has iterations 3 now" in ended.err
    assert "as --reference" in ended.err


def test_a_corruptor_that_fails_has_no_place(predict: Run, instrument: Path) -> None:
    ended = predict("brittle:way=badly", "--board", write_board(instrument, lambda i, line: line))
    assert ended.code == 3
    assert "gone badly" in ended.err
    assert "no rank is predicted" in ended.err
    assert ended.out == ""


def test_the_function_gives_what_the_command_prints(predict: Run, instrument: Path) -> None:
    board = write_board(instrument, lambda i, line: line)
    printed = json.loads(predict("brittle", "--board", board, "--json").out)
    files = {"instrument": instrument / "small.yaml", "reference": instrument / "reference.jsonl", "board": board}
    found = benchkit.predict("brittle", **files, plugins=[PLUGINS, instrument / "mine.py"], device="cpu")
    assert json.loads(json.dumps(found.as_json())) == printed
    with pytest.raises(BenchkitError, match="gone badly"):
        benchkit.predict("brittle:way=badly", **files, plugins=[PLUGINS, instrument / "mine.py"], device="cpu")


SHIPS = (resources.files(SHIPPED[0]) / SHIPPED[1]).is_file()


@pytest.mark.skipif(not SHIPS, reason="the reference rows are not measured yet")
def test_the_rows_that_ship_are_those_of_the_preset() -> None:
    grid, registry, table = load_grid("predict"), Registry.load(), load_table()
    check_same_instrument(table, describe_instrument(make_plan(grid, registry), registry))
    planned = {corruptor_key(spec.name, spec.values) for spec in map(registry.complete, grid.corruptors)}
    for detector in table.frame["detector"].unique():
        lines = table.corrupted(detector)
        assert planned == set(lines.index)
        assert np.isfinite(lines[[*METRICS.values()]].to_numpy(float)).all()


@pytest.mark.skipif(SHIPS, reason="the reference rows ship")
def test_without_reference_rows_it_says_how_to_measure_them(run: Run) -> None:
    ended = run("predict", "gaussian:steps=1")
    assert ended.code == 2
    assert "measure them with 'benchkit compare predict', and name its output folder as --reference" in ended.err
