"""Plugins as plain data: what they do, their parameters, and where they come from."""

from __future__ import annotations

import inspect
from typing import Any, get_type_hints

from benchkit.api import Plugin
from benchkit.plugin.registry import Entry, parameters, why_unavailable


def describe(entry: Entry) -> dict[str, Any]:
    """Return a plugin as plain data."""
    return {
        "kind": entry.kind,
        "name": entry.name,
        "doc": inspect.cleandoc(entry.cls.__doc__ or ""),
        "parameters": parameters_of(entry.cls),
        "origin": entry.origin,
        "version": entry.version,
        "source_hash": entry.source_hash,
        "unavailable": why_unavailable(entry.cls),
    }


def parameters_of(cls: type[Plugin]) -> list[dict[str, Any]]:
    """Return name, type, default, range and meaning of every parameter."""
    hints = get_type_hints(cls)
    return [
        {
            "name": field.name,
            "type": getattr(hints[field.name], "__name__", str(hints[field.name])),
            "default": _scalar(field.default),
            "range": format_range(field.metadata.get("bounds") or {}, field.metadata.get("choices")),
            "doc": field.metadata.get("doc", ""),
        }
        for field in parameters(cls)
    ]


def _scalar(value: Any) -> bool | int | float | str | None:
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def format_range(bounds: dict[str, float], choices: Any) -> str:
    """Return bounds or choices as text: `>= 0, < 1`, `a, b or c`; empty if every value is allowed."""
    if choices:
        *first, last = map(str, choices)
        return f"{', '.join(first)} or {last}" if first else last
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    return ", ".join(f"{signs[name]} {value}" for name, value in bounds.items())
