"""`benchkit doctor`: what it sees, and what it calls missing."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import pytest

from benchkit.cli import doctor
from benchkit.diffusion import checkpoint
from tests.helpers.small_comparison import Run


@pytest.fixture(autouse=True)
def embedded(tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Assets with one embedded checkpoint that is whole."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / "portraits").symlink_to(tiny_checkpoint)
    monkeypatch.setattr(checkpoint, "EMBEDDED", folder)
    return folder


def test_a_sound_installation(run: Run, cache: Path) -> None:
    result = run("doctor")
    assert result.code == 0, result.out + result.err
    assert "everything that benchkit needs is installed" in result.out
    for text in ("torch", "cores", "cpu", str(cache), "corruptor gaussian"):
        assert text in result.out
    assert not cache.exists()


def test_as_json(run: Run) -> None:
    facts = json.loads(run("doctor", "--json").out)
    assert facts["problems"] == []
    assert facts["packages"]["torch"] == importlib.metadata.version("torch")
    assert facts["cores"] >= 1
    assert facts["threads"] >= 1
    assert facts["plugins"]["dataset portraits"] == "ready"
    assert len(facts["checkpoints"]["portraits"]) == 64


def test_the_cache_is_measured(run: Run, cache: Path) -> None:
    from benchkit.store.artifacts import ArtifactStore

    ArtifactStore(cache).write("0" * 64, {"a.bin": b"12345"})
    facts = json.loads(run("doctor", "--json").out)["cache"]
    assert (facts["exists"], facts["writable"], facts["artifacts"], facts["bytes"]) == (True, True, 1, 5)


def test_a_cache_of_another_version_is_a_problem(run: Run, cache: Path) -> None:
    cache.mkdir()
    (cache / "VERSION").write_text("benchkit-cache 0\n")
    result = run("doctor")
    assert result.code == 1
    assert "written by another version" in " ".join(result.out.split())


def test_a_cache_that_cannot_be_written_is_a_problem(run: Run, cache: Path) -> None:
    cache.write_text("a file")
    assert run("doctor").code == 1


def test_a_missing_checkpoint_is_a_problem(run: Run, embedded: Path) -> None:
    (embedded / "portraits").unlink()
    result = run("doctor", "--json")
    assert result.code == 1
    assert "embedded checkpoint 'portraits'" in json.loads(result.out)["problems"][0]


def test_missing_and_old_packages_come_with_their_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "gone":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.0"

    wanted = ["gone>=2", "old>=2,<3 ; python_version >= '3'", "fine", "later ; extra == 'dev'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: wanted)
    monkeypatch.setattr(importlib.metadata, "version", version)
    packages, problems = doctor._packages()
    assert packages == {"artifact-benchkit": "1.0", "gone": None, "old": "1.0", "fine": "1.0"}
    assert problems == [
        "package gone is missing: pip install 'gone>=2'",
        "package old is 1.0, needed is old>=2,<3: pip install 'old>=2,<3'",
    ]


def test_a_torch_that_cannot_be_imported_is_a_problem(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str, *rest: Any) -> Any:
        if name == "torch":
            raise OSError("libtorch.so: cannot open shared object file")
        return real(name, *rest)

    import builtins

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", broken)
    devices, problems = doctor._devices()
    assert devices == {}
    assert problems[0].startswith("torch cannot be imported (OSError: libtorch.so")


def test_plugins_that_are_left_out_are_named_but_no_problem(run: Run, tmp_path: Path) -> None:
    plugin = tmp_path / "half_done.py"
    plugin.write_text("1 / 0\n")
    result = run("doctor", "--plugin", plugin)
    assert result.code == 0
    assert "ZeroDivisionError" in result.out
