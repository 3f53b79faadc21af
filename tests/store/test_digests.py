"""Digests of large files: read once for each state, whatever becomes of the notes."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from benchkit.store import digests


@pytest.fixture
def reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read, in order; the cache is a folder of the test's own."""
    monkeypatch.setenv("BENCHKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(digests, "REMEMBERED_FROM", 100)
    monkeypatch.setattr(digests, "SETTLED", -1.0)
    monkeypatch.setattr(digests, "_KNOWN", {})
    seen: list[Path] = []

    def counted(path: Path) -> str:
        seen.append(path)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr(digests, "compute_sha256", counted)
    return seen


def made(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def notes(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "digests").glob("*"))


def test_a_file_is_read_once(tmp_path: Path, reads: list[Path]) -> None:
    path = tmp_path / "large"
    digest = made(path, bytes(200))
    assert [digests.compute_file_digest(path) for _ in range(3)] == [digest] * 3
    assert reads == [path]
    digests._KNOWN.clear()  # as in another process
    assert digests.compute_file_digest(path) == digest
    assert reads == [path]
    link = tmp_path / "link"
    link.symlink_to(path)
    assert digests.compute_file_digest(link) == digest
    assert reads == [path]


def test_another_content_is_read_again_also_at_the_same_size_and_time(tmp_path: Path, reads: list[Path]) -> None:
    path = tmp_path / "large"
    made(path, bytes(200))
    before = path.stat()
    digests.compute_file_digest(path)
    digest = made(path, b"x" * 200)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert digests.compute_file_digest(path) == digest
    replaced = tmp_path / "other"
    digest = made(replaced, b"y" * 200)
    os.utime(replaced, ns=(before.st_atime_ns, before.st_mtime_ns))
    replaced.replace(path)
    assert digests.compute_file_digest(path) == digest
    assert len(reads) == 3


def test_small_and_fresh_files_leave_no_note(
    tmp_path: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    small, fresh = tmp_path / "small", tmp_path / "fresh"
    made(small, bytes(99))
    made(fresh, bytes(200))
    digests.compute_file_digest(small)
    monkeypatch.setattr(digests, "SETTLED", 60.0)
    digests.compute_file_digest(fresh)
    assert not notes(tmp_path)


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "binary", "another's"])
def test_a_damaged_note_is_no_digest(tmp_path: Path, reads: list[Path], damage: str) -> None:
    path, other = tmp_path / "large", tmp_path / "another"
    digest = made(path, bytes(200))
    digests.compute_file_digest(path)
    (note,) = notes(tmp_path)
    text = note.read_bytes()
    if damage == "another's":
        made(other, b"z" * 200)
        digests.compute_file_digest(other)
        text = next(one for one in notes(tmp_path) if one != note).read_bytes()
    flipped = (b"0" if text[:1] != b"0" else b"1") + text[1:]
    note.write_bytes({"flip": flipped, "cut": text[:70], "empty": b"", "binary": b"\xff\0"}.get(damage, text))
    reads.clear()
    digests._KNOWN.clear()
    assert digests.compute_file_digest(path) == digest
    assert reads == [path]
    digests._KNOWN.clear()
    assert digests.compute_file_digest(path) == digest
    assert reads == [path], "the note was mended"


def test_a_cache_that_cannot_be_written_costs_time_alone(
    tmp_path: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large"
    digest = made(path, bytes(200))
    made(tmp_path / "file", b"")
    for place in (str(tmp_path / "file"), "s3://"):
        monkeypatch.setenv("BENCHKIT_CACHE", place)
        digests._KNOWN.clear()
        assert [digests.compute_file_digest(path) for _ in range(2)] == [digest] * 2
    assert len(reads) == 2, "once for each process"


def test_a_folder_in_the_place_of_a_note_is_no_digest(tmp_path: Path, reads: list[Path]) -> None:
    path = tmp_path / "large"
    digest = made(path, bytes(200))
    digests.compute_file_digest(path)
    (note,) = notes(tmp_path)
    note.unlink()
    note.mkdir()
    digests._KNOWN.clear()
    assert digests.compute_file_digest(path) == digest
    shutil.rmtree(note)
