"""A corruptor that takes its time, and notes in $DAWDLING where it begins and that it ended; a test names this file."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchkit.api import LatentCorruptor, hookimpl, param

if TYPE_CHECKING:
    from torch import Tensor

    from benchkit.api import LatentContext


@dataclass(frozen=True)
class Dawdle(LatentCorruptor):
    """Noise, after a while."""

    name = "dawdle"
    steps: int = param(1, ge=0, doc="inversion steps from the clean end")

    def corrupt(self, at: LatentContext) -> Tensor:
        notes = Path(os.environ["DAWDLING"])
        # A Ray worker's parent is its node's own process.
        note = notes / f"{os.getppid()}-{time.time_ns()}"
        note.touch()
        time.sleep(float(os.environ.get("DAWDLING_SECONDS", "0")))
        note.rename(note.with_suffix(".ended"))
        return at.noise()


@hookimpl
def benchkit_corruptors() -> list[type[LatentCorruptor]]:
    return [Dawdle]
