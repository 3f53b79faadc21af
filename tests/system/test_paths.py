"""Paths as a user writes them: literal, but for a ~ at the beginning."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchkit.errors import BenchkitError
from benchkit.system.paths import expand_path


def test_a_path_is_literal_but_for_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert expand_path("~/x") == tmp_path / "home" / "x"
    assert expand_path("~") == tmp_path / "home"
    assert expand_path("./~") == tmp_path / "~"
    assert expand_path("./~nobody/x") == tmp_path / "~nobody" / "x"
    for text in ("$HOME/x", "a b", " a", "a # b", "a/~", "%s", "2024"):
        assert expand_path(text) == Path(text)


def test_a_home_that_is_not_there_is_one_line_with_the_remedy() -> None:
    with pytest.raises(BenchkitError, match=r"'~nobody-of-that-name/x' is not a path: .* './~nobody-of-that-name/x'$"):
        expand_path("~nobody-of-that-name/x")
