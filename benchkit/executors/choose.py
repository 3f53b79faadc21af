"""The executor that a text means: `inline`, `processes:workers=4`, `ray:address=auto,cpus=4`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from benchkit.errors import BenchkitError, UnknownNameError
from benchkit.executors.batch import Executor
from benchkit.executors.inline import Inline
from benchkit.executors.processes import Processes
from benchkit.executors.ray import Ray
from benchkit.specs.spec import Spec
from benchkit.stages.base import Env

#: Executor -> what may be set of it.
EXECUTORS: Mapping[str, tuple[str, ...]] = {
    "inline": (),
    "processes": ("workers",),
    "ray": ("address", "workers", "cpus", "gpus", "memory"),
}
_COUNTS = {"workers": 1024, "cpus": 1024}
_AMOUNTS = {"gpus": 0.0, "memory": 1e-3}


def parse_executor(text: str, time_limit: float | None = None, address: str | None = None) -> Executor:
    """The executor of that name; raises BenchkitError for an unknown one, and for a setting that it does not have.

    address: the setting of that name, told apart from the text.
    """
    spec = Spec.parse("executor", text)
    if spec.name not in EXECUTORS:
        raise BenchkitError(f"--executor: {UnknownNameError('executor', spec.name, EXECUTORS)}")
    settings: dict[str, Any] = dict(spec.values)
    known = EXECUTORS[spec.name]
    if address is not None:
        if "address" not in known:
            raise BenchkitError(f"--address {address}: --executor {text} has none: use --executor ray")
        if settings.setdefault("address", address) != address:
            raise BenchkitError(f"--address {address}: --executor {text} names another: give one of them")
    for key in settings:
        if key not in known:
            names = ", ".join(known) or "none"
            raise BenchkitError(f"--executor {text}: unknown setting '{key}' (known: {names})")
    _check(text, settings)
    if spec.name == "ray":
        return Ray(**settings, time_limit=time_limit)
    return Processes(**settings, time_limit=time_limit) if spec.name == "processes" else Inline(time_limit)


def keep_workers(executor: Executor, env: Env) -> AbstractContextManager[Executor]:
    """The executor for several plans of one Env, one after another; what it had to start stays until the end."""
    if isinstance(executor, Processes):
        return executor.keep_workers(env)
    return executor.keep_workers(env) if isinstance(executor, Ray) else nullcontext(executor)


def _check(text: str, settings: Mapping[str, Any]) -> None:
    """Raise BenchkitError for a value that a setting cannot have."""
    for key, value in settings.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if key in _COUNTS and not (is_number and isinstance(value, int) and 1 <= value <= _COUNTS[key]):
            raise BenchkitError(f"--executor {text}: {key} is a whole number from 1 to {_COUNTS[key]}")
        if key in _AMOUNTS and not (is_number and _AMOUNTS[key] <= value <= 1e6):
            raise BenchkitError(f"--executor {text}: {key} is a number from {_AMOUNTS[key]:g} on")
        if key == "gpus" and value > 1 and value != int(value):
            raise BenchkitError(f"--executor {text}: gpus is a fraction of one device, such as 0.5, or a whole number")
        if key == "address" and not isinstance(value, str):
            raise BenchkitError(f"--executor {text}: address is HOST:PORT, or auto")
