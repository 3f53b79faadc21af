"""TFRecord: files written byte by byte read back, damaged ones refused by the number of their record."""

from __future__ import annotations

import struct
from pathlib import Path

import google_crc32c
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchkit.errors import BenchkitError
from benchkit.readers.tfrecord import RECORD_LIMIT, compute_masked_crc32c, parse_example, read_examples, read_records
from recipes.tfrecord_writer import crc32c, example, framed, masked, write

FEATURES = {"name": [b"train/a-1.png", b""], "score": [0.25, -1.5], "count": [3, -1, 2**62], "none": []}


def test_the_checksum_has_its_published_check_value() -> None:
    assert google_crc32c.value(b"123456789") == crc32c(b"123456789") == 0xE3069283
    assert google_crc32c.value(bytes(32)) == crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, appendix B.4


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=200))
def test_two_implementations_of_the_masked_checksum_agree(data: bytes) -> None:
    assert struct.pack("<I", compute_masked_crc32c(data)) == masked(data)


def test_a_record_whose_bytes_are_known() -> None:
    """TensorFlow writes the record b"" as 8 zeros, their sum, and the sum of nothing: the mask's constant itself."""
    assert framed(b"")[12:] == struct.pack("<I", 0xA282EAD8) == struct.pack("<I", compute_masked_crc32c(b""))


def test_records_come_one_by_one_in_order(tmp_path: Path) -> None:
    payloads = [b"one", b"", bytes(range(256)) * 40]
    file = write(tmp_path / "a.tfrecord", payloads)
    assert list(read_records(file)) == payloads
    assert list(read_records(write(tmp_path / "empty.tfrecord", []))) == []


@pytest.mark.parametrize("packed", [True, False])
def test_examples_hold_bytes_floats_and_integers(tmp_path: Path, packed: bool) -> None:
    file = write(tmp_path / "a.tfrecord", [example(FEATURES, packed), example({})])
    assert list(read_examples(file)) == [FEATURES, {}]


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=8),
        st.one_of(
            st.lists(st.binary(max_size=20), max_size=4),
            st.lists(st.floats(width=32, allow_nan=False), max_size=4),
            st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4),
        ),
        max_size=5,
    )
)
def test_any_example_reads_back(features: dict) -> None:
    assert parse_example(example(features), "here") == features


def damaged(path: Path, change: dict[int, int] | None = None, keep: int | None = None) -> Path:
    """Three records, of which the second begins at byte 19: some bytes flipped, or the end cut off."""
    data = bytearray(framed(b"abc") + framed(b"defgh") + framed(b"ijk"))
    for place, mask in (change or {}).items():
        data[place] ^= mask
    path.write_bytes(bytes(data[:keep]))
    return path


@pytest.mark.parametrize(
    ("change", "keep", "says"),
    [
        ({19: 1}, None, "record 2: its length has a wrong CRC-32C"),
        ({19 + 8: 4}, None, "record 2: its length has a wrong CRC-32C"),
        ({19 + 12: 128}, None, "record 2: its payload has a wrong CRC-32C"),
        ({-1: 1}, None, "record 3: its payload has a wrong CRC-32C"),
        ({}, 19 + 5, "record 2: truncated after 5 of 12 bytes"),
        ({}, 19 + 12 + 2, "record 2: truncated after 2 of 9 bytes"),
        ({}, -1, "record 3: truncated after 6 of 7 bytes"),
    ],
)
def test_a_damaged_record_is_named(tmp_path: Path, change: dict[int, int], keep: int | None, says: str) -> None:
    file = damaged(tmp_path / "bad.tfrecord", change, keep)
    found = []
    with pytest.raises(BenchkitError) as error:
        found.extend(read_records(file))
    assert str(error.value).startswith(f"{file}: {says}")
    assert len(str(error.value).splitlines()) == 1


def test_the_records_before_a_damaged_one_are_read(tmp_path: Path) -> None:
    reading = read_records(damaged(tmp_path / "bad.tfrecord", {-1: 1}))
    assert [next(reading), next(reading)] == [b"abc", b"defgh"]


def test_an_absurd_length_is_refused_before_it_is_read(tmp_path: Path) -> None:
    length = struct.pack("<Q", RECORD_LIMIT + 1)
    (tmp_path / "big.tfrecord").write_bytes(length + masked(length) + b"x")
    with pytest.raises(BenchkitError, match=r"record 1: has a length of \d+ bytes"):
        list(read_records(tmp_path / "big.tfrecord"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
        (b"\x1f\x8b\x08\x00" + bytes(20), "gzip"),
    ],
)
def test_what_people_have_instead_is_told_apart(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "a.tfrecord").write_bytes(content)
    with pytest.raises(BenchkitError, match=says):
        list(read_records(tmp_path / "a.tfrecord"))


def test_missing_files_and_other_messages(tmp_path: Path) -> None:
    with pytest.raises(BenchkitError, match=r"none\.tfrecord: cannot be read"):
        list(read_records(tmp_path / "none.tfrecord"))
    with pytest.raises(BenchkitError, match=r"record 2: holds no tf\.train\.Example"):
        list(read_examples(write(tmp_path / "b.tfrecord", [example({}), b"\x0a\xff\xff"])))
