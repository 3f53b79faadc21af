"""The entry point: start-up, help, and how every kind of ending is told."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from benchkit.cli import main as entry
from benchkit.cli import plugins
from benchkit.cli.common import NotesHandler, one_line
from benchkit.errors import BenchkitError
from benchkit.plugin.registry import Registry
from tests.helpers.small_comparison import Run

COMMANDS = (
    *("compare", "ablate", "tune", "predict", "corrupt", "figure", "export", "detect"),
    *("plugins", "data", "leaderboard", "cache", "doctor"),
)


def python(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **variables}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env)


def test_help_names_every_command_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; from benchkit.cli.main import main; code = main(['--help']); "
        "heavy = {'torch', 'optuna', 'numpy', 'pandas', 'pydantic', 'sqlalchemy', 'PIL', 'yaml'} & set(sys.modules); "
        "sys.exit(code or ', '.join(sorted(heavy)) or 0)"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert all(command in done.stdout for command in COMMANDS)


def test_help_takes_at_most_twice_an_import_of_typer_and_rich(tmp_path: Path) -> None:
    # Compiled once, as after any installation, also where the caller's environment keeps Python from writing it down.
    compiled = {"PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}

    def seconds(code: str) -> float:
        began = os.times()
        python(code, **compiled)
        ended = os.times()
        # The processor's time, so that a busy machine does not decide.
        return ended.children_user + ended.children_system - began.children_user - began.children_system

    def best(code: str) -> float:
        return min(seconds(code) for _ in range(4))

    assert best("from benchkit.cli.main import main; main(['--help'])") <= 2 * best("import typer, rich")


def test_nothing_is_asked_so_help_is_shown(run: Run) -> None:
    result = run()
    assert result.code == 0
    assert "Usage: benchkit" in result.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run: Run, command: str) -> None:
    result = run(command, "--help")
    assert result.code == 0
    assert f"benchkit {command}" in result.out


def test_version(run: Run) -> None:
    from importlib.metadata import version

    result = run("--version")
    assert (result.code, result.out) == (0, f"benchkit {version('artifact-benchkit')}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["explode"], "No such command 'explode'"),
        (["compare", "--speed"], "No such option: --speed"),
        (["corrupt"], "Missing argument 'IMAGE'"),
        (["plugins"], "Missing command"),
        (["data", "export", "portraits", "--split", "test", "--out", "x", "--count", "none"], "Invalid value"),
    ],
)
def test_usage_errors_are_one_line_and_point_to_help(run: Run, arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"benchkit: error: {message}")
    assert result.err.count("\n") == 1
    assert "--help')" in result.err


def ending(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let `plugins list` end so."""

    def load(*_: object) -> None:
        raise error

    monkeypatch.setattr(plugins, "load_registry", load)


def test_a_users_mistake(run: Run, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    ending(monkeypatch, BenchkitError("no such\nthing:  \x1b[31mred"))
    result = run("plugins", "list")
    assert result.code == 2
    assert result.err == "benchkit: error: no such thing:  \\x1b[31mred\n"
    assert not cache.exists()


def test_a_fault_is_one_line_with_its_traceback_in_the_log(
    run: Run, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    ending(monkeypatch, ZeroDivisionError("a\nb"))
    result = run("plugins", "list")
    log = cache / "logs" / "benchkit.log"
    assert result.code == 1
    assert result.err == f"benchkit: error: ZeroDivisionError: a b (a fault of benchkit: the traceback is in {log})\n"
    assert "Traceback" in log.read_text()


@pytest.mark.parametrize("how", ["option", "variable"])
def test_tracebacks_on_demand(run: Run, monkeypatch: pytest.MonkeyPatch, how: str, cache: Path) -> None:
    ending(monkeypatch, ZeroDivisionError("a"))
    if how == "variable":
        monkeypatch.setenv("BENCHKIT_DEBUG", "1")
    result = run(*(["--debug"] if how == "option" else []), "plugins", "list")
    assert result.code == 1
    assert result.err.startswith("Traceback")
    assert not cache.exists()


def test_a_fault_where_no_log_can_be_written(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setattr(entry, "log_file", lambda: tmp_path / "cache" / "benchkit.log")
    ending(monkeypatch, ZeroDivisionError("a"))
    result = run("plugins", "list")
    assert result.code == 1
    assert "benchkit --debug" in result.err


def test_the_log_goes_to_the_temporary_folder_where_the_cache_cannot_be_written(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ending(monkeypatch, ZeroDivisionError("a"))
    assert str(tmp_path / "benchkit-") in run("plugins", "list").err


def test_an_interruption_says_how_to_go_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    ending(monkeypatch, KeyboardInterrupt())
    result = run("plugins", "list")
    assert result.code == 130
    assert "run the same command to continue" in result.err
    assert "Traceback" not in result.err


def test_a_reader_that_goes_away_is_no_error() -> None:
    code = (
        "import sys; from benchkit.cli.main import main; "
        "print('x' * 200_000); sys.exit(main(['plugins', 'list', '--json']))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(1)
    process.stdout.close()
    assert b"benchkit" not in process.stderr.read()
    assert process.wait() != 0


def test_the_suites_log_is_no_noise_on_the_terminal(run: Run, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    def load(*_: object) -> None:
        logging.getLogger("benchkit.executors.inline").error("a stage failed")
        raise BenchkitError("over")

    monkeypatch.setattr(plugins, "load_registry", load)
    assert run("plugins", "list").err == "benchkit: error: over\n"
    assert "a stage failed" in (cache / "logs" / "benchkit.log").read_text()
    assert not logging.getLogger("benchkit").handlers


def test_one_line_keeps_what_can_be_read() -> None:
    assert one_line(" über\t\r\n\n  Größe 7 µm \x07") == "über Größe 7 µm \\x07"


def test_started_as_a_program(tmp_path: Path) -> None:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "benchkit.cli.main", "leaderboard", "list", "--json", "--cache", tmp_path / "none"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == {"runs": []}
    assert not (tmp_path / "none").exists()
    assert time.monotonic() - began < 60


def test_a_log_has_no_control_codes(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Build servers set FORCE_COLOR; what goes into a file or a pipe stays plain, and tables keep their width."""
    plain = run("plugins", "list").out
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.setenv(name, "1")
    assert run("plugins", "list").out == plain
    assert "\x1b" not in plain and max(map(len, plain.splitlines())) > 100
    from benchkit.functions.progress import Lines, shown

    with shown() as screen:
        assert isinstance(screen, Lines)


def test_what_a_library_warns_of_goes_into_the_log(run: Run, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def warn(*_: object, **__: object) -> None:
        warnings.warn("a column is fragmented", FutureWarning, stacklevel=1)
        logging.getLogger("a_library").warning("a temporary folder was made")

    monkeypatch.setattr(plugins, "load_registry", lambda *given: (warn(), Registry())[1])
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        result = run("plugins", "list", "--json")
    assert result.code == 0 and result.err == ""
    text = (cache / "logs" / "benchkit.log").read_text()
    assert "a column is fragmented" in text and "a temporary folder was made" in text


@pytest.mark.parametrize(
    ("mark", "line"), [(True, "benchkit: warning: odd\n"), ("note", "benchkit: note: odd\n"), (False, "")]
)
def test_a_record_is_told_as_it_is_marked(mark: object, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    record = logging.LogRecord("benchkit", logging.WARNING, "", 0, "odd", None, None)
    record.tell = mark
    NotesHandler().emit(record)
    assert capsys.readouterr().err == line
