"""Run batches of stages as Ray tasks: on a cluster of this machine, or on an existing cluster."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from benchkit.errors import BenchkitError
from benchkit.executors.batch import StageResult
from benchkit.executors.driver import complete, run_stages
from benchkit.executors.limits import check_limit
from benchkit.executors.retry import RETRIES, WorkerDied
from benchkit.executors.worker import THREADS, Worker, WorkerConfig, WorkerReport, use_threads
from benchkit.stages.base import Env, Stage

#: Seconds after which the number of workers that fit is counted again, while no batch ends.
RECOUNT_AFTER = 5.0
#: Seconds within which a cluster's address must answer.
CONNECT_TIMEOUT = 5.0
GIB = 1 << 30

#: Ray sends no usage statistics, prints nothing of its own, and repeats what ran out of memory as often as the rest.
_RAY_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
    "RAY_task_oom_retries": str(RETRIES),
}
#: Variables of the driver's environment that a worker gets, because they decide what is computed. No credentials: Ray
#: shows the variables of a task to everyone who may look at the cluster.
_PASSED_VARIABLES = (THREADS, "BENCHKIT_PLUGINS", "BENCHKIT_DATA", "ONEDNN_MAX_CPU_ISA")


@dataclass
class Ray:
    """The executor of Ray tasks. If a worker or a node dies, Ray tries its batch again.

    address: HOST:PORT of a cluster's head node, `auto` for the cluster that this machine belongs to; None starts a
    cluster here, which ends with the run. workers: how many batches at once; None for as many as fit. cpus, gpus,
    memory: what a task requests, in cores, devices (a fraction of one, or a whole number) and GiB. Their defaults are
    one core (in a cluster that is started here: the cores divided among the workers), one device if the Env's device is
    one, and no request for memory. A worker computes with as many threads as it has cores (or as OMP_NUM_THREADS says),
    so that rows equal those of one process with that many threads. time_limit: seconds that a stage may take; None for
    no limit.
    """

    address: str | None = None
    workers: int | None = None
    cpus: int | None = None
    gpus: float | None = None
    memory: float | None = None
    time_limit: float | None = None
    _connected: bool = field(default=False, repr=False, compare=False)
    _keep_cluster: bool = field(default=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if find_spec("ray") is None:
            raise BenchkitError("`executor` ray needs another package: pip install 'artifact-benchkit[ray]'")

    def check(self) -> None:
        """Connect to the cluster at `address`; raise BenchkitError if none answers."""
        check_limit(self.time_limit)
        if self.address is not None and not self._connected:
            self._connect()

    def execute(self, stages: Sequence[Stage], env: Env, report: Callable[[StageResult], None]) -> None:
        """Run the stages, see Executor."""
        self.check()
        on_cpu = env.device == "cpu"
        if self.gpus and on_cpu:
            # A row records the device of this process, which must be the device that computed it.
            raise BenchkitError(
                f"`executor` ray:gpus={self.gpus:g} needs `device` cuda: run the command on a node with such a device"
            )
        cores = len(os.sched_getaffinity(0))
        cpus = self.cpus or (1 if self.address else max(1, cores // (self.workers or cores)))
        request = Resources(cpus, float(not on_cpu) if self.gpus is None else self.gpus, self.memory)
        try:
            with use_threads(cpus):
                if not self._connected and any(not env.store.has(stage.key) for stage in stages):
                    devices = {} if request.gpus else {"num_gpus": 0}
                    self._connect(num_cpus=max(cores, (self.workers or 1) * cpus), **devices)
                config = WorkerConfig.from_env(env, env.device, self.time_limit)
                grows = self.address is not None and self.workers is not None
                pool = _TaskPool(config, stages, env, request, self.workers, grows)
                try:
                    run_stages(stages, env, report, pool)
                finally:
                    pool.close()
        finally:
            if not self._keep_cluster:
                self._disconnect()

    @contextmanager
    def keep_workers(self, env: Env) -> Iterator[Ray]:
        """Yield an executor for several plans of one Env, one after another; the cluster ends with the context."""
        self._keep_cluster = True
        try:
            yield self
        finally:
            self._keep_cluster = False
            self._disconnect()

    def _connect(self, **resources: int) -> None:
        """Connect to the cluster, or start one with these resources; keep a connection that this process has."""
        for name, value in _RAY_SETTINGS.items():
            os.environ.setdefault(name, value)
        import ray

        if ray.is_initialized():
            return
        address = _check_address(self.address)
        # On a busy machine a new cluster gives up on itself after 15 seconds: try that twice.
        for last_attempt in (True,) if address else (False, True):
            try:
                with _keep_sigterm_handler():
                    ray.init(
                        address=address or "local",
                        include_dashboard=None if address else False,
                        log_to_driver=False,
                        logging_level=logging.CRITICAL,
                        **resources,
                    )
                break
            except Exception as error:
                if last_attempt:
                    raise BenchkitError(f"`executor` ray: {_explain_failure(address, error)}") from error
                ray.shutdown()
        self._connected = True

    def _disconnect(self) -> None:
        """End a cluster that was started here; another cluster ends the tasks of a driver that disconnects."""
        if self._connected:
            import ray

            ray.shutdown()
            self._connected = False


@dataclass(frozen=True)
class Resources:
    """What one task requests: cores, devices, GiB of memory."""

    cpus: int
    gpus: float = 0
    memory: float | None = None

    def to_ray_options(self, stage: Stage) -> dict[str, Any]:
        """Return Ray's options for a task of this stage."""
        options: dict[str, Any] = {"num_cpus": self.cpus, "num_gpus": self.gpus if stage.on_device else 0}
        return options if self.memory is None else {**options, "memory": int(self.memory * GIB)}

    def count_fitting(self, node: dict[str, float]) -> int:
        """Return how many such tasks a node's resources hold at once."""
        request = {"CPU": self.cpus, "GPU": self.gpus, "memory": (self.memory or 0) * GIB}
        return int(min(node.get(name, 0.0) / amount for name, amount in request.items() if amount))

    def __str__(self) -> str:
        parts = [f"{self.cpus} cores", f"{self.gpus:g} devices" if self.gpus else ""]
        return ", ".join(filter(None, [*parts, "" if self.memory is None else f"{self.memory:g} GiB"]))


@dataclass
class _TaskPool:
    """A pool whose batches are Ray tasks. The plan is put into Ray's object store once; tasks name stages by key.

    grows: whether a cluster on which no task fits may get further nodes.
    """

    config: WorkerConfig
    plan: Sequence[Stage]
    env: Env
    request: Resources
    workers: int | None
    grows: bool = False
    retries: int = 0  # Ray itself tries a batch again, RETRIES times
    _shared: Any = None
    _task: Any = None
    _running: dict[Any, tuple[tuple[Stage, ...], Future[list[StageResult]]]] = field(default_factory=dict)
    _capacity: tuple[float, int] = (0.0, 0)

    def count_workers(self) -> int:
        capacity = self._count_capacity()
        return self.workers or capacity

    def submit(self, batch: tuple[Stage, ...]) -> Future[list[StageResult]]:
        import ray

        if self._shared is None:
            # In a list, or Ray would unpack them for every task. The name tells a worker which plan it has unpacked.
            self._shared = (secrets.token_hex(8), [ray.put(self.config), ray.put(tuple(self.plan))])
            variables = {name: os.environ[name] for name in _PASSED_VARIABLES if name in os.environ}
            if self.request.gpus:
                # A process that has used a device keeps it, whatever Ray would make visible to its next task.
                variables["RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"] = "1"
            # max_calls: or Ray would end the process, and with it the loaded networks, after a task with a device.
            self._task = ray.remote(max_calls=0, max_retries=RETRIES, runtime_env={"env_vars": variables})(_run_task)
        task = self._task.options(name=batch[0].describe(), **self.request.to_ray_options(batch[0]))
        future: Future[list[StageResult]] = Future()
        self._running[task.remote(*self._shared, [stage.key for stage in batch])] = (batch, future)
        self.env.progress(batch[0].describe())
        return future

    def wait(self, timeout: float | None) -> None:
        """Wait as Pool.wait, but at most RECOUNT_AFTER seconds: more workers may fit by then."""
        import ray

        seconds = RECOUNT_AFTER if timeout is None else min(timeout, RECOUNT_AFTER)
        ready, _ = ray.wait(list(self._running), num_returns=1, timeout=seconds)
        if ready:
            ready, _ = ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
        elif not self._count_capacity():
            self.env.progress(f"wait: no node of the Ray cluster has {self.request}")
        for reference in ready:
            batch, future = self._running.pop(reference)
            complete(future, lambda: _get_report(reference).to_results(batch))  # noqa: B023 - called at once

    def close(self) -> None:
        """Cancel the tasks that still run."""
        if self._running:
            import ray

            for reference in self._running:
                with suppress(Exception):  # the cluster may be gone
                    ray.cancel(reference, force=True)

    def _count_capacity(self) -> int:
        """Return how many tasks fit on the nodes that are alive now."""
        import ray

        counted_at, capacity = self._capacity
        if time.monotonic() - counted_at > 1 or not capacity:
            nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            capacity = sum(self.request.count_fitting(node) for node in nodes)
            self._capacity = (time.monotonic(), capacity)
            if not capacity and not self.grows and not self._running:
                raise BenchkitError(
                    f"`executor` ray: no node of the cluster has {self.request}: request less by cpus=, gpus=, "
                    "memory=, or set workers=N if the cluster grows on demand"
                )
        return capacity


def _get_report(reference: Any) -> WorkerReport:
    """Return the report of a task that is done; raise WorkerDied, or BenchkitError if no task can run."""
    import ray

    try:
        report: WorkerReport = ray.get(reference)
    except ray.exceptions.RuntimeEnvSetupError as error:
        raise BenchkitError(f"a Ray worker cannot start: {_summarize(error)}") from error
    except (ray.exceptions.RayTaskError, ray.exceptions.TaskUnschedulableError) as error:
        # A stage that fails is in the report. This is a fault of the worker around it.
        raise BenchkitError(
            f"a Ray worker failed: {_summarize(error)}; have the same artifact-benchkit on every node"
        ) from error
    except ray.exceptions.RayError as error:
        kind = type(error).__name__
        raise WorkerDied(f"its Ray worker died at each of {RETRIES + 1} attempts ({kind})") from error
    return report


#: The worker of this process, by the name of a run's plan; at most one is kept.
_WORKERS: dict[str, Worker] = {}


def _run_task(name: str, shared: Sequence[Any], keys: Sequence[str]) -> WorkerReport:
    """Run stages of a plan, by key. The process keeps plan, plugins, store and loaded networks for further tasks."""
    import ray

    if name not in _WORKERS:
        for other in list(_WORKERS):
            _WORKERS.pop(other).close()
        config: WorkerConfig = ray.get(shared[0])
        config.use_driver_paths()  # before the plan is unpacked: its classes may be there
        _WORKERS[name] = Worker(config, ray.get(shared[1]))
    return _WORKERS[name].run_stages(keys, _get_task_device())


def _get_task_device() -> str | None:
    """Return the devices of this task, as torch counts them in this process; None if it has none."""
    import ray

    assigned = [str(device) for device in ray.get_runtime_context().get_accelerator_ids().get("GPU", ())]
    if not assigned:
        return None
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return "cuda:" + ",".join(str(visible.index(device)) if device in visible else device for device in assigned)


def _check_address(address: str | None) -> str | None:
    """Return the address to connect to; raise BenchkitError at once if nothing answers (Ray tries for minutes)."""
    named = os.environ.get("RAY_ADDRESS") if address == "auto" else address
    if named is None or named == "auto":
        return address
    host, colon, port = named.rpartition(":")
    if "://" in named or not colon or not port.isdigit():
        raise BenchkitError(
            f"`executor` ray:address={named}: write HOST:PORT of the head node (as `ray start` prints it) or auto, and "
            "run the command on a node of the cluster"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT).close()
    except (OSError, OverflowError) as error:
        raise BenchkitError(
            f"`executor` ray: no Ray cluster answers at {named} ({_summarize(error)}): start one (`ray start --head`), "
            "or remove address= to start one here"
        ) from error
    return named


def _explain_failure(address: str | None, error: Exception) -> str:
    """Return why there is no cluster, and the remedy."""
    if address is None:
        return f"Ray cannot start here: {_summarize(error)}; use the executor 'processes'"
    if address == "auto" and isinstance(error, ConnectionError):
        return "this machine belongs to no Ray cluster: run `ray start`, or remove address= to start one here"
    return (
        f"the Ray cluster at {address} cannot be used: {_summarize(error)}; have one version of Ray and of Python on "
        "every node, and run the command on one of them"
    )


@contextmanager
def _keep_sigterm_handler() -> Iterator[None]:
    """Restore the handler of SIGTERM, which Ray replaces."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _summarize(error: BaseException) -> str:
    """Return an error's message as one line; of a traceback its last line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    text = lines[-1] if any(line.startswith("Traceback") for line in lines) else " ".join(lines)
    return text[:300]
