"""`benchkit plugins new`: what is written passes its checks as it is, and nothing is overwritten."""

from __future__ import annotations

import ast
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from benchkit.plugin.registry import KINDS, Registry
from benchkit.scaffold import facts_of, new_plugin
from benchkit.testing import reports_on
from tests.helpers.small_comparison import Run

REGISTRY = Registry.load()
VARIANTS = [*((kind, "latent") for kind in KINDS), ("corruptor", "pixel"), ("corruptor", "resampling")]


@pytest.mark.parametrize(("kind", "space"), VARIANTS)
def test_what_is_written_conforms(kind: str, space: str, tmp_path: Path) -> None:
    for path, text in new_plugin(kind, "my-own-2", REGISTRY, space=space).items():  # type: ignore[arg-type]
        (tmp_path / path).write_text(text)
    (only,) = reports_on(str(tmp_path / "my_own_2.py"), REGISTRY)
    assert only.ok, only.text()
    assert (only.kind, only.name) == (kind, "my-own-2")


@pytest.mark.parametrize(("kind", "space"), VARIANTS)
def test_the_line_to_change_is_marked_once_and_lines_are_short(kind: str, space: str) -> None:
    (text,) = new_plugin(kind, "x", REGISTRY, space=space).values()  # type: ignore[arg-type]
    assert text.count("change this line") == 1
    assert max(map(len, text.splitlines())) <= 120
    ast.parse(text)


def test_the_command_writes_and_says_what_is_next(run: Run, tmp_path: Path) -> None:
    result = run("plugins", "new", "corruptor", "my-own", "--out", tmp_path / "deep" / "er")
    assert result.code == 0, result.err
    file = tmp_path / "deep" / "er" / "my_own.py"
    assert result.out.splitlines()[0] == str(file)
    assert f"benchkit plugins check {file}" in result.out
    before = file.read_text()
    again = run("plugins", "new", "corruptor", "my-own", "--out", tmp_path / "deep" / "er")
    assert (again.code, again.out) == (2, "")
    assert f"'{file}' exists already" in again.err
    assert file.read_text() == before


def test_the_comparison_that_is_named_next_can_be_planned(run: Run, tmp_path: Path) -> None:
    for kind in KINDS:
        written = run("plugins", "new", kind, f"my-{kind}", "--out", tmp_path)
        (line,) = (line for line in written.out.splitlines() if line.startswith("compare it: benchkit "))
        planned = run(*shlex.split(line.removeprefix("compare it: benchkit ")), "--dry-run")
        assert planned.code == 0, planned.err
        assert "skipped" not in planned.out


def test_a_package_is_checked_without_being_installed(run: Run, tmp_path: Path) -> None:
    written = run("plugins", "new", "inverter", "my-own", "--package", "--out", tmp_path)
    assert written.code == 0, written.err
    assert "compare it: benchkit compare quick --inverter my-own --out" in written.out
    folder = tmp_path / "benchkit-my-own"
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert names == {
        "pyproject.toml",
        "README.md",
        "benchkit_my_own.py",
        "tests/test_my_own.py",
    }
    result = run("plugins", "check", folder)
    assert result.code == 0, result.out + result.err
    assert "inverter my-own" in result.out
    assert str(folder) not in sys.path


@pytest.mark.parametrize(("kind", "count"), [("inverter", 16), ("corruptor", 24)])
def test_a_packages_own_tests_pass(run: Run, tmp_path: Path, kind: str, count: int) -> None:
    run("plugins", "new", kind, "my-own", "--package", "--out", tmp_path)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."]
    folder = tmp_path / "benchkit-my-own"
    # A pytest of its own: it is neither a worker of this one nor measured by it.
    own = {key: value for key, value in os.environ.items() if not key.startswith(("SLIPCOVER", "PYTEST_XDIST"))}
    done = subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert f"{count} passed" in done.stdout


def test_names_become_classes_and_modules() -> None:
    facts = facts_of("corruptor", "my-own-2", "pixel")
    assert (facts["cls"], facts["module"], facts["base"]) == ("MyOwn2", "my_own_2", "PixelCorruptor")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["corrupter", "mine"], "unknown kind of plugin 'corrupter': did you mean 'corruptor'?"),
        (["corruptor", "My_Own"], "'My_Own' is not a name for a plugin"),
        (["corruptor", "2nd"], "'2nd' is not a name for a plugin"),
        (["corruptor", "class"], "'class' is a keyword of Python"),
        (["corruptor", "gaussian"], "a corruptor named 'gaussian' exists already"),
        (["selector", "mine", "--space", "pixel"], "--space is for corruptors"),
        (["corruptor", "mine", "--space", "frequency"], "--space 'frequency': choose latent, pixel, resampling"),
        (["corruptor", "mine", "--out", __file__], "is a file: name a folder"),
    ],
)
def test_mistakes(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("plugins", "new", *arguments)
    assert (result.code, result.out) == (2, "")
    assert message in result.err and result.err.count("\n") == 1
    assert not list(tmp_path.glob("*.py"))
