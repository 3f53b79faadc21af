"""Which of a row's plugins do not ship with benchkit, with what identifies them: package, version, source hash."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchkit.report.format_values import known, one_line

#: The origin of the plugins that ship, as benchkit.runs.provenance records it.
OWN = "package artifact-benchkit"
_SHORT_HASH = 12


def foreign_plugins(environment: Mapping[str, Any]) -> dict[str, str]:
    """Return `KIND NAME` -> `ORIGIN VERSION, sha256 HASH` of every plugin of a run that does not ship with benchkit."""
    plugins: Mapping[str, Any] = environment.get("plugins") or {}
    found = {}
    for name, facts in plugins.items():
        if facts.get("origin") == OWN:
            continue
        origin = " ".join(str(part) for part in (facts.get("origin"), facts.get("version")) if part)
        found[str(name)] = f"{one_line(origin)}, sha256 {facts.get('source') or 'unknown'}"
    return found


def named_by(line: Mapping[Any, Any], foreign: Mapping[str, str]) -> str | None:
    """Return those of them that one line of a board depends on, as text, or None; its `uses` names all its plugins."""
    names = set(str(line["uses"]).split("; ")) if known(line.get("uses")) else set()
    return "; ".join(f"{name}: {foreign[name]}" for name in foreign if name in names) or None


def shorten_hashes(text: str) -> str:
    """Return the same for people: hashes cut to their beginning."""
    head, *rest = text.split("sha256 ")
    return "sha256 ".join([head, *(part[:_SHORT_HASH] + part[64:] if len(part) >= 64 else part for part in rest)])
