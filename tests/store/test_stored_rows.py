"""Arrays of artifacts that stay on disk."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from benchkit.store.artifacts import ArtifactStore, DamagedResult, arrays_to_bytes
from benchkit.store.stored_rows import StoredTensors
from benchkit.system.stack import Stack

KEY, FILE = "a" * 64, "arrays.safetensors"
RNG = np.random.default_rng(0)
ARRAYS = {
    "images": RNG.integers(0, 256, (5, 7, 3, 3), np.uint8),
    "masks": RNG.random((5, 7, 3)) > 0.5,
    "others": np.arange(3.0),
}


@pytest.fixture
def tensors(tmp_path: Path) -> StoredTensors:
    artifact = ArtifactStore(tmp_path).write(KEY, {FILE: arrays_to_bytes(ARRAYS)})
    return StoredTensors(artifact, FILE)


def test_rows_are_those_that_were_written(tensors: StoredTensors) -> None:
    assert sorted(tensors) == ["images", "masks", "others"] and "ignored" not in tensors
    for found in (tensors, pickle.loads(pickle.dumps(tensors))):  # noqa: S301
        for name in ("images", "masks"):
            rows = found[name]
            assert (rows.shape, rows.dtype, len(rows)) == (ARRAYS[name].shape, ARRAYS[name].dtype, 5)
            np.testing.assert_array_equal(np.stack(list(rows)), ARRAYS[name])
            np.testing.assert_array_equal(rows[3], ARRAYS[name][3])
    with pytest.raises(IndexError):
        _ = tensors["masks"][5]


def test_a_damaged_file_is_found_when_it_is_first_read(tensors: StoredTensors) -> None:
    path = tensors.artifact.folder / FILE
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    rows = tensors["images"]
    with pytest.raises(DamagedResult, match="does not match its checksum"):
        _ = rows[0]


def test_a_file_that_is_deleted_or_cut_later_is_damage(tensors: StoredTensors) -> None:
    rows, path = tensors["images"], tensors.artifact.folder / FILE
    np.testing.assert_array_equal(rows[1], ARRAYS["images"][1])
    data = path.read_bytes()
    path.write_bytes(data[:200])
    with pytest.raises(DamagedResult, match="has become shorter"):
        _ = rows[4]
    path.unlink()
    with pytest.raises(DamagedResult, match=r"'arrays\.safetensors' cannot be read \(No such file"):
        _ = rows[4]


def test_a_copy_that_made_room_is_fetched_again(tmp_path: Path) -> None:
    class Elsewhere:
        key, fetched = KEY, 0

        def path(self, name: str) -> Path:
            self.fetched += 1
            (tmp_path / name).write_bytes(arrays_to_bytes(ARRAYS))
            return tmp_path / name

    artifact = Elsewhere()
    rows = StoredTensors(artifact, FILE)["masks"]  # type: ignore[arg-type]
    for _ in range(2):
        np.testing.assert_array_equal(rows[2], ARRAYS["masks"][2])
    assert artifact.fetched == 1
    (tmp_path / FILE).unlink()
    np.testing.assert_array_equal(rows[3], ARRAYS["masks"][3])
    assert artifact.fetched == 2


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not list open files")
def test_rows_hold_no_file_open(tensors: StoredTensors) -> None:
    opened = lambda: len(list(Path("/proc/self/fd").iterdir()))  # noqa: E731
    before = opened()
    kept = [StoredTensors(tensors.artifact, FILE)["images"] for _ in range(20)]
    assert all(rows[0].shape == (7, 3, 3) for rows in kept)
    assert opened() <= before


def test_a_stack_is_numpys_concatenation_of_what_is_kept(tensors: StoredTensors) -> None:
    labels = np.full((2, 7, 3), 255, np.uint8)
    keep = np.array([1, 0, 1, 1, 0, 1, 0], bool)
    stack = Stack([tensors["masks"], labels])
    whole = np.concatenate([ARRAYS["masks"], labels])
    again = np.array([True, False, True, True])
    for found, expected in (
        (stack, whole),
        (stack.where(keep), whole[keep]),
        (stack.where(keep).where(again), whole[keep][again]),
        (Stack([stack, stack.where(keep)]), np.concatenate([whole, whole[keep]])),
        (stack.where(~keep & keep), whole[:0]),
    ):
        assert (found.shape, found.dtype, len(found)) == (expected.shape, expected.dtype, len(expected))
        np.testing.assert_array_equal(np.asarray(found), expected)
        for index, row in enumerate(found):
            np.testing.assert_array_equal(row, expected[index])
    with pytest.raises(IndexError):
        _ = stack[7]
    with pytest.raises(IndexError):
        _ = stack[-1]
