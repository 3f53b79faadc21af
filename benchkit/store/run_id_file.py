"""Read and write `run.json` in an output folder: which run it shows, and where its cache and rows are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchkit.errors import BenchkitError
from benchkit.store.encoding import json_to_bytes, parse_json
from benchkit.system.files import write_atomic

RUN_MARK = "run.json"


@dataclass(frozen=True)
class RunMark:
    """The run that an output folder shows.

    cache, store: where it was computed, without a password; None if unknown. files: those that benchkit wrote there.
    """

    run: str
    cache: str | None = None
    store: str | None = None
    files: tuple[str, ...] = ()


def write_mark(folder: Path, mark: RunMark) -> None:
    """Write the mark of an output folder; raise OSError if it cannot be written."""
    write_atomic(folder / RUN_MARK, json_to_bytes(asdict(mark)))


def read_mark(folder: Path) -> RunMark | None:
    """Return the mark of an output folder, None if it has none; raise BenchkitError for a damaged one."""
    try:
        data = (folder / RUN_MARK).read_bytes()
    except (OSError, ValueError):  # the user may have named no folder, or something that cannot be a path
        return None
    try:
        read: dict[str, Any] = parse_json(data)
        texts = [read.get(name) for name in ("cache", "store")]
        files = tuple(name for name in read.get("files", ()) if isinstance(name, str) and Path(name).name == name)
        if not all(text is None or isinstance(text, str) for text in texts):
            raise TypeError
        return RunMark(str(read["run"]), texts[0], texts[1], files)
    except (BenchkitError, KeyError, TypeError, AttributeError) as error:
        raise BenchkitError(f"{folder / RUN_MARK} does not say which run it belongs to") from error


def match_run(name: str, known: Iterable[str]) -> str | None:
    """Return the run whose id is `name` or begins with it, None if there is none; raise BenchkitError for several."""
    known = sorted(known)
    matches = [run for run in known if run == name] or [run for run in known if name and run.startswith(name)]
    if len(matches) > 1:
        raise BenchkitError(f"run '{name}' is ambiguous: {', '.join(matches)}")
    return matches[0] if matches else None
