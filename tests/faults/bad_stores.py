"""Result databases and cache folders that are damaged, foreign or of another version."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from tests.faults.bad_world import PLUGINS, Arguments, Bad, World, bad, compared, cut, deep

DATABASE = "results.sqlite"


def listed(change: Callable[[Path], object], *command: object) -> Arguments:
    """List the runs of a cache whose database was changed."""
    words = command or ("leaderboard", "list")
    return lambda w: (*words, "--cache", w.cached(lambda root: change(root / DATABASE)))


def sql(*statements: str) -> Callable[[Path], object]:
    def change(file: Path) -> None:
        with closing(sqlite3.connect(file)) as database:
            database.execute("PRAGMA foreign_keys = OFF")
            for statement in statements:
                database.execute(statement)
            database.commit()

    return change


def shown(*statements: str) -> Arguments:
    return listed(sql(*statements), "leaderboard", "show", "2")


def figure(change: Callable[[Path], object]) -> Arguments:
    def arguments(w: World) -> tuple[object, ...]:
        cache = w.cached(change)
        return ("figure", 4, "2", "--cache", cache, "--plugin", PLUGINS, "--out", w.folder / "f.png")

    return arguments


def every(pattern: str, change: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda root: [change(path) for path in sorted((root / "objects").rglob(pattern))]


def pruned(change: Callable[[Path], object]) -> Arguments:
    return lambda w: ("cache", "prune", "--keep-run", "2", "--cache", w.cached(change))


CASES: dict[str, Bad] = {
    "database: cut in two": bad(listed(cut), DATABASE),
    "database: a pickle": bad(listed(lambda f: f.write_bytes(b"\x80\x04cos\nsystem\n" * 99)), "not a database"),
    "database: rows of another version": bad(
        shown("UPDATE rows SET schema_version = 7"), "a row of schema version 7", "another file (--store)"
    ),
    "database: a row of another version, met by a comparison": bad(
        lambda w: (
            *compared()(w),
            *("--cache", w.cached(lambda r: sql("UPDATE rows SET schema_version = 0 WHERE rowid = 3")(r / DATABASE))),
        ),
        "a row of schema version 0",
    ),
    "database: a table lost": bad(listed(sql("DROP TABLE cells")), DATABASE),
    "database: a column lost": bad(
        listed(sql("ALTER TABLE cells DROP COLUMN reason"), "leaderboard", "show", "2"), DATABASE
    ),
    "database: a config nested too deep": bad(listed(sql(f"UPDATE runs SET config = '{deep()}'")), "readable JSON"),
    "database: a config that is a list": bad(
        shown("UPDATE runs SET config = '[1]'"), "is damaged", "choose another file"
    ),
    "database: metrics that are no JSON": bad(
        shown("DELETE FROM blobs WHERE name = 'row'", "UPDATE rows SET metrics = 'x'"), "not readable JSON"
    ),
    "database: metrics that are a list": bad(
        shown("DELETE FROM blobs WHERE name = 'row'", "UPDATE rows SET metrics = '[1]'"),
        *("is damaged", "choose another file"),
    ),
    "database: metrics that are not what was written": bad(
        shown("UPDATE rows SET metrics = '{}' WHERE rowid = 2"), "damaged figures", "to compute it again"
    ),
    "database: a flipped blob": bad(shown("UPDATE blobs SET data = zeroblob(length(data))"), "damaged"),
    "database: an environment that is a list": bad(
        shown("UPDATE runs SET environment = '[1]'"), "is damaged", "choose another file"
    ),
    "database: no such run": bad(listed(sql("DELETE FROM runs"), "leaderboard", "show", "2"), "'2'"),
    "database: a folder": bad(lambda w: ("leaderboard", "list", "--store", w.folder), "no result store"),
    "database: a file that is not": bad(lambda w: ("leaderboard", "list", "--store", w.folder / "no"), "no result"),
    "database: a name with a null": bad(
        lambda w: ("leaderboard", "list", "--store", "a\0b"), "is not a path", "null character"
    ),
    "run: a config of another grid": bad(
        listed(sql("UPDATE runs SET config = '{}'"), "figure", 4, "2", "--plugin", PLUGINS, "--out", "never.png"),
        "not a comparison of this version",
    ),
    "cache: any folder": bad(lambda w: ("cache", "ls", "--cache", w.plain()), "data is not a cache", "--cache"),
    "cache: an empty folder": bad(lambda w: ("cache", "verify", "--cache", w.folder / "out"), "is not a cache"),
    "cache: a file that is pruned": bad(lambda w: ("cache", "prune", "--cache", w.file("c", "x")), "is not a cache"),
    "cache: a file": bad(lambda w: (*compared()(w), "--cache", w.file("c", "x")), "cannot write to the cache"),
    "cache: a damaged note of a run": bad(
        pruned(lambda r: [p.write_text("{") for p in (r / "runs").iterdir()]), "does not list the run's stages"
    ),
    "cache: a note nested too deep": bad(
        pruned(lambda r: [p.write_text(deep()) for p in (r / "runs").iterdir()]), "does not list"
    ),
    "cache: a note of lists": bad(
        pruned(lambda r: [p.write_text('{"stages": []}') for p in (r / "runs").iterdir()]), "does not list"
    ),
    "cache: manifests cut in two": bad(figure(every("manifest.json", cut)), "run 2"),
    "cache: manifests nested too deep": bad(figure(every("manifest.json", lambda p: p.write_text(deep()))), "run 2"),
    "cache: files that are links": bad(
        figure(every("*.safetensors", lambda p: (p.unlink(), p.symlink_to("/etc/passwd")))), "run 2"
    ),
    "cache: foreign files": bad(figure(every("manifest.json", lambda p: (p.parent / "x").write_text("x"))), "run 2"),
}
