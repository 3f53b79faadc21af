"""The tables of a result store, and the plain records that its methods take and return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from sqlalchemy import BigInteger, Dialect, ForeignKey, LargeBinary, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from benchkit.errors import BenchkitError
from benchkit.specs.cell import Role
from benchkit.store.encoding import json_to_text, parse_json

#: Version of the tables: a store of another version is refused.
SCHEMA = 2
#: Version of what a row's metrics mean, stored with every row.
ROW_SCHEMA = 1

CellState = Literal["pending", "running", "done", "failed", "skipped"]
RunStatus = Literal["running", "done", "failed", "interrupted"]
CELL_STATES: tuple[str, ...] = get_args(CellState)
RUN_STATUSES: tuple[str, ...] = get_args(RunStatus)


def escape_text(text: str) -> str:
    """Escape what databases or Arrow refuse in a text: NUL and half surrogates."""
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")


class DamagedRecord(BenchkitError):
    """A record that this program cannot have written."""


class DataText(TypeDecorator[str]):
    """Text from outside (tracebacks, plugin names), escaped."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Escape the text."""
        return None if value is None else escape_text(value)


class JsonText(TypeDecorator[Any]):
    """Plain data as canonical JSON text: equal data are equal text in every database."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        """Encode."""
        return json_to_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Decode; raises DamagedRecord for text that is no JSON object."""
        if value is None:
            return None
        try:
            found = parse_json(value)
        except BenchkitError as error:
            raise DamagedRecord(str(error)) from None
        if not isinstance(found, dict):
            raise DamagedRecord("a record that is no JSON object")
        return found


class Base(DeclarativeBase):
    """The tables of one store."""

    type_annotation_map = {str: DataText, int: BigInteger, dict[str, Any]: JsonText, bytes: LargeBinary}


class MetaRecord(Base):
    """One fact about the store itself."""

    __tablename__ = "meta"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class RunRecord(Base):
    """One run of a comparison."""

    __tablename__ = "runs"

    id: Mapped[str] = mapped_column(primary_key=True)
    created: Mapped[str]  # ISO 8601 in UTC, the same text in every database
    status: Mapped[str]
    config: Mapped[dict[str, Any]]
    environment: Mapped[dict[str, Any]]


class CellRecord(Base):
    """One cell of one run: its labels and how far it has come."""

    __tablename__ = "cells"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    cell_key: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int]
    role: Mapped[str]
    method: Mapped[str | None]
    selector: Mapped[str | None]
    corruptor: Mapped[str | None]
    corruptor_params: Mapped[dict[str, Any]]
    inverter: Mapped[str | None]
    source_name: Mapped[str | None]
    variant: Mapped[str | None]
    detector: Mapped[str | None]
    seed: Mapped[int]
    test_set: Mapped[str]
    settings: Mapped[dict[str, Any]]
    state: Mapped[str]
    reason: Mapped[str | None]
    seconds: Mapped[float | None]


class RowRecord(Base):
    """The result of a cell, whichever run computed it."""

    __tablename__ = "rows"

    cell_key: Mapped[str] = mapped_column(primary_key=True)
    schema_version: Mapped[int]
    metrics: Mapped[dict[str, Any]]
    provenance: Mapped[dict[str, Any]]


class BlobRecord(Base):
    """Per-image counts (Parquet) or score histograms (compressed safetensors) of a row."""

    __tablename__ = "blobs"

    cell_key: Mapped[str] = mapped_column(ForeignKey("rows.cell_key", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str]  # databases do not notice a flipped bit
    data: Mapped[bytes]


@dataclass(frozen=True)
class CellInfo:
    """A cell of the result store: its key, the labels a board shows, its state.

    role, method, source_name, variant: see benchkit.specs.cell.Cell. selector, inverter, detector: complete Specs as
    text. settings: what else decides the row's figures, SETTINGS. state `pending` does not
    replace a state that the store knows. reason: why it was skipped or failed. seconds: what computing it took.
    """

    key: str
    role: Role
    seed: int
    test_set: str
    method: str | None = None
    detector: str | None = None
    selector: str | None = None
    corruptor: str | None = None
    corruptor_params: Mapping[str, Any] = field(default_factory=dict)
    inverter: str | None = None
    source_name: str | None = None
    variant: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    state: CellState = "pending"
    reason: str | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class RunInfo:
    """A run of the result store; cells: state -> number of cells."""

    id: str
    created: str
    status: str
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    cells: Mapping[str, int]
