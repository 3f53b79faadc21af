"""Checksums of stored rows: a database does not notice a flipped bit."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from sqlalchemy import Text, select, type_coerce

from benchkit.store.encoding import json_to_text
from benchkit.store.schema import ROW_SCHEMA, BlobRecord, RowRecord

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from sqlalchemy.orm import Session

#: The name of the part that holds a row's own checksum. Earlier rows have none and are not checked.
CHECKSUM = "row"
#: Databases limit how many values one statement may name.
_AT_ONCE = 500


def compute_row_checksum(metrics: Mapping[str, Any], provenance: Mapping[str, Any]) -> str:
    """Return the hex sha256 of a row as the database stores it."""
    return _hash_texts(json_to_text(dict(metrics)), json_to_text(dict(provenance)))


def find_damaged_rows(session: Session, cell_keys: Collection[str], *, parts: bool) -> Iterator[tuple[str, str]]:
    """Yield the cells whose row is damaged, each with the damaged part; parts: check counts and histograms as well."""
    keys = sorted(set(cell_keys))
    for start in range(0, len(keys), _AT_ONCE):
        wanted = keys[start : start + _AT_ONCE]
        found: dict[str, str] = {}
        if parts:
            blobs = select(BlobRecord.cell_key, BlobRecord.name, BlobRecord.sha256, BlobRecord.data)
            blobs = blobs.where(BlobRecord.cell_key.in_(wanted), BlobRecord.name != CHECKSUM)
            found = {
                key: name for key, name, sha256, data in session.execute(blobs) if compute_blob_checksum(data) != sha256
            }
        metrics, provenance = (type_coerce(column, Text) for column in (RowRecord.metrics, RowRecord.provenance))
        joined = (BlobRecord.cell_key == RowRecord.cell_key) & (BlobRecord.name == CHECKSUM)
        rows = select(RowRecord.cell_key, metrics, provenance, BlobRecord.sha256).join(BlobRecord, joined)
        for key, *texts, sha256 in session.execute(rows.where(RowRecord.cell_key.in_(wanted))):
            if _hash_texts(*texts) != sha256:
                found[key] = "figures or provenance"
        yield from found.items()


def compute_blob_checksum(data: bytes) -> str:
    """Return the hex sha256 of a row's part."""
    return hashlib.sha256(data).hexdigest()


def _hash_texts(*texts: str) -> str:
    return hashlib.sha256("\n".join((str(ROW_SCHEMA), *texts)).encode("utf-8", "backslashreplace")).hexdigest()
