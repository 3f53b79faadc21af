"""Repair damaged artifacts: compute them again, once, when a reader finds the damage."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from benchkit.stages.base import Env, Stage
from benchkit.store.artifacts import DamagedResult

T = TypeVar("T")
log = logging.getLogger(__name__)

#: `extra` of a log record that the command line also shows to the user.
TELL_USER = {"tell": True}


def is_stored(stage: Stage, env: Env) -> bool:
    """Return whether the store has the stage's artifact; check names and sizes, report and discard a damaged one."""
    try:
        env.store.open(stage.key)
    except DamagedResult as damage:
        if env.store.discard(stage.key):
            log.warning("%s (%s)", damage, stage.describe(), extra=TELL_USER)
        return False
    return True


def read_repaired(work: Callable[[], T], roots: Sequence[Stage], env: Env) -> T:
    """Return what `work` returns. Compute damaged artifacts that it reads again, and call it again.

    roots: the stages that `work` reads; they and all their inputs can be repaired, each once. Raises DamagedResult
    for an artifact that is damaged twice, or that belongs to none of them.
    """
    repaired: set[str] = set()
    while True:
        try:
            return work()
        except DamagedResult as damage:
            owner = next((stage for stage in _with_inputs(roots) if stage.key == damage.key), None)
            if owner is None or owner.key in repaired:
                raise
            repaired.add(owner.key)
            _compute_again(owner, damage, env)


def _compute_again(stage: Stage, damage: DamagedResult, env: Env) -> None:
    # This may wait for a lease while others are held: those belong to stages that read this one, never the reverse.
    with env.store.lease(stage.key):
        try:
            env.store.open(stage.key).verify()
        except DamagedResult:
            pass
        else:
            return  # another process has repaired it
        log.warning("%s (%s)", damage, stage.describe(), extra=TELL_USER)
        env.store.discard(stage.key)
        env.progress(f"repair: {stage.describe()}")
        (output,) = read_repaired(lambda: type(stage).run_group([stage], env), stage.inputs, env)
        env.store.write(stage.key, output.files, output.meta)


def _with_inputs(stages: Sequence[Stage]) -> Iterator[Stage]:
    seen: set[str] = set()
    waiting = list(stages)
    while waiting:
        stage = waiting.pop()
        if stage.key not in seen:
            seen.add(stage.key)
            yield stage
            waiting.extend(stage.inputs)
