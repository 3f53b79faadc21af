"""Images, masks, captions and annotations that cannot be used, in folders and by themselves."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from tests.faults.bad_world import Arguments, Bad, World, bad, cut, deep, encoded, exported, grey, noise
from tests.plugins.datasets.folder_makers import coco

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\n(x) run\n%%EOF\n"


def png(width: int, height: int, rows: bytes = b"") -> bytes:
    """A PNG that claims a size."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def plain(change: Callable[[Path], object], split: str = "pool", kind: str = "plain") -> Arguments:
    return lambda w: exported("folder", w.plain(change, kind), split)


def annotated(change: Callable[[dict[str, Any]], object]) -> Arguments:
    def put(root: Path) -> None:
        data = coco("test")
        change(data)
        (root / "annotations" / "instances_test.json").write_text(json.dumps(data))

    return plain(put, "test", "coco")


def corrupted(image: bytes, name: str = "a.png", mask: bytes = encoded(grey(255))) -> Arguments:
    return lambda w: corrupting(w, w.file(name, image), w.file("m.png", mask))


def corrupting(w: World, image: Path, mask: Path) -> tuple[object, ...]:
    usual = ("--model", w.checkpoint, "--device", "cpu", "--corruptor", "none:steps=1")
    return ("corrupt", image, "--mask", mask, "--out", w.folder / "o.png", *usual)


def with_text(name: str, text: str | bytes, says: str) -> Bad:
    data = text.encode() if isinstance(text, str) else text
    return bad(plain(lambda r: (r / "clean" / name).write_bytes(data), "clean"), name, says)


LONG_PIXELS = Image.new("RGB", (1, 60_000))

CASES: dict[str, Bad] = {
    # One image by itself
    "PostScript as an image": bad(corrupted(POSTSCRIPT, "a.eps"), "a.eps", "image '", "replace the file"),
    "PostScript called PNG": bad(corrupted(POSTSCRIPT), "a.png", "image '", "replace the file"),
    "a PNG of billions of pixels": bad(corrupted(png(50_000, 50_000)), "a.png", "pixels"),
    "a PNG beyond the limit": bad(corrupted(png(12_000, 9_000)), "a.png", "12000x9000", "reduce the image"),
    "a PNG without pixels": bad(corrupted(png(32, 32)), "a.png", "image '", "replace the file"),
    "a PNG of no width": bad(corrupted(png(0, 32)), "a.png", "image '", "replace the file"),
    "an empty file": bad(corrupted(b""), "a.png", "image '", "replace the file"),
    "a mask of billions of pixels": bad(
        corrupted(encoded(noise()), mask=png(60_000, 60_000)), "m.png", "mask '", "reduce the image"
    ),
    "text in a PNG that unpacks to gigabytes": bad(
        corrupted(encoded(noise())[:33] + b"".join(
            struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
            for body in [b"a\0\0" + zlib.compress(bytes(80 * 2**20))]
        ) + encoded(noise())[33:]), "a.png", "image '", "replace the file",
    ),
    "a named pipe's neighbour: no file": bad(
        lambda w: corrupting(w, w.folder / "none" / "a.png", w.file("m.png", b"")), "no such file"
    ),
    "a name with a null": bad(lambda w: corrupting(w, Path("a\0.png"), w.file("m.png", b"")), "IMAGE"),
    "a name without end": bad(lambda w: corrupting(w, Path("x" * 5000), w.file("m.png", b"")), "image"),
    "nothing but bad files to detect": bad(
        lambda w: ("detect", "none", w.file("x/a.txt", "x").parent, "--out", w.out), "has no image files"
    ),
    "words as an image": bad(corrupted(b"just words"), "not a readable PNG, JPEG, WebP, TIFF, BMP or PPM"),
    "a PNG cut in two": bad(corrupted(encoded(noise())[:999]), "cannot be decoded"),
    "a JPEG cut in two": bad(corrupted(encoded(noise(), "JPEG")[:800], "a.jpg"), "cannot be decoded"),
    "a mask cut in two": bad(corrupted(encoded(noise()), mask=encoded(noise())[:999]), "m.png", "cannot be decoded"),
    "a mask of another size": bad(corrupted(encoded(noise()), mask=encoded(grey(255, (16, 32)))), "is 16x32 pixels"),
    "a mask of nothing": bad(corrupted(encoded(noise()), mask=encoded(grey(0))), "m.png' is empty"),
    "a side that 8 does not divide": bad(
        corrupted(encoded(noise((41, 30))), mask=encoded(grey(255, (41, 30)))),
        "41x30 pixels (width x height) are not multiples of 8: crop or resize to 40x24 or 48x32",
    ),
    "a folder as an image": bad(lambda w: corrupting(w, w.folder, w.file("m.png", b"")), "a folder, not an image"),
    # Folders of images
    "folder: GIF called PNG": bad(
        plain(lambda r: (r / "pool/0.png").write_bytes(encoded(noise(), "GIF"))), "0.png", "replace the file"
    ),
    "folder: one pixel wide, sixty thousand high": bad(
        lambda w: tuple(
            str(a).replace("size=16", "size=512")
            for a in plain(lambda r: (r / "clean/0.png").write_bytes(encoded(LONG_PIXELS)), "clean")(w)
        ),
        "'clean/0'",
        "crop the image",
    ),
    "folder: truncated image": bad(plain(lambda r: cut(r / "pool/0.png")), "0.png", "replace the file"),
    "folder: truncated mask": bad(plain(lambda r: cut(r / "pool/0.mask.png")), "0.mask.png", "replace the file"),
    "folder: a mask of 32-bit nan": bad(
        plain(lambda r: (r / "pool/1.mask.png").write_bytes(encoded(Image.new("F", (32, 20), float("nan")), "TIFF"))),
        "1.mask.png", "save masks as PNG",
    ),
    "folder: a root with a null": bad(lambda w: exported("folder", w.folder / "a\0b"), "not a path", "null character"),
    "folder: a root without end": bad(lambda w: exported("folder", w.folder / ("x" * 5000)), "xxx"),
    # Captions
    "captions: nested too deep": with_text("captions.jsonl", deep(), "line 1 is not JSON"),
    "captions: an endless number": with_text("captions.jsonl", "9" * 5000, "line 1 is not JSON"),
    "captions: an image elsewhere": with_text("captions.jsonl", '{"file_name": "../pool/0.png"}', "remove the line"),
    "captions: a cell without end": with_text("captions.csv", "file_name,text\n0.png," + "x" * 200_000, "line"),
    "captions: a null in a table": with_text("captions.csv", "file_name,text\n\0,x\n", "line 2"),
    # COCO
    "COCO: nested too deep": bad(
        plain(lambda r: (r / "annotations/instances_test.json").write_text(deep()), "test", "coco"), "not JSON"
    ),
    "COCO: a name with a null": bad(
        annotated(lambda d: d["images"][0].update(file_name="a\0b.png")), "embedded null byte", "replace the file"
    ),
    "COCO: a name without end": bad(annotated(lambda d: d["images"][0].update(file_name="x" * 5000)), "xxx"),
    "COCO: an RLE of billions": bad(
        annotated(lambda d: d["annotations"][1]["segmentation"].update(counts=[0, 10**15])), "an RLE of 1"
    ),
    "COCO: an RLE's text without end": bad(
        annotated(lambda d: d["annotations"][1]["segmentation"].update(counts="o" * 100_000)), "annotations[1]"
    ),
    "COCO: an RLE of texts": bad(
        annotated(lambda d: d["annotations"][1]["segmentation"].update(counts=["a"])), "whole numbers"
    ),
    "COCO: a polygon of huge corners": bad(
        annotated(lambda d: d["annotations"][0].update(segmentation=[[1e308, -1e308, 1e308, 1e308, -1e308, 3]])),
        "annotations[0]", "corners",
    ),
    "COCO: a polygon of huge whole numbers": bad(
        annotated(lambda d: d["annotations"][0].update(segmentation=[[10**400] * 6])), "annotations[0]"
    ),
    "COCO: an id that is a list": bad(annotated(lambda d: d["images"][0].update(id=[1])), "images[0] lacks id"),
    "COCO: an annotation of a list": bad(annotated(lambda d: d["annotations"][0].update(image_id=[7])), "lacks"),
    # Tables
    "Parquet: not one": bad(
        plain(lambda r: next(r.rglob("pool*.parquet")).write_bytes(b"PAR1xxxxPAR1"), "pool", "parquet"),
        "cannot be read",
    ),
    "Arrow: splits nested too deep": bad(
        plain(lambda r: (r / "dataset_dict.json").write_text(deep()), "pool", "saved"), "dataset_dict.json"
    ),
}  # fmt: skip
