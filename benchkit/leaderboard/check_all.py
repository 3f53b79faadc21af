"""Check many submissions, each by itself, on all cores."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from benchkit.errors import BenchkitError
from benchkit.leaderboard.check import Checked, check_folder
from benchkit.leaderboard.season import Season
from benchkit.leaderboard.season_check import SeasonScore, check_scores

#: Fewer submissions are checked in this process: another one takes seconds to start.
_FEW = 32


class Outcome(NamedTuple):
    """What the check of one folder gave: the submission and its scores of seasons, or a fault in one line."""

    checked: Checked | None
    scores: Sequence[SeasonScore] = ()
    fault: str = ""


def check_all(folders: Sequence[Path], shipped: Mapping[str, str], seasons: Sequence[Season]) -> Iterator[Outcome]:
    """Yield the outcome of every folder, in their order; see `check_folder` and `check_scores`."""
    check = partial(_check, shipped=shipped, seasons=seasons)
    if len(folders) < _FEW or (os.cpu_count() or 1) < 2:
        yield from map(check, folders)
        return
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as processes:
        yield from processes.map(check, folders, chunksize=4)


def _check(folder: Path, shipped: Mapping[str, str], seasons: Sequence[Season]) -> Outcome:
    checked = None
    try:
        checked = replace(check_folder(folder, shipped), examples=())
        scores = check_scores(folder, checked, seasons, shipped)
        for cached in ("data", "figures"):  # thousands of submissions are kept until all are compared
            vars(checked.submission).pop(cached, None)
        return Outcome(checked, scores)
    except BenchkitError as error:
        return Outcome(checked, fault=str(error))
