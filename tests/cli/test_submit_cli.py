"""`benchkit leaderboard submit` and `check` as commands: what they write, print and refuse."""

from __future__ import annotations

import json
import platform
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from benchkit.leaderboard.examples import read_examples
from benchkit.leaderboard.submission import EXAMPLES, FACTS, FILES, read_submission
from benchkit.report.board_parquet import board_to_parquet
from benchkit.report.load_board import load_board
from tests.helpers.small_comparison import GRID, PLUGINS, Finished, Run, compare_once

LINK = ("--link", "https://example.org/paper")


@pytest.fixture(scope="module")
def three_seeds(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("three-seeds")
    grid = folder / "grid.yaml"
    grid.write_text(GRID.format(model=tiny_checkpoint).replace("seeds: [0]", "seeds: [0, 1, 2]"))
    return compare_once(folder, grid, "--out", folder / "out", "--device", "cpu")


@pytest.fixture(scope="module")
def links(three_seeds: Finished) -> tuple[str, ...]:
    """Where to get the plugins of the tests, which do not ship with benchkit."""
    with closing(sqlite3.connect(three_seeds.cache / "results.sqlite")) as database:
        ((text,),) = database.execute("SELECT environment FROM runs")
    plugins = json.loads(text)["plugins"]
    foreign = [name for name, one in plugins.items() if one["origin"] != "package artifact-benchkit"]
    return tuple(word for name in foreign for word in ("--plugin-link", f"{name}=https://example.org/tiny.py"))


@pytest.fixture
def submitted(run: Run, three_seeds: Finished, links: tuple[str, ...], tmp_path: Path) -> Path:
    """The folder of a submission; `tmp_path/all` contains it."""
    out = tmp_path / "all"
    result = run("leaderboard", "submit", three_seeds.out, "--name", "tiny", *LINK, *links, "--out", out)
    assert result.code == 0, result.err
    return out / "tiny"


def test_a_run_is_submitted_and_checked(run: Run, submitted: Path) -> None:
    result = run("leaderboard", "check", submitted.parent)
    assert result.code == 0, result.err
    assert result.out.startswith("tiny: recomputed, 5 rows, ")
    found = json.loads(run("leaderboard", "check", submitted, "--json").out)
    assert [one["name"] for one in found["submissions"]] == ["tiny"]
    assert found["faults"] == []


def test_examples_are_read_from_the_cache_of_the_run(
    run: Run, three_seeds: Finished, links: tuple[str, ...], tmp_path: Path
) -> None:
    given = (three_seeds.out, "--name", "tiny", *LINK, *links, "--out", tmp_path, "--plugin", PLUGINS)
    result = run("leaderboard", "submit", *given, "--examples")
    assert result.code == 0, result.err
    found = read_examples(tmp_path / "tiny", read_submission(tmp_path / "tiny"))
    names = read_submission(tmp_path / "tiny").rows.set_index("cell")["training_set"]
    assert {(names[one.cell], one.kind) for one in found} >= {("gaussian:steps=1", "corrupted"), ("human", "heat")}
    assert run("leaderboard", "check", tmp_path / "tiny").code == 0
    (tmp_path / "tiny" / EXAMPLES).write_bytes(b"something else")
    assert "examples.parquet" in run("leaderboard", "check", tmp_path / "tiny").err
    assert run("leaderboard", "submit", *given, "--force").code == 0
    assert not (tmp_path / "tiny" / EXAMPLES).exists()


def test_the_board_is_that_of_the_run(three_seeds: Finished, submitted: Path) -> None:
    reported = json.loads((three_seeds.out / "board.json").read_text())["rows"]
    rows = load_board(submitted).rows()
    names = ("training_set", "artifact_iou", "artifact_iou_low", "average_precision", "average_precision_high", "rank")
    for mine, theirs in zip(rows, reported, strict=True):
        assert mine["training_set"] == theirs["training_set"]
        # The terms of average precision are rounded, see `benchkit.leaderboard.terms`.
        numbers = [[float("nan") if row[name] is None else row[name] for name in names[1:]] for row in (mine, theirs)]
        assert numbers[0] == pytest.approx(numbers[1], rel=0, abs=1e-8, nan_ok=True)


def test_it_names_no_folder_and_no_machine(three_seeds: Finished, submitted: Path) -> None:
    read = read_submission(submitted)
    texts = json.dumps(read.facts.model_dump(mode="json")) + read.rows.to_csv() + json.dumps(read.board)
    assert str(three_seeds.out.parent.parent) not in texts
    assert str(Path.home()) not in texts
    assert platform.node() not in texts


def test_a_submission_is_replaced_with_force_only(
    run: Run, submitted: Path, three_seeds: Finished, links: tuple[str, ...]
) -> None:
    again = ("leaderboard", "submit", three_seeds.out, "--name", "tiny", *LINK, *links, "--out", submitted.parent)
    result = run(*again)
    assert (result.code, result.out) == (2, "")
    assert "is not empty" in result.err
    assert run(*again, "--force").code == 0
    assert sorted(path.name for path in submitted.iterdir()) == sorted(FILES)


def test_scores_of_another_run_are_removed_with_the_submission_that_they_belong_to(
    run: Run, submitted: Path, three_seeds: Finished, links: tuple[str, ...]
) -> None:
    facts = json.loads((submitted / FACTS).read_text())
    for name, of_run in (("season-same", facts["run"]), ("season-other", "another")):
        (submitted / name).mkdir()
        (submitted / name / FACTS).write_text(json.dumps(facts | {"run": of_run}))
    (submitted / "season-junk").write_text("no score")
    (submitted / "README.md").write_text("kept")
    again = ("leaderboard", "submit", three_seeds.out, "--name", "tiny", *LINK, *links, "--out", submitted.parent)
    result = run(*again, "--force")
    assert result.code == 0
    assert sorted(path.name for path in submitted.iterdir()) == sorted([*FILES, "README.md", "season-same"])
    notes = [line for line in result.err.splitlines() if "score of another run" in line]
    assert len(notes) == 2 and "season-junk" in notes[0] and "season-other" in notes[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--name", "../tiny", *LINK), "--name: '../tiny' is no name"),
        (("--name", "tiny", "--link", "ftp://example.org"), "--link: 'ftp://example.org' is no address"),
        (("--name", "tiny", *LINK, "--seen", "=1+1"), "--seen: '=1+1' is not one line"),
        (("--name", "tiny", *LINK, "--plugin-link", "tiny.py"), "--plugin-link 'tiny.py': write 'KIND NAME="),
        (("--name", "tiny", *LINK), "does not ship with benchkit: say where to get it, with the entry"),
    ],
)
def test_what_is_refused(
    run: Run, three_seeds: Finished, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    result = run("leaderboard", "submit", three_seeds.out, *options, "--out", tmp_path / "all")
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert result.err.count("\n") == 1
    assert not (tmp_path / "all").exists()


def test_a_run_with_one_seed_is_no_result(run: Run, finished: Finished, tmp_path: Path) -> None:
    result = run("leaderboard", "submit", finished.out, "--name", "tiny", *LINK, "--out", tmp_path / "all")
    assert (result.code, result.out) == (2, "")
    assert "have 1 seeds: on 'shapes' 3 are needed" in result.err


def test_every_faulty_submission_is_one_line(run: Run, submitted: Path) -> None:
    board = load_board(submitted)
    board.frame.loc[0, "artifact_iou"] = 0.99
    (submitted / "board.parquet").write_bytes(board_to_parquet(board))
    (submitted.parent / "other").mkdir()
    result = run("leaderboard", "check", submitted.parent)
    assert (result.code, result.out) == (2, "")
    lines = sorted(result.err.splitlines())
    assert len(lines) == 2
    assert "other: the file submission.json is missing" in lines[0]
    assert "tiny: row 'human' of the board: 'artifact_iou' is 0.99, but the terms give" in lines[1]
