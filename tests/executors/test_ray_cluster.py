"""Ray tasks on several nodes (of this machine): one is killed, the driver is killed, the cache is a bucket."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchkit.cli.main import main
from benchkit.executors.batch import StageResult
from benchkit.executors.inline import Inline
from benchkit.executors.ray import Ray
from benchkit.plugin.registry import Registry
from benchkit.stages.base import Env, Stage
from benchkit.store.artifacts import ArtifactStore
from benchkit.store.opening import open_store
from tests.executors.driver import stages
from tests.executors.test_processes import After, Doomed
from tests.executors.test_sharing import Log
from tests.helpers.cache_contents import artifacts, rows

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
PATIENCE = 900.0


@dataclass(frozen=True)
class Notes:
    """What stages that take their time note, in a folder."""

    folder: Path

    def begun(self, node: int | None = None) -> list[Path]:
        """Of what has begun and not ended; node: the process of the node where it has."""
        found = [note for note in self.folder.glob("*") if not note.suffix]
        return [note for note in found if node is None or note.name.startswith(f"{node}-")]

    def ended(self) -> list[Path]:
        return list(self.folder.glob("*.ended"))

    def nodes(self) -> set[int]:
        """The processes of the nodes where anything has begun."""
        return {int(note.name.partition("-")[0]) for note in self.folder.glob("*")}


def eventually(condition: Callable[[], object]) -> None:
    """Wait until it holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.05)


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Notes:
    folder = tmp_path / "notes"
    folder.mkdir()
    settings = {"DAWDLING": str(folder), "DAWDLING_SECONDS": "2", "RAY_USAGE_STATS_ENABLED": "0"}
    # Ray's workers stand back for everybody else, and would hardly run where other tests do.
    for name, value in {**settings, "RAY_worker_niceness": "0"}.items():
        monkeypatch.setenv(name, value)
    return Notes(folder)


@pytest.fixture
def cluster(notes: Notes) -> Iterator[Any]:
    """A head that runs nothing, and two nodes of one core."""
    from ray.cluster_utils import Cluster

    found = Cluster()
    try:
        started(lambda: found.add_node(num_cpus=0, include_dashboard=False))
        for _ in range(2):
            started(lambda: found.add_node(num_cpus=1))
        yield found
    finally:
        found.shutdown()


def started(start: Callable[[], object], attempts: int = 3) -> None:
    """Start a node; one gives up on itself when its parts have not started within 15 s, as on a busy machine."""
    for left in reversed(range(attempts)):
        try:
            start()
            return
        except Exception:
            if not left:
                raise


def process_of(node: Any) -> int:
    """The process that is the parent of a node's workers."""
    return int(node.all_processes["raylet"][0].process.pid)


def test_a_node_killed_in_the_middle_of_a_stage_changes_nothing(
    notes: Notes,
    cluster: Any,
    dawdling_grid: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tests.helpers.small_comparison import PLUGINS

    def compared(cache: str, executor: str) -> dict[str, Any]:
        plugins = ("--plugin", PLUGINS, "--plugin", HERE / "dawdling.py")
        arguments = ("--device", "cpu", "--json", "--cache", tmp_path / cache, "--executor", executor)
        assert main([str(one) for one in ("compare", dawdling_grid, *plugins, *arguments)]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        for row in found["board"]:
            del row["run"], row["seconds"]  # its id, and the time that it took
        return found

    monkeypatch.setattr("benchkit.runs.provenance.read_git_revision", lambda: None)  # somebody may be editing meanwhile
    expected = compared("one", "inline")
    first, second = sorted(cluster.worker_nodes, key=process_of)
    lost: list[Path] = []

    def kill() -> None:
        eventually(lambda: notes.begun(process_of(first)) and notes.begun(process_of(second)))
        lost.extend(notes.begun(process_of(second)))
        cluster.remove_node(second, allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    found = compared("ray", f"ray:address={cluster.address}")
    killer.join()
    assert len(lost) == 1 and lost[0].exists() and not lost[0].with_suffix(".ended").exists(), "a stage was under way"
    assert (found["board"], found["stages"]) == (expected["board"], expected["stages"])
    assert rows(tmp_path / "ray") == rows(tmp_path / "one")
    assert artifacts(tmp_path / "ray") == artifacts(tmp_path / "one")


def driver(executor: str, cache: Path) -> subprocess.Popen[str]:
    """The driver in a process of its own."""
    command = [sys.executable, "-m", "tests.executors.driver", executor, str(cache)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def states(process: subprocess.Popen[str]) -> list[str]:
    """How the driver's stages ended."""
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err[-3000:]
    assert "(raylet)" not in out + err and "Traceback" not in err, "Ray says nothing of its own"
    found: list[str] = json.loads(out)
    return found


def test_a_driver_that_was_killed_comes_back(notes: Notes, cluster: Any, tmp_path: Path) -> None:
    executor, cache = f"ray:address={cluster.address}", tmp_path / "cache"
    killed = driver(executor, cache)
    eventually(lambda: len(notes.begun()) == 2 and notes.ended())
    killed.kill()
    killed.communicate()
    under_way, kept = set(notes.begun()), set(ArtifactStore(cache).keys())
    began = time.monotonic()
    found = states(driver(executor, cache))
    print(f"went on after {len(kept)} of 10 stages and {len(under_way)} under way; {time.monotonic() - began:.1f} s")
    assert set(found) == {"run", "cached"}
    assert len(kept) <= found.count("cached") <= len(kept) + len(under_way), "what was finished is not computed again"
    assert len(notes.ended()) == 10, "and nothing else is left out"
    store = ArtifactStore(cache)
    assert [store.open(stage.key).read("x") for stage in stages()][-1] == b"a4b4"


def test_a_killed_driver_takes_the_cluster_that_it_started_along(notes: Notes, tmp_path: Path) -> None:
    killed = driver("ray:workers=2", tmp_path / "cache")
    eventually(lambda: notes.begun() and notes.ended())
    killed.kill()
    killed.communicate()
    eventually(lambda: not any(Path(f"/proc/{node}").exists() for node in notes.nodes()))
    found = states(driver("ray:workers=2", tmp_path / "cache"))
    assert set(found) == {"run", "cached"}


def test_ctrl_c_ends_the_cluster_that_was_started(notes: Notes, tmp_path: Path) -> None:
    interrupted = driver("ray:workers=2", tmp_path / "cache")
    eventually(notes.begun)
    interrupted.send_signal(signal.SIGINT)
    _, err = interrupted.communicate(timeout=PATIENCE)
    assert err.rstrip().endswith("KeyboardInterrupt") and "(raylet)" not in err
    eventually(lambda: not any(Path(f"/proc/{node}").exists() for node in notes.nodes()))


def test_a_stage_that_takes_every_worker_down_fails_alone(notes: Notes, tmp_path: Path) -> None:
    ever = Doomed("ever", Log(str(tmp_path / "ever")), 99)
    good, spoilt = Doomed("never", Log(str(tmp_path / "never")), 0), After((ever,))
    results: list[StageResult] = []
    Ray(workers=2).execute([ever, good, spoilt], Env(Registry(), ArtifactStore(tmp_path / "cache")), results.append)
    found = {result.stage: result for result in results}
    assert (found[ever].state, found[spoilt].state, found[good].state) == ("failed", "skipped", "run")
    assert (tmp_path / "ever").read_bytes() == b"xx", "one more try, no third"
    assert "doomed ever: its Ray worker died at each of 2 attempts (WorkerCrashedError)" in str(found[ever].reason)


def test_the_cache_may_be_a_bucket(notes: Notes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "fake",
        "AWS_SECRET_ACCESS_KEY": "fake",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": f"http://{host}:{port}",
        "BENCHKIT_COPIES": str(tmp_path / "copies"),
        "DAWDLING_SECONDS": "0",
    }.items():
        monkeypatch.setenv(name, value)
    try:
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir("ray")
        plan: list[Stage] = [*stages()]
        results: list[StageResult] = []
        there, here = open_store("s3://ray/cache"), ArtifactStore(tmp_path / "one")
        Ray(workers=2).execute(plan, Env(Registry(), there), results.append)
        assert [done.state for done in results] == ["run"] * 10
        Inline().execute(plan, Env(Registry(), here), lambda _: None)
        monkeypatch.setenv("BENCHKIT_COPIES", str(tmp_path / "of another machine"))
        elsewhere = open_store("s3://ray/cache")
        assert all(elsewhere.open(s.key).read("x") == here.open(s.key).read("x") for s in plan)
        assert not s3fs.S3FileSystem().find("ray/cache/leases") + s3fs.S3FileSystem().find("ray/cache/holders")
    finally:
        server.stop()
