"""`benchkit leaderboard`: runs, folders and files alike, alone, side by side and beside the paper."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from benchkit.report.board_parquet import board_to_parquet
from benchkit.report.leaderboard_lines import to_jsonl
from benchkit.report.load_board import load_board
from tests.helpers.small_comparison import Finished, Run


@pytest.fixture
def store(finished: Finished, cache: Path) -> str:
    """This test's own copy of the cache with the finished run; returns the run's id."""
    shutil.copytree(finished.cache, cache)
    return str(json.loads((finished.out / "run.json").read_text())["run"])


def test_a_run_its_folder_and_its_file_show_one_board(run: Run, finished: Finished, store: str) -> None:
    names = (store, store[:12], finished.out, finished.out / "board.json", finished.out / "board.jsonl")
    shown = [json.loads(run("leaderboard", "show", name, "--format", "json").out) for name in names]
    figures = [[(row["training_set"], row["artifact_iou"]) for row in one["rows"]] for one in shown]
    assert all(one == figures[0] for one in figures)
    assert {one["run"] for one in shown} == {store}


def test_a_board_of_a_file_is_shown_without_database_scipy_and_torch() -> None:
    file = Path(__file__).parents[2] / "leaderboard" / "portraits-frozen.jsonl"
    code = (
        f"import sys; from benchkit.cli.main import main; code = main(['leaderboard', 'show', {str(file)!r}]); "
        "heavy = {'torch', 'scipy', 'sqlalchemy', 'matplotlib', 'PIL', 'yaml'} & set(sys.modules); "
        "sys.exit(code or ', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "renoise-masked" in done.stdout


def test_beside_the_paper(run: Run, finished: Finished) -> None:
    result = run("leaderboard", "show", finished.out, "--paper")
    assert result.code == 0, result.err
    assert "Beside the paper" in result.out
    assert "Different data" in result.out


def test_several_runs_side_by_side(run: Run, finished: Finished, store: str) -> None:
    result = run("leaderboard", "show", store, finished.out, "--format", "json")
    assert result.code == 0, result.err
    assert [board["run"] for board in json.loads(result.out)["boards"]] == [store, store]
    rows = list(csv.DictReader(io.StringIO(run("leaderboard", "show", store, finished.out, "--format", "csv").out)))
    assert [row["training_set"] for row in rows].count("human") == 2


def test_runs_are_listed(run: Run, store: str, cache: Path) -> None:
    listed = json.loads(run("leaderboard", "list", "--json").out)["runs"]
    assert [(one["run"], one["status"], one["title"], one["cells"]) for one in listed] == [
        (store, "done", "A tiny comparison", {"done": 5})
    ]
    assert store in run("leaderboard", "list").out
    assert store in run("leaderboard", "list", "--cache", cache).out


def test_no_runs_yet(run: Run, cache: Path) -> None:
    result = run("leaderboard", "list")
    assert (result.code, result.err) == (0, "")
    assert "no runs in" in result.out
    assert not cache.exists()


def test_unknown_runs_and_formats(run: Run, store: str, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"schema": 99}\n')
    for arguments, message in (
        (["20990101"], "unknown run '20990101'"),
        ([tmp_path / "none.jsonl"], "cannot read"),
        ([tmp_path / "bad.jsonl"], "bad.jsonl, line 1: schema 99"),
        ([store, "--format", "excel"], "unknown format 'excel'"),
    ):
        result = run("leaderboard", "show", *arguments)
        assert result.code == 2
        assert message in result.err
        assert result.err.count("\n") == 1


def test_a_run_where_there_are_none(run: Run, cache: Path) -> None:
    result = run("leaderboard", "show", "2026")
    assert result.code == 2
    assert "no run '2026'" in result.err
    assert not cache.exists()


@pytest.mark.parametrize("file", ["board.json", "board.jsonl", "board.parquet"])
@pytest.mark.parametrize("command", ["show", "build"])
def test_ten_thousand_rows_of_one_name_are_refused_in_one_line(
    run: Run, finished: Finished, tmp_path: Path, file: str, command: str
) -> None:
    board = load_board(finished.out)
    many = pd.concat([board.frame.iloc[[0]]] * 10_000, ignore_index=True)
    large = replace(board, frame=many, pairs=(), resolution=(), across={})
    data = {"board.json": json.dumps(large.as_json()).encode(), "board.jsonl": to_jsonl(large).encode()}
    folder = tmp_path / "forged"
    folder.mkdir()
    (folder / file).write_bytes(data.get(file) or board_to_parquet(large))
    site = tmp_path / "site"
    out = ["--out", site] if command == "build" else []
    result = run("leaderboard", command, folder / file if command == "show" else folder, *out)
    assert result.code == 2 and result.out == "" and result.err.count("\n") == 1, result.err
    if command == "show" or file != "board.jsonl":
        assert f"10000 lines are of the row '{many['training_set'][0]}'" in result.err
    assert not site.exists()


def test_a_file_without_a_line_is_refused(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "empty.jsonl"
    file.write_text("\n")
    ended = run("leaderboard", "show", str(file))
    assert ended.code == 2 and f"'{file}' has no line" in ended.err
