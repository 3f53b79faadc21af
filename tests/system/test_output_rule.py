"""The one rule of output files and folders: nobody's are overwritten, and what is written is there whole or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchkit.errors import BenchkitError
from benchkit.system import output_files as outputs
from benchkit.system.output_files import (
    check_file,
    check_folder,
    finish_replacing,
    list_visible,
    replace_files,
    replace_folder,
)

OLD = {"a.txt": b"old a", "b.txt": b"old b", "stale.txt": b"old"}
NEW = {"a.txt": b"new a", "b.txt": b"new b", "c.txt": b"new c"}


def held(folder: Path) -> dict[str, bytes]:
    """Every file in a folder, hidden ones too."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "out"
    made.mkdir()
    for name, data in OLD.items():
        (made / name).write_bytes(data)
    return made


def test_a_file_is_replaced_only_when_told(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    check_file(path)
    path.write_bytes(b"somebody's")
    with pytest.raises(BenchkitError, match="exists already"):
        check_file(path)
    check_file(path, force=True)
    link = tmp_path / "link.png"
    link.symlink_to(tmp_path / "gone.png")
    with pytest.raises(BenchkitError):
        check_file(link)
    with pytest.raises(BenchkitError, match="is a folder"):
        check_file(tmp_path, force=True)
    with pytest.raises(BenchkitError, match="there is no folder"):
        check_file(tmp_path / "none" / "a.png", force=True)


def test_a_folder_is_new_empty_or_of_the_same_command(tmp_path: Path, folder: Path) -> None:
    check_folder(tmp_path / "new" / "deep", False, "mark")
    assert not (tmp_path / "new").exists()
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".gitkeep").touch()
    check_folder(tmp_path / "empty", False, "mark")
    for force in (False, True):
        with pytest.raises(BenchkitError, match=r"other files than an export \(a.txt, b.txt, stale.txt\)"):
            check_folder(folder, force, "mark")
    with pytest.raises(BenchkitError, match="is not empty"):
        check_folder(folder, False, "a.txt")
    check_folder(folder, True, "a.txt")
    for path, message in (
        (folder / "a.txt", "is a file: name a folder"),
        (folder / "a.txt" / "below", "cannot write to"),
    ):
        with pytest.raises(BenchkitError, match=message):
            check_folder(path, True, "mark")


def test_new_contents_appear_at_once_and_leave_other_files(folder: Path) -> None:
    with replace_folder(folder, True, "a.txt", lambda: ("stale.txt",)) as aside:
        for name, data in NEW.items():
            (aside / name).write_bytes(data)
        assert list_visible(folder) == sorted(OLD)
    assert held(folder) == NEW
    with pytest.raises(RuntimeError), replace_folder(folder, True, "a.txt", lambda: tuple(NEW)) as aside:
        (aside / "a.txt").write_bytes(b"half")
        raise RuntimeError
    assert held(folder) == NEW


def test_a_failure_leaves_no_new_folder(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), replace_folder(tmp_path / "new" / "deep", False, "mark", tuple):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_set_of_files_replaces_another_whole(folder: Path) -> None:
    (folder / "mine.txt").write_bytes(b"mine")
    replace_files(folder, NEW, ("stale.txt", "never.txt"))
    assert held(folder) == {**NEW, "mine.txt": b"mine"}


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("call", range(8))
@pytest.mark.parametrize("kind", ["rename", "write"])
def test_an_interruption_leaves_the_earlier_set(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, call: int, kind: str
) -> None:
    """Fail at the call of that number: the set is old or new, never mixed."""
    rename, write = Path.rename, outputs.write_new
    count = 0

    def counted(*given: object) -> object:
        nonlocal count
        count += 1
        if count == call + 1:
            raise error
        return (rename if kind == "rename" else write)(*given)  # type: ignore[arg-type]

    if kind == "rename":
        monkeypatch.setattr(Path, "rename", counted)
    else:
        monkeypatch.setattr(outputs, "write_new", counted)
    try:
        replace_files(folder, NEW, ("stale.txt",))
    except (BenchkitError, KeyboardInterrupt):
        assert held(folder) == OLD
    else:
        assert held(folder) == NEW


def test_what_a_kill_left_is_finished(folder: Path) -> None:
    ready = folder / ".benchkit-ready"
    ready.mkdir()
    (folder / "c.txt").write_bytes(NEW["c.txt"])  # moved before the kill
    for name in ("a.txt", "b.txt"):
        (ready / name).write_bytes(NEW[name])
    finish_replacing(folder)
    assert held(folder) == {**NEW, "stale.txt": b"old"}
    finish_replacing(folder)
    assert held(folder) == {**NEW, "stale.txt": b"old"}
