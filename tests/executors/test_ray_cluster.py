"""Ray tasks on several nodes (of this machine): one is killed, the driver is killed, the cache is a bucket."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kept import artifacts, rows
from test_processes import After, Doomed
from test_sharing import Log

from benchkit.executors.batch import Done
from benchkit.executors.ray import Ray
from benchkit.registry import Registry
from benchkit.stages.base import Env
from benchkit.store.artifacts import ArtifactStore

pytestmark = pytest.mark.slow
DAWDLING = Path(__file__).with_name("dawdling.py")
CALL = "import sys; from benchkit.cli.main import main; sys.exit(main(sys.argv[1:]))"
PATIENCE = 300.0


@dataclass(frozen=True)
class World:
    """A grid, where its slow corruptor takes notes, and how a driver of it is started."""

    grid: Path
    notes: Path

    def driver(self, folder: Path, *more: str) -> subprocess.Popen[str]:
        """`benchkit compare` in a process of its own."""
        from small_world import PLUGINS

        command = [sys.executable, "-c", CALL, "compare", self.grid, "--plugin", PLUGINS, "--plugin", DAWDLING]
        places = ["--device", "cpu", "--json"]
        if "--cache" not in more:
            places += ["--cache", str(folder / "cache")]
        arguments = [str(one) for one in (*command, *places, *more)]
        return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def compared(self, folder: Path, *more: str) -> dict[str, Any]:
        """What the command prints, once it has ended well."""
        return told(self.driver(folder, *more))

    def begun(self, node: int | None = None) -> list[Path]:
        """Notes of corruptions that were begun and have not ended; node: the process of the node where they are."""
        return [note for note in self.notes.glob("*") if not note.suffix and note.name.startswith(f"{node or ''}")]


def told(driver: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = driver.communicate(timeout=PATIENCE)
    assert driver.returncode == 0, err[-3000:]
    assert "(raylet)" not in out + err and "Traceback" not in err, "Ray says nothing of its own"
    found: dict[str, Any] = json.loads(out)
    return found


def eventually(condition: Callable[[], object]) -> None:
    """Wait until it holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.05)


@pytest.fixture
def world(dawdling_grid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    notes = tmp_path / "notes"
    notes.mkdir()
    for name, value in {"DAWDLING": str(notes), "DAWDLING_SECONDS": "1.5", "RAY_USAGE_STATS_ENABLED": "0"}.items():
        monkeypatch.setenv(name, value)
    return World(dawdling_grid, notes)


@pytest.fixture
def cluster(world: World) -> Iterator[Any]:
    """A head that runs nothing, and two nodes of one core."""
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(2):
            found.add_node(num_cpus=1)
        yield found
    finally:
        found.shutdown()


def process_of(node: Any) -> int:
    """The process that is the parent of a node's workers."""
    return int(node.all_processes["raylet"][0].process.pid)


def test_a_node_killed_in_the_middle_of_a_stage_changes_nothing(world: World, cluster: Any, tmp_path: Path) -> None:
    expected = world.compared(tmp_path / "one")
    driver = world.driver(tmp_path / "ray", "--executor", f"ray:address={cluster.address}")
    first, second = sorted(cluster.worker_nodes, key=process_of)
    eventually(lambda: world.begun(process_of(first)) and world.begun(process_of(second)))
    (lost,) = world.begun(process_of(second))
    cluster.remove_node(second, allow_graceful=False)
    found = told(driver)
    assert lost.exists() and not lost.with_suffix(".ended").exists(), "its stage was under way"
    assert found["board"] == expected["board"]
    assert found["stages"] == expected["stages"]
    assert rows(tmp_path / "ray" / "cache") == rows(tmp_path / "one" / "cache")
    assert artifacts(tmp_path / "ray" / "cache") == artifacts(tmp_path / "one" / "cache")


def test_a_driver_that_was_killed_comes_back(world: World, cluster: Any, tmp_path: Path) -> None:
    executor = f"ray:address={cluster.address}"
    command = ("--out", str(tmp_path / "out"), "--executor", executor)
    driver = world.driver(tmp_path, *command)
    eventually(lambda: len(world.begun()) == 2 and any(world.notes.glob("*.ended")))
    driver.kill()
    driver.communicate()
    began = time.monotonic()
    store = ArtifactStore(tmp_path / "cache")
    kept = set(store.keys())
    found = world.compared(tmp_path, *command)
    print(f"went on after {len(kept)} of {len(list(store.keys()))} stages, in {time.monotonic() - began:.1f} s")
    assert found["stages"]["failed"] == 0
    assert found["stages"]["cached"] >= len(kept) > 4, "nothing that was finished is computed again"
    assert found["stages"]["run"] + found["stages"]["cached"] == len(list(store.keys()))


def test_with_a_driver_on_its_own_machine_everything_it_started_ends(world: World, tmp_path: Path) -> None:
    driver = world.driver(tmp_path, "--executor", "ray:workers=2")
    eventually(world.begun)
    nodes = {int(note.name.partition("-")[0]) for note in world.begun()}
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    eventually(lambda: not any(Path(f"/proc/{node}").exists() for node in nodes))
    found = world.compared(tmp_path, "--executor", "ray:workers=2")
    assert found["stages"]["cached"] and not found["stages"]["failed"]


def test_ctrl_c_ends_a_run_of_its_own(world: World, tmp_path: Path) -> None:
    driver = world.driver(tmp_path, "--executor", "ray:workers=2")
    eventually(world.begun)
    nodes = {int(note.name.partition("-")[0]) for note in world.begun()}
    driver.send_signal(signal.SIGINT)
    _, err = driver.communicate(timeout=PATIENCE)
    assert driver.returncode == 130 and "Traceback" not in err and "(raylet)" not in err
    eventually(lambda: not any(Path(f"/proc/{node}").exists() for node in nodes))


def test_a_stage_that_takes_every_worker_down_fails_alone(tmp_path: Path) -> None:
    ever = Doomed("ever", Log(str(tmp_path / "ever")), 99)
    good, spoilt = Doomed("never", Log(str(tmp_path / "never")), 0), After((ever,))
    heard: list[Done] = []
    Ray(workers=2).execute([ever, good, spoilt], Env(Registry(), ArtifactStore(tmp_path / "cache")), heard.append)
    found = {done.stage: done for done in heard}
    assert (found[ever].state, found[spoilt].state, found[good].state) == ("failed", "skipped", "run")
    assert (tmp_path / "ever").read_bytes() == b"xx", "one more try, no third"
    assert "doomed ever: its Ray worker died at each of 2 attempts (WorkerCrashedError)" in str(found[ever].reason)


def test_the_cache_may_be_a_bucket(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
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
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir("ray")
        expected = world.compared(tmp_path / "one")
        found = world.compared(tmp_path / "ray", "--cache", "s3://ray/cache", "--executor", "ray:workers=2")
        assert (found["board"], found["stages"]) == (expected["board"], expected["stages"])
        (copies,) = (tmp_path / "copies").iterdir()
        assert rows(copies) == rows(tmp_path / "one" / "cache")
        again = world.compared(tmp_path / "ray", "--cache", "s3://ray/cache", "--executor", "ray:workers=2")
        assert again["stages"]["run"] == 0
        assert not [one for one in s3fs.S3FileSystem().find("ray/cache/claims") if os.fspath(one)]
    finally:
        server.stop()
