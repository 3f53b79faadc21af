"""Read TFRecord files without TensorFlow: `read_examples` for tf.train.Example, `read_records` for other payloads.

A record is its length (8 bytes, little-endian), a masked CRC-32C of those 8 bytes, the payload, and a masked CRC-32C
of the payload. Both checksums are checked.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from benchkit.errors import BenchkitError

#: A record that claims more is refused before any of it is read.
RECORD_LIMIT = 256 * 2**20
_HEAD = struct.Struct("<QI")
_SUM = struct.Struct("<I")
_MASK_DELTA = 0xA282EAD8
_GIT_LFS = b"version https://git-lfs"
_GZIP = b"\x1f\x8b"
AGAIN = "the file is damaged, get it again"

#: Feature name -> its values: all bytes, all float or all int.
Features = dict[str, list[bytes] | list[float] | list[int]]


def compute_masked_crc32c(data: bytes) -> int:
    """Return the CRC-32C of the data, rotated right by 15 bits and with a constant added, as the format stores it."""
    from google_crc32c import value

    crc = int(value(data))
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def read_records(path: Path) -> Iterator[bytes]:
    """Yield the payloads of one file.

    Raises BenchkitError, naming the file and the record (the first is 1), for a record that is truncated, too long, or
    fails a checksum, and for a file that is missing, compressed, or a Git LFS pointer.
    """
    try:
        with path.open("rb") as file:
            _check_kind(path, file)
            number = 0
            while (payload := _read_record(file, f"{path}: record {number + 1}")) is not None:
                number += 1
                yield payload
    except OSError as error:
        raise BenchkitError(f"{path}: cannot be read ({error.strerror or error})") from None


def _check_kind(path: Path, file: BinaryIO) -> None:
    """Raise BenchkitError for two kinds of files that are often mistaken for TFRecord files."""
    start = file.read(len(_GIT_LFS))
    file.seek(0)
    if start == _GIT_LFS:
        raise BenchkitError(f"{path}: a Git LFS pointer, not the data: run `git lfs pull` in its repository")
    if start.startswith(_GZIP):
        raise BenchkitError(f"{path}: compressed with gzip: unpack it first")


def _read_record(file: BinaryIO, where: str) -> bytes | None:
    """Return the next payload, or None at the end of the file."""
    head = file.read(_HEAD.size)
    if not head:
        return None
    if len(head) < _HEAD.size:
        raise BenchkitError(f"{where}: truncated after {len(head)} of {_HEAD.size} bytes of its head: {AGAIN}")
    length, length_sum = _HEAD.unpack(head)
    if compute_masked_crc32c(head[:8]) != length_sum:
        raise BenchkitError(f"{where}: its length has a wrong CRC-32C: {AGAIN}, or it is no TFRecord file")
    if length > RECORD_LIMIT:
        raise BenchkitError(f"{where}: has a length of {length} bytes, the limit is {RECORD_LIMIT}: {AGAIN}")
    payload = file.read(length)
    tail = file.read(_SUM.size)
    if len(payload) < length or len(tail) < _SUM.size:
        found = len(payload) + len(tail)
        raise BenchkitError(f"{where}: truncated after {found} of {length + _SUM.size} bytes: {AGAIN}")
    if compute_masked_crc32c(payload) != _SUM.unpack(tail)[0]:
        raise BenchkitError(f"{where}: its payload has a wrong CRC-32C: {AGAIN}")
    return payload


def read_examples(path: Path) -> Iterator[Features]:
    """Yield the features of every tf.train.Example in a file.

    A feature without values is an empty list. Raises BenchkitError as `read_records`, and for a payload that is no
    tf.train.Example.
    """
    for number, payload in enumerate(read_records(path), start=1):
        yield parse_example(payload, f"{path}: record {number}")


def parse_example(payload: bytes, where: str) -> Features:
    """Return the features of one serialised tf.train.Example; raise BenchkitError, naming `where`, for other bytes."""
    from google.protobuf.message import DecodeError

    example = _example_class()()
    try:
        example.ParseFromString(payload)
    except DecodeError:
        raise BenchkitError(f"{where}: holds no tf.train.Example: name other files") from None
    found: Features = {}
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        found[name] = [] if kind is None else list(getattr(feature, kind).value)
    return found


@cache
def _example_class() -> Any:
    """Return the message class of tf.train.Example, in a pool of its own: TensorFlow may be imported too."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="tensorflow", syntax="proto3")

    def message(name: str, *fields: tuple[str, int, int, str, bool]) -> Any:
        """Add a message; a field is (name, number, type, message type, repeated)."""
        made = file.message_type.add(name=name)
        for label, number, kind, of, repeated in fields:
            how = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            made.field.add(name=label, number=number, type=kind, type_name=of or None, label=how)
        return made

    message("BytesList", ("value", 1, field.TYPE_BYTES, "", True))
    message("FloatList", ("value", 1, field.TYPE_FLOAT, "", True))
    message("Int64List", ("value", 1, field.TYPE_INT64, "", True))
    lists = ("bytes_list", "BytesList"), ("float_list", "FloatList"), ("int64_list", "Int64List")
    kinds = [(name, i + 1, field.TYPE_MESSAGE, f".tensorflow.{of}", False) for i, (name, of) in enumerate(lists)]
    feature = message("Feature", *kinds)
    feature.oneof_decl.add(name="kind")
    for one in feature.field:
        one.oneof_index = 0
    entries = ".tensorflow.Features.FeatureEntry"
    features = message("Features", ("feature", 1, field.TYPE_MESSAGE, entries, True))
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    entry.field.add(
        name="value", number=2, type=field.TYPE_MESSAGE, type_name=".tensorflow.Feature", label=field.LABEL_OPTIONAL
    )
    message("Example", ("features", 1, field.TYPE_MESSAGE, ".tensorflow.Features", False))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))
