"""Damage found on reading: the artifact is computed again, once, and the reader reads again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from benchkit.stages.base import Env, Stage
from benchkit.store.artifacts import CorruptArtifact

T = TypeVar("T")
log = logging.getLogger(__name__)

#: Marks a record of the log that the user should see as well.
TELL_USER = {"tell": True}


def usable(stage: Stage, env: Env) -> bool:
    """Whether the stage's artifact is there, by names and sizes; what is visibly damaged is reported and discarded."""
    try:
        env.store.open(stage.key)
    except CorruptArtifact as damage:
        if env.store.discard(stage.key):
            log.warning("%s (%s)", damage, stage.describe(), extra=TELL_USER)
        return False
    return True


def read_repaired(work: Callable[[], T], roots: Sequence[Stage], env: Env) -> T:
    """What `work` returns, reading `roots`; one of them or of their inputs that is damaged is computed again, once.

    Raises CorruptArtifact for what is damaged twice, or belongs to none of them.
    """
    again: set[str] = set()
    while True:
        try:
            return work()
        except CorruptArtifact as damage:
            owner = next((stage for stage in _with_inputs(roots) if stage.key == damage.key), None)
            if owner is None or owner.key in again:
                raise
            again.add(owner.key)
            _compute_again(owner, damage, env)


def _compute_again(stage: Stage, damage: CorruptArtifact, env: Env) -> None:
    # A lease is waited for here while others may be held: those are of stages that read this one, never the reverse.
    with env.store.lease(stage.key):
        try:
            env.store.open(stage.key).verify()
        except CorruptArtifact:
            pass
        else:
            return  # another process has been quicker
        log.warning("%s (%s)", damage, stage.describe(), extra=TELL_USER)
        env.store.discard(stage.key)
        env.progress(f"mend: {stage.describe()}")
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
