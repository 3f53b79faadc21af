"""Several processes train as one does: the same gradient, one writer, one curve, checkpoints that either takes up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchkit.errors import BenchkitError
from benchkit.metrics.curves import CurvePoint
from benchkit.specs.training_config import TrainingConfig
from benchkit.stages.base import each_device
from benchkit.stages.pairs import Pairs
from benchkit.training import loop as training
from benchkit.training import replicas
from benchkit.training.augmentation import IGNORED
from benchkit.training.ddp import Team
from tests.training.plain_network import Plain, build

#: An odd batch, so that the shares differ; weighted classes, padding and clipping, which a mean of means gets wrong.
CONFIG = TrainingConfig(
    iterations=4,
    batch=5,
    resize=(0.6, 1.2),
    class_weights=(1.0, 6.0),
    clip_norm=0.5,
    schedule="poly",
    checkpoint_every=1,
)


def world() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (7, 16, 16, 3), dtype=np.uint8)
    masks = images[..., 0] > 230
    masks[3] = False
    return images, masks


def started() -> tuple[Plain, torch.optim.Optimizer]:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = Plain()
    return network, torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)


class Interrupted(Exception):
    pass


def test_two_processes_end_where_one_does_with_its_curve_and_take_up_its_checkpoint(tmp_path: Path) -> None:
    images, masks = world()
    held = masks.astype(np.uint8)
    held[:, 2] = IGNORED

    def figures(network: torch.nn.Module) -> dict[str, float]:
        point = CurvePoint()
        point.add(training.predict(network, images), masks, held == IGNORED)
        return point.figures()

    whole, optimiser = started()
    measure = training.Measure(figures, 2)
    expected = training.train(whole, images, masks, CONFIG, 3, optimiser=optimiser, measure=measure)

    def interrupt(done: int, total: int, losses: dict[str, float]) -> None:
        raise Interrupted

    path = tmp_path / "run.safetensors"
    first, optimiser = started()
    with pytest.raises(Interrupted):
        training.train(first, images, masks, CONFIG, 3, optimiser=optimiser, checkpoint=path, progress=interrupt)

    seen: list[int] = []
    network, optimiser = started()
    history = replicas.train_on(
        ("cpu", "cpu"),
        build,
        network,
        images,
        masks,
        CONFIG,
        3,
        optimiser=optimiser,
        checkpoint=path,
        progress=lambda done, total, losses: seen.append(done),
        validation=replicas.Validation(images, held, 2),
    )
    assert seen == [2, 3, 4]
    assert history[0] == expected[0]
    for one, other in zip(history, expected, strict=True):
        assert one == pytest.approx(other, rel=1e-5)
    assert [done for done, one in enumerate(history, 1) if "average_precision" in one] == [2, 4]
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], value, rtol=1e-5, atol=1e-6, msg=name)
    assert not torch.equal(whole.state_dict()["main.weight"], started()[0].state_dict()["main.weight"])
    assert [file.name for file in tmp_path.iterdir()] == ["run.safetensors"]


@pytest.mark.slow
def test_a_process_that_fails_ends_all_with_its_one_line(tmp_path: Path) -> None:
    images, masks = world()
    network, optimiser = started()
    torch.nn.init.constant_(network.main.weight, float("nan"))
    with pytest.raises(BenchkitError, match=r"training diverged: .* at iteration 0"):
        replicas.train_on(
            ("cpu", "cpu"), build, network, images, masks, CONFIG, 3, optimiser=optimiser, checkpoint=tmp_path / "x"
        )
    assert not list(tmp_path.iterdir())


def damaged(path: Path) -> bytes:
    """Flip a bit of a checkpoint's weights, which safetensors itself does not notice."""
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    return bytes(data)


def test_a_checkpoint_that_is_damaged_is_called_so_by_the_process_that_met_it(tmp_path: Path) -> None:
    images, masks = world()
    path = tmp_path / "run.safetensors"
    network, optimiser = started()
    training.train(network, images, masks, CONFIG, 3, optimiser=optimiser, checkpoint=path)
    data = damaged(path)
    network, optimiser = started()
    with pytest.raises(training.UnusableCheckpoint, match="damaged, its checksum differs"):
        replicas.train_on(("cpu",), build, network, images, masks, CONFIG, 3, optimiser=optimiser, checkpoint=path)
    assert path.read_bytes() == data
    assert [file.name for file in tmp_path.iterdir()] == ["run.safetensors"]


def test_a_batch_smaller_than_the_team_is_refused_before_anything_starts(tmp_path: Path) -> None:
    network, _ = started()
    config = replace(CONFIG, batch=2)
    with pytest.raises(BenchkitError, match="batch of 2 cannot be shared by 3 devices"):
        replicas.train_on(("cpu",) * 3, build, network, *world(), config, 0, checkpoint=tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_shares_cover_the_batch_once() -> None:
    for count in (1, 5, 8):
        for size in (1, 2, 3):
            shares = [list(range(count))[Team(rank, size).share(count)] for rank in range(size)]
            assert [i for share in shares for i in share] == list(range(count))
            assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_alone_a_team_changes_nothing() -> None:
    network, _ = started()
    team = Team.current()
    assert (team.rank, team.size, team.writes) == (0, 1, True)
    assert team.joined(network) is network
    values = torch.ones(2)
    assert team.mean(values) is values


@pytest.mark.parametrize(
    ("name", "devices"),
    [("cpu", ("cpu",)), ("cuda", ("cuda",)), ("cuda:1", ("cuda:1",)), ("cuda:0,2", ("cuda:0", "cuda:2"))],
)
def test_names_of_several_devices(name: str, devices: tuple[str, ...]) -> None:
    assert each_device(name) == devices


@pytest.mark.parametrize(
    ("name", "several", "message"),
    [
        ("cuda:0,1", False, "only training uses several"),
        ("cuda:0,0", True, "names one GPU twice"),
        ("cuda:0,977", True, "not available"),
        ("cuda:0,x", True, "unknown device"),
    ],
)
def test_wrong_devices_are_named(name: str, several: bool, message: str) -> None:
    from benchkit.system.devices import resolve_device

    with pytest.raises(BenchkitError, match=message):
        resolve_device(name, several=several)


PLUGIN = '''
from dataclasses import dataclass
from benchkit.api import Detector, hookimpl

@dataclass(frozen=True)
class Single(Detector):
    """One convolution."""
    name = "single-for-replicas"
    width: int = 2

    def build(self):
        from torch import nn
        return nn.Conv2d(3, self.width, 1)

@hookimpl
def benchkit_detectors():
    return [Single]
'''


def test_another_process_finds_a_strangers_file_and_starts_alike(tmp_path: Path) -> None:
    from benchkit.api import Detector
    from benchkit.plugin.registry import Registry
    from benchkit.specs.spec import Spec
    from benchkit.stages.train import NetworkBuilder, start_network

    file = tmp_path / "single.py"
    file.write_text(PLUGIN)
    spec = Spec.of("detector", "single-for-replicas", width=2)
    registry = Registry.load(files=[file])
    here = start_network(registry, registry.make(spec, Detector), 5)  # type: ignore[type-abstract]
    there, optimiser = NetworkBuilder(spec, 5, 1e-3, (file,))("cpu")
    assert optimiser is None
    for name, value in here.state_dict().items():
        assert torch.equal(there.state_dict()[name], value)


class WorldPairs:
    """The pairs of this file's world."""

    def load(self, env: object) -> Pairs:
        return Pairs(*world())


@pytest.mark.slow
def test_several_processes_start_afresh_after_a_damaged_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from benchkit.plugin.registry import Registry
    from benchkit.specs.spec import Spec
    from benchkit.stages import train as stages
    from benchkit.stages.base import Env
    from benchkit.stages.train import CHECKPOINT, Train
    from benchkit.store.artifacts import ArtifactStore, parse_json

    (tmp_path / "single.py").write_text(PLUGIN)
    env = Env(Registry.load(files=[tmp_path / "single.py"]), ArtifactStore(tmp_path / "cache"))
    env.devices = ("cpu", "cpu")
    spec = Spec.of("detector", "single-for-replicas")
    monkeypatch.setattr(Train, "key", "0" * 64)
    monkeypatch.setattr(stages, "LabelledPairs", lambda images: WorldPairs())
    stage = Train(WorldPairs(), spec, "1", CONFIG, 3, validation=("its images",))  # type: ignore[arg-type]
    output = stage.run(env)
    whole = parse_json(output.files["history.json"])  # type: ignore[arg-type]
    assert len(whole) == CONFIG.iterations
    assert output.meta["curve"]["iterations"] == [1, 2, 3, 4]
    with env.store.workdir(stage.key) as work:
        assert (work / CHECKPOINT).is_file()
        damaged(work / CHECKPOINT)
    assert parse_json(stage.run(env).files["history.json"]) == whole  # type: ignore[arg-type]
    (record,) = caplog.records
    assert "starts afresh" in record.message and "damaged, its checksum differs" in record.message
