"""The output folder of a run: check it, mark it with its run, write the report into it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchkit.errors import BenchkitError
from benchkit.report.ablation import FILES as ABLATION
from benchkit.report.ablation import AblationBoard
from benchkit.report.board import Board
from benchkit.report.load_board import load_board
from benchkit.report.run_data import RunData
from benchkit.specs.keys import digest
from benchkit.store.location import CacheUrl, Location
from benchkit.store.results import ResultStore
from benchkit.store.run_id_file import RUN_MARK, RunMark, read_mark, write_mark
from benchkit.system.files import make_absolute
from benchkit.system.output_files import check_writable, finish_replacing, format_names, list_visible

#: Warnings and tracebacks of a run, in its output folder.
LOG = "log.txt"


@dataclass(frozen=True)
class RunFolder:
    """An output folder; it need not exist yet."""

    path: Path

    def run(self, results: ResultStore, config: Mapping[str, Any]) -> str | None:
        """Return the run that the folder shows if it has this description, else None."""
        mark = self._mark()
        found = next((run for run in results.runs() if mark is not None and run.id == mark.run), None)
        return found.id if found is not None and _hash_description(found.config) == _hash_description(config) else None

    def check(self, results: ResultStore | None, config: Mapping[str, Any], force: bool = False) -> None:
        """Raise BenchkitError unless a run of this description may write here; write nothing.

        With `force` the folder may contain other files, or the report of another run.
        """
        check_writable(self.path, probe=False)
        names = [name for name in list_visible(self.path) if name not in (RUN_MARK, LOG)]
        mark = self._mark()
        if force or not names or (results is not None and self.run(results, config) is not None):
            return
        if mark is None:
            raise BenchkitError(
                f"'{self.path}' contains files that no run wrote ({format_names(names)}): name another folder, or "
                "replace files of the report's names with `force`"
            )
        known = results is not None and any(run.id == mark.run for run in results.runs())
        where = "" if known or mark.cache is None else f" of the cache '{mark.cache}'"
        raise BenchkitError(
            f"'{self.path}' shows the report of another run ({mark.run}{where}): name another folder, or replace "
            "the report with `force`"
        )

    def begin(self, run: str, cache: Location, results: str | None) -> None:
        """Make the folder and write its mark: the run, its cache and its result store, without passwords."""
        check_writable(self.path)
        finish_replacing(self.path)
        mark = self._mark()
        files = (
            () if mark is None else mark.files or tuple(name for name in list_visible(self.path) if name in _early())
        )
        where = str(cache) if isinstance(cache, CacheUrl) else str(make_absolute(cache))
        if results is not None and "://" not in results and not results.startswith("file:"):
            results = str(make_absolute(results))
        write_mark(self.path, RunMark(run, where, results, files))

    def board(self, run: str, cells: Iterable[str]) -> Board | None:
        """Return the board of the existing report if it is complete and shows these cells, else None."""
        from benchkit.report.write import FILES, SHOWN, shown_text

        mark = self._mark()
        wanted = {*FILES, *(mark.files if mark else ())}
        if not wanted.issubset(list_visible(self.path)):
            return None
        text = (self.path / SHOWN).read_text("utf-8", "replace")
        return load_board(self.path) if text == shown_text(run, cells) else None

    def report(self, data: RunData, ablation: Callable[[RunData], AblationBoard] | None = None) -> Board:
        """Replace the report, all of it or nothing, and return its board; raise BenchkitError if that fails."""
        from benchkit.report.write import FILES, write_report  # with the page's templates, which take a while

        mark = self._mark() or RunMark(data.run)
        try:
            compared = None if ablation is None else ablation(data)
            board = write_report(data, self.path, compared, mark.files)
            write_mark(self.path, replace(mark, files=(*FILES, *(ABLATION if compared else ()))))
        except (OSError, BenchkitError) as error:
            reason = getattr(error, "strerror", None) or error
            raise BenchkitError(
                f"the report is not written: {reason}; every row is stored: fix that and run the same command again"
            ) from error
        return board

    def _mark(self) -> RunMark | None:
        try:
            return read_mark(self.path)
        except BenchkitError:  # damaged: it is nobody's run
            return None


def _early() -> tuple[str, ...]:
    """Return the files of a report of an early version, which did not list them in the mark."""
    from benchkit.report.write import FILES

    return (*FILES, *ABLATION)


def _hash_description(config: Mapping[str, Any]) -> str:
    """Return a digest of a run's description, without `shown`, which follows from the rest."""
    return digest({key: value for key, value in config.items() if key != "shown"})
