"""Schema versions of boards and leaderboard lines: the one that is written, and how the earlier one is read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from benchkit.errors import BenchkitError
from benchkit.specs.spec import Spec
from benchkit.specs.training_sets import Trivial
from benchkit.store.columns import SETTINGS

#: Of a board's JSON, and of every row in it. Schema 1 had no fields for what a row is, only its printed name.
SCHEMA = 2
READABLE = (1, SCHEMA)
READABLE_TEXT = "schemas 1 and 2"
_SOURCE = re.compile(r" \[([^\[\]=]+)\]")
_VARIANT = re.compile(r" \[([^\[\]]*=.*)\]$")


def upgraded(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a board's row of schema 1 as one of schema 2; one of schema 2 as it is.

    The settings of a row of schema 1 are unknown, and so is its inverter.
    """
    name = row.get("training_set")
    if row.get("schema") != 1 or not isinstance(name, str):
        return dict(row)
    variant, source = _VARIANT.search(name), _SOURCE.search(name)
    base = _SOURCE.sub("", _VARIANT.sub("", name), count=1)
    found = {**dict.fromkeys(SETTINGS), **row, "schema": SCHEMA, "inverter": None}
    found |= {"role": _role(base, row), "method": None}
    found |= {"source_name": source[1] if source else None, "variant": variant[1] if variant else None}
    if found["role"] in ("corrupted", "mixed"):
        found["method"] = base.partition(" via ")[0].removeprefix("human+")
        found |= _corruptor(found["method"], row)
    elif found["role"] == "trivial":
        found["method"] = base
    return found


def _corruptor(method: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the corruptor's name and parameters; if the row has none, those in its printed name."""
    try:
        spec = Spec.parse("corruptor", method)
    except BenchkitError:
        return {}
    own = {"corruptor": spec.name, "corruptor_params": json.dumps(spec.values)}
    return {name: row.get(name) or value for name, value in own.items()}


def _role(base: str, row: Mapping[str, Any]) -> str:
    """Return the role that a printed name of schema 1 implies; a corruptor decides first."""
    if row.get("corruptor") is not None:
        return "mixed" if base.startswith("human+") else "corrupted"
    if base in ("human", "pseudo", "oracle"):
        return base
    return "trivial" if base in Trivial.RULES else "corrupted"
