"""What a comparison leaves behind, byte for byte, for tests that compare two."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any


def rows(cache: Path) -> list[tuple[Any, ...]]:
    """All rows and their parts, as the bytes that the database holds."""
    with sqlite3.connect(cache / "results.sqlite") as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        found = raw.execute(
            "SELECT cell_key, schema_version, metrics, provenance FROM rows ORDER BY cell_key"
        ).fetchall()
        parts = raw.execute("SELECT cell_key, name, sha256, data FROM blobs ORDER BY cell_key, name").fetchall()
        states = raw.execute("SELECT cell_key, state, reason FROM cells ORDER BY cell_key").fetchall()
        runs = raw.execute("SELECT status FROM runs").fetchall()
    raw.close()
    assert runs == [("done",)], "run the same command to continue with the same run"
    return [*found, *parts, *states]


def artifacts(cache: Path) -> dict[str, bytes]:
    """Every committed file."""
    return {str(p.relative_to(cache)): p.read_bytes() for p in (cache / "objects").rglob("*") if p.is_file()}
