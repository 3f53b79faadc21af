"""Ray tasks do what one process does; the fast half of its tests, on a cluster of this machine."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from benchkit.cli.main import main
from benchkit.errors import BenchkitError
from benchkit.executors.batch import StageResult
from benchkit.executors.choose import parse_executor
from benchkit.executors.inline import Inline
from benchkit.executors.ray import Ray, Resources
from benchkit.plugin.registry import Registry
from benchkit.stages.base import Env
from benchkit.store.artifacts import ArtifactStore
from tests.executors.test_processes import After, Doomed, Wrong
from tests.executors.test_sharing import Log, flip, plan

# Ray itself is not imported here: it is told to be quiet before it is.


def test_ray_leaves_what_one_process_leaves_and_tries_again_what_its_worker_took_down(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_worker_niceness", "0")  # else its workers stand back for everybody else
    stages = plan(tmp_path / "log")
    once, wrong, damaged = Doomed("once", Log(str(tmp_path / "once")), 1), Wrong(), stages[0]
    good, spoilt, reader = After((once,)), After((once, wrong)), After((damaged,))
    store = ArtifactStore(tmp_path / "ray")
    Inline().execute([damaged], Env(Registry(), store), lambda _: None)
    flip(store.folder(damaged.key) / "x")
    results: list[StageResult] = []
    with caplog.at_level(logging.WARNING, "benchkit"):
        Ray(workers=2).execute([*stages, once, wrong, good, spoilt, reader], Env(Registry(), store), results.append)
    found = {result.stage: result for result in results}
    assert len(found) == len(results) == len(stages) + 5
    assert {found[stage].state for stage in stages} == {"run", "cached"}
    ran = (tmp_path / "log").read_text().split()
    assert sorted(ran) == sorted([damaged.name, *(stage.name for stage in stages)]), "each once, the damaged one again"
    Inline().execute(stages, Env(Registry(), ArtifactStore(tmp_path / "one")), lambda _: None)
    one = ArtifactStore(tmp_path / "one")
    assert all(one.open(s.key).read("x") == store.open(s.key).read("x") for s in stages)

    assert (found[once].state, found[good].state) == ("run", "run")
    assert (found[wrong].state, found[wrong].reason) == ("failed", "wrong: ValueError: as <b>planned</b>")
    assert found[spoilt].state == "skipped"
    assert "Traceback" in caplog.text, "the worker's traceback is in this process's log"
    reported = [record.getMessage() for record in caplog.records if getattr(record, "tell", False)]
    assert len(reported) == 1 and damaged.key[:12] in reported[0], (
        "damage that a worker found is told as in one process"
    )
    assert capfd.readouterr() == ("", ""), "Ray says nothing of its own"

    import ray

    assert not ray.is_initialized(), "what was started for the run ends with it"


def test_without_the_package_one_line_names_the_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("benchkit.executors.ray.find_spec", lambda name: None)
    assert main(["compare", "quick", "--executor", "ray", "--out", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert message == "benchkit: error: --executor ray needs another package: pip install 'artifact-benchkit[ray]'\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:1", "no Ray cluster answers at 127.0.0.1:1"),
        ("nowhere.invalid:6379", "no Ray cluster answers at nowhere.invalid:6379"),
        ("head", "write HOST:PORT"),
        ("ray://127.0.0.1:10001", "run the command on a node of the cluster"),
    ],
)
def test_an_address_where_no_cluster_is_costs_one_line_and_leaves_nothing(
    address: str, words: str, tmp_path: Path, dawdling_grid: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from tests.helpers.small_comparison import PLUGINS

    arguments = ["compare", dawdling_grid, "--plugin", PLUGINS, "--plugin", Path(__file__).with_name("dawdling.py")]
    places = ["--cache", tmp_path / "cache", "--out", tmp_path / "out"]
    assert main([str(one) for one in (*arguments, *places, "--executor", f"ray:address={address}")]) == 2
    out, err = capfd.readouterr()
    assert words in err and err.count("\n") == 1 and not out
    assert not (tmp_path / "cache").exists() and not (tmp_path / "out").exists()


def test_a_worker_of_other_plugins_or_another_cache_is_refused(tmp_path: Path) -> None:
    from benchkit.executors.worker import WorkerConfig

    file = tmp_path / "mine.py"
    source = Path(__file__).with_name("dawdling.py").read_text()
    file.write_text(source)
    config = WorkerConfig.from_env(Env(Registry.load(files=[file]), ArtifactStore(tmp_path / "cache")), "cpu", None)
    assert config.make_env().registry.has("corruptor", "dawdle")
    file.write_text(source.replace("Noise, after", "Other noise, after"))
    with pytest.raises(BenchkitError, match="corruptor 'dawdle' is another version in a worker"):
        config.make_env()
    file.write_text(source)
    version = tmp_path / "cache" / "VERSION"
    os.utime(version, ns=(1, 1))
    with pytest.raises(BenchkitError, match="is not the same folder on"):
        config.make_env()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ray:workers=0", "workers is a whole number from 1"),
        ("ray:cpus=1.5", "cpus is a whole number from 1"),
        ("ray:gpus=-1", "gpus is a number from 0"),
        ("ray:gpus=1.5", "gpus is a fraction of one device"),
        ("ray:memory=true", "memory is a number from 0.001"),
        ("ray:address=7", "address is HOST:PORT"),
        ("ray:threads=2", r"unknown setting 'threads' \(known: address, workers, cpus, gpus, memory\)"),
    ],
)
def test_other_settings_are_refused(text: str, words: str) -> None:
    with pytest.raises(BenchkitError, match=words):
        parse_executor(text)


def test_texts_mean_ray() -> None:
    assert parse_executor("ray", 3.0) == Ray(time_limit=3.0)
    text = "ray:address=head:6379,workers=8,cpus=2,gpus=0.5,memory=12"
    assert parse_executor(text) == Ray("head:6379", 8, 2, 0.5, 12)


def test_a_device_is_asked_for_only_where_this_process_has_one(tmp_path: Path) -> None:
    with pytest.raises(BenchkitError, match="needs `device` cuda"):
        Ray(gpus=1).execute([], Env(Registry(), ArtifactStore(tmp_path)), lambda _: None)


def test_what_a_stage_asks_for_and_how_many_a_node_holds() -> None:
    request = Resources(2, 0.5, 3)
    on_device, elsewhere = Wrong(), After(())
    assert request.to_ray_options(on_device) == {"num_cpus": 2, "num_gpus": 0.5, "memory": 3 << 30}
    object.__setattr__(elsewhere, "on_device", False)
    assert request.to_ray_options(elsewhere)["num_gpus"] == 0
    assert request.count_fitting({"CPU": 16, "GPU": 1, "memory": 64 << 30}) == 2, "by the device"
    assert request.count_fitting({"CPU": 16, "GPU": 8, "memory": 10 << 30}) == 3, "by the memory"
    assert request.count_fitting({"CPU": 3, "GPU": 8, "memory": 64 << 30}) == 1, "by the cores"
    assert request.count_fitting({"CPU": 16, "memory": 64 << 30}) == 0, "no device"
    assert Resources(1).count_fitting({"CPU": 4.0}) == 4
