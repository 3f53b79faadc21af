"""The result store: runs, their cells and states, and one row per cell with its per-image counts and histograms.

A row belongs to its cell's key, not to a run. So every later run finds a cell that was computed once.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import delete, func, select, update

from benchkit.errors import BenchkitError, UnknownNameError
from benchkit.store.columns import COUNT_COLUMNS, LABELS, RARE_SETTINGS, ROW_COLUMNS, SETTINGS
from benchkit.store.database import Database
from benchkit.store.encoding import arrays_from_bytes, arrays_to_bytes, decompress, json_to_text
from benchkit.store.run_id_file import match_run, read_mark
from benchkit.store.schema import (
    ROW_SCHEMA,
    Base,
    BlobRecord,
    CellInfo,
    CellRecord,
    CellState,
    RowRecord,
    RunInfo,
    RunRecord,
    RunStatus,
    escape_text,
)
from benchkit.store.soundness import CHECKSUM, compute_blob_checksum, compute_row_checksum, find_damaged_rows

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.orm import Session

__all__ = ["CellInfo", "CellState", "ResultStore", "RunInfo", "RunStatus"]

_log = logging.getLogger(__name__)


class ResultStore:
    """Runs, cells and rows in an SQL database; every method is one transaction."""

    def __init__(self, location: str | Path, *, create: bool = True, busy_seconds: float = 30.0) -> None:
        """Open the store at a path (SQLite in WAL mode) or an SQL URL (sqlite, postgresql).

        create: make file and tables where there are none. busy_seconds: how long to wait for another writer.
        Raises BenchkitError if it cannot be opened, is not a result store, or has another schema version.
        """
        self._database = Database(location, create=create, busy_seconds=busy_seconds)

    @property
    def name(self) -> str:
        """The file, or the URL without its password, for messages."""
        return self._database.name

    def close(self) -> None:
        """Close the connections; the store opens them again when it is used."""
        self._database.close()

    def create_run(self, config: Mapping[str, Any], environment: Mapping[str, Any]) -> str:
        """Record a new run with status `running` and return its id: date, time and a short hash."""
        now = datetime.now(UTC)
        salt = secrets.token_hex(8)  # two equal runs may start in one second
        digest = hashlib.sha256(f"{salt}{json_to_text(dict(config))}".encode()).hexdigest()
        run_id = f"{now:%Y%m%d-%H%M%S}-{digest[:6]}"
        record = RunRecord(
            id=run_id, created=now.isoformat(), status="running", config=dict(config), environment=dict(environment)
        )
        with self._database.writing() as session:
            session.add(record)
        return run_id

    def set_status(self, run_id: str, status: RunStatus) -> None:
        """Record the status of a run; raise UnknownNameError for an unknown run."""
        if status not in get_args(RunStatus):
            raise ValueError(f"'{status}' is not a run status")
        with self._database.writing() as session:
            _get_run(session, run_id).status = status

    def resume_run(self, run_id: str, environment: Mapping[str, Any], cells: Collection[str]) -> None:
        """Record the environment in which a run is resumed, and remove its cells that are not in `cells`.

        Those belong to earlier versions of plugins or data; their rows stay. Raises UnknownNameError for an unknown
        run.
        """
        removed = delete(CellRecord).where(CellRecord.run_id == run_id, CellRecord.cell_key.not_in(list(cells)))
        with self._database.writing() as session:
            _get_run(session, run_id).environment = dict(environment)
            session.execute(removed)

    def runs(self) -> list[RunInfo]:
        """Return every run, oldest first."""
        with self._database.reading() as session:
            cells: dict[str, dict[str, int]] = defaultdict(dict)
            counted = select(CellRecord.run_id, CellRecord.state, func.count())
            for run_id, state, number in session.execute(counted.group_by(CellRecord.run_id, CellRecord.state)):
                cells[run_id][state] = number
            return [
                RunInfo(run.id, run.created, run.status, run.config, run.environment, cells[run.id])
                for run in session.scalars(select(RunRecord).order_by(RunRecord.created, RunRecord.id))
            ]

    def find_run(self, name: str | Path) -> str:
        """Return the id of the run that is named by its id, the unique start of it, or its output folder.

        Raises BenchkitError if there is no such run, or more than one.
        """
        text = str(name)
        with self._database.reading() as session:
            known = list(session.scalars(select(RunRecord.id)))
        if text not in known:
            mark = read_mark(Path(text))
            text = text if mark is None else mark.run
        match = match_run(text, known)
        if match is None and os.path.isdir(text):  # noqa: PTH112  # of a name that no folder can have it says no
            raise BenchkitError(
                f"'{text}' is a folder without a run (no run.json): name a run's output folder, or its id"
            )
        if match is None:  # no other run is suggested: ids are alike where runs are not
            raise BenchkitError(
                f"unknown run '{text}': {self.name} has {len(known)} runs, and none of that name; it may be in another "
                "cache or store"
            )
        return match

    def upsert_cells(self, run_id: str, cells: Iterable[CellInfo]) -> dict[str, CellState]:
        """Record the cells of a run, in the board's order, and return each one's state by its key.

        A `pending` cell becomes `done` if its row is stored, else `failed` if it failed in this run before, else it
        stays `pending`. A damaged row is reported and deleted. Any other state is stored as given. Raises
        UnknownNameError for an unknown run.
        """
        cells = list(cells)
        with self._database.writing() as session:
            _get_run(session, run_id)
            known = {c.cell_key: c for c in session.scalars(select(CellRecord).where(CellRecord.run_id == run_id))}
            stored = self._delete_damaged_rows(session, [cell.key for cell in cells])
            whole = known.keys() <= {cell.key for cell in cells}
            first_free = 0 if whole else 1 + max(cell.position for cell in known.values())
            states: dict[str, CellState] = {}
            for offset, cell in enumerate(cells):
                record = known.setdefault(cell.key, CellRecord(run_id=run_id, cell_key=cell.key))
                _describe(record, cell, done=cell.key in stored)
                if record.position is None or whole:
                    record.position = first_free + offset
                session.add(record)
                states[cell.key] = record.state  # type: ignore[assignment]  # only states are ever written there
        return states

    def _delete_damaged_rows(self, session: Session, cell_keys: Collection[str]) -> set[str]:
        """Delete damaged rows of these cells, to be computed again; return the keys of all stored rows."""
        for key, what in list(find_damaged_rows(session, cell_keys, parts=True)):
            message = "result store %s: damaged %s of cell %s: the row is deleted and has to be computed again"
            _log.warning(message, self.name, what, key[:12], extra={"tell": True})
            session.execute(delete(BlobRecord).where(BlobRecord.cell_key == key))
            session.execute(delete(RowRecord).where(RowRecord.cell_key == key))
        return set(session.scalars(select(RowRecord.cell_key)))

    def cells(self, run_id: str) -> list[CellInfo]:
        """Return the cells of a run in the board's order; raise UnknownNameError for an unknown run."""
        chosen = select(CellRecord).where(CellRecord.run_id == run_id).order_by(CellRecord.position)
        with self._database.reading() as session:
            _get_run(session, run_id)
            return [_to_info(record) for record in session.scalars(chosen)]

    def set_state(
        self,
        run_id: str,
        cell_key: str,
        state: CellState,
        *,
        reason: str | None = None,
        seconds: float | None = None,
    ) -> None:
        """Record the state of a cell, its reason and its seconds of computation; raise KeyError for an unknown cell."""
        if state not in get_args(CellState):
            raise ValueError(f"'{state}' is not a cell state")
        change = update(CellRecord).where(CellRecord.run_id == run_id, CellRecord.cell_key == cell_key)
        with self._database.writing() as session:
            changed = session.execute(change.values(state=state, reason=reason, seconds=seconds))
            if not changed.rowcount:  # type: ignore[attr-defined]  # an UPDATE gives a CursorResult, which has it
                raise KeyError(f"run {run_id} has no cell {cell_key[:12]}")

    def save_row(
        self,
        cell_key: str,
        metrics: Mapping[str, Any],
        counts: pd.DataFrame | None = None,
        histograms: Mapping[str, np.ndarray] | None = None,
        *,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        """Store the result of a cell, replacing an earlier one.

        metrics: one flat dict of numbers, text or None; a number that is not finite is kept as undefined. counts: one
        line per image, with COUNT_COLUMNS and any others. provenance: where and with what it was computed. Raises
        ValueError for metrics or counts of another form.
        """
        row, origin = _check_metrics(metrics), dict(provenance or {})
        blobs = {
            "counts": None if counts is None else _counts_to_bytes(counts),
            "histograms": None if histograms is None else zlib.compress(arrays_to_bytes(histograms), level=3),
        }
        with self._database.writing() as session:
            values = {"cell_key": cell_key, "schema_version": ROW_SCHEMA, "metrics": row, "provenance": origin}
            self._put(session, RowRecord, values)
            for name, data in blobs.items():
                session.execute(delete(BlobRecord).where(BlobRecord.cell_key == cell_key, BlobRecord.name == name))
                if data is not None:
                    values = {"cell_key": cell_key, "name": name, "sha256": compute_blob_checksum(data), "data": data}
                    self._put(session, BlobRecord, values)
            values = {"cell_key": cell_key, "name": CHECKSUM, "sha256": compute_row_checksum(row, origin), "data": b""}
            self._put(session, BlobRecord, values)

    def rows(self, run_id: str) -> pd.DataFrame:
        """Return the board of a run: ROW_COLUMNS, then every metric; one line per cell, done or not, in its order.

        Undefined and missing numbers are NaN. Raises UnknownNameError for an unknown run.
        """
        joined = (
            select(CellRecord, RowRecord)
            .outerjoin(RowRecord, RowRecord.cell_key == CellRecord.cell_key)
            .where(CellRecord.run_id == run_id)
            .order_by(CellRecord.position)
        )
        with self._database.reading() as session:
            _get_run(session, run_id)
            keys = session.scalars(select(CellRecord.cell_key).where(CellRecord.run_id == run_id)).all()
            for key, what in find_damaged_rows(session, keys, parts=False):
                raise self._damaged(what, key)
            lines, names = [], dict.fromkeys(ROW_COLUMNS)
            for cell, row in session.execute(joined):
                metrics = row.metrics if row else {}
                rare = {name: cell.settings[name] for name in RARE_SETTINGS if name in cell.settings}
                names |= dict.fromkeys((*rare, *metrics))
                lines.append(_to_line(cell, row) | rare | metrics)
        frame = pd.DataFrame(lines, columns=list(names))
        for name in ("seconds", *(name for name in names if name not in ROW_COLUMNS)):
            if frame[name].isna().all():  # or pandas would take a column of nothing for text
                frame[name] = frame[name].astype("float64")
        return frame

    def provenance(self, cell_key: str) -> dict[str, Any]:
        """Return where and with what a row was computed; raise BenchkitError if the row is not stored."""
        with self._database.reading() as session:
            found = session.scalar(select(RowRecord.provenance).where(RowRecord.cell_key == cell_key))
        if found is None:
            raise BenchkitError(f"no row is stored for cell {cell_key[:12]}")
        return dict(found)

    def counts(self, cell_key: str) -> pd.DataFrame:
        """Return the per-image counts of a cell; raises BenchkitError if none are stored or they are damaged."""
        data = self._blob(cell_key, "counts")
        # One thread: a store is also read in worker processes forked from a threaded parent.
        return pq.read_table(pa.BufferReader(data), use_threads=False).to_pandas(use_threads=False)

    def histograms(self, cell_key: str) -> dict[str, np.ndarray]:
        """Return the score histograms of a cell; raises BenchkitError if none are stored or they are damaged."""
        return arrays_from_bytes(decompress(self._blob(cell_key, "histograms")))

    def read_histograms(self, cell_keys: Iterable[str]) -> Mapping[str, dict[str, np.ndarray]]:
        """Return the score histograms of cells, each read when it is used and not kept: all may exceed the memory."""
        return ReadWhenUsed(self.histograms, cell_keys)

    def _blob(self, cell_key: str, name: str) -> bytes:
        with self._database.reading() as session:
            blob = session.get(BlobRecord, (cell_key, name))
            if blob is None:
                raise BenchkitError(f"no {name} are stored for cell {cell_key[:12]}")
            if compute_blob_checksum(blob.data) != blob.sha256:
                raise self._damaged(name, cell_key)
            return blob.data

    def _damaged(self, what: str, cell_key: str) -> BenchkitError:
        message = f"result store {self.name}: damaged {what} of cell {cell_key[:12]}"
        return BenchkitError(f"{message}: run its comparison again to compute it again")

    def _put(self, session: Session, table: type[Base], values: dict[str, Any]) -> None:
        """Insert or replace one record; another process may do the same."""
        keys = [column.name for column in table.__table__.primary_key]
        dialect: Any = import_module(f"sqlalchemy.dialects.{self._database.dialect}")  # the other one takes a while
        insert = dialect.insert(table).values(values)
        rest = {name: insert.excluded[name] for name in values if name not in keys}
        session.execute(insert.on_conflict_do_update(index_elements=keys, set_=rest))


class ReadWhenUsed(Mapping[str, dict[str, np.ndarray]]):
    """A mapping whose values are read at every use."""

    def __init__(self, read: Callable[[str], dict[str, np.ndarray]], keys: Iterable[str]) -> None:
        self._read, self._keys = read, dict.fromkeys(keys)

    def __getitem__(self, key: str) -> dict[str, np.ndarray]:
        if key not in self._keys:
            raise KeyError(key)
        return self._read(key)

    def __contains__(self, key: object) -> bool:
        return key in self._keys  # Mapping's own would read the value

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


def _get_run(session: Session, run_id: str) -> RunRecord:
    if run := session.get(RunRecord, run_id):
        return run
    raise UnknownNameError("run", run_id, session.scalars(select(RunRecord.id)))


def _describe(record: CellRecord, cell: CellInfo, *, done: bool) -> None:
    if cell.state not in get_args(CellState):
        raise ValueError(f"'{cell.state}' is not a cell state")
    for name in LABELS:
        setattr(record, name, getattr(cell, name))
    record.corruptor_params, record.settings = dict(cell.corruptor_params), dict(cell.settings)
    planned = cell.state == "pending"
    state: CellState = "done" if planned and done else cell.state
    if planned and (record.state == state or (state == "pending" and record.state == "failed")):
        return  # keep the reason and the seconds that this run has recorded
    record.state, record.reason, record.seconds = state, cell.reason, cell.seconds


def _to_info(record: CellRecord) -> CellInfo:
    labels = {name: getattr(record, name) for name in LABELS}
    state: Any = record.state
    ended = {"state": state, "reason": record.reason, "seconds": record.seconds}
    return CellInfo(key=record.cell_key, **labels, settings=record.settings, **ended)


def _to_line(cell: CellRecord, row: RowRecord | None) -> dict[str, Any]:
    labels = {name: getattr(cell, name) for name in LABELS}
    return {
        "run": cell.run_id,
        "cell": cell.cell_key,
        **labels,
        "corruptor_params": json_to_text(cell.corruptor_params),
        **{name: cell.settings.get(name) for name in SETTINGS},
        "state": cell.state,
        "reason": cell.reason,
        "seconds": cell.seconds,
        "schema_version": row.schema_version if row else ROW_SCHEMA,
    }


def _check_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in metrics.items():
        if not isinstance(name, str) or name in (*ROW_COLUMNS, *RARE_SETTINGS):
            raise ValueError(f"'{name}' cannot name a metric: a board has that column already")
        if value is not None and not isinstance(value, bool | int | float | str | np.generic):
            raise ValueError(f"metric '{name}' is not a single value but {type(value).__name__}")
    return {
        escape_text(name): escape_text(value) if isinstance(value, str) else value for name, value in metrics.items()
    }


def _counts_to_bytes(counts: pd.DataFrame) -> bytes:
    if missing := [name for name in COUNT_COLUMNS if name not in counts.columns]:
        raise ValueError(f"counts lack the columns {', '.join(missing)}")
    # The schema's metadata name the pandas that wrote it: without them equal counts are equal bytes.
    table = pa.Table.from_pandas(counts, preserve_index=False, nthreads=1).replace_schema_metadata(None)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())
