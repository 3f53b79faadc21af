"""A whole comparison with its cache on an S3 server: equal to one in a folder, on two machines, and over an outage."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from benchkit.cli.main import main
from benchkit.store.bucket import Bucket
from benchkit.store.location import CacheUrl, parse_location
from benchkit.store.opening import open_store
from benchkit.store.results import ResultStore
from tests.helpers.s3_server import new_bucket, serving
from tests.helpers.small_comparison import PLUGINS, Finished

STAGES = 22


@pytest.fixture
def server() -> Iterator[Any]:
    with serving() as running:
        yield running


@pytest.fixture
def url(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A cache on the server; copies lie in this test's folder."""
    monkeypatch.delenv("BENCHKIT_CACHE", raising=False)
    monkeypatch.setenv("BENCHKIT_COPIES", str(tmp_path / "copies"))
    return new_bucket(server, monkeypatch)


class Machine:
    """Runs the small comparison on a cache, with a folder of copies, rows and a report of its own."""

    def __init__(self, name: str, folder: Path, grid: Path, url: str) -> None:
        self.name, self.folder, self.url = name, folder, url
        self.arguments = ["compare", str(grid), "--plugin", str(PLUGINS), "--device", "cpu", "--cache", url]

    def compare(self, monkeypatch: pytest.MonkeyPatch) -> int:
        monkeypatch.setenv("BENCHKIT_COPIES", str(self.folder / self.name))
        return main([*self.arguments, "--store", str(self.rows), "--json"])

    @property
    def rows(self) -> Path:
        return self.folder / f"{self.name}.sqlite"

    @property
    def copies(self) -> Path:
        (folder,) = (self.folder / self.name).iterdir()
        return folder


def parts(database: Path) -> list[Any]:
    """Every row and its parts, as bytes."""
    with closing(sqlite3.connect(database)) as raw:
        rows = raw.execute("SELECT cell_key, schema_version, metrics, provenance FROM rows ORDER BY cell_key")
        blobs = raw.execute("SELECT cell_key, name, sha256, data FROM blobs ORDER BY cell_key, name")
        return [*rows.fetchall(), *blobs.fetchall()]


def objects(folder: Path) -> dict[str, bytes]:
    """Every file of every artifact in a folder's cache."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in (folder / "objects").rglob("*") if p.is_file()}


def far_objects(url: str) -> dict[str, int]:
    place = parse_location(url)
    assert isinstance(place, CacheUrl)
    return {name: entry.size for name, entry in Bucket(place).list_entries("objects").items()}


def stages(capsys: pytest.CaptureFixture[str]) -> dict[str, int]:
    return dict(json.loads(capsys.readouterr().out)["stages"])


@pytest.mark.slow
def test_equal_to_a_cache_in_a_folder(
    url: str, tmp_path: Path, grid: Path, finished: Finished, monkeypatch, capsys
) -> None:
    one, two = (Machine(name, tmp_path, grid, url) for name in ("one", "two"))
    assert one.compare(monkeypatch) == 0
    assert stages(capsys)["run"] == STAGES
    assert parts(one.rows) == parts(finished.cache / "results.sqlite")
    assert objects(one.copies) == objects(finished.cache)
    assert two.compare(monkeypatch) == 0
    assert stages(capsys) == {"run": 0, "cached": STAGES, "failed": 0, "skipped": 0}
    assert parts(two.rows) == parts(one.rows)
    assert [damage for _, damage in open_store(url).verify()] == [None] * STAGES


@pytest.mark.slow
def test_a_lost_connection_ends_in_one_line_and_the_same_command_goes_on(
    url: str, server: Any, tmp_path: Path, grid: Path, finished: Finished, monkeypatch, capsys
) -> None:
    machine = Machine("one", tmp_path, grid, url)
    port, create, committed = server.get_host_and_port()[1], Bucket.create, []

    def cut(self: Bucket, name: str, data: bytes) -> bool:
        made = create(self, name, data)
        if name.endswith("manifest.json"):
            committed.append(name)
            if len(committed) == STAGES // 2:
                server.stop()
        return made

    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "create", cut)
        assert machine.compare(patch) == 2
    out, err = capsys.readouterr()
    assert out == "" and "Traceback" not in err
    last = err.splitlines()[-1]
    assert last.startswith(f"benchkit: error: cannot use the cache {url}")
    assert "run the same command again to resume" in last
    with closing(sqlite3.connect(machine.rows)) as raw:
        assert raw.execute("SELECT status FROM runs").fetchall() == [("interrupted",)]
    assert main([*machine.arguments, "--store", str(machine.rows)]) == 2, "and while it is away nothing is lost"
    assert "cannot use the cache" in capsys.readouterr().err.splitlines()[-1]
    with serving(port):
        sent = [key for key, damage in open_store(url).verify() if damage is None]
        assert len(sent) == len(committed) == STAGES // 2
        assert machine.compare(monkeypatch) == 0
        again = stages(capsys)
        assert again["failed"] == again["skipped"] == 0 and again["cached"] >= len(sent)
        assert len(ResultStore(machine.rows).runs()) == 2, "without --out each command is a run of its own"
        assert parts(machine.rows) == parts(finished.cache / "results.sqlite")
        assert objects(machine.copies) == objects(finished.cache)
        assert [damage for _, damage in open_store(url).verify()] == [None] * STAGES
        assert sum(name.endswith("manifest.json") for name in far_objects(url)) == STAGES
