"""TFRecord files written byte by byte: the format's second implementation, for tests only."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

#: The polynomial of CRC-32C (Castagnoli), bits reversed.
POLYNOMIAL = 0x82F63B78


def _table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (POLYNOMIAL if crc & 1 else 0)
        table.append(crc)
    return table


TABLE = _table()


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def framed(payload: bytes) -> bytes:
    """One record: length, its sum, payload, its sum."""
    length = struct.pack("<Q", len(payload))
    return length + masked(length) + payload + masked(payload)


def varint(number: int) -> bytes:
    number &= 2**64 - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def delimited(number: int, data: bytes) -> bytes:
    """A field of wire type 2."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def feature(values: list[bytes] | list[float] | list[int], packed: bool = True) -> bytes:
    """A tf.train.Feature; `packed=False` writes numbers one field each, which the format also allows."""
    if not values:
        return b""
    if isinstance(values[0], bytes):
        return delimited(1, b"".join(delimited(1, value) for value in values))
    if isinstance(values[0], float):
        floats = [struct.pack("<f", value) for value in values]
        return delimited(2, delimited(1, b"".join(floats)) if packed else b"".join(b"\x0d" + f for f in floats))
    numbers = [varint(value) for value in values]
    return delimited(3, delimited(1, b"".join(numbers)) if packed else b"".join(b"\x08" + n for n in numbers))


def example(features: Mapping[str, list[bytes] | list[float] | list[int]], packed: bool = True) -> bytes:
    """A serialised tf.train.Example."""
    entries = [
        delimited(1, delimited(1, name.encode()) + delimited(2, feature(values, packed)))
        for name, values in features.items()
    ]
    return delimited(1, b"".join(entries))


def write(path: Path, payloads: Iterable[bytes]) -> Path:
    path.write_bytes(b"".join(framed(payload) for payload in payloads))
    return path
