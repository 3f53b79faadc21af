"""What re-running cells of a submission gave, as the file `verified.json` beside it.

The file names the digest of the submission, so that it says nothing about a submission that was changed afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchkit.errors import BenchkitError
from benchkit.leaderboard.submission import digest_submission
from benchkit.store.encoding import parse_json
from benchkit.system.files import read_regular
from benchkit.system.output_files import write_file

VERIFIED = "verified.json"
SCHEMA = 1
#: verified: the figures are the reported ones. differs: they are not. cannot run: it could not be computed here.
State = Literal["verified", "differs", "cannot run"]


@dataclass(frozen=True)
class CellOutcome:
    """What re-running one cell gave.

    row, detector, seed: which cell it is. reason: why it cannot run, or what differs most. exact: every figure and
    count is the reported one. figures: name -> reported and recomputed value, of those that differ. pixels: the
    fraction of the predicted pixels that differ, counted image by image; None where nothing ran. seconds: the time.
    """

    cell: str
    row: str
    detector: str | None
    seed: int
    state: State
    reason: str = ""
    exact: bool = False
    figures: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    pixels: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Verified:
    """What a verification gave.

    submission: digest of the submission's files. tool: benchkit's version and commit. date: when, in UTC. salt: text
    that chose the cells together with the submission. machine: processor, device and threads. tolerance: the largest
    accepted differences. cells: the chosen ones, in the order in which they were chosen.
    """

    submission: str
    tool: str
    date: str
    salt: str
    machine: Mapping[str, Any]
    tolerance: Mapping[str, float]
    cells: tuple[CellOutcome, ...]

    @property
    def verdict(self) -> State:
        """The worst state of a cell: `differs`, else `cannot run`, else `verified`."""
        states = {one.state for one in self.cells}
        return "differs" if "differs" in states else "verified" if states == {"verified"} else "cannot run"

    def as_json(self) -> dict[str, Any]:
        """Return the file's contents."""
        return {"schema": SCHEMA, "verdict": self.verdict, **asdict(self)}


def write_verified(folder: Path, verified: Verified) -> Path:
    """Write the file into the folder of the submission, over an earlier one; return its path."""
    text = json.dumps(verified.as_json(), indent=1, ensure_ascii=False, allow_nan=False)
    write_file(folder / VERIFIED, f"{text}\n".encode())
    return folder / VERIFIED


def read_verified(folder: Path) -> dict[str, Any]:
    """Return the contents of the file; empty if there is none, or if it is of another state of the submission."""
    try:
        found = parse_json(read_regular(folder / VERIFIED))
    except (OSError, BenchkitError):
        return {}
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        return {}
    try:
        return found if found.get("submission") == digest_submission(folder) else {}
    except BenchkitError:
        return {}
