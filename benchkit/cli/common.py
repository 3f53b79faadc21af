"""What all commands share: loading plugins, printing lines and JSON, consoles, the cache's place, the log."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchkit.errors import BenchkitError
from benchkit.functions.progress import console as console
from benchkit.functions.progress import one_line as one_line

if TYPE_CHECKING:
    from benchkit.plugin.registry import Registry
    from benchkit.runs.run import RunLocations
    from benchkit.store.location import Location

#: Options whose name differs from the grid's field that they fill.
FLAGS = {
    "selectors": "--selector",
    "corruptors": "--corruptor",
    "detectors": "--detector",
    "inverters": "--inverter",
    "until_resolved": "--until-resolved",
    "max_seeds": "--max-seeds",
    "settings": "--set",
    "values": "--set",
    "plugins": "--plugin",
    "formats": "--format",
}


@dataclass
class Settings:
    """State of one call of the program. command: the command that runs, for the names of its flags."""

    debug: bool = False
    cache: Location | None = None
    registry: Registry | None = None
    command: Any = None


settings = Settings()


def load_registry(files: Sequence[Path] | None, folders: Sequence[Path] | None, strict: bool = False) -> Registry:
    """Return all plugins; print a warning for each that was skipped.

    Raises BenchkitError for a skipped plugin if `strict` is set.
    """
    from benchkit.plugin.registry import Registry

    with redirect_stdout(sys.stderr):  # stdout is for results, not for what plugins print
        registry = Registry.load(folders or (), files or (), strict=strict)
    for broken in registry.broken:
        tell(f"warning: plugin '{broken.name}' ({broken.origin}) was skipped: {broken.reason}")
    settings.registry = registry
    return registry


def tell(text: str) -> None:
    """Print one line on stderr after the program's name; settings of the library are named as flags."""
    print(f"benchkit: {one_line(with_flags(text))}", file=sys.stderr, flush=True)


def with_flags(text: str) -> str:
    """Return the text with each `setting` in backticks replaced by the running command's option: --setting.

    Only the command line knows flags. The library names settings, such as `time_limit`, in backticks.
    """
    options = getattr(settings.command, "params", ())
    flags = {flag[2:].replace("-", "_"): flag for option in options for flag in option.opts if flag[:2] == "--"}
    flags |= {field: flag for field, flag in FLAGS.items() if flag in flags.values()}
    return re.sub(r"`([a-z]\w*)`", lambda found: flags.get(found[1], found[0]), text)


def as_flags(values: Mapping[str, Any]) -> str:
    """Return settings of a grid as options that a user can paste: `--set test.size=20 --set …`."""
    import json
    import shlex

    from benchkit.specs.grammar import print_value

    def format_value(value: Any) -> str:
        # --set reads YAML, and JSON is YAML.
        return json.dumps(value) if isinstance(value, list | dict) else print_value(value)

    return " ".join(f"--set {shlex.quote(f'{key}={format_value(value)}')}" for key, value in values.items())


def print_json(value: Any) -> None:
    """Print plain data as indented JSON on stdout."""
    import json  # imported here, since `benchkit --help` does without

    print(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False))


def cache_root(given: str | None = None) -> Location:
    """Return the cache of this call, a folder or a URL, and remember it for the log."""
    from benchkit.store.location import get_default_cache, parse_location

    if given is not None:
        settings.cache = parse_location(given)
    return settings.cache or get_default_cache()


def find_named_locations(run: str, cache: str | None, store: str | None) -> RunLocations:
    """Return where a run is kept: --cache and --store, or what its --out folder names; see find_run_locations."""
    from benchkit.runs.find_run import find_run_locations
    from benchkit.store.location import parse_location

    found = find_run_locations(run, None if cache is None else parse_location(cache), store)
    settings.cache = found.cache
    return found


def log_where_it_lies(run: str, cache: str | None, store: str | None) -> None:
    """Keep the log of this call in the run's cache; the function that opens the run reports a missing one."""
    with suppress(BenchkitError):
        find_named_locations(run, cache, store)


def cache_folder(given: str | None = None) -> Path:
    """Return the folder on this machine for the rows and the log of this call's cache."""
    from benchkit.store.location import get_local_folder

    return get_local_folder(cache_root(given))


def log_file() -> Path:
    """Return the log's file: in the cache, or in the temporary folder if the cache cannot be written."""
    try:
        folder = cache_folder() / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder / "benchkit.log"
    except (OSError, BenchkitError):
        pass
    import tempfile

    return Path(tempfile.gettempdir()) / f"benchkit-{os.getuid()}.log"


class LogFile(logging.Handler):
    """Append records to `log_file()`; the file is made with the first record."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            with log_file().open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(self.format(record) + "\n")
        except Exception:
            self.handleError(record)


class NotesHandler(logging.Handler):
    """Print log records that have the attribute `tell`, such as damage found in the cache, on stderr.

    `tell` is True for a warning and "note" for a note.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line."""
        if kind := getattr(record, "tell", False):
            tell(f"{'note' if kind == 'note' else 'warning'}: {record.getMessage()}")


@contextmanager
def logging_to_file() -> Iterator[None]:
    """Send all logs, also those of libraries, and Python's warnings to the log file; with --debug also to stderr."""
    handlers: list[logging.Handler] = [LogFile(), logging.StreamHandler() if debugging() else NotesHandler()]
    root = logging.getLogger()
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(name)s %(levelname)s %(message)s"))
        root.addHandler(handler)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        for handler in handlers:
            root.removeHandler(handler)


def debugging() -> bool:
    """Return whether to show tracebacks: `benchkit --debug …` or BENCHKIT_DEBUG=1."""
    return settings.debug or os.environ.get("BENCHKIT_DEBUG", "0") not in ("", "0")
