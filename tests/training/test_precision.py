"""Trainings in other precisions than float32, and batches that a thread makes ahead."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchkit.errors import BenchkitError
from benchkit.specs.training_config import TrainingConfig
from benchkit.system.number_formats import has_bfloat16, has_tf32, read_cpu_flags
from benchkit.training import replicas
from benchkit.training.batches import batch_at
from benchkit.training.features import FeatureBatches, FeatureSet, HeadOnFeatures
from benchkit.training.loop import Measure, fit, predict, train
from benchkit.training.precision import Arithmetic
from benchkit.training.prefetch import each_batch
from tests.training.plain_network import Plain, build
from tests.training.test_features import network, pictures, shown, trunk_maps
from tests.training.test_training import assert_same_bits, data, tiny, weights_of

__all__ = ["data"]  # a fixture

CONFIG = TrainingConfig(
    iterations=60, batch=6, lr=0.02, crop=24, positive_crop=0.5, clip_norm=5.0, precision="bfloat16", prior_bias=True
)
CPU = torch.device("cpu")
Data = tuple[np.ndarray, np.ndarray]


def test_bfloat16_learns_what_float32_learns(data: Data) -> None:
    half, whole = tiny(), tiny()
    losses = train(half, *data, CONFIG, 0), train(whole, *data, replace(CONFIG, precision="float32"), 0)
    last, expected = (np.mean([one["main"] for one in history[-10:]]) for history in losses)
    assert last != expected, "nothing was computed in bfloat16"
    assert last == pytest.approx(expected, rel=0.05)
    assert expected < 0.5 * losses[1][0]["main"], "the problem is not learned"
    found, wanted = predict(half, data[0]), predict(whole, data[0])
    assert np.abs(found - wanted).mean() < 0.02
    assert all(value.dtype != torch.bfloat16 for value in half.state_dict().values())


class Watched(nn.Module):
    """Records what its convolution is shown and returns."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3, padding=1)
        self.seen: list[tuple[bool, torch.dtype, bool, torch.dtype]] = []

    def forward(self, images: Tensor) -> Tensor:
        found = self.conv(images)
        last = images.is_contiguous(memory_format=torch.channels_last)
        self.seen.append((self.training, images.dtype, last and not images.is_contiguous(), found.dtype))
        return found


@pytest.mark.parametrize(
    ("precision", "last", "computed"), [("float32", False, "float32"), ("bfloat16", True, "bfloat16")]
)
def test_training_computes_in_the_precision_and_measures_in_float32(
    data: Data, precision: Any, last: bool, computed: str
) -> None:
    watched = Watched()
    figures = lambda trained: {"mean": float(predict(trained, data[0][:2]).mean())}  # noqa: E731
    train(watched, *data, TrainingConfig(iterations=2, batch=2, precision=precision), 0, measure=Measure(figures, 1))
    training = {one[1:] for one in watched.seen if one[0]}
    assert training == {(torch.float32, last, getattr(torch, computed))}
    assert {one[3] for one in watched.seen if not one[0]} == {torch.float32}
    assert watched.conv.weight.is_contiguous(), "the network comes back as it was"


def test_an_interrupted_training_in_bfloat16_ends_with_the_same_bits(data: Data, tmp_path: Path) -> None:
    config = replace(CONFIG, iterations=9, ema_decay=0.9, checkpoint_every=2)
    whole, resumed = tiny(), tiny()
    train(whole, *data, config, 0)

    def stop(done: int, *_: object) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny(), *data, config, 0, checkpoint=tmp_path / "c", progress=stop)
    history = train(resumed, *data, config, 0, checkpoint=tmp_path / "c")
    assert len(history) == 9
    assert_same_bits(weights_of(whole), weights_of(resumed))


def test_a_checkpoint_of_another_precision_is_not_taken_up(data: Data, tmp_path: Path) -> None:
    config = replace(CONFIG, iterations=2)
    train(tiny(), *data, config, 0, checkpoint=tmp_path / "c")
    with pytest.raises(BenchkitError, match="not a checkpoint of this run"):
        train(tiny(), *data, replace(config, precision="float32"), 0, checkpoint=tmp_path / "c")


def test_a_head_on_features_is_trained_in_bfloat16() -> None:
    images = pictures()
    masks = images[..., 0] > 128
    with torch.no_grad():
        maps = trunk_maps(network(4, 8)._make_trunk(), shown(images))
    ends = []
    for precision in ("float32", "bfloat16"):
        made = network(4, 8)
        features = FeatureSet([maps], None, masks)
        made.mean, made.std = features.statistics()
        config = TrainingConfig(iterations=30, batch=3, lr=0.02, flip=False, precision=precision)  # type: ignore[arg-type]
        ends.append(fit(HeadOnFeatures(made, features.size), FeatureBatches(features, made), config, 0)[-1]["loss"])
    assert ends[0] != ends[1]
    assert ends[1] == pytest.approx(ends[0], rel=0.05)


def test_two_processes_train_in_bfloat16_as_one_does(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3), dtype=np.uint8)
    masks = images[..., 0] > 200
    config = TrainingConfig(iterations=3, batch=5, precision="bfloat16")

    def start() -> tuple[Plain, torch.optim.Optimizer]:
        torch.manual_seed(1)
        made = Plain()
        return made, torch.optim.SGD(made.parameters(), lr=0.1, momentum=0.9)

    whole, optimiser = start()
    expected = train(whole, images, masks, config, 3, optimiser=optimiser)
    shared, optimiser = start()
    history = replicas.train_on(
        ("cpu", "cpu"), build, shared, images, masks, config, 3, optimiser=optimiser, checkpoint=tmp_path / "c"
    )
    assert [one["loss"] for one in history] == pytest.approx([one["loss"] for one in expected], rel=1e-2)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(shared.state_dict()[name], value, rtol=0.02, atol=0.01, msg=name)


def test_a_training_that_diverges_names_iteration_and_precision(data: Data) -> None:
    broken = tiny()
    nn.init.constant_(broken.main.weight, float("nan"))
    with pytest.raises(BenchkitError, match=r"the loss is nan at iteration 0, computed in bfloat16; .* to float32"):
        train(broken, *data, CONFIG, 0)
    with pytest.raises(BenchkitError, match="at iteration 0; lower the lr"):
        train(broken, *data, replace(CONFIG, precision="float32"), 0)


def test_tf32_is_refused_where_there_is_none_and_restored_where_there_is(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BenchkitError, match=r"training\.precision is tf32, which device 'cpu' does not have"):
        train(tiny(), *data, replace(CONFIG, precision="tf32"), 0)
    monkeypatch.setattr("benchkit.training.precision.has_tf32", lambda device: True)
    before = torch.backends.cuda.matmul.fp32_precision
    with pytest.raises(KeyboardInterrupt), Arithmetic("tf32", CPU).products():
        assert torch.backends.cuda.matmul.fp32_precision == torch.backends.cudnn.conv.fp32_precision == "tf32"
        raise KeyboardInterrupt
    assert torch.backends.cuda.matmul.fp32_precision == before != "tf32"


def test_what_a_device_has_is_read_without_guessing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def says(text: str) -> bool | None:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        path.write_text(text)
        flags = read_cpu_flags(path)
        monkeypatch.setattr("benchkit.system.number_formats.read_cpu_flags", lambda: flags)
        return has_bfloat16("cpu")

    assert says("processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16\n\nprocessor\t: 1\nflags\t\t: fpu\n") is True
    assert says("processor\t: 0\nFeatures\t: fp asimd bf16\n") is True
    assert says("processor\t: 0\nflags\t\t: fpu avx2 avx512f\n") is False
    assert says("a system without such a file\n") is None
    assert has_bfloat16("mps") is None
    assert not has_tf32("cpu") and not has_tf32("mps")
    for capability, expected in (((7, 5), False), ((8, 0), True), ((9, 0), True)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, found=capability: found)
        assert has_tf32("cuda:1") is has_bfloat16("cuda:1") is expected


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_batches_made_ahead_give_the_same_bits(data: Data, tmp_path: Path, precision: Any) -> None:
    config = replace(CONFIG, iterations=7, resize=(0.5, 1.5), photometric=True, checkpoint_every=3, precision=precision)
    plain, ahead, resumed = tiny(), tiny(), tiny()
    history = train(plain, *data, config, 0, prefetch=False)
    assert train(ahead, *data, config, 0, prefetch=True) == history
    assert_same_bits(weights_of(plain), weights_of(ahead))

    def stop(done: int, *_: object) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny(), *data, config, 0, checkpoint=tmp_path / "c", progress=stop, prefetch=True)
    assert train(resumed, *data, config, 0, checkpoint=tmp_path / "c", prefetch=True) == history
    assert_same_bits(weights_of(plain), weights_of(resumed))


def test_the_next_batch_is_made_while_one_is_used_and_its_errors_are_raised() -> None:
    import threading

    made: list[tuple[int, str]] = []
    second = threading.Event()

    def make(number: int) -> int:
        if number == 5:
            raise MemoryError("no room")
        made.append((number, threading.current_thread().name))
        if number == 3:
            second.set()
        return number

    batches = each_batch(make, range(2, 9), CPU, True)
    assert next(batches) == 2
    assert second.wait(20), "batch 3 is made while nobody asks for it"
    assert [next(batches), next(batches)] == [3, 4]
    with pytest.raises(MemoryError, match="no room"):
        next(batches)
    assert [number for number, _ in made] == [2, 3, 4]
    assert threading.main_thread().name not in {thread for _, thread in made}
    assert list(each_batch(make, range(0), CPU, True)) == []
    assert list(each_batch(lambda n: n, range(3), CPU, False)) == [0, 1, 2]


def test_batches_are_those_of_a_stack_on_disk(data: Data) -> None:
    from benchkit.system.stack import Stack

    images, masks = data
    keep = np.arange(12) != 4
    stacks = [Stack([rows[:5], rows[5:7], rows[7:]]).where(keep) for rows in (images, masks)]
    assert len(stacks[0]) == 11 and stacks[0].shape == (11, 32, 32, 3) and stacks[1].dtype == np.bool_
    for found, expected in zip(
        batch_at(*stacks, CONFIG, 1, 3), batch_at(images[keep], masks[keep], CONFIG, 1, 3), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
