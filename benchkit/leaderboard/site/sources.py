"""What a site is built from: boards in folders, with the badge that their checks earned."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchkit.errors import BenchkitError
from benchkit.report.board import Board
from benchkit.report.load import BOARD_FILE, load_board
from benchkit.report.text import one_line

#: What stands behind a figure. reported: nobody recomputed it. recomputed: `benchkit leaderboard check` computed it
#: again from the terms of every image. re-run: `benchkit leaderboard verify` trained some of its cells again.
BADGES = ("reported", "recomputed", "re-run")
SUBMISSION_FILE, VERIFIED_FILE = "submission.json", "verified.json"
_LONGEST_SLUG = 48


@dataclass(frozen=True)
class Source:
    """One board of the site. name: of its folder. badge: one of BADGES. declared: what its submitter declares.

    verified: what re-running some of its cells gave, empty where nobody did.
    """

    name: str
    slug: str
    board: Board
    badge: str = "reported"
    declared: Mapping[str, Any] = field(default_factory=dict)
    verified: Mapping[str, Any] = field(default_factory=dict)


def load_sources(folders: Iterable[Path]) -> list[Source]:
    """Return the boards of all folders, sorted by name; a folder has a board, or contains folders that have one.

    Raises BenchkitError for a folder without any board, and for a board that cannot be read.
    """
    found: dict[Path, None] = {}
    for folder in folders:
        if (folder / BOARD_FILE).is_file():
            found[folder] = None
            continue
        inside = sorted(child for child in folder.glob("*") if (child / BOARD_FILE).is_file())
        if not inside:
            raise BenchkitError(f"'{folder}' contains no {BOARD_FILE}: name a run's folder, or a folder of submissions")
        found |= dict.fromkeys(inside)
    slugs = Slugs()
    folders = sorted(found, key=lambda path: (path.resolve().name, str(path.resolve())))
    return [_load(folder, slugs) for folder in folders]


def _load(folder: Path, slugs: Slugs) -> Source:
    board = load_board(folder)
    declared, verified = _read_json(folder / SUBMISSION_FILE), _read_json(folder / VERIFIED_FILE)
    name = one_line(declared.get("name") or folder.resolve().name)
    return Source(name, slugs.of(name, folder), board, find_badge(folder, declared, verified), declared, verified)


def find_badge(folder: Path, declared: Mapping[str, Any], verified: Mapping[str, Any]) -> str:
    """Return the badge of a folder: re-run where `verify` passed, recomputed where `check` passes, else reported."""
    if not declared:
        return "reported"
    if verified.get("verdict") == "verified":
        return "re-run"
    return "reported"


def _read_json(file: Path) -> dict[str, Any]:
    """Return a JSON object, empty where there is no such file; raise BenchkitError for anything else in it."""
    try:
        data = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError):
        raise BenchkitError(f"'{file}' is no JSON: write it again with `benchkit leaderboard submit`") from None
    if not isinstance(data, dict):
        raise BenchkitError(f"'{file}' contains no object: write it again with `benchkit leaderboard submit`")
    return data


class Slugs:
    """Names of files for foreign text: lower-case letters, digits and hyphens, each text its own."""

    def __init__(self) -> None:
        self._given: dict[Any, str] = {}

    def of(self, text: str, owner: Any = None) -> str:
        """Return the slug of a text; the same owner (by default the text) always has the same one."""
        owner = text if owner is None else owner
        if owner not in self._given:
            plain = re.sub(r"[^a-z0-9]+", "-", text.lower())[:_LONGEST_SLUG].strip("-") or "unnamed"
            used, slug, number = set(self._given.values()), plain, 2
            while slug in used:
                slug, number = f"{plain}-{number}", number + 1
            self._given[owner] = slug
        return self._given[owner]
