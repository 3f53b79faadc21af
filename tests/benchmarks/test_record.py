"""The recorder and the table of the performance benchmarks."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.benchmarks import FOLDER, load_benchmark

load_benchmark("table")
import _record as record  # noqa: E402  # on the path since a benchmark was loaded

ROWS = [
    record.Row("a step", 0.5, "CPU s", "the peer", 2.0, aim=1.0, note="equal to 1e-6", turns={"suite": [0.5, 0.6]}),
    record.Row("a start", 1234.5, "CPU ms"),
]
MACHINE = {"processor": "P", "cores": 2, "memory_gib": 8.0, "threads": 1, "accelerator": None}


def write(folder: Path, name: str = "startup") -> Path:
    return record.write_result(name, ROWS, {"turns": 3}, MACHINE, folder)


def run_table(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FOLDER / "table.py"), "--results", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    found, rows = record.read_result(write(tmp_path))
    assert rows == ROWS
    assert found["settings"] == {"turns": 3}
    assert found["rows"][0]["ratio"] == 0.25


def test_a_result_names_neither_the_machine_nor_its_folders(tmp_path: Path) -> None:
    path = record.write_result("startup", ROWS, {}, record.describe_machine(), tmp_path)
    text = path.read_text()
    assert {"processor", "cores", "memory_gib", "threads"} <= set(json.loads(text)["machine"])
    assert {"python", "torch", "diffusers", "numpy", "artifact-benchkit", "commit"} <= set(json.loads(text)["versions"])
    for secret in (socket.gethostname(), str(Path.home()), str(tmp_path), str(FOLDER.parent)):
        assert secret not in text


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"schema": 0}, "does not have schema 1"),
        ({"machine": "here"}, "lacks machine"),
        ({"rows": None, "date": 3}, "lacks date and rows"),
        ({"rows": [{"what": "a step"}]}, "has a row that cannot be read"),
        ({"rows": [{"what": "a step", "cost": "much", "unit": "s"}]}, "has a row that cannot be read"),
        ({"rows": [{"what": "a step", "cost": 1, "unit": "s", "other": 0}]}, "has a row that cannot be read"),
        ({"rows": ["a step"]}, "has a row that cannot be read"),
    ],
)
def test_a_wrong_result_gives_one_line_with_the_remedy(tmp_path: Path, change: dict[str, Any], fault: str) -> None:
    path = write(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(record.ResultFault) as caught:
        record.read_result(path)
    assert f"{path} {fault}" in str(caught.value)
    assert "run `python benchmarks/startup.py` again, or delete the file" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_table_names_a_file_that_is_no_json_and_prints_nothing_else(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "training.json").write_text("{")
    done = run_table(tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "training.json is not a JSON file" in done.stderr


def test_the_table_without_results_says_how_to_make_them(tmp_path: Path) -> None:
    done = run_table(tmp_path)
    assert done.returncode == 1
    assert "run `make bench`" in done.stderr


def test_the_table_has_the_ratio_last_and_the_scripts_in_order(tmp_path: Path) -> None:
    for name in ("another", "training", "startup"):
        write(tmp_path, name)
    lines = run_table(tmp_path).stdout.splitlines()
    assert lines[0] == "| what | measured | peer or before | ratio |"
    assert lines[2] == "| a step | 0.5 CPU s | the peer: 2 | 0.25 (aim ≤ 1) |"
    assert lines[3] == "| a start | 1,234 CPU ms |  |  |"
    assert lines[-1].startswith("startup, training, another: P, 2 cores, 1 of them used by torch, 8.0 GiB, python 3.")


def test_growth_has_a_table_of_its_own(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path, "growth")
    assert run_table(tmp_path).stdout.count("a step") == 1
    assert run_table(tmp_path, "--details").stdout.count("a step") == 2


def test_works_that_are_compared_run_in_turns() -> None:
    calls: list[str] = []
    works = {name: lambda name=name: calls.append(name) for name in "AB"}
    costs = record.measure_in_turns(works, turns=2)
    assert "".join(calls) == "ABABAB"  # a warm-up, and two turns
    assert {name: len(turns) for name, turns in costs.items()} == {"A": 2, "B": 2}


def test_processor_time_counts_finished_children() -> None:
    program = "import time\nwhile time.process_time() < 0.3: pass"
    cost = record.measure(lambda: record.run_child([sys.executable, "-c", program]))
    assert cost.cpu >= 0.3


def test_a_child_that_fails_ends_the_benchmark() -> None:
    with pytest.raises(SystemExit, match="exit code 3"):
        record.run_child([sys.executable, "-c", "raise SystemExit(3)"])
