"""The executor that a text means: `inline`, `processes`, `processes:workers=4`."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from benchkit.errors import BenchkitError, UnknownNameError
from benchkit.executors.batch import Executor
from benchkit.executors.inline import Inline
from benchkit.executors.processes import Processes
from benchkit.specs import Spec
from benchkit.stages.base import Env

EXECUTORS = ("inline", "processes")


def parse_executor(text: str, time_limit: float | None = None) -> Executor:
    """The executor of that name; raises BenchkitError for an unknown one, and for a setting that it does not have."""
    spec = Spec.parse("executor", text)
    if spec.name not in EXECUTORS:
        raise BenchkitError(f"--executor: {UnknownNameError('executor', spec.name, EXECUTORS)}")
    settings = dict(spec.values)
    workers = settings.pop("workers", None) if spec.name == "processes" else None
    if settings:
        known = "workers" if spec.name == "processes" else "none"
        raise BenchkitError(f"--executor {text}: unknown setting '{next(iter(settings))}' (known: {known})")
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or not 1 <= workers <= 1024):
        raise BenchkitError(f"--executor {text}: workers is a whole number from 1 to 1024")
    return Processes(workers, time_limit) if spec.name == "processes" else Inline(time_limit)


def lasting(executor: Executor, env: Env) -> AbstractContextManager[Executor]:
    """The executor for several plans of one Env, one after another; what it had to start stays until the end."""
    return executor.lasting(env) if isinstance(executor, Processes) else nullcontext(executor)
