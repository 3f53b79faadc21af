"""Keys: the digest of a frozen description, equal on every machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import Field, fields, is_dataclass
from typing import Any

#: Metadata of a field that was added after results had been stored. At its default value it is not part of the key, so
#: that earlier results are still found.
LATER: Mapping[str, Any] = {"later": True}

#: Metadata of a field that is shown to people only and is not part of the key.
SHOWN: Mapping[str, Any] = {"shown": True}


def canonical(value: Any) -> Any:
    """Return plain JSON data of a frozen description: dataclasses as class name and fields, in declared order."""
    if is_dataclass(value) and not isinstance(value, type):
        body = {f.name: canonical(getattr(value, f.name)) for f in keyed_fields(value)}
        return {"is": type(value).__name__, **body}
    if isinstance(value, tuple | list):
        return [canonical(item) for item in value]
    if isinstance(value, dict):
        return {str(k): canonical(v) for k, v in value.items()}
    return value


def keyed_fields(value: Any) -> Iterator[Field[Any]]:
    """Yield the fields of a frozen description that its key contains: no SHOWN ones, no LATER ones at their default."""
    for one in fields(value):
        if one.metadata.get("shown"):
            continue
        if not one.metadata.get("later") or getattr(value, one.name) != one.default:
            yield one


def digest(value: Any) -> str:
    """Return the sha256 (hex) of the canonical JSON of `value`, which is the same on every machine."""
    text = json.dumps(canonical(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
