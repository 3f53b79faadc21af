"""Flipped bits, truncated and foreign files over everything that a comparison keeps: each is found when it is read."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from benchkit.cli.main import main
from benchkit.errors import BenchkitError
from benchkit.store.artifacts import ArtifactStore
from benchkit.store.manifest import MANIFEST, DamagedResult
from benchkit.store.results import ResultStore
from tests.faults.bad_world import PLUGINS
from tests.helpers.small_comparison import Finished

KINDS = {
    MANIFEST,
    "arrays.safetensors",
    "weights.safetensors",
    "measured.safetensors",
    "row.json",
    "confinement.json",
    "history.json",
}


@pytest.fixture
def cache(finished: Finished, tmp_path: Path) -> Path:
    """This test's own copy of a finished comparison's cache."""
    return Path(shutil.copytree(finished.cache, tmp_path / "cache", ignore=shutil.ignore_patterns("*-wal", "*-shm")))


@contextmanager
def restored(path: Path) -> Iterator[bytes]:
    """Lend a file's bytes, and put them back whatever became of the file."""
    sound = path.read_bytes()
    yield sound
    if path.is_symlink():
        path.unlink()
    path.write_bytes(sound)


def flipped(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def found(store: ArtifactStore, key: str) -> bool:
    """Whether reading an artifact finds it damaged."""
    try:
        store.open(key).verify()
    except DamagedResult:
        return True
    return False


def damage_every_file(cache: Path, flips: int, rng: random.Random) -> Counter[str]:
    """Damage every file of every artifact in many ways, one at a time, and count them; raises if any is missed."""
    store, done = ArtifactStore(cache), Counter[str]()
    keys = list(store.keys())

    def note(kind: str, key: str, what: Path) -> None:
        assert found(store, key), f"{kind} of {what} was not found"
        done[kind] += 1

    for key in keys:
        for path in sorted(store.folder(key).iterdir()):
            done[path.name] += 1
            with restored(path) as sound:
                for _ in range(flips):
                    path.write_bytes(flipped(sound, rng))
                    note("flip", key, path)
                for size in {0, len(sound) - 1, *(rng.randrange(len(sound)) for _ in range(flips // 10))}:
                    path.write_bytes(sound[:size])
                    note("truncation", key, path)
                others = (p for other in keys if other != key for p in [store.folder(other) / path.name] if p.is_file())
                foreign = [*(p.read_bytes() for p in others), sound + b"\n", bytes(len(sound))]
                for other in rng.sample([data for data in foreign if data != sound], k=2):
                    path.write_bytes(other)
                    note("another file in its place", key, path)
                path.unlink()
                note("loss", key, path)
                path.symlink_to("/etc/passwd")
                note("link", key, path)
        for name in ("stranger", "arrays.safetensors.tmp"):
            stranger = store.folder(key) / name
            stranger.write_bytes(b"?")
            note("foreign file", key, stranger)
            stranger.unlink()
    assert [damage for _, damage in store.verify() if damage] == [], "everything was put back"
    return done


def test_every_file_of_every_artifact(cache: Path) -> None:
    done = damage_every_file(cache, int(os.environ.get("FUZZ_TRIES", "1000")) // 100, random.Random(10))
    assert {name for name in done if "." in name} == KINDS


def test_every_single_bit_of_a_manifest(cache: Path) -> None:
    store = ArtifactStore(cache)
    key = min(store.keys(), key=lambda key: (store.folder(key) / MANIFEST).stat().st_size)
    path = store.folder(key) / MANIFEST
    with restored(path) as sound:
        for i in range(8 * len(sound)):
            changed = bytearray(sound)
            changed[i // 8] ^= 1 << i % 8
            path.write_bytes(changed)
            assert found(store, key), f"bit {i}"


def damage_rows(database: Path, number: int, rng: random.Random) -> int:
    """Flip one bit of one stored row or of one of its parts, `number` times; raises if reading does not find it."""
    columns = [("rows", "metrics"), ("rows", "provenance"), ("blobs", "data"), ("blobs", "sha256")]
    for _ in range(number):
        table, column = rng.choice(columns)
        with closing(sqlite3.connect(database, isolation_level=None)) as raw:
            where = rng.choice(raw.execute(f"SELECT rowid FROM {table} WHERE length({column})").fetchall())
            (sound,) = raw.execute(f"SELECT {column} FROM {table} WHERE rowid = ?", where).fetchone()
            data = sound.encode() if isinstance(sound, str) else sound
            change = flipped(data, rng)
            value = change.decode("latin-1") if isinstance(sound, str) else change
            raw.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (value, *where))
            with pytest.raises(BenchkitError, match=r"damaged|readable"):
                read_everything(database)
            raw.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (sound, *where))
    read_everything(database)
    return number


def read_everything(database: Path) -> None:
    store = ResultStore(database)
    try:
        for run in store.runs():
            rows = store.rows(run.id)
            for key in rows.loc[rows["state"] == "done", "cell"]:
                store.counts(key), store.histograms(key), store.provenance(key)
    finally:
        store.close()


def test_every_part_of_a_row(cache: Path) -> None:
    assert damage_rows(cache / "results.sqlite", 16, random.Random(3)) == 16


def parts_of_rows(cache: Path) -> list[object]:
    with closing(sqlite3.connect(cache / "results.sqlite")) as raw:
        rows = raw.execute("SELECT cell_key, metrics, provenance FROM rows ORDER BY cell_key").fetchall()
        return [rows, raw.execute("SELECT cell_key, name, sha256, data FROM blobs ORDER BY cell_key, name").fetchall()]


@pytest.mark.parametrize(
    ("table", "change"),
    [("rows", "metrics = replace(metrics, ':', ': ')"), ("blobs", "data = zeroblob(length(data))")],
)
def test_damaged_rows_are_reported_and_measured_again(
    cache: Path, grid: Path, capsys: pytest.CaptureFixture[str], table: str, change: str
) -> None:
    expected = parts_of_rows(cache)
    with closing(sqlite3.connect(cache / "results.sqlite", isolation_level=None)) as raw:
        damaged = raw.execute(f"UPDATE {table} SET {change} WHERE rowid IN (1, 2)").rowcount
        assert damaged == 2
    command = ["compare", str(grid), "--plugin", str(PLUGINS), "--device", "cpu", "--cache", str(cache)]
    assert main(command) == 0
    reported = [line for line in capsys.readouterr().err.splitlines() if "computed again" in line]
    assert 1 <= len(reported) <= damaged and all(
        line.startswith("benchkit: warning: result store") for line in reported
    )
    assert parts_of_rows(cache) == expected


Damage = Callable[[bytes, random.Random], bytes]


@pytest.mark.parametrize("damage", [flipped, lambda data, rng: data[: rng.randrange(len(data))]], ids=["bit", "cut"])
def test_the_checkpoint_of_a_training(tmp_path: Path, damage: Damage) -> None:
    import numpy as np
    import torch
    from torch import nn

    from benchkit.specs.training_config import TrainingConfig
    from benchkit.training.loop import UnusableCheckpoint, train

    rng = np.random.default_rng(0)
    images, masks = rng.integers(0, 256, (4, 16, 16, 3), np.uint8), rng.random((4, 16, 16)) > 0.5
    config, path = TrainingConfig(iterations=2, batch=2), tmp_path / "checkpoint.safetensors"

    def resume() -> None:
        torch.manual_seed(0)
        train(nn.Conv2d(3, 2, 1), images, masks, config, 0, checkpoint=path)

    resume()
    draws = random.Random(5)
    with restored(path) as sound:
        for _ in range(100):
            path.write_bytes(damage(sound, draws))
            with pytest.raises(UnusableCheckpoint):
                resume()
    resume()
    os.truncate(path, 0)
    with pytest.raises(UnusableCheckpoint):
        resume()
