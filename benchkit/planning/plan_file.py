"""A plan as bytes, by which a finished run opens without its plugins, data or checkpoint, or after they changed."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from benchkit.errors import BenchkitError
from benchkit.planning.plan import Plan, PlannedCell
from benchkit.plugin.registry import Entry
from benchkit.stages.base import Stage
from benchkit.store.encoding import decompress, json_to_bytes, parse_json

SCHEMA = 1
#: Modules of the frozen descriptions that a plan is made of; a file names no class of any other.
_ROOMS = ("benchkit.specs.", "benchkit.planning.plan", "benchkit.stages.")
#: Earlier names of classes that have moved since -> the present ones.
_MOVED = {"benchkit.planning.planner:PlannedCell": "benchkit.planning.plan:PlannedCell"}


@dataclass(frozen=True)
class PluginSource:
    """The source of a run's plugin. file: its path at that time; source: sha256 of it and of helper files beside it."""

    kind: str
    name: str
    origin: str
    version: str | None
    file: str | None
    source: str

    @classmethod
    def of(cls, entry: Entry) -> PluginSource:
        """Return the source of a usable plugin."""
        file = None if entry.file is None else str(entry.file)
        return cls(entry.kind, entry.name, entry.origin, entry.version, file, entry.source_hash)

    @property
    def is_file(self) -> bool:
        """Whether it came as a file, and not with an installed package or as a class of a Python session."""
        return self.version is None and self.file is not None

    def __str__(self) -> str:
        where = f"file '{self.file}'" if self.is_file else f"{self.origin} {self.version or ''}".rstrip()
        return f"{where}, sha256 {self.source[:12]}"


@dataclass(frozen=True)
class KeptPlan:
    """A plan and the plugins that it was made with; sources: (kind, name) -> where each came from."""

    plan: Plan
    sources: Mapping[tuple[str, str], PluginSource]


def plan_to_bytes(plan: Plan, sources: list[PluginSource]) -> bytes:
    """Encode a plan, each stage once and after its inputs."""
    places: dict[str, int] = {}
    stages = []
    for stage in plan.stages:
        stages.append({"key": stage.key, "body": _encoded(stage, places, top=True)})
        places[stage.key] = len(places)
    cells = [_encoded(planned, places) for planned in plan.cells]
    ordered = sorted(sources, key=lambda one: (one.kind, one.name))
    known = [[getattr(one, f.name) for f in fields(one)] for one in ordered]
    data = {"schema": SCHEMA, "stages": stages, "cells": cells, "plugins": known}
    return zlib.compress(json_to_bytes(data), level=3)


def plan_from_bytes(data: bytes) -> KeptPlan:
    """Decode what `plan_to_bytes` wrote.

    Raises BenchkitError for other bytes, and where a stage of this version of benchkit would be other work.
    """
    try:
        read = parse_json(decompress(data))
        if read["schema"] != SCHEMA:
            raise BenchkitError(f"its plan has schema {read['schema']}, this version reads {SCHEMA}")
        stages: list[Stage] = []
        for one in read["stages"]:
            stage = _decoded(one["body"], stages)
            if stage.key != one["key"]:
                what = type(stage).__name__.lower()
                raise BenchkitError(f"another version of benchkit computed it, and '{what}' has changed since")
            stages.append(stage)
        cells = tuple(_decoded(one, stages) for one in read["cells"])
        if not all(isinstance(one, PlannedCell) for one in cells):
            raise BenchkitError("its plan has something else than cells")
        sources = [PluginSource(*one) for one in read["plugins"]]
    except (LookupError, TypeError, ValueError, AttributeError, ImportError) as error:
        raise BenchkitError(f"its plan cannot be read ({type(error).__name__}: {error})") from None
    return KeptPlan(Plan(cells), {(one.kind, one.name): one for one in sources})


def _encoded(value: Any, places: Mapping[str, int], top: bool = False) -> Any:
    if isinstance(value, Stage) and not top:
        return {"stage": places[value.key]}
    if is_dataclass(value) and not isinstance(value, type):
        cls = type(value)
        body = {f.name: _encoded(getattr(value, f.name), places) for f in fields(value)}
        return {"is": f"{cls.__module__}:{cls.__name__}", "fields": body}
    if isinstance(value, tuple):
        return [_encoded(item, places) for item in value]
    if isinstance(value, frozenset):
        return {"set": sorted(value)}
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a plan holds a {type(value).__name__}, which has no place in its file")


def _decoded(value: Any, stages: list[Stage]) -> Any:
    if isinstance(value, list):
        return tuple(_decoded(item, stages) for item in value)
    if not isinstance(value, dict):
        return value
    if "stage" in value:
        return stages[value["stage"]]
    if "set" in value:
        return frozenset(value["set"])
    given = {name: _decoded(inner, stages) for name, inner in value["fields"].items()}
    return _class(value["is"])(**given)


def _class(name: str) -> Any:
    """Return the class of a frozen description by its name; raises ValueError for any other name."""
    module, _, cls = _MOVED.get(name, name).partition(":")
    found = getattr(import_module(module), cls) if module.startswith(_ROOMS) else None
    if not (isinstance(found, type) and is_dataclass(found) and found.__dataclass_params__.frozen):  # type: ignore[attr-defined]
        raise ValueError(f"'{name}' is not part of a plan")
    return found
