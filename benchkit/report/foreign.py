"""Which of a row's plugins do not ship with benchkit, and what identifies them: package, version, source hash."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from benchkit.report.text import bare, known, one_line

#: The origin of the plugins that ship, as benchkit.environment records it.
OWN = "package artifact-benchkit"
_SHORT_HASH = 12
#: What can be a plugin's name in a Spec's text, where a name can stand.
_NAMES = re.compile(r"(?<![^(+=])[a-z0-9]+(?:-[a-z0-9]+)*(?![a-z0-9._-])")


def foreign_plugins(environment: Mapping[str, Any]) -> dict[str, str]:
    """`KIND NAME` -> `ORIGIN VERSION, sha256 HASH` of every plugin of a run that does not ship with benchkit."""
    plugins: Mapping[str, Any] = environment.get("plugins") or {}
    found = {}
    for name, facts in plugins.items():
        if facts.get("origin") == OWN:
            continue
        origin = " ".join(str(part) for part in (facts.get("origin"), facts.get("version")) if part)
        found[str(name)] = f"{one_line(origin)}, sha256 {facts.get('source') or 'unknown'}"
    return found


def named_by(line: Mapping[Any, Any], foreign: Mapping[str, str]) -> str | None:
    """Those of them that one line of a board rests on, as text, or None.

    A run's inverters belong to every line with a corruptor, and a plugin made of others rests on those it names.
    """
    names = {f"{kind} {bare(line[kind])}" for kind in ("selector", "corruptor", "detector") if known(line.get(kind))}
    for kind, text in (("selector", line.get("selector")), ("corruptor", line.get("training_set"))):
        names |= {f"{kind} {word}" for word in _NAMES.findall(str(text))} if known(line.get(kind)) else set()
    names.add(f"dataset {bare(str(line.get('test_set')).partition('/')[0])}")
    if known(line.get("selector")):  # its images may be of any dataset of the run
        names |= {name for name in foreign if name.startswith("dataset ")}
    if known(line.get("corruptor")):
        names |= {name for name in foreign if name.startswith("inverter ")}
    return "; ".join(f"{name}: {foreign[name]}" for name in foreign if name in names) or None


def shortened(text: str) -> str:
    """The same for people: hashes cut to their beginning."""
    head, *rest = text.split("sha256 ")
    return "sha256 ".join([head, *(part[:_SHORT_HASH] + part[64:] if len(part) >= 64 else part for part in rest)])
