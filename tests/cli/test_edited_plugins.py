"""A plugin that is edited between two runs into one folder: the report shows what ran last, and nothing twice."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

from tests.cli.test_bad_plugins import GOOD
from tests.helpers.small_comparison import PLUGINS, Finished, Run


def test_a_row_of_an_edited_plugin_stands_once(
    run: Run, finished: Finished, cache: Path, grid: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished.cache, cache)
    file, out = tmp_path / "mine.py", tmp_path / "out"
    asked = (
        "compare",
        grid,
        "--plugin",
        PLUGINS,
        "--plugin",
        file,
        "--corruptor",
        "mine",
        "--device",
        "cpu",
        "--out",
        out,
    )
    hashes, values = [], []
    for body in ("return at.noise()", "return 2 * at.noise()", "return at.noise()"):
        file.write_text(GOOD.format(name="mine", body=body))
        assert run(*asked).code == 0
        rows = [row for row in json.loads((out / "rows.json").read_text())["rows"] if row["training_set"] == "mine"]
        assert len(rows) == 1, "the row of the plugin as it was is not shown beside it"
        (line,) = (row for row in json.loads((out / "board.json").read_text())["rows"] if row["training_set"] == "mine")
        assert line["seeds"] == 1
        hashes.append(line["plugins"])
        values.append(line["artifact_iou"])
    assert hashes[0] != hashes[1] and hashes[0] == hashes[2], "the report names the plugin as it is now"
    assert values[0] == values[2], "and shows its figures, also where nothing had to be computed"


def test_no_library_warns_of_what_a_comparison_does(
    run: Run, finished: Finished, cache: Path, grid: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished.cache, cache)
    shutil.rmtree(cache / "logs", ignore_errors=True)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", DeprecationWarning)  # which Python shows to nobody but developers
        asked = ("--plugin", PLUGINS, "--device", "cpu", "--out", tmp_path / "out", "--vary", "corruptor.steps=1,2")
        assert run("ablate", grid, *asked).code == 0
    log = cache / "logs" / "benchkit.log"
    assert not log.exists() or "Warning" not in log.read_text(), log.read_text()
