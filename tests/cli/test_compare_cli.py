"""`benchkit compare`: plans, runs, reruns, failures, and what each prints where."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import typer

from benchkit.cli.outcome import exit_with_failures
from benchkit.config.grid import Grid, load_grid
from benchkit.errors import BenchkitError
from benchkit.functions import progress
from benchkit.functions.grid_arguments import GridArguments
from benchkit.plugin.registry import Registry
from benchkit.specs.spec import Spec
from tests.helpers.small_comparison import PLUGINS, Finished, Run

WITH_PLUGINS = ("--plugin", PLUGINS, "--device", "cpu")
ROWS = ("human", "pseudo", "none:steps=1", "gaussian:steps=1", "all-negative")


@pytest.fixture
def warm(finished: Finished, cache: Path, tmp_path: Path) -> Path:
    """This test's own copy of the finished comparison; returns its --out."""
    shutil.copytree(finished.cache, cache)
    return Path(shutil.copytree(finished.out, tmp_path / "out"))


def with_plugin(tmp_path: Path, name: str, body: str) -> tuple[object, ...]:
    """Options that add a latent corruptor whose method `corrupt` has this body."""
    file = tmp_path / f"{name}.py"
    file.write_text(
        "from dataclasses import dataclass\n"
        "from benchkit.api import LatentCorruptor, hookimpl\n"
        "print('a plugin that talks')\n"
        "@dataclass(frozen=True)\n"
        f"class Mine(LatentCorruptor):\n    name = '{name}'\n    steps: int = 1\n{body}\n"
        "@hookimpl\ndef benchkit_corruptors():\n    return [Mine]\n"
    )
    return ("--plugin", file, "--corruptor", "none:steps=1", "--corruptor", name)


def test_a_comparison_ends_with_its_board(finished: Finished) -> None:
    code, out, err = finished.result.code, finished.result.out, finished.result.err
    assert code == 0, err
    for row in ROWS:
        assert row in out
    assert "artifact IoU" in out
    assert "22 run, 0 cached, 0 failed, 0 skipped stages in " in out
    assert f"report: {finished.out / 'index.html'}" in out
    assert (finished.out / "board.json").is_file()


def test_a_dry_run_measures_only_what_is_not_known(finished: Finished, run: Run, grid: Path, warm: Path) -> None:
    asked = ("compare", grid, *WITH_PLUGINS, "--seeds", "3", "--calibrate")
    refused = run(*asked)
    assert refused.code == 2 and "calibration is for a dry run" in refused.err
    result = run(*asked, "--dry-run")
    assert result.code == 0 and "note: calibration: nothing was measured" in result.err
    assert "time: " in result.out


def test_progress_is_a_plain_line_for_every_kind_of_stage(finished: Finished) -> None:
    lines = finished.result.err.splitlines()
    kinds = [line.split("] ")[1].split()[1] for line in lines]
    for kind in ("encode", "images", "train", "select", "invert", "corrupt", "evaluate", "report:"):
        assert kind in kinds
    assert len(lines) <= 3 * len(set(kinds))
    assert "/22] 0:" in lines[0]


def test_the_same_command_again_computes_nothing_and_loads_neither_torch_nor_scipy(warm: Path, grid: Path) -> None:
    arguments = ["compare", str(grid), "--plugin", str(PLUGINS), "--out", str(warm), "--json"]
    code = (
        "import sys; from benchkit.cli.main import main; "
        f"code = main({arguments!r}); sys.exit(code or len({{'torch', 'scipy'}} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["stages"] == {"run": 0, "cached": 22, "failed": 0, "skipped": 0}


def test_json_is_one_object_alone_on_stdout(run: Run, warm: Path, grid: Path, tmp_path: Path) -> None:
    quiet = with_plugin(tmp_path, "quiet", "    def corrupt(self, at):\n        print('talk')\n        return at.z_t")
    result = run("compare", grid, *WITH_PLUGINS, *quiet, "--json")
    assert result.code == 0, result.err
    printed = json.loads(result.out)
    assert set(printed) == {"run", "board", "stages", "seconds"}
    assert {row["training_set"] for row in printed["board"]} == {
        *("human", "pseudo", "none:steps=1", "quiet", "all-negative")
    }
    assert printed["stages"]["run"] > 0
    assert "a plugin that talks" in result.err


def test_a_dry_run_says_what_would_be_done_and_leaves_nothing(
    run: Run, grid: Path, cache: Path, tmp_path: Path
) -> None:
    result = run("compare", grid, *WITH_PLUGINS, "--dry-run", "--out", tmp_path / "out")
    assert result.code == 0, result.err
    for text in ("plan: A tiny comparison", "22", "network evaluations: 16 to run of 16", "training iterations: 8"):
        assert text in result.out
    assert "a run with a small --scale measures them" in " ".join(result.out.split())
    assert not cache.exists()
    assert not (tmp_path / "out").exists()


def test_a_dry_run_lists_rows_by_role_and_says_what_is_the_same(run: Run, grid: Path) -> None:
    named = [part for name in ("none", "none:steps=10", "gaussian:steps=1") for part in ("--corruptor", name)]
    result = run("compare", grid, *WITH_PLUGINS, *named, "--dry-run", "--seeds", "0,1,0")
    assert result.code == 0, result.err
    assert "warning: corruptors: 'none:steps=10' is the same as 'none': it is run once\n" in result.err
    assert "warning: seeds: '0' is given twice: it is run once\n" in result.err
    listed = [line for line in result.out.splitlines() if line.startswith("rows, ")]
    assert listed == [
        "rows, human: human",
        "rows, pseudo: pseudo",
        "rows, corrupted: none, gaussian:steps=1",
        "rows, trivial: all-negative",
    ]


def test_a_dry_run_fetches_no_weights(run: Run, grid: Path, cache: Path) -> None:
    named = ("--detector", "upernet-swin:size=tiny,pretrained=http://127.0.0.1:9/weights.pth")
    result = run("compare", grid, *WITH_PLUGINS, *named, "--dry-run", "--json")
    assert result.code == 0, result.err
    cells = json.loads(result.out)["cells"]
    assert any("127.0.0.1:9" in (cell["detector"] or "") and cell["state"] == "planned" for cell in cells)
    assert not cache.exists()
    assert run("compare", grid, *WITH_PLUGINS, *named).code != 0


def test_a_dry_run_knows_what_is_cached(run: Run, warm: Path, grid: Path) -> None:
    planned = json.loads(run("compare", grid, *WITH_PLUGINS, "--dry-run", "--json").out)
    assert planned["stages"]["pending"] == {}
    assert sum(planned["stages"]["cached"].values()) == 22
    assert planned["network_evaluations"] == {"total": 16, "pending": 0}
    assert [cell["training_set"] for cell in planned["cells"]] == [
        *("all-negative", "human", "pseudo", "none:steps=1", "gaussian:steps=1")
    ]
    assert {cell["state"] for cell in planned["cells"]} == {"planned"}


def test_what_cannot_run_here_is_skipped_with_its_reason(run: Run, warm: Path, grid: Path, tmp_path: Path) -> None:
    body = (
        "    @classmethod\n    def unavailable(cls):\n        return 'no tea in the kitchen'\n"
        "    def corrupt(self, at):\n        return at.z_t"
    )
    options = with_plugin(tmp_path, "tea", body)
    planned = run("compare", grid, *WITH_PLUGINS, *options, "--dry-run")
    assert "skipped: 1 cells: corruptor 'tea': no tea in the kitchen" in planned.out
    cells = json.loads(run("compare", grid, *WITH_PLUGINS, *options, "--dry-run", "--json").out)["cells"]
    assert [cell["reason"] for cell in cells if cell["state"] == "skipped"] == [
        "corruptor 'tea': no tea in the kitchen"
    ]
    result = run("compare", grid, *WITH_PLUGINS, *options)
    assert result.code == 0, result.err
    assert "no tea in the kitchen" in " ".join(result.out.split())


def test_an_interrupted_comparison_goes_on_where_it_was(run: Run, warm: Path, grid: Path, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    body = (
        "    def corrupt(self, at):\n        import pathlib\n"
        f"        if not pathlib.Path({str(flag)!r}).exists():\n            raise KeyboardInterrupt\n"
        "        return at.z_t"
    )
    options = with_plugin(tmp_path, "slow", body)
    stopped = run("compare", grid, *WITH_PLUGINS, *options)
    assert stopped.code == 130
    assert "run the same command to continue" in stopped.err
    flag.touch()
    assert run("compare", grid, *WITH_PLUGINS, *options).code == 0


def test_a_broken_plugin_is_a_warning_unless_strict(run: Run, warm: Path, grid: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import a_package_that_is_not_there\n")
    result = run("compare", grid, *WITH_PLUGINS, "--plugin", broken)
    assert result.code == 0, result.err
    assert "benchkit: warning: plugin 'broken'" in result.err
    assert run("compare", grid, *WITH_PLUGINS, "--plugin", broken, "--strict").code == 2


def test_without_out_the_run_can_be_shown_again(run: Run, warm: Path, grid: Path) -> None:
    result = run("compare", grid, *WITH_PLUGINS)
    name = result.out.split("benchkit leaderboard show ")[1].split()[0]
    assert run("leaderboard", "show", name).code == 0


def test_the_python_function_returns_the_outcome(warm: Path, grid: Path, cache: Path) -> None:
    import benchkit

    reported: list[str] = []
    for preset in (grid, load_grid(str(grid))):
        outcome = benchkit.compare(preset, out=warm, cache=cache, plugins=[PLUGINS], progress=reported.append)
        assert outcome.stages["cached"] == 22
    assert set(reported) == {"report: rows, tables and page"}


BLUR = Spec("corruptor", "blur")


def texts(specs: tuple[Spec, ...]) -> tuple[str, ...]:
    return tuple(map(str, specs))


def grid_of(**changes: object) -> Grid:
    training = {"iterations": 1}
    return Grid.model_validate({"title": "t", "selector_training": training, "training": training, **changes})


def test_options_take_the_place_of_the_presets_lists() -> None:
    preset = grid_of(corruptors=["none", "blur"], detectors=["dot"], seeds=[0])
    lists = {"selectors": None, "corruptors": ["gaussian:steps=5|10"], "detectors": None}
    changed = GridArguments(dataset="mine", seeds=[2, 1, 2], **lists).choose(preset)
    assert texts(changed.corruptors) == ("gaussian:steps=5", "gaussian:steps=10")
    assert (str(changed.dataset), changed.model, changed.seeds) == ("mine", "portraits", (2, 1))
    assert texts(changed.detectors) == ("dot",)


def test_mixed_rows_stay_for_what_is_still_compared() -> None:
    preset = grid_of(corruptors=["none", "blur"], with_human=["none", "blur"])
    lists = {"selectors": None, "corruptors": ["blur"], "detectors": None}
    assert GridArguments(**lists).choose(preset).with_human == (BLUR,)


def test_mixed_rows_stay_where_a_default_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    registry = Registry.load()
    depth = registry.complete(Spec.parse("corruptor", "gaussian")).values["steps"]
    preset = grid_of(corruptors=["blur"], with_human=[f"gaussian:steps={depth}"])
    changed = GridArguments(corruptors=["gaussian"]).choose(preset, registry)
    assert (changed.with_human, caplog.text) == (preset.with_human, "")
    assert GridArguments(corruptors=["gaussian:steps=1"]).choose(preset, registry).with_human == ()
    assert "is skipped" in caplog.text


def test_nothing_said_changes_nothing() -> None:
    preset = grid_of(with_human=["blur"])
    assert GridArguments().choose(preset) is preset


def test_sweeps_on_the_command_line_are_those_of_a_file() -> None:
    swept = ["none", "blur:sigma=0.1|0.2,steps=3", "none"]
    lists = {"selectors": ["random-boxes:boxes=1|2"], "corruptors": swept, "detectors": ["a:x=1|2"]}
    changed = GridArguments(inverters=["renoise:iterations=1|4"], **lists).choose(grid_of())
    assert texts(changed.corruptors) == ("none", "blur:sigma=0.1,steps=3", "blur:sigma=0.2,steps=3")
    assert changed == grid_of(**lists, inverter="renoise:iterations=1|4")
    assert [str(spec) for spec in changed.every_inverter] == ["renoise:iterations=1", "renoise:iterations=4"]
    with pytest.raises(BenchkitError, match=r"empty alternative; write sigma=VALUE\|VALUE"):
        GridArguments(corruptors=["blur:sigma=1|"]).choose(grid_of())


def test_a_reason_of_several_failures_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = SimpleNamespace(
        failures=("corrupt a: no", "corrupt a: no", "train b: no"), earlier=(), log=Path("log"), skipped_plugins=()
    )
    with pytest.raises(typer.Exit):
        exit_with_failures(outcome)  # type: ignore[arg-type]
    message = capsys.readouterr().err
    assert (message.count("corrupt a: no"), message.count("train b: no")) == (1, 1)


def test_an_inverter_may_be_repeated() -> None:
    several = GridArguments(inverters=["ddim", "renoise:iterations=1|4"]).choose(grid_of())
    assert [str(spec) for spec in several.every_inverter] == ["ddim", "renoise:iterations=1", "renoise:iterations=4"]
    one = GridArguments(inverters=["sdedit"]).choose(several)
    assert (one.inverter.text, one.inverters) == ("sdedit", ())
    assert GridArguments(inverters=["ddim"]).choose(grid_of(inverters=["ddim", "sdedit"])).inverter.text == "ddim"


def test_a_row_that_is_no_longer_compared_is_named(caplog: pytest.LogCaptureFixture) -> None:
    GridArguments(corruptors=["none"]).choose(grid_of(with_human=["blur"]))
    assert "row 'human+blur' of " in caplog.text


def test_what_is_given_twice_is_said(caplog: pytest.LogCaptureFixture) -> None:
    lists = {"corruptors": ["none", "none"], "detectors": ["dot", "dot:x=1", "dot"], "inverters": ["ddim", "ddim"]}
    changed = GridArguments(seeds=[0, 1, 0], **lists).choose(grid_of())
    assert (texts(changed.corruptors), changed.seeds, texts(changed.detectors)) == (
        ("none",),
        (0, 1),
        ("dot", "dot:x=1"),
    )
    assert [str(spec) for spec in changed.every_inverter] == ["ddim"]
    assert sorted(record.getMessage() for record in caplog.records) == [
        "corruptors: 'none' is given twice: it is run once",
        "detectors: 'dot' is given twice: it is run once",
        "inverters: 'ddim' is given twice: it is run once",
        "seeds: '0' is given twice: it is run once",
    ]
    assert all(record.tell for record in caplog.records)


def test_plain_progress_is_no_flood(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    lines = progress.Lines()
    lines.start(1000)
    for i in range(1000):
        lines.note(f"{'train' if i % 2 else 'evaluate'} {i}")
        lines.advance()
        now[0] += 0.01
    written = capsys.readouterr().err.splitlines()
    assert written[:2] == ["[   0/1000] 0:00 evaluate 0", "[   1/1000] 0:00 train 1"]
    assert len(written) == 2 + 1
    assert progress.clock(3671.9) == "1:01:11"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with progress.shown() as bar:
        bar.start(3)
        bar.note("train [bold]mine\n")
        bar.advance()
    assert "1/3" in screen.getvalue()
    assert "train [bold]mine" in screen.getvalue()


def test_settings_and_scale_replace_what_the_grid_says(run: Run, grid: Path) -> None:
    changed = ("--set", "training.iterations=40", "--scale", "0.5")
    result = run("compare", grid, *WITH_PLUGINS, "--dry-run", "--json", *changed)
    assert result.code == 0, result.err
    seen = json.loads(result.out)
    assert seen["title"] == "A tiny comparison (scaled by 0.5)"
    assert seen["train_iterations"] == 1 + 3 * 20, "human keeps its own budget, halved"
    for wrong in (("--scale", "0"), ("--set", "trainin.iterations=1")):
        refused = run("compare", grid, *WITH_PLUGINS, *wrong)
        assert refused.code == 2 and len(refused.err.strip().splitlines()) == 1 and wrong[0] in refused.err


def test_a_table_without_its_data_says_so_before_the_checkpoint_is_asked_for(run: Run) -> None:
    result = run("compare", "table2", "--set", "model=nobody/nothing")
    assert result.code == 2 and len(result.err.strip().splitlines()) == 1
    assert "richhf-18k" in result.err and "--dataset portraits runs it on other images" in result.err
    assert "nobody" not in result.err


def test_every_row_says_where_and_with_what_it_was_computed(finished: Finished) -> None:
    with sqlite3.connect(finished.cache / "results.sqlite") as raw:
        reported = [json.loads(text) for (text,) in raw.execute("SELECT provenance FROM rows")]
    raw.close()
    assert len(reported) == 5
    for facts in reported:
        assert {"artifact-benchkit", "torch", "diffusers", "numpy"} <= facts["packages"].keys()
        assert facts["packages"]["numpy"] == np.__version__
        assert (facts["device"], facts["accelerator"], facts["threads"]) == ("cpu", None, 1)
        assert facts["processor"] and facts["cores"] >= 1 and facts["python"] and facts["platform"]
        # None where benchkit runs from no checkout.
        assert facts["git"] is None or (len(facts["git"]["commit"]) == 40 and facts["git"]["dirty"] in (True, False))
        own = {"corruptor none", "corruptor gaussian", "dataset shapes", "detector dot", "inverter ddim"}
        assert own < facts["plugins"].keys() and all(len(one["source"]) == 64 for one in facts["plugins"].values())
        assert facts["plugins"]["dataset shapes"]["origin"] == "tiny_plugins.py"
        assert facts["datasets"] == {"shapes": "1"}
        assert str(finished.cache.parent) not in json.dumps(facts)
