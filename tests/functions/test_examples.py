"""Every public name has an example in its docstring, and the examples run."""

from __future__ import annotations

import doctest
import inspect
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import benchkit
from benchkit.cli.main import main
from tests.helpers.small_comparison import PLUGINS, Finished

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL


@pytest.fixture(scope="module")
def folder(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with a finished comparison, `runs/first`, and a detector of it, `detectors/human`."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "runs").mkdir()
    (folder / "runs" / "first").symlink_to(finished.out)
    options = ["--row", "human", "--format", "detector", "--plugin", str(PLUGINS), "--cache", str(finished.cache)]
    assert main(["export", str(finished.out), *options, "--out", str(folder / "detectors" / "human")]) == 0
    return folder


@pytest.fixture
def here(folder: Path, finished: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go there, with the cache and the plugins of that comparison."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("BENCHKIT_CACHE", str(finished.cache))
    monkeypatch.setenv("BENCHKIT_PLUGINS", os.pathsep.join([str(PLUGINS)]))


def examples(name: str) -> Iterator[doctest.DocTest]:
    """Yield the examples of a public name, of a class also those of its methods."""
    value = getattr(benchkit, name)
    members = [value, *(vars(value).values() if inspect.isclass(value) else ())]
    parser = doctest.DocTestParser()
    for member in members:
        text = inspect.getdoc(member) if inspect.isfunction(member) or member is value else None
        if text and ">>>" in text:
            yield parser.get_doctest(text, {"__name__": "__main__"}, name, None, 0)


@pytest.mark.parametrize("name", benchkit.__all__)
@pytest.mark.usefixtures("here")
def test_the_examples_of_a_public_name_run(name: str) -> None:
    found = list(examples(name))
    assert found, f"benchkit.{name} has no example: add one to its docstring"
    written: list[str] = []
    for test in found:
        doctest.DocTestRunner(optionflags=FLAGS).run(test, out=written.append)
    assert not written, "".join(written)


@pytest.mark.parametrize("name", benchkit.__all__)
def test_a_public_name_says_what_it_does(name: str) -> None:
    text = inspect.getdoc(getattr(benchkit, name)) or ""
    first = text.splitlines()[0]
    assert first.endswith((".", ":")) or text.partition("\n\n")[0].endswith((".", ":")), first
