"""Parse the text that names an executor: `auto`, `inline`, `processes:workers=4`, `ray:address=auto,cpus=4`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from benchkit.errors import BenchkitError, UnknownNameError
from benchkit.executors.auto import Auto, read_free_memory
from benchkit.executors.batch import Executor
from benchkit.executors.inline import Inline
from benchkit.executors.processes import Processes
from benchkit.executors.ray import Ray
from benchkit.executors.worker import THREADS
from benchkit.specs.spec import Spec
from benchkit.stages.base import Env

#: Executor -> its settings.
EXECUTORS: Mapping[str, tuple[str, ...]] = {
    "auto": (),
    "inline": (),
    "processes": ("workers",),
    "ray": ("address", "workers", "cpus", "gpus", "memory"),
}
_MOST = 1024
_LEAST = {"gpus": 0.0, "memory": 1e-3}


def parse_executor(text: str, time_limit: float | None = None, address: str | None = None) -> Executor:
    """Return the executor that `text` names; raise BenchkitError for an unknown name, setting or value.

    time_limit: seconds that a stage may take. address: the setting `address` of ray, given outside the text.
    """
    spec = Spec.parse("executor", text)
    if spec.name not in EXECUTORS:
        raise UnknownNameError("executor", spec.name, EXECUTORS)
    settings: dict[str, Any] = dict(spec.values)
    known = EXECUTORS[spec.name]
    if address is not None:
        if "address" not in known:
            raise BenchkitError(f"`address` {address}: `executor` {text} has no address: use `executor` ray")
        if settings.setdefault("address", address) != address:
            raise BenchkitError(f"`address` {address}: `executor` {text} names another address: give one of them")
    for key, value in settings.items():
        if key not in known:
            raise BenchkitError(f"`executor` {text}: unknown setting '{key}' (known: {', '.join(known) or 'none'})")
        if fault := _find_fault(key, value):
            raise BenchkitError(f"`executor` {text}: {fault}")
    if spec.name == "ray":
        return Ray(**settings, time_limit=time_limit)
    if spec.name == "processes":
        return Processes(**settings, time_limit=time_limit)
    return Auto(time_limit) if spec.name == "auto" else Inline(time_limit)


def describe_executor(executor: Executor, env: Env, stages: int) -> tuple[str, str]:
    """Return the executor of a plan with so many stages as a text that names it, and in words."""
    executor = getattr(executor, "executor", executor)  # of one that reports progress
    by = ""
    if isinstance(executor, Auto):
        executor, by = executor.choose(env.device, stages, read_free_memory()), " (chosen by `executor` auto)"
    if isinstance(executor, Processes):
        count, threads = executor.divide_cores(env)
        each = os.environ.get(THREADS, str(threads))
        return f"processes:workers={count}", f"in {count} processes of {each} thread{'s' * (each != '1')} each{by}"
    if isinstance(executor, Ray):
        return "ray", "as tasks of Ray"
    return "inline", f"one after another in this process{by}"


def keep_workers(executor: Executor, env: Env) -> AbstractContextManager[Executor]:
    """Return a context with an executor for several plans of one Env; its workers stay until the context ends."""
    return executor.keep_workers(env) if isinstance(executor, Processes | Ray) else nullcontext(executor)


def _find_fault(key: str, value: Any) -> str | None:
    """Return which values a setting takes if this is none of them, else None."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if key in ("workers", "cpus"):
        valid = is_number and isinstance(value, int) and 1 <= value <= _MOST
        return None if valid else f"{key} is a whole number from 1 to {_MOST}"
    if key == "address":
        return None if isinstance(value, str) else "address is HOST:PORT, or auto"
    if not (is_number and _LEAST[key] <= value <= 1e6):
        return f"{key} is a number from {_LEAST[key]:g} on"
    if key == "gpus" and value > 1 and value != int(value):
        return "gpus is a fraction of one device, such as 0.5, or a whole number"
    return None
