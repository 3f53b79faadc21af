"""What is finished opens without its plugins, data and --cache; what has changed is named."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from benchkit.outputs.finished_run import FinishedRun, RowQuery, train_of
from benchkit.plugin.registry import Registry
from benchkit.runs.run import RunLocations
from benchkit.specs.training_sets import Corrupted
from benchkit.store.run_id_file import RunMark, read_mark, write_mark
from tests.helpers.small_comparison import PLUGINS, Finished, Run

HASH = hashlib.sha256(PLUGINS.read_bytes()).hexdigest()[:12]


@pytest.fixture
def out(shown: Finished, tmp_path: Path) -> Path:
    """An output folder that knows the run and its cache; no plugin is given and another cache is the default."""
    mark = read_mark(shown.out)
    assert mark is not None
    (tmp_path / "R").mkdir()
    write_mark(tmp_path / "R", RunMark(mark.run, str(shown.cache)))
    return tmp_path / "R"


@pytest.mark.parametrize("number", [4, 5, 6, 7, 8])
def test_figures_need_no_plugin_that_they_do_not_run(run: Run, out: Path, tmp_path: Path, number: int) -> None:
    result = run("figure", number, out, "--out", tmp_path / "f.png", "--count", 1)
    assert result.code == 0, result.err


@pytest.mark.parametrize("form", ["folder", "detector"])
def test_exports_need_no_plugin(run: Run, out: Path, tmp_path: Path, form: str) -> None:
    for row in ("human", "human+gaussian:steps=1"):
        result = run("export", out, "--row", row, "--format", form, "--out", tmp_path / row)
        assert result.code == 0, result.err
    reported = json.loads(
        (tmp_path / "human+gaussian:steps=1" / ("card.json" if form == "detector" else "provenance.json")).read_text()
    )
    assert len(reported["training_set"][1]["corruptor"]["identity"]) == 64


def test_a_missing_plugin_is_named_with_the_file_it_was_in(run: Run, out: Path, tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    shutil.copy(next(Path(__file__).parents[2].glob("docs/images/*.png")), image)
    asked = ("detect", out, image, "--row", "human", "--out", tmp_path / "found")
    result = run(*asked)
    assert result.code == 2 and result.err.count("\n") == 1
    assert f"detector 'dot' is missing; the run had it from file '{PLUGINS}', sha256 {HASH}" in result.err
    assert "need no plugin" in result.err and f"load it with --plugin {PLUGINS};" in result.err
    assert not (tmp_path / "found").exists()
    assert run(*asked, "--plugin", PLUGINS).code == 0
    other = tmp_path / "other.py"
    other.write_text(PLUGINS.read_text() + "\n# changed\n")
    changed = run(*asked, "--plugin", other, "--force")
    assert changed.code == 2
    assert "detector 'dot' has changed since" in changed.err
    assert f"'{PLUGINS}', sha256 {HASH}; here it is file '{other}', sha256 " in changed.err
    broken = tmp_path / "broken.py"
    broken.write_text(PLUGINS.read_text() + "\nimport no_such_package\n")
    left = run(*asked, "--plugin", broken, "--force")
    assert left.code == 2 and "detector 'dot' was skipped" in left.err and "no_such_package" in left.err


def test_a_forgotten_cache_is_found_or_named(run: Run, out: Path, shown: Finished, tmp_path: Path) -> None:
    name = json.loads((out / "run.json").read_text())["run"]
    for command in (("leaderboard", "show", out), ("figure", 4, out, "--out", tmp_path / "f.png")):
        assert run(*command).code == 0
        away = run(*command[:3], "--cache", tmp_path / "empty")
        assert away.code == 2 and f"was made with cache '{shown.cache}'" in away.err and "--cache" in away.err
    write_mark(out, RunMark(name, str(tmp_path / "gone")))
    gone = run("leaderboard", "show", out)
    assert gone.code == 2 and f"run {name}" in gone.err and f"was made with cache '{tmp_path / 'gone'}'" in gone.err
    assert run("leaderboard", "show", out, "--cache", shown.cache).code == 0
    pruned = run("cache", "prune", "--keep-run", out, "--cache", shown.cache, "--dry-run")
    assert pruned.code == 0 and "0 finished stages" in pruned.out


def test_no_other_run_is_suggested(run: Run, shown: Finished) -> None:
    for command in (("leaderboard", "show"), ("figure", 4), ("cache", "prune", "--keep-run")):
        result = run(*command, "20260101-000000-abcdef", "--cache", shown.cache)
        assert result.code == 2 and "did you mean" not in result.err and "20260101" in result.err


def test_a_comparison_writes_where_it_was_made(finished: Finished) -> None:
    mark = read_mark(finished.out)
    assert mark is not None
    assert (mark.cache, mark.store) == (str(finished.cache), None)


def test_a_password_is_not_written_and_not_tried(run: Run, out: Path, shown: Finished) -> None:
    name = json.loads((out / "run.json").read_text())["run"]
    write_mark(out, RunMark(name, str(shown.cache), "postgresql://user:***@host/rows"))
    result = run("leaderboard", "show", out)
    assert result.code == 2 and "store 'postgresql://user:***@host/rows'" in result.err and "--store" in result.err
    assert run("leaderboard", "show", out, "--cache", shown.cache, "--store", shown.cache / "results.sqlite").code == 0


def test_rows_are_found_by_what_they_leave_out(shown: Finished) -> None:
    opened = FinishedRun.open(str(shown.out), RunLocations(cache=shown.cache), Registry.load())
    assert opened.find_cell(RowQuery("human", detector="dot")).cell.role == "human"
    assert train_of(opened.find_cell(RowQuery("pseudo", selector="random-boxes"))).detector.name == "dot"


def test_a_run_without_a_kept_plan_is_planned_again(run: Run, shown: Finished, tmp_path: Path) -> None:
    cache = tmp_path / "early"
    shutil.copytree(shown.cache, cache)
    for file in (cache / "runs").glob("*.plan"):
        file.unlink()
    asked = ("figure", 4, shown.out, "--cache", cache, "--out", tmp_path / "f.png")
    assert run(*asked, "--plugin", PLUGINS).code == 0
    other = tmp_path / "other.py"
    other.write_text(PLUGINS.read_text().replace('return "1"', 'return "2"'))
    changed = run(*asked, "--plugin", other, "--force")
    assert changed.code == 2 and "dataset 'shapes' (tiny_plugins.py, sha256" in changed.err
    assert f"{HASH} then; {other}, sha256 " in changed.err


def test_an_identity_that_no_stage_has_is_the_sources(shown: Finished) -> None:
    """At depth 0 no stage runs the inverter; the card of an export names it all the same."""
    opened = FinishedRun.open(str(shown.out), RunLocations(cache=shown.cache), Registry())
    shallow = opened.find_cell(RowQuery("gaussian:steps=0")).cell.training
    assert isinstance(shallow, Corrupted)
    assert opened.identity(shallow.inverter) == Registry.load().identity(shallow.inverter)
    assert opened.identity(shallow.corruptor) == Registry.load().identity(shallow.corruptor)
