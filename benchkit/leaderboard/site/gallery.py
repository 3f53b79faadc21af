"""Examples of what a method does and of what detectors see, of a submission or of the page of a run.

A run's page is the only file of its report that contains pictures. Of a page, which may be anybody's, only images in
WebP and outlines made of lines are accepted.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd

from benchkit.leaderboard.examples import OUTLINE, SCALE, SmallExample
from benchkit.report.format_values import bare, known, one_line
from benchkit.report.write import PAGE_FILE

#: Examples of one row that are shown.
SHOWN = 4
_PREFIX = "data:image/webp;base64,"
_BOX = re.compile(r"0 0 ([0-9]{1,5}) ([0-9]{1,5})")


@dataclass(frozen=True)
class Shown:
    """One example: files of the images, their size in pixels, the outline as path data, and its scale."""

    caption: str
    before: str
    after: str
    width: str
    height: str
    outline: str
    scale: str


@dataclass(frozen=True)
class Gallery:
    """The examples of a board. rows: heading of a row -> its examples. files: path in the site -> image.

    heat: printed name of a row -> test images, with the scores of a detector that was trained on it.
    """

    rows: Mapping[str, Sequence[Shown]]
    files: Mapping[str, bytes]
    heat: Mapping[str, Sequence[Shown]] = field(default_factory=dict)

    def of(self, name: str) -> list[Shown]:
        """Return the examples of a row by its printed name; a heading may also name the selector."""
        found = [shown for heading, own in self.rows.items() for shown in own if heading.partition(" · ")[0] == name]
        return found[:SHOWN]


def read_gallery(folder: Path) -> Gallery:
    """Return the gallery of a run's folder; empty where the folder has no page or the page no pictures."""
    try:
        text = (folder / PAGE_FILE).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return Gallery({}, {})
    reader = _Reader()
    reader.feed(text)
    decoded = {name: data for name, uri in reader.images.items() if (data := _decoded(uri)) is not None}
    paths = {name: _path_of(data) for name, data in decoded.items()}
    files = {paths[name]: data for name, data in decoded.items()}
    rows: dict[str, list[Shown]] = {}
    for heading, strip in reader.strips:
        before, after = (strip["images"] + ["", ""])[:2]
        size = _BOX.fullmatch(strip["box"])
        drawn = OUTLINE.fullmatch(strip["d"]) and SCALE.fullmatch(strip["scale"])
        if before in paths and after in paths and size and drawn:
            images = (paths[before], paths[after], size[1], size[2])
            rows.setdefault(heading, []).append(
                Shown(one_line(strip["caption"]), *images, outline=strip["d"], scale=strip["scale"])
            )
    used = {path for own in rows.values() for shown in own[:SHOWN] for path in (shown.before, shown.after)}
    return Gallery(rows, {path: data for path, data in files.items() if path in used})


def make_gallery(examples: Sequence[SmallExample], rows: pd.DataFrame) -> Gallery:
    """Return the checked examples of submissions; rows: a line per cell, with the names of their rows."""
    lines = {line["cell"]: line for line in rows.to_dict("records")}
    found: dict[str, dict[str, list[Shown]]] = {"corrupted": {}, "heat": {}}
    files: dict[str, bytes] = {}
    for one in examples:
        if (line := lines.get(one.cell)) is None:
            continue  # a row that another submission has, too
        files |= {_path_of(data): data for data in (one.before, one.after)}
        detector = [bare(str(line["detector"]))] if one.kind == "heat" and known(line["detector"]) else []
        caption = ", ".join([*detector, one.caption])
        size = (str(one.width), str(one.height))
        shown = Shown(caption, _path_of(one.before), _path_of(one.after), *size, outline=one.mask, scale=one.scale)
        found[one.kind].setdefault(one_line(line["training_set"]), []).append(shown)
    return Gallery(found["corrupted"], files, found["heat"])


def _path_of(data: bytes) -> str:
    return f"gallery/{hashlib.sha256(data).hexdigest()[:16]}.webp"


def _decoded(uri: str) -> bytes | None:
    try:
        data = base64.b64decode(uri.removeprefix(_PREFIX), validate=True) if uri.startswith(_PREFIX) else b""
    except (binascii.Error, ValueError):
        return None
    return data if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


class _Reader(HTMLParser):
    """Collects the images of a run's page, and what each figure of its gallery shows."""

    def __init__(self) -> None:
        super().__init__()
        self.images: dict[str, str] = {}
        self.strips: list[tuple[str, dict[str, Any]]] = []
        self._heading, self._tag = "", ""
        self._strip: dict[str, Any] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._tag = tag
        if tag == "image" and "id" in given:
            self.images[given["id"]] = given.get("href", "")
        elif tag == "h3":
            self._heading = ""
        elif tag == "figure" and given.get("class") == "strip":
            self._strip = {"images": [], "d": "", "scale": "", "box": "", "caption": ""}
        elif self._strip is not None and tag == "svg":
            self._strip["box"] = given.get("viewbox", "")
        elif self._strip is not None and tag == "use":
            self._strip["images"].append(given.get("href", "").removeprefix("#"))
        elif self._strip is not None and tag == "path":
            self._strip |= {"d": given.get("d", ""), "scale": given.get("transform", "")}

    def handle_endtag(self, tag: str) -> None:
        if tag == "figure" and self._strip is not None:
            self.strips.append((" ".join(self._heading.split()), self._strip))
            self._strip = None
        self._tag = ""

    def handle_data(self, data: str) -> None:
        if self._tag == "h3":
            self._heading += data
        elif self._tag == "figcaption" and self._strip is not None:
            self._strip["caption"] += data
