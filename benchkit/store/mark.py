"""`run.json` in an output folder: which run it shows, and where that run's work and rows lie."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchkit.errors import BenchkitError
from benchkit.store.encoding import json_to_bytes, parse_json
from benchkit.system.files import write_atomic

RUN_MARK = "run.json"


@dataclass(frozen=True)
class RunMark:
    """The run that an output folder shows. cache, store: where it was computed, without a password; None: not known.

    files: what of the folder benchkit wrote.
    """

    run: str
    cache: str | None = None
    store: str | None = None
    files: tuple[str, ...] = ()


def write_mark(folder: Path, mark: RunMark) -> None:
    """Note in an output folder which run it shows; raises OSError where it cannot be written."""
    write_atomic(folder / RUN_MARK, json_to_bytes(asdict(mark)))


def read_mark(folder: Path) -> RunMark | None:
    """The mark of an output folder, None where it has none; raises BenchkitError for one that is damaged."""
    try:
        data = (folder / RUN_MARK).read_bytes()
    except (OSError, ValueError):  # what the user gave need not be a folder, nor anything a path can be
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
