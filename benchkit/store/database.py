"""A result store's database: opening, transactions, schema version, errors in one line."""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, insert, inspect, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.orm import Session

from benchkit.errors import BenchkitError
from benchkit.store.schema import ROW_SCHEMA, SCHEMA, Base, DamagedRecord, MetaRecord, RowRecord
from benchkit.system.files import make_absolute

if TYPE_CHECKING:
    from collections.abc import Iterator

DIALECTS = ("sqlite", "postgresql")

#: Number of PostgreSQL's lock that one creator of the tables holds.
_CREATING = 0x62656E6368

_REMEDIES = {
    "locked": "another process is writing to it: try again",
    "not a database": "choose another file, or move that one away",
    "malformed": "choose another file, or move that one away",
    "readonly": "choose a place that can be written",
    "unable to open": "choose a place that can be written",
    "full": "free some space there",
}


class Database:
    """One database with this version's tables; sessions are short and never nested."""

    def __init__(self, location: str | Path, *, create: bool, busy_seconds: float) -> None:
        """Open `location` (a path or an SQL URL), creating file and tables if asked to.

        Raises BenchkitError if it is unreachable, no database, or of another program or schema version.
        """
        self.url = _parse_url(location)
        self.name = self.url.render_as_string(hide_password=True)
        if self.url.get_backend_name() == "sqlite" and self.url.database:
            self.name = self.url.database
            if not self.name.startswith("file:"):  # a URI, which SQLite itself reads
                _prepare_file(Path(self.name), create=create)
        self._engine = self._make_engine(busy_seconds)
        self._writer = self._engine.execution_options(sqlite_begin="BEGIN IMMEDIATE")
        if self.dialect == "postgresql":  # SQLite's readers see one state of the store anyway
            self._engine = self._engine.execution_options(isolation_level="REPEATABLE READ")
        if self._is_empty():
            if not create:
                raise BenchkitError(f"result store {self.name} is empty")
            self._create(busy_seconds)
        self._check_version()

    @property
    def dialect(self) -> str:
        """The kind of database, one of DIALECTS."""
        return self.url.get_backend_name()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Yield a session that sees one state of the store, whatever others write meanwhile."""
        with self._explain_errors(), Session(self._engine) as session, session.begin():
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Yield a session whose changes are committed together at the end, or not at all on an error."""
        with self._explain_errors(), Session(self._writer) as session, session.begin():
            yield session

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def _make_engine(self, busy_seconds: float) -> Engine:
        try:
            # Parameters stay out of error messages: they may be megabytes of counts. A server may have dropped a
            # connection that was idle while a stage took its hours, and so each is tried before it is used.
            engine = create_engine(self.url, hide_parameters=True, pool_pre_ping=self.dialect != "sqlite")
        except ModuleNotFoundError as error:
            raise BenchkitError(
                f"result store {self.name} needs the package '{error.name}': pip install 'artifact-benchkit[postgres]'"
            ) from error
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise BenchkitError(f"result store {self.name} cannot be reached: {_first_line(error)}") from error
        if self.dialect == "sqlite":
            _configure_sqlite(engine, busy_seconds)
        return engine

    def _is_empty(self) -> bool:
        with self._explain_errors(), self._engine.connect() as connection:
            return not inspect(connection).get_table_names()

    def _create(self, busy_seconds: float) -> None:
        with self._explain_errors():
            if self.dialect == "sqlite":
                _switch_to_wal(self._engine, busy_seconds)
            with self._writer.begin() as connection:
                if self.dialect == "postgresql":
                    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_CREATING})")
                # Inside the write transaction only the first of several processes still finds it empty.
                if not inspect(connection).get_table_names():
                    Base.metadata.create_all(connection)
                    connection.execute(insert(MetaRecord).values(name="schema", value=str(SCHEMA)))

    def _check_version(self) -> None:
        with self._explain_errors(), self._engine.connect() as connection:
            tables = inspect(connection)
            columns = {c["name"] for c in tables.get_columns("meta")} if tables.has_table("meta") else set()
            if not {"name", "value"} <= columns:
                raise BenchkitError(f"{self.name} is another program's database: choose another file for the results")
            found = connection.scalar(select(MetaRecord.value).where(MetaRecord.name == "schema"))
            self._require_version("schema version", found, str(SCHEMA))
            others = select(RowRecord.schema_version).where(RowRecord.schema_version != ROW_SCHEMA).limit(1)
            for version in connection.scalars(others):
                self._require_version("a row of schema version", version, ROW_SCHEMA)

    def _require_version(self, what: str, found: str | int | None, read: str | int) -> None:
        if found != read:
            raise BenchkitError(
                f"result store {self.name} has {what} {found}, this benchkit reads {read}: choose another file "
                "(`store`), or the benchkit that wrote it"
            )

    @contextmanager
    def _explain_errors(self) -> Iterator[None]:
        try:
            yield
        except DamagedRecord as error:
            raise BenchkitError(f"result store {self.name} is damaged: {error}; choose another file") from None
        except DBAPIError as error:
            text = _first_line(error.orig or error)
            remedy = next((f"; {what}" for sign, what in _REMEDIES.items() if sign in text), "")
            raise BenchkitError(f"result store {self.name}: {text}{remedy}") from error


def _parse_url(location: str | Path) -> URL:
    if isinstance(location, str) and "://" in location:
        try:
            url = make_url(location)
        except (ArgumentError, ValueError) as error:
            raise BenchkitError("the result store's URL is malformed: write dialect://user@host/database") from error
        if url.get_backend_name() not in DIALECTS:
            raise BenchkitError(f"a result store is {' or '.join(DIALECTS)}, not '{url.get_backend_name()}'")
        return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url
    return URL.create("sqlite", database=str(make_absolute(location)))


def _prepare_file(path: Path, *, create: bool) -> None:
    try:
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
        elif not path.is_file():
            raise BenchkitError(f"there is no result store {path}")
    except OSError as error:
        raise BenchkitError(f"result store {path} cannot be created: {error.strerror or error}") from error


def _configure_sqlite(engine: Engine, busy_seconds: float) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        # sqlite3 would begin transactions by itself, late and only before some statements.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {int(busy_seconds * 1000)}")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        # A writer takes the lock at once: a reader that turns writer later can fail without any wait.
        if statement := connection.get_execution_options().get("sqlite_begin", "BEGIN"):
            connection.exec_driver_sql(statement)


def _switch_to_wal(engine: Engine, busy_seconds: float) -> None:
    # Outside any transaction, where SQLite insists on it; the file remembers it from then on.
    deadline = time.monotonic() + busy_seconds
    with engine.execution_options(sqlite_begin="").connect() as connection:
        while True:
            try:
                connection.exec_driver_sql("PRAGMA journal_mode = WAL")
                return
            except OperationalError as error:
                # For this statement SQLite does not wait: another process may be creating the same store.
                if "locked" not in str(error.orig) or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
