"""Tar shards, TFRecords, zip and parquet sources, and prepared sets whose manifest or rows are not theirs."""

from __future__ import annotations

import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from recipes.tfrecord_writer import example, framed, masked
from tests.faults.bad_world import Arguments, Bad, World, bad, cut, deep, edited, encoded, exported, grey, noise, tar

PNG = encoded(noise())
MAP = encoded(grey(170, (512, 512)))


def shards(data: bytes, count: int = 1) -> Arguments:
    return lambda w: (
        *("data", "prepare", "dalle3-hq", "--shards", w.file("s/a.tar", data), "--count", count, "--out", w.out),
    )


def special(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, "/etc/passwd" if kind != tarfile.REGTYPE else "", size
    return info


def long_name(size: int) -> bytes:
    """A head that says how long the next member's name is."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, size
    return info.tobuf(tarfile.GNU_FORMAT) + bytes(1024)


def record(name: str = "t0") -> bytes:
    features: dict[str, Any] = {
        "filename": [f"{name}.png".encode()],
        **{score: [0.5] for score in ("aesthetics_score", "artifact_score", "misalignment_score", "overall_score")},
        "artifact_map": [MAP],
        "misalignment_map": [MAP],
    }
    return example(features)


def prepared(records: bytes, images: Callable[[World], Path] | None = None, name: str = "train.tfrecord") -> Arguments:
    def arguments(w: World) -> tuple[object, ...]:
        found = w.file("images/t0.png", PNG).parent if images is None else images(w)
        message = ("--records", w.file(f"r/{name}", records), "--images", found, "--out", w.out)
        return ("data", "prepare", "richhf-18k", *message, "--rule", "all")

    return arguments


def zipped(change: Callable[[bytes], bytes], **options: Any) -> Callable[[World], Path]:
    def make(w: World) -> Path:
        sink = io.BytesIO()
        with zipfile.ZipFile(sink, "w", **options) as archive:
            archive.writestr("t0.png", PNG)
        return w.file("a.zip", change(sink.getvalue()))

    return make


def flipped(data: bytes) -> bytes:
    """Of a deflated member the first byte: a block type that does not exist."""
    place = data.index(b"t0.png") + len("t0.png")
    return data[:place] + b"\xff" * 8 + data[place + 8 :]


def encrypted(data: bytes) -> bytes:
    """The flag that a password is needed, in both heads."""
    for head, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.index(head) + offset
        data = data[:place] + bytes([data[place] | 1]) + data[place + 1 :]
    return data


def parquet(**columns: list[Any]) -> Callable[[World], Path]:
    def make(w: World) -> Path:
        import pyarrow as pa
        from pyarrow import parquet as pq

        sink = io.BytesIO()
        pq.write_table(pa.table(columns), sink)
        return w.file("a.parquet", sink.getvalue())

    return make


def a_set(change: Callable[[Path], object], split: str = "pool", **row: Any) -> Arguments:
    """A prepared set of one row, changed; `row` replaces columns before the digest is taken."""

    def arguments(w: World) -> tuple[object, ...]:
        from benchkit.readers.prepared import Row, Writer

        folder = w.folder / "set"
        folder.mkdir()
        message: dict[str, Any] = {"id": "t0", "image": PNG, "height": 32, "width": 32, **row}
        with Writer(folder) as writer:
            writer.add("pool", Row(**message))
            writer.finish("richhf-18k", {}, [])
        change(folder)
        return exported("richhf-18k", folder, split)

    return arguments


def manifest(change: Callable[[dict[str, Any]], object]) -> Arguments:
    return a_set(lambda r: edited(r / "manifest.json", change))


def rewritten(change: Callable[[dict[str, Any]], object]) -> Arguments:
    """The table of a set with its columns changed, digests and manifest as whoever forges one would write them."""

    def put(root: Path) -> None:
        import pyarrow as pa
        from pyarrow import parquet as pq

        from benchkit.readers.prepared import compute_row_digest, make_arrow_schema

        (row,) = pq.read_table(root / "pool.parquet").to_pylist()
        change(row)
        row = {**row, "sha256": compute_row_digest(row)} if "sha256" in row else row
        pq.write_table(
            pa.Table.from_pylist([row], schema=make_arrow_schema() if "sha256" in row else None), root / "pool.parquet"
        )
        size = (root / "pool.parquet").stat().st_size
        edited(root / "manifest.json", lambda m: m["splits"]["pool"].update(bytes=size))

    return a_set(put)


TAR = tar({"a.png": PNG})
HUGE = struct.pack("<Q", 2**40)

CASES: dict[str, Bad] = {
    "tar: leaves its folder": bad(shards(tar({"../a.png": PNG})), "a.tar", "'../a.png' leaves the archive"),
    "tar: leaves its folder on the way": bad(shards(tar({"a/../../b.png": PNG})), "leaves the archive"),
    "tar: a head with a flipped bit": bad(shards(bytes([TAR[0] ^ 1]) + TAR[1:]), "a.tar", "get it again"),
    "tar: from the root": bad(shards(tar({"/a.png": PNG})), "'/a.png' leaves the archive"),
    "tar: a backslash": bad(shards(tar({"..\\a.png": PNG})), "leaves the archive"),
    "tar: a symbolic link": bad(shards(tar({"a.png": PNG}, special("b.png", tarfile.SYMTYPE))), "link or a device"),
    "tar: a hard link": bad(shards(tar({"a.png": PNG}, special("b.png", tarfile.LNKTYPE))), "link or a device"),
    "tar: a device": bad(shards(tar({"a.png": PNG}, special("b.png", tarfile.CHRTYPE))), "link or a device"),
    "tar: a named pipe": bad(shards(tar({"a.png": PNG}, special("b.png", tarfile.FIFOTYPE))), "link or a device"),
    "tar: an archive inside": bad(shards(tar({"a.png": PNG, "b.tar.gz": b"x"})), "archive in an archive"),
    "tar: a zip inside": bad(shards(tar({"a.png": PNG, "b.zip": b"x"})), "archive in an archive"),
    "tar: truncated": bad(shards(tar({"a.png": PNG})[:1000]), "a.tar", "get it again"),
    "tar: compressed": bad(shards(b"\x1f\x8b\x08\x00" + bytes(600)), "a.tar", "not a plain tar file"),
    "tar: text": bad(shards(b"just words" * 100), "a.tar", "get it again"),
    "tar: empty": bad(shards(b""), "a.tar"),
    "tar: a member of petabytes": bad(shards(tar({"a.png": PNG})[:-10240] + special("b.png", size=2**50).tobuf(
        tarfile.GNU_FORMAT)), "a.tar"),
    "tar: a name of petabytes": bad(shards(long_name(2**50)), "a.tar"),
    "tar: a name without end": bad(shards(long_name(2**30)), "a.tar"),
    "tar: a name that is empty": bad(shards(tar({"": PNG})), "a.tar"),
    "tar: no image that can be read": bad(shards(tar({"a.png": b"x"})), "--count 1", "name more shards"),
    "tar: only a bomb": bad(shards(tar({"a.png": encoded(Image.new("1", (40_000, 40_000)))})), "--count 1"),
    "tar: fewer than wanted": bad(shards(tar({"a.png": PNG}), 2), "--count 2", "ask for fewer"),
    "tar: no such file": bad(
        lambda w: ("data", "prepare", "dalle3-hq", "--shards", w.folder / "none.tar", "--out", w.out), "does not exist"
    ),
    "tar: no such protocol": bad(
        lambda w: ("data", "prepare", "dalle3-hq", "--shards", "gopher://x/a.tar", "--out", w.out), "gopher://x/a.tar"
    ),
    "TFRecord: truncated": bad(prepared(framed(record())[:-3]), "train.tfrecord: record 1: truncated", "get it again"),
    "TFRecord: a changed byte": bad(prepared(framed(record())[:-9] + b"xxxxx" + framed(record())[-4:]), "CRC-32C"),
    "TFRecord: a record of a terabyte": bad(prepared(HUGE + masked(HUGE) + b"x"), "has a length of", "bytes"),
    "TFRecord: compressed": bad(prepared(b"\x1f\x8b\x08\x00" + bytes(600)), "gzip", "unpack it first"),
    "TFRecord: a pointer to Git LFS": bad(prepared(b"version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
    "TFRecord: no example": bad(prepared(framed(b"\x0a\xff\xff")), "record 1", "tf.train.Example"),
    "TFRecord: nothing usable": bad(prepared(framed(example({}))), "choose another --rule"),
    "TFRecord: a name that says no split": bad(prepared(framed(record()), name="a.tfrecord"), "which split"),
    "TFRecord: is a folder's": bad(
        lambda w: ("data", "prepare", "richhf-18k", "--records", w.file("e/x", "").parent, "--images", w.folder,
                   "--out", w.out), "holds no *.tfrecord, *.parquet or *.arrow file",
    ),
    "zip: cut in two": bad(prepared(framed(record()), zipped(lambda d: d[: len(d) // 2])), "a.zip", "get it again"),
    "zip: damaged stream": bad(
        prepared(framed(record()), zipped(flipped, compression=zipfile.ZIP_DEFLATED)), "a.zip", "get it again"
    ),
    "zip: damaged LZMA": bad(
        prepared(framed(record()), zipped(flipped, compression=zipfile.ZIP_LZMA)), "a.zip", "get it again"
    ),
    "zip: with a password": bad(prepared(framed(record()), zipped(encrypted)), "a.zip", "get it again"),
    "parquet: not one": bad(prepared(framed(record()), lambda w: w.file("a.parquet", b"PAR1")), "a.parquet"),
    "parquet: other columns": bad(
        prepared(framed(record()), parquet(a=[1])), "a.parquet", "no known columns", "--columns"
    ),
    "parquet: ids that are numbers": bad(
        prepared(framed(record()), parquet(image_0_uid=[1], jpg_0=[b"x"], image_1_uid=[2], jpg_1=[b"y"])),
        "every image of",
    ),
    "parquet: ids that are lists": bad(
        prepared(framed(record()), parquet(image_0_uid=[[1]], jpg_0=[b"x"], image_1_uid=[[2]], jpg_1=[b"y"])),
        "nothing is written",
    ),
    "set: no manifest": bad(
        a_set(lambda r: (r / "manifest.json").unlink()), "contains no prepared set", "data prepare"
    ),
    "set: manifest no JSON": bad(a_set(lambda r: (r / "manifest.json").write_text("{")), "manifest.json", "again"),
    "set: manifest nested too deep": bad(
        a_set(lambda r: (r / "manifest.json").write_text(deep())), "manifest.json", "prepare the set again"
    ),
    "set: manifest a list": bad(a_set(lambda r: (r / "manifest.json").write_text("[]")), "manifest.json"),
    "set: another version": bad(manifest(lambda m: m.update(schema=9)), "manifest.json", "prepare the set again"),
    "set: another dataset": bad(manifest(lambda m: m.update(dataset="x")), "contains the dataset 'x'"),
    "set: rows of text": bad(manifest(lambda m: m["splits"]["pool"].update(rows="many")), "manifest.json"),
    "set: rows below zero": bad(manifest(lambda m: m["splits"]["pool"].update(rows=-1)), "manifest.json"),
    "set: more rows than there are": bad(manifest(lambda m: m["splits"]["pool"].update(rows=9)), "pool.parquet"),
    "set: no splits": bad(manifest(lambda m: m.update(splits={})), "manifest.json"),
    "set: a split outside": bad(
        manifest(lambda m: m["splits"].update({"../../pool": m["splits"]["pool"]})), "manifest.json"
    ),
    "set: a table cut in two": bad(a_set(lambda r: cut(r / "pool.parquet")), "pool.parquet", "prepare the set again"),
    "set: a table gone": bad(a_set(lambda r: (r / "pool.parquet").unlink()), "pool.parquet is missing"),
    "set: a table of another kind": bad(
        a_set(lambda r: (r / "pool.parquet").write_bytes(bytes((r / "pool.parquet").stat().st_size))), "pool.parquet"
    ),
    "set: a changed byte": bad(a_set(lambda r: (r / "pool.parquet").write_bytes(
        (r / "pool.parquet").read_bytes().replace(b"IDAT", b"IDAX"))), "was changed", "prepare the set again"),
    "set: a forged image": bad(rewritten(lambda row: row.update(image=b"x")), "'t0'", "replace the file"),
    "set: a forged height": bad(rewritten(lambda row: row.update(height=-3)), "pool.parquet"),
    "set: a forged height of none": bad(rewritten(lambda row: row.update(height=None)), "pool.parquet"),
    "set: a forged size": bad(rewritten(lambda row: row.update(height=64)), "'t0'"),
    "set: forged attributes": bad(rewritten(lambda row: row.update(attributes="{")), "pool.parquet"),
    "set: attributes that are a list": bad(rewritten(lambda row: row.update(attributes="[1]")), "pool.parquet"),
    "set: columns that are not there": bad(rewritten(lambda row: row.pop("sha256")), "pool.parquet"),
    "set: an image id of nothing": bad(rewritten(lambda row: row.update(id=None)), "pool.parquet"),
    "set: an image of nothing": bad(rewritten(lambda row: row.update(image=None)), "pool.parquet"),
    "set: JSON beside it": bad(a_set(lambda r: (r / "manifest.json").write_text(json.dumps("x"))), "manifest.json"),
}  # fmt: skip
