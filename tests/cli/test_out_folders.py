"""--out of compare and ablate, and files of other commands: nobody's are overwritten, and it is said before work."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchkit.report.ablation import FILES as ABLATION
from benchkit.report.write import FILES
from tests.helpers.small_comparison import PLUGINS, Finished, Run


@pytest.fixture
def warm(finished: Finished, cache: Path) -> None:
    """The finished comparison's cache, so that little is computed."""
    shutil.copytree(finished.cache, cache)


def compared(grid: Path, out: Path, *options: object) -> tuple[object, ...]:
    return ("compare", grid, "--plugin", PLUGINS, "--device", "cpu", "--out", out, *options)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_somebody_elses_files_are_not_overwritten(run: Run, warm: None, grid: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    out.mkdir()
    (out / "index.html").write_text("my page")
    (out / "mine.txt").write_text("mine")
    before = contents(out)
    for option in ((), ("--dry-run",)):
        result = run(*compared(grid, out, *option))
        assert result.code == 2 and result.err.count("\n") == 1, result.err
        assert "contains files that no run wrote (index.html, mine.txt)" in result.err and "--force" in result.err
        assert contents(out) == before
    assert run(*compared(grid, out, "--force", "--dry-run")).code == 0
    assert contents(out) == before
    assert run(*compared(grid, out, "--force")).code == 0
    assert set(FILES) < set(contents(out)) and (out / "mine.txt").read_text() == "mine"
    assert "my page" not in (out / "index.html").read_text()
    assert run(*compared(grid, out)).code == 0, "its own folder now"


def test_another_runs_report_is_not_overwritten_nor_mixed(run: Run, warm: None, grid: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    varied = ("ablate", grid, "--plugin", PLUGINS, "--device", "cpu", "--out", out, "--vary", "corruptor.steps=1,2")
    assert run(*varied).code == 0
    before, name = contents(out), json.loads((out / "run.json").read_text())["run"]
    assert {*FILES, *ABLATION} < set(before)
    assert run(*varied).code == 0 and run(*varied, "--dry-run").code == 0
    assert contents(out) == before, "the same ablation again writes nothing"
    for option in ((), ("--dry-run",)):
        result = run(*compared(grid, out, *option))
        assert result.code == 2 and f"shows the report of another run ({name})" in result.err, result.err
    elsewhere = run(*compared(grid, out, "--cache", tmp_path / "elsewhere"))
    assert elsewhere.code == 2 and f"({name} of the cache '" in elsewhere.err
    assert contents(out) == before and not (tmp_path / "elsewhere").exists()
    assert run(*compared(grid, out, "--force")).code == 0
    assert set(contents(out)) == {*FILES, "run.json"}, "no file of the ablation stays beside the new board"


def test_a_run_that_was_broken_off_leaves_its_folder_free(run: Run, warm: None, grid: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "run.json").write_text('{"run": "20260101-000000-abcdef"}')
    (out / "log.txt").write_text("what went wrong")
    assert run(*compared(grid, out)).code == 0
    (out / "index.html").unlink()
    assert run(*compared(grid, out)).code == 0
    assert (out / "index.html").is_file(), "a report that is not whole is written again"


def test_pictures_are_not_overwritten(run: Run, shown: Finished, tmp_path: Path) -> None:
    image, mask, mine = tmp_path / "image.png", tmp_path / "mask.png", tmp_path / "mine.png"
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(image)
    Image.fromarray(np.full((32, 32), 255, np.uint8)).save(mask)
    mine.write_bytes(b"mine")
    common = ("corrupt", image, "--mask", mask, "--corruptor", "pixel-blur", "--model", "none-is-needed")
    for command in (
        (*common, "--out", mine),
        (*common, "--out", tmp_path / "new.png", "--sheet", mine),
        ("plugins", "preview", "gaussian", "--out", mine),
        ("figure", 4, shown.out, "--out", mine),
        ("data", "show", "portraits", "--split", "test", "--out", mine),
    ):
        result = run(*command)
        assert result.code == 2 and f"'{mine}' exists already" in result.err and "--force" in result.err, result.err
    assert mine.read_bytes() == b"mine" and not (tmp_path / "new.png").exists()


def test_folders_are_looked_at_before_the_work(run: Run, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    out = ("--out", tmp_path / "full", "--force")
    for command in (
        ("detect", "no-such-run", tmp_path / "no-image.png", *out),
        ("export", "no-such-run", "--row", "human", "--format", "coco", *out),
        ("data", "export", "no-such-dataset", "--split", "test", *out),
    ):
        result = run(*command)
        assert result.code == 2 and "contains other files than" in result.err and "mine.txt" in result.err, result.err
    tuned = run("tune", "no-such-corruptor", "--out", tmp_path / "full", "--dry-run")
    assert tuned.code == 2 and "contains other files than the trials of a search" in tuned.err
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]
