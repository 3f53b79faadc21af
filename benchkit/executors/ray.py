"""Runs batches of stages as Ray tasks: on a cluster of this machine, or on one that is there already."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from benchkit.errors import BenchkitError
from benchkit.executors.batch import Done
from benchkit.executors.driver import BatchResult, run_stages
from benchkit.executors.limits import check_limit
from benchkit.executors.worker import THREADS, BatchReport, Setup, Worker, threads
from benchkit.stages.base import Env, Stage

#: How often Ray tries a batch again whose worker or node died.
RETRIES = 1
#: Seconds between two looks at how many workers there is room for, while nothing ends.
LOOK = 5.0
#: Seconds that a cluster's address has to answer.
ANSWERS_IN = 5.0
GIB = 1 << 30

#: Ray reports nothing to its makers, prints nothing of its own, and tries what ran out of memory as often as the rest.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
    "RAY_task_oom_retries": str(RETRIES),
}
#: What a worker takes over of the driver's environment, since it decides what is computed. No credentials: Ray shows
#: the variables of a task to whoever may look at the cluster.
_PASSED_ON = (THREADS, "BENCHKIT_PLUGINS", "BENCHKIT_DATA", "ONEDNN_MAX_CPU_ISA")


@dataclass
class Ray:
    """The executor of Ray tasks; a worker or a node that dies takes one batch with it, which Ray tries again.

    address: HOST:PORT of a cluster's head, `auto` for the one that this machine belongs to; None starts one here, which
    ends with the run. workers: how many batches at once; None for as many as there is room for. cpus, gpus, memory:
    what a task asks for, in cores, devices (a fraction of one, or a whole number) and GiB; None for one core (here: the
    cores divided among the workers), one device where the Env's is one, and no claim on memory. A worker computes with
    as many threads as cores (or as OMP_NUM_THREADS says), so that rows equal those of one process with that many
    threads. time_limit: seconds that a stage may take, None for no limit.
    """

    address: str | None = None
    workers: int | None = None
    cpus: int | None = None
    gpus: float | None = None
    memory: float | None = None
    time_limit: float | None = None
    _connected: bool = field(default=False, repr=False, compare=False)
    _stays: bool = field(default=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if find_spec("ray") is None:
            raise BenchkitError("--executor ray needs another package: pip install 'artifact-benchkit[ray]'")

    def check(self) -> None:
        """Connect to the cluster that is named; raises BenchkitError where none answers."""
        check_limit(self.time_limit)
        if self.address is not None and not self._connected:
            self._connect({})

    def execute(self, stages: Sequence[Stage], env: Env, report: Callable[[Done], None]) -> None:
        """Run every stage that `env.store` lacks, and whose inputs did not fail.

        Raises CacheUnwritable where nothing can be kept any more, BenchkitError where no worker can start.
        """
        self.check()
        cores = len(os.sched_getaffinity(0))
        cpus = self.cpus or (1 if self.address else max(1, cores // (self.workers or cores)))
        needs = Needs(cpus, self._devices(env), self.memory)
        try:
            with threads(cpus):
                if not self._connected and any(not env.store.has(stage.key) for stage in stages):
                    room = {"num_cpus": max(cores, (self.workers or 1) * cpus)}
                    self._connect(room if needs.gpus else {**room, "num_gpus": 0})
                grows = self.address is not None and self.workers is not None
                pool = _Tasks(Setup.of(env, env.device, self.time_limit), stages, env, needs, self.workers, grows)
                try:
                    run_stages(stages, env, report, pool)
                finally:
                    pool.close()
        finally:
            if not self._stays:
                self._disconnect()

    @contextmanager
    def keep_workers(self, env: Env) -> Iterator[Ray]:
        """The same for several plans of one Env, one after another: the cluster stays."""
        self._stays = True
        try:
            yield self
        finally:
            self._stays = False
            self._disconnect()

    def _devices(self, env: Env) -> float:
        on_cpu = env.device == "cpu"
        if self.gpus and on_cpu:
            # A row records the device of this process, which must be what computed it.
            raise BenchkitError(
                f"--executor ray:gpus={self.gpus:g} needs --device cuda: run the command on a node with such a device"
            )
        if self.gpus is None:
            return 0 if on_cpu else 1
        return self.gpus

    def _connect(self, room: dict[str, Any]) -> None:
        """Reach the cluster, or start one with this room; whoever has connected this process before stays connected."""
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        import ray

        if ray.is_initialized():
            return
        address = _reachable(self.address)
        with _signals_kept():
            try:
                self._begin(address, room)
            except BenchkitError:
                # On a busy machine a cluster that starts gives up on itself after 15 seconds.
                if address is not None:
                    raise
                ray.shutdown()
                self._begin(address, room)
        self._connected = True

    def _begin(self, address: str | None, room: dict[str, Any]) -> None:
        import ray

        try:
            ray.init(
                address=address or "local",
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                **room,
            )
        except Exception as error:
            raise BenchkitError(f"--executor ray: {_unusable(address, error)}") from error

    def _disconnect(self) -> None:
        """End what was started here; a cluster ends the tasks of a driver that left."""
        if self._connected:
            import ray

            ray.shutdown()
            self._connected = False


@dataclass(frozen=True)
class Needs:
    """What one task asks for: cores, devices, GiB of memory."""

    cpus: int
    gpus: float = 0
    memory: float | None = None

    def of(self, stage: Stage) -> dict[str, Any]:
        """Ray's options for a stage."""
        options: dict[str, Any] = {"num_cpus": self.cpus, "num_gpus": self.gpus if stage.on_device else 0}
        return options if self.memory is None else {**options, "memory": int(self.memory * GIB)}

    def room(self, there: dict[str, float]) -> int:
        """How many such tasks a node's resources hold at once."""
        asked = {"CPU": self.cpus, "GPU": self.gpus, "memory": (self.memory or 0) * GIB}
        return int(min(there.get(name, 0.0) / amount for name, amount in asked.items() if amount))

    def __str__(self) -> str:
        parts = [f"{self.cpus} cores", f"{self.gpus:g} devices" if self.gpus else ""]
        return ", ".join(filter(None, [*parts, "" if self.memory is None else f"{self.memory:g} GiB"]))


@dataclass
class _Tasks:
    """The pool: a batch is a task. The plan is put into Ray's object store once; a task names stages by their keys.

    grows: whether a cluster without room for a task may have some later.
    """

    setup: Setup
    plan: Sequence[Stage]
    env: Env
    needs: Needs
    workers: int | None
    grows: bool = False
    retries: int = 0  # Ray has tried again by itself
    _shared: Any = None
    _task: Any = None
    _flying: dict[Any, tuple[Stage, ...]] = field(default_factory=dict)
    _room: tuple[float, int] = (0.0, 0)

    def free(self) -> int:
        room = self._capacity()
        return max(0, (self.workers or room) - len(self._flying))

    def submit(self, batch: tuple[Stage, ...]) -> None:
        import ray

        if self._shared is None:
            # In a list, or Ray would unpack them for every task. The name tells a worker what it has unpacked.
            self._shared = (secrets.token_hex(8), [ray.put(self.setup), ray.put(tuple(self.plan))])
            # Ray would end the process after a task with a device, and with it the loaded networks: max_calls.
            self._task = ray.remote(max_calls=0, max_retries=RETRIES, runtime_env=self._surroundings())(_run)
        asked = self._task.options(name=batch[0].describe(), **self.needs.of(batch[0]))
        reference = asked.remote(*self._shared, [stage.key for stage in batch])
        self._flying[reference] = batch
        self.env.progress(batch[0].describe())

    def wait(self, timeout: float | None) -> Sequence[BatchResult]:
        """As Pool.wait, but no longer than LOOK: there may be more room by then."""
        import ray

        waited = LOOK if timeout is None else min(timeout, LOOK)
        ready, _ = ray.wait(list(self._flying), num_returns=1, timeout=waited)
        if ready:
            ready, _ = ray.wait(list(self._flying), num_returns=len(self._flying), timeout=0)
        elif not self._capacity():
            self.env.progress(f"wait: no node of the Ray cluster has {self.needs}")
        return [self._collect(reference) for reference in ready]

    def close(self) -> None:
        """Give up what is still under way."""
        if self._flying:
            import ray

            for reference in self._flying:
                with suppress(Exception):  # the cluster may be gone
                    ray.cancel(reference, force=True)

    def _collect(self, reference: Any) -> BatchResult:
        import ray

        batch = self._flying.pop(reference)
        try:
            report: BatchReport = ray.get(reference)
        except ray.exceptions.RuntimeEnvSetupError as error:
            raise BenchkitError(f"a Ray worker cannot start: {_line(error)}") from error
        except (ray.exceptions.RayTaskError, ray.exceptions.TaskUnschedulableError) as error:
            # Stages that fail are told of; this is what surrounds them.
            raise BenchkitError(
                f"a Ray worker failed: {_line(error)}; have the same artifact-benchkit on every node"
            ) from error
        except ray.exceptions.RayError as error:
            kind = type(error).__name__
            return BatchResult(batch, lost=f"its Ray worker died at each of {RETRIES + 1} attempts ({kind})")
        return report.to_result(batch)

    def _surroundings(self) -> dict[str, Any]:
        """The variables of a worker's process."""
        variables = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        if self.needs.gpus:
            # A process that has used a device stays with it, whatever Ray would have it see for its next task.
            variables["RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"] = "1"
        return {"env_vars": variables}

    def _capacity(self) -> int:
        """How many tasks the nodes hold that are alive now."""
        import ray

        seen, room = self._room
        if time.monotonic() - seen > 1 or not room:
            nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            room = sum(self.needs.room(there) for there in nodes)
            self._room = (time.monotonic(), room)
            if not room and not self.grows and not self._flying:
                raise BenchkitError(
                    f"--executor ray: no node of the cluster has {self.needs}: ask for less by cpus=, gpus=, memory=, "
                    "or for workers=N if it grows on demand"
                )
        return room


#: What this process works on, by the name of a run's plan; one is kept.
_WORKERS: dict[str, Worker] = {}


def _run(name: str, shared: Sequence[Any], keys: Sequence[str]) -> BatchReport:
    """A task: stages of a plan, by key. The process keeps plan, plugins, store and loaded networks for the next."""
    if name not in _WORKERS:
        for other in list(_WORKERS):
            _WORKERS.pop(other).close()
        _WORKERS[name] = _worker(*shared)
    return _WORKERS[name].run_stages(keys, _device())


def _worker(setup_at: Any, plan_at: Any) -> Worker:
    import ray

    setup: Setup = ray.get(setup_at)
    setup.enter()  # before the plan is unpacked, whose classes may come from there
    return Worker(setup, ray.get(plan_at))


def _device() -> str | None:
    """The devices that Ray gave to this task, as torch counts them in this process; None where it gave none."""
    import ray

    given = [str(one) for one in ray.get_runtime_context().get_accelerator_ids().get("GPU", ())]
    if not given:
        return None
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return "cuda:" + ",".join(str(visible.index(one)) if one in visible else one for one in given)


def _reachable(address: str | None) -> str | None:
    """The address to connect to; raises BenchkitError at once where nobody listens: Ray itself tries for minutes."""
    named = os.environ.get("RAY_ADDRESS") if address == "auto" else address
    if named is None or named == "auto":
        return address
    host, colon, port = named.rpartition(":")
    if "://" in named or not colon or not port.isdigit():
        raise BenchkitError(
            f"--executor ray:address={named}: write HOST:PORT of the head node (as `ray start` prints it) or auto, and "
            "run the command on a node of the cluster"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWERS_IN).close()
    except (OSError, OverflowError) as error:
        raise BenchkitError(
            f"--executor ray: no Ray cluster answers at {named} ({_line(error)}): start one (`ray start --head`), or "
            "leave out address= and have one started here"
        ) from error
    return named


def _unusable(address: str | None, error: Exception) -> str:
    """Why there is no cluster, and what to do."""
    if address is None:
        return f"Ray cannot start here: {_line(error)}; use --executor processes"
    if address == "auto" and isinstance(error, ConnectionError):
        return "this machine belongs to no Ray cluster: run `ray start`, or leave out address= to have one started here"
    return (
        f"the Ray cluster at {address} cannot be used: {_line(error)}; have one version of Ray and of Python on every "
        "node, and run the command on one of them"
    )


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray sets a handler of SIGTERM of its own: what was there stays."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)


def _line(error: BaseException) -> str:
    """The gist of an error in one line: of a traceback its end."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    text = lines[-1] if any(line.startswith("Traceback") for line in lines) else " ".join(lines)
    return text[:300]
