"""The training loop: reproducible, resumable to the bit, aligned crops, clear errors; with a tiny network."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from benchkit.errors import BenchkitError
from benchkit.training.augmentation import IGNORED
from benchkit.training.averaging import set_prior
from benchkit.training.loop import (
    Measure,
    TrainingConfig,
    adamw,
    batch_at,
    load_network,
    predict,
    predict_classes,
    save_network,
    train,
)
from benchkit.training.losses import losses, weight
from benchkit.training.weights import pack, read_tensors, unpack


class Tiny(nn.Module):
    """Two convolutions with all that makes resuming hard: batch statistics, dropout, an auxiliary head."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.Dropout2d(0.1))
        self.main, self.auxiliary = nn.Conv2d(12, classes, 1), nn.Conv2d(12, classes, 1)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        features = self.body(images - 0.5)
        return (self.main(features), self.auxiliary(features)) if self.training else self.main(features)


def tiny(classes: int = 2) -> Tiny:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return Tiny(classes)


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    """Twelve grey-blue noise images with a red square each; the square is the mask."""
    rng = np.random.default_rng(0)
    images = rng.integers(40, 140, (12, 32, 32, 3), dtype=np.uint8)
    masks = np.zeros((12, 32, 32), bool)
    for image, mask in zip(images, masks, strict=True):
        y, x = rng.integers(0, 22, 2)
        mask[y : y + 9, x : x + 9] = True
        image[mask, 0] = 220
    return images, masks


CONFIG = TrainingConfig(iterations=9, batch=5, lr=0.01, crop=24, positive_crop=0.5, schedule="poly", clip_norm=5.0)


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def assert_same_bits(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def iou(probability: np.ndarray, mask: np.ndarray) -> float:
    guess = probability > 0.5
    return float((guess & mask).sum() / max(1, (guess | mask).sum()))


def test_learns_one_small_batch(data: tuple[np.ndarray, np.ndarray]) -> None:
    images, masks = data
    network = tiny()
    before = iou(predict(network, images), masks)
    history = train(network, images, masks, TrainingConfig(iterations=60, lr=0.03, schedule="poly"), seed=0)
    assert len(history) == 60
    assert history[-1]["loss"] < 0.3 * history[0]["loss"]
    assert iou(predict(network, images), masks) > max(0.8, before)
    assert not network.training


def test_seed_decides_every_bit_and_the_global_generator_nothing(data: tuple[np.ndarray, np.ndarray]) -> None:
    runs = []
    for seed, noise in ((1, 0), (1, 99), (2, 0)):
        torch.manual_seed(noise)
        network = tiny()
        history = train(network, *data, CONFIG, seed)
        runs.append((history, weights_of(network)))
    assert runs[0][0] == runs[1][0]
    assert_same_bits(runs[0][1], runs[1][1])
    assert runs[0][0] != runs[2][0]


def test_training_leaves_torch_as_it_was(data: tuple[np.ndarray, np.ndarray]) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(tiny(), *data, CONFIG, 0)
    assert torch.equal(torch.rand(3), expected)
    assert not torch.are_deterministic_algorithms_enabled()


class Interrupted(Exception):
    pass


def sgd(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, nesterov=True)


@pytest.mark.parametrize("optimiser", [lambda network: None, sgd], ids=["adamw", "sgd"])
@pytest.mark.parametrize("stop", [4, 6, 8])
def test_resumed_run_ends_with_the_same_bits(
    data: tuple[np.ndarray, np.ndarray], tmp_path: Path, stop: int, optimiser: Callable[[nn.Module], Any]
) -> None:
    whole = tiny()
    expected = train(whole, *data, CONFIG, 7, optimiser=optimiser(whole))
    path = tmp_path / "run.safetensors"
    config = replace(CONFIG, checkpoint_every=3)

    def interrupt(done: int, total: int, losses: dict[str, float]) -> None:
        if done == stop:
            raise Interrupted

    first = tiny()
    with pytest.raises(Interrupted):
        train(first, *data, config, 7, optimiser=optimiser(first), checkpoint=path, progress=interrupt)
    seen: list[int] = []
    second = tiny()
    history = train(
        second,
        *data,
        config,
        7,
        optimiser=optimiser(second),
        checkpoint=path,
        progress=lambda done, total, losses: seen.append(done),
    )
    assert seen[0] == stop // 3 * 3 + 1 and seen[-1] == 9
    assert history == expected
    assert_same_bits(weights_of(whole), weights_of(second))
    assert [file.name for file in tmp_path.iterdir()] == ["run.safetensors"]


def test_finished_checkpoint_computes_nothing(data: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    first, second = tiny(), tiny()
    history = train(first, *data, CONFIG, 0, checkpoint=path)

    def refuse(done: int, total: int, losses: dict[str, float]) -> None:
        raise AssertionError("computed an iteration")

    assert train(second, *data, CONFIG, 0, checkpoint=path, progress=refuse) == history
    assert_same_bits(weights_of(first), weights_of(second))


def test_checkpoint_of_another_run_is_refused(data: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    images, masks = data
    path = tmp_path / "run.safetensors"
    train(tiny(), images, masks, CONFIG, 0, checkpoint=path)
    changed = masks.copy()
    changed[0, 0, 0] ^= True
    others = [
        (tiny(), images, masks, CONFIG, 1),
        (tiny(), images, changed, CONFIG, 0),
        (tiny(), images, masks, replace(CONFIG, lr=0.02), 0),
        (Tiny(), images, masks, CONFIG, 0),
    ]
    for arguments in others:
        with pytest.raises(BenchkitError, match="not a checkpoint of this run"):
            train(*arguments, checkpoint=path)
    path.write_bytes(b"torn")
    with pytest.raises(BenchkitError, match="cannot be read"):
        train(tiny(), images, masks, CONFIG, 0, checkpoint=path)


def test_crops_keep_image_and_label_aligned() -> None:
    """Each pixel's colour spells its label and place, so that any slip between the two shows."""
    labels = np.random.default_rng(0).integers(0, 4, (6, 20, 28), dtype=np.uint8)
    images = np.stack([labels * 60, np.broadcast_to(np.arange(28, dtype=np.uint8), labels.shape), labels], -1)
    config = TrainingConfig(iterations=1, batch=8, crop=12, positive_crop=0.5)
    mirrored = set()
    for iteration in range(6):
        crops, targets = batch_at(images, labels, config, 4, iteration)
        assert crops.shape == (8, 12, 12, 3) and targets.dtype == np.int64
        np.testing.assert_array_equal(crops[..., 0], targets * 60)
        steps = np.diff(crops[..., 1].astype(int), axis=2)
        assert ((steps == 1).all((1, 2)) | (steps == -1).all((1, 2))).all()
        mirrored |= set(steps[:, 0, 0].tolist())
    assert mirrored == {1, -1}


def test_positive_crops_hold_artifact_pixels() -> None:
    masks = np.zeros((3, 64, 64), bool)
    masks[0, 0, 63] = masks[1, 30, 31] = True  # a corner; the middle; nothing at all
    images = np.repeat(masks[..., None], 3, -1).astype(np.uint8)
    config = TrainingConfig(iterations=1, batch=3, crop=16, positive_crop=1.0, flip=False)
    for iteration in range(5):
        crops, targets = batch_at(images, masks, config, 0, iteration)
        assert sorted(targets.sum((1, 2)).tolist()) == [0, 1, 1]
        np.testing.assert_array_equal(crops[..., 0], targets)


def test_every_image_once_an_epoch() -> None:
    images = np.broadcast_to(np.arange(10, dtype=np.uint8)[:, None, None, None], (10, 4, 4, 3))
    masks = np.zeros((10, 4, 4), bool)
    config = TrainingConfig(iterations=1, batch=4)
    seen = np.concatenate([batch_at(images, masks, config, 0, i)[0][:, 0, 0, 0] for i in range(5)])
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert list(seen[:10]) != list(seen[10:])


def test_schedules() -> None:
    def factors(config: TrainingConfig) -> list[float]:
        return [config.lr_factor(i) for i in range(config.iterations)]

    assert factors(TrainingConfig(iterations=3)) == [1, 1, 1]
    assert factors(TrainingConfig(iterations=4, schedule="poly")) == [1, 0.75, 0.5, 0.25]
    warm = factors(TrainingConfig(iterations=8, schedule="linear-warmup-poly", warmup=3))
    assert warm[:4] == [0.25, 0.5, 0.75, 1.0] and warm[-1] == pytest.approx(0.2)
    assert all(0 < value <= 1 for value in warm)


@pytest.mark.parametrize("schedule", ["constant", "poly", "linear-warmup-poly"])
def test_the_rates_are_those_of_the_schedule_also_after_a_resume(
    data: tuple[np.ndarray, np.ndarray], tmp_path: Path, schedule: str
) -> None:
    rates: list[float] = []

    class Recording(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    def stop(done: int, total: int, losses: dict[str, float]) -> None:
        if done == 3:
            raise Interrupted

    config = TrainingConfig(iterations=7, batch=2, schedule=schedule, warmup=2, power=0.9, checkpoint_every=2)
    path = tmp_path / "run.safetensors"
    network = tiny()
    with pytest.raises(Interrupted):
        train(
            network, *data, config, 0, optimiser=Recording(network.parameters(), 0.03), checkpoint=path, progress=stop
        )
    network = tiny()
    train(network, *data, config, 0, optimiser=Recording(network.parameters(), 0.03), checkpoint=path)
    assert rates == [0.03 * config.lr_factor(i) for i in (0, 1, 2, *range(2, 7))]


def test_auxiliary_and_class_weights_enter_the_loss(data: tuple[np.ndarray, np.ndarray]) -> None:
    one = TrainingConfig(iterations=1, auxiliary_weight=0.0)
    plain = train(tiny(), *data, one, 0)[0]
    assert plain["loss"] == plain["main"]
    both = train(tiny(), *data, replace(one, auxiliary_weight=0.4), 0)[0]
    assert both["loss"] > both["main"] == plain["main"]
    weighted = train(tiny(), *data, replace(one, class_weights=(1.0, 9.0)), 0)[0]
    assert weighted["main"] != plain["main"]


def test_loss_that_is_not_finite_names_the_iteration(data: tuple[np.ndarray, np.ndarray]) -> None:
    images, masks = data
    network = tiny()

    def poison(done: int, total: int, losses: dict[str, float]) -> None:
        if done == 2:
            network.main.weight.data.fill_(float("nan"))

    with pytest.raises(BenchkitError, match="at iteration 2"):
        train(network, images, masks, CONFIG, 0, progress=poison)


def test_running_out_of_memory_says_what_would_need_less(
    data: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    images, masks = data
    network = torch.nn.Conv2d(3, 2, 1)

    def exhausted(*args: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of\nx")

    monkeypatch.setattr(network, "forward", exhausted)
    side = f"{images.shape[2]}x{images.shape[1]}"
    for config, says in (
        (TrainingConfig(iterations=1, batch=8), f"8 images of {side} at once .*device. cuda:0,1.*training.batch=4"),
        (TrainingConfig(iterations=1, batch=1), f"one image of {side} .*use smaller images"),
        (TrainingConfig(iterations=1, batch=2, crop=8), "2 images of 8x8 at once"),
    ):
        with pytest.raises(BenchkitError, match=rf"out of memory while training \(2.50 GiB more .*{says}") as caught:
            train(network, images, masks, config, 0)
        assert "\n" not in str(caught.value)
    with pytest.raises(BenchkitError, match=rf"while predicting .*: {min(16, len(images))} images of {side}.*tiles of"):
        predict(network, images)


def test_unfit_data_and_settings_are_named(data: tuple[np.ndarray, np.ndarray]) -> None:
    images, masks = data
    unfit = [
        (images.astype(np.float32), masks, CONFIG, "uint8"),
        (images, masks[:, :-1], CONFIG, "masks must be"),
        (images[:0], masks[:0], CONFIG, "no images"),
        (images, masks.astype(np.uint8) * 2, CONFIG, "holds? class 2"),
        (images, masks, replace(CONFIG, crop=33), "crop 33"),
        (images, masks, replace(CONFIG, class_weights=(1.0,)), "class_weights"),
    ]
    for bad_images, bad_masks, config, message in unfit:
        with pytest.raises(BenchkitError, match=message):
            train(tiny(), bad_images, bad_masks, config, 0)
    for change in ({"batch": 0}, {"lr": 0.0}, {"schedule": "cosine"}, {"positive_crop": 2.0}, {"crop": None}):
        with pytest.raises(ValidationError, match=next(iter(change)).removesuffix("s")):
            replace(CONFIG, **change)
    with pytest.raises(BenchkitError, match="logits"):
        train(nn.Conv2d(3, 2, 3), images, masks, CONFIG, 0)


def test_predict_is_per_image_and_leaves_the_mode(data: tuple[np.ndarray, np.ndarray]) -> None:
    images, masks = data
    network = tiny()
    train(network, images, masks, CONFIG, 0)
    network.train()
    together = predict(network, images, batch=5)
    assert network.training
    assert together.shape == (12, 32, 32) and together.dtype == np.float32
    assert together.min() >= 0 and together.max() <= 1
    alone = np.concatenate([predict(network, images[i : i + 1]) for i in range(12)])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_array_equal(predict_classes(network, images), together > 0.5)
    assert predict(network, images[:0]).shape == (0, 32, 32)


def test_class_ids(data: tuple[np.ndarray, np.ndarray]) -> None:
    images, masks = data
    labels = masks.astype(np.uint8) * 2
    network = tiny(3)
    train(network, images, labels, TrainingConfig(iterations=60, lr=0.03), 0, num_classes=3)
    assert (predict_classes(network, images) == labels).mean() > 0.95


def test_weights_on_disk(data: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    images, masks = data
    network, path = tiny(), tmp_path / "deep" / "network.safetensors"
    train(network, images, masks, CONFIG, 0)
    save_network(network, path, metadata={"note": "x"})
    other = tiny()
    assert load_network(other, path) == {"note": "x"}
    assert_same_bits(weights_of(network), weights_of(other))
    full = path.stat().st_size
    save_network(network, path, half=True)
    assert path.stat().st_size < full
    load_network(other, path)
    assert other.main.weight.dtype == torch.float32
    np.testing.assert_allclose(predict(other, images), predict(network, images), atol=2e-3)
    with pytest.raises(BenchkitError, match="not the weights"):
        load_network(tiny(3), path)
    with pytest.raises(BenchkitError, match="cannot be read"):
        load_network(other, tmp_path / "absent")
    network.main.weight.data.fill_(1e6)
    with pytest.raises(BenchkitError, match="float16"):
        save_network(network, path, half=True)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_packing_keeps_keys_types_and_tensors(tmp_path: Path) -> None:
    state = {"state": {0: {"step": torch.tensor(3.0), "old": [torch.ones(2), None]}}, "betas": (0.9, 0.99), "on": True}
    tensors: dict[str, Tensor] = {}
    plain = json.loads(json.dumps(pack(state, "o", tensors)))
    back = unpack(plain, tensors)
    assert back["betas"] == (0.9, 0.99) and back["on"] is True and list(back["state"]) == [0]
    assert torch.equal(back["state"][0]["old"][0], torch.ones(2)) and back["state"][0]["old"][1] is None
    with pytest.raises(BenchkitError):
        read_tensors(tmp_path)


def test_defaults_are_the_papers_where_it_gives_one() -> None:
    """Sec. 4.4: AdamW, lr 6e-5, betas (0.9, 0.999), decay 0.01. Ours: batch 8, constant rate."""
    config = TrainingConfig(iterations=10_000)
    (group,) = adamw(tiny(), config).param_groups
    assert (group["lr"], group["betas"], group["weight_decay"]) == (6e-5, (0.9, 0.999), 0.01)
    assert config.batch == 8 and config.lr_factor(9_999) == 1
    assert config.crop is config.resize is config.clip_norm is None and not config.photometric


def test_augmented_batches_depend_on_seed_and_iteration_alone(data: tuple[np.ndarray, np.ndarray]) -> None:
    config = replace(CONFIG, resize=(0.5, 2.0), photometric=True)
    first, again = batch_at(*data, config, 1, 3), batch_at(*data, replace(config, iterations=99), 1, 3)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert first[0].shape == (5, 24, 24, 3) and first[0].dtype == np.uint8 and first[1].dtype == np.int64
    for seed, iteration in ((2, 3), (1, 4)):
        assert not np.array_equal(batch_at(*data, config, seed, iteration)[0], first[0])


def test_resized_batches_keep_the_images_size_and_teach_no_padding(data: tuple[np.ndarray, np.ndarray]) -> None:
    config = TrainingConfig(iterations=3, batch=4, lr=0.01, resize=(0.5, 0.5))
    crops, labels = batch_at(*data, config, 0, 0)
    assert crops.shape == (4, 32, 32, 3)
    assert (labels[:, :16, :16] < 2).all() or (labels[:, :16, 16:] < 2).all(axis=(1, 2)).any()
    assert ((labels == IGNORED).sum(axis=(1, 2)) == 32 * 32 - 16 * 16).all()
    history = train(tiny(), *data, config, 0)
    assert all(np.isfinite(losses["loss"]) for losses in history)


def test_ignored_pixels_count_in_no_loss() -> None:
    output = torch.randn(2, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    labels = np.random.default_rng(0).integers(0, 2, (2, 6, 6))
    for weights in (None, (1.0, 7.0)):
        config = TrainingConfig(iterations=1, class_weights=weights)
        hidden = labels.copy()
        hidden[:, 3:] = IGNORED
        (masked,) = losses(output, hidden, config, 2)
        (kept,) = losses(output[:, :, :3], np.ascontiguousarray(labels[:, :3]), config, 2)
        torch.testing.assert_close(masked, kept)
        assert weight(hidden, config) == pytest.approx(weight(labels[:, :3], config))


def test_one_cycle_is_torchs(data: tuple[np.ndarray, np.ndarray]) -> None:
    for iterations in (10, 37, 500):
        config = TrainingConfig(iterations=iterations, lr=0.1, schedule="one-cycle")
        optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.1, total_steps=iterations, cycle_momentum=False)
        expected = []
        for _ in range(iterations):
            expected.append(schedule.get_last_lr()[0])
            optimiser.step()
            schedule.step() if len(expected) < iterations else None
        assert [0.1 * config.lr_factor(i) for i in range(iterations)] == pytest.approx(expected)


def test_averaged_weights_are_the_moving_average_of_the_trained_ones(data: tuple[np.ndarray, np.ndarray]) -> None:
    config = TrainingConfig(iterations=12, batch=3, lr=1e-2)
    states: list[dict[str, Tensor]] = []
    plain, averaged = tiny(), tiny()
    start = {name: value.clone() for name, value in plain.state_dict().items()}
    follow = lambda *_: states.append({k: v.clone() for k, v in plain.state_dict().items()})  # noqa: E731
    train(plain, *data, config, 0, progress=follow)
    train(averaged, *data, replace(config, ema_decay=0.8), 0)
    for name, value in averaged.state_dict().items():
        expected = start[name]
        for done, state in enumerate(states, 1):
            decay = min(0.8, (1 + done) / (10 + done)) if expected.is_floating_point() else 0
            expected = decay * expected + (1 - decay) * state[name]
        assert torch.allclose(value.double(), expected.double(), atol=1e-6), name


def test_averaged_weights_survive_an_interruption(data: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    config = TrainingConfig(iterations=9, batch=3, lr=1e-2, ema_decay=0.9, checkpoint_every=2)
    whole, resumed = tiny(), tiny()
    train(whole, *data, config, 0)

    def stop(done: int, *_: object) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny(), *data, config, 0, checkpoint=tmp_path / "c", progress=stop)
    train(resumed, *data, config, 0, checkpoint=tmp_path / "c")
    again = tiny()
    train(again, *data, config, 0, checkpoint=tmp_path / "c")  # finished: nothing is trained
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]) and torch.equal(value, again.state_dict()[name])


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_a_measured_training_ends_as_one_that_is_not(data: tuple[np.ndarray, np.ndarray], ema_decay: float) -> None:
    config = TrainingConfig(iterations=11, batch=3, lr=1e-2, ema_decay=ema_decay)
    seen: list[Tensor] = []

    def figures(network: nn.Module) -> dict[str, float]:
        assert not network.training
        torch.rand(3)  # draws of its own must change nothing
        seen.append(network.state_dict()["main.weight"].clone())
        return {"figure": float(len(seen))}

    measured, plain = tiny(), tiny()
    history = train(measured, *data, config, 0, measure=Measure(figures, 4))
    train(plain, *data, config, 0)
    assert [(i, one["figure"]) for i, one in enumerate(history, 1) if "figure" in one] == [
        (3, 1),
        (6, 2),
        (9, 3),
        (11, 4),
    ]
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in measured.state_dict().items())
    assert torch.equal(seen[-1], measured.main.weight), "the last point is of the weights that are scored"


def test_points_are_no_more_than_iterations() -> None:
    measure = Measure(lambda _: {}, 6)
    assert [done for done in range(1, 4) if measure.is_due(done, 3)] == [1, 2, 3]
    assert sum(measure.is_due(done, 1000) for done in range(1, 1001)) == 6


def test_outputs_start_at_the_class_prior() -> None:
    network = tiny()
    assert set_prior(network, 0.05) == 2
    nn.init.zeros_(network.main.weight)
    network.eval()
    assert torch.allclose(network(torch.rand(1, 3, 8, 8)).softmax(1)[:, 1], torch.tensor(0.05))
    set_prior(network, 0.05, (1.0, 4.0))
    weighted = 0.05 * 4 / (0.05 * 4 + 0.95)
    assert torch.allclose(network(torch.rand(1, 3, 8, 8)).softmax(1)[:, 1], torch.tensor(weighted))
    assert set_prior(nn.Conv2d(3, 2, 1, bias=False), 0.05) == 0
    assert set_prior(network, 1.0) == 2 and bool(torch.isfinite(network.main.bias).all())
