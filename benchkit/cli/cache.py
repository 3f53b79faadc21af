"""`benchkit cache`: list the finished stages, check their files, and delete some."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchkit.cli import options
from benchkit.cli.common import cache_root, console, print_json, tell
from benchkit.cli.unused_options import App
from benchkit.errors import BenchkitError
from benchkit.system.quantities import format_size

if TYPE_CHECKING:
    from benchkit.store.artifacts import Artifact, ArtifactStore

DAMAGED = 3
SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
BYTES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}

app = App(help="List, check and delete finished stages.", rich_markup_mode=None)


@app.command("ls")
def ls(cache: options.Cache = None, as_json: options.AsJson = False) -> None:
    """List finished stages, the least recently used first."""
    from benchkit.store.pins import describe_pins

    store = _open_cache(cache)
    known = describe_pins(store.location)
    found = sorted(store.ls(), key=lambda artifact: (artifact.used, artifact.key))
    total = sum(artifact.size for artifact in found)
    if as_json:
        print_json({"cache": str(store.location), "size": total, "artifacts": [_plain(a, known) for a in found]})
        return
    if found:
        _print(found, {artifact.key: known.get(artifact.key, "") for artifact in found})
    print(f"{len(found)} finished stages, {format_size(total)} in {store.location}")


@app.command("verify")
def verify(
    discard: Annotated[
        bool, typer.Option("--discard", help="Remove damaged stages; a run that needs them computes them again.")
    ] = False,
    cache: options.Cache = None,
    as_json: options.AsJson = False,
) -> None:
    """Read every file and list damaged ones. Exit code 3: some are damaged."""
    from benchkit.store.pins import describe_pins

    store = _open_cache(cache)
    known, number, damaged = describe_pins(store.location), 0, []
    for key, damage in store.verify():
        number += 1
        if damage is not None:
            damaged.append({"key": key, "stage": known.get(key), "problem": damage.problem})
            if discard:
                store.discard(key)
    if as_json:
        print_json({"cache": str(store.location), "checked": number, "damaged": damaged})
    else:
        for one in damaged:
            print(f"damaged: {one['key'][:12]}  {one['stage'] or '?'}: {one['problem']}")  # type: ignore[index]
        print(f"{number} finished stages checked, {len(damaged)} damaged, in {store.location}")
    if damaged:
        tell(_remedy(discard))
        raise typer.Exit(DAMAGED)


@app.command("prune")
def prune(
    keep_run: Annotated[
        list[str] | None,
        typer.Option(
            "--keep-run",
            metavar="RUN|DIR",
            help="Keep the stages of this run. Without other options, delete all others. Repeatable.",
        ),
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than", metavar="30d", help="Delete stages not used for this time: a number and m, h, d or w."
        ),
    ] = None,
    max_size: Annotated[
        str | None,
        typer.Option(
            "--max-size",
            metavar="10G",
            help="Delete the least recently used stages until the rest fit: a number and K, M, G or T.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be deleted.")] = False,
    cache: options.Cache = None,
    as_json: options.AsJson = False,
) -> None:
    """Delete finished stages. Cell results and reports stay. A run that needs deleted stages computes them again.

    Without options, only damaged stages and leftovers of killed processes are deleted.
    """
    age, size = parse_age(older_than), parse_size(max_size)
    store = _open_cache(cache)
    keep = {key for name in keep_run or () for key in _keys(name, store)} if keep_run else None
    gone = store.prune(keep=keep, older_than=age, max_size=size, dry_run=dry_run)
    if as_json:
        print_json({"cache": str(store.location), "dry_run": dry_run, "size": gone.size, "keys": list(gone.keys)})
        return
    verb = "would be deleted" if dry_run else "deleted"
    left = sum(artifact.size for artifact in store.ls()) - (gone.size if dry_run else 0)
    sizes = f"({format_size(gone.size)}), {format_size(left)} left"
    print(f"{len(gone.keys)} finished stages {verb} {sizes} in {store.location}")


def parse_age(text: str | None) -> float | None:
    """Return `30d`, `12h`, `90m` or `2w` in seconds; raise BenchkitError for anything else."""
    if text is None:
        return None
    found = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)([mhdw])", text.strip(), re.ASCII)
    if found is None:
        raise BenchkitError(f"--older-than '{text}': write a number and m, h, d or w, such as 30d")
    return float(found[1]) * SECONDS[found[2]]


def parse_size(text: str | None) -> int | None:
    """Return `10G`, `500M` or plain bytes as a number of bytes; raise BenchkitError for anything else."""
    if text is None:
        return None
    found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,3})?)([KMGT]?)B?", text.strip().upper(), re.ASCII)
    if found is None:
        raise BenchkitError(f"--max-size '{text}': write a number and K, M, G or T, such as 10G")
    return int(float(found[1]) * BYTES[found[2]])


def _open_cache(cache: str | None) -> ArtifactStore:
    """Open an existing cache; raise BenchkitError if there is none, and create nothing."""
    from benchkit.store.opening import is_cache, open_store

    root = cache_root(cache)
    if not is_cache(root):
        what = "is not a cache" if isinstance(root, Path) and root.exists() else "does not exist"
        raise BenchkitError(f"the cache {root} {what}: name another by --cache, or run 'benchkit compare' first")
    return open_store(root)


def _keys(name: str, store: ArtifactStore) -> Sequence[str]:
    """Return the keys of a run's stages; name: its id, the start of its id, or its --out folder."""
    from benchkit.store.pins import list_pinned_runs, read_pins
    from benchkit.store.run_id_file import read_mark

    if Path(name).is_dir():
        mark = read_mark(Path(name))
        if mark is None:
            raise BenchkitError(f"--keep-run '{name}': the folder has no run.json, so it shows no run")
        name = mark.run
        if mark.cache is not None and name not in list_pinned_runs(store.location):
            raise BenchkitError(f"--keep-run: run {name} is not in {store.location}: its --cache is {mark.cache}")
    return list(read_pins(store.location, name))


def _remedy(discarded: bool) -> str:
    if discarded:
        return "damaged stages are removed; a run that needs them computes them again"
    return "a run that reads damaged stages computes them again; 'benchkit cache verify --discard' removes them now"


def _plain(artifact: Artifact, known: dict[str, str]) -> dict[str, object]:
    return {
        "key": artifact.key,
        "stage": known.get(artifact.key),
        "size": artifact.size,
        "files": list(artifact.names),
        "used": datetime.fromtimestamp(artifact.used, UTC).isoformat(timespec="seconds"),
    }


def _print(found: Sequence[Artifact], known: dict[str, str]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for header in ("key", "stage", "size", "last used (UTC)"):
        table.add_column(header, justify="right" if header == "size" else "left", overflow="fold")
    for artifact in found:
        used = f"{datetime.fromtimestamp(artifact.used, UTC):%Y-%m-%d %H:%M}"
        table.add_row(artifact.key[:12], Text(known[artifact.key]), format_size(artifact.size), used)
    console().print(table)
