"""Training, scoring and selecting by themselves: the same figures as a comparison's, from the same code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import benchkit
from benchkit.config.grid import load_grid
from benchkit.errors import BenchkitError
from benchkit.functions.training import HEAD, WHOLE
from benchkit.inference.detector import TrainedDetector
from benchkit.metrics import COMPANION, METRICS, PRIMARY, metric
from benchkit.outputs.finished_run import FinishedRun, RowQuery, train_of
from benchkit.plugin.registry import Registry
from benchkit.runs.run import RunLocations
from tests.helpers.small_comparison import PLUGINS, Finished


@pytest.fixture(scope="module")
def run(finished: Finished) -> FinishedRun:
    return FinishedRun.open(str(finished.out), RunLocations(cache=finished.cache), Registry.load(files=[PLUGINS]))


@pytest.fixture(scope="module")
def shapes() -> benchkit.DatasetView:
    return benchkit.load_dataset("shapes", plugins=[PLUGINS])


@pytest.fixture(scope="module")
def frozen() -> tuple[TrainedDetector, benchkit.ImageBatch]:
    """A head on an embedded trunk, after few iterations, and images that it was not trained on."""
    pool = benchkit.load_dataset("portraits")["pool"]
    return benchkit.train("frozen-convnext", pool[:8], iterations=20, device="cpu"), pool[8:12]


def test_training_is_that_of_the_stage(run: FinishedRun) -> None:
    stage = train_of(run.find_cell(RowQuery("human")))
    pairs = stage.pairs.load(run.env)
    settings = {key: value for key, value in asdict(stage.config).items() if key != "iterations"}
    made = benchkit.train(
        "dot",
        np.asarray(pairs.images),
        np.asarray(pairs.masks),
        iterations=stage.config.iterations,
        seed=stage.seed,
        device="cpu",
        training=settings,
        plugins=[PLUGINS],
    )
    for name, value in stage.network(run.env).state_dict().items():
        assert torch.equal(made.network.state_dict()[name], value)
    assert made.card["training"]["prevalence"] == pairs.prevalence


def test_figures_are_those_of_the_board(
    run: FinishedRun, finished: Finished, shapes: benchkit.DatasetView, tiny_checkpoint: Path
) -> None:
    planned = run.find_cell(RowQuery("human"))
    trained = TrainedDetector(train_of(planned).network(run.env), 0.5, {})
    model = benchkit.load_model(tiny_checkpoint, device="cpu")
    figures = benchkit.evaluate(trained, shapes, count=4, validation=None, model=model)
    rows = benchkit.load_comparison(finished.out, cache=finished.cache).metrics().set_index("training_set")
    short = {PRIMARY: "iou", COMPANION: "ap"}
    for name in METRICS:
        scale = 100 if metric(name).unit == "fraction" else 1
        own = figures[short.get(name, name)]
        assert own == pytest.approx(rows[name]["human"] * scale, rel=1e-12, nan_ok=True), name
    assert figures["iou"] >= 0


def test_corrupted_images_are_trained_on_as_they_are(shapes: benchkit.DatasetView, tiny_checkpoint: Path) -> None:
    model = benchkit.load_model(tiny_checkpoint, device="cpu", num_inference_steps=10)
    batch = shapes["clean"][:4]
    masks = benchkit.select("random-boxes", batch)
    made = benchkit.corrupt("gaussian:steps=0", batch, masks, model=model)
    options: dict[str, Any] = {"iterations": 2, "device": "cpu", "plugins": [PLUGINS]}
    one = benchkit.train("dot", made, **options)
    two = benchkit.train("dot", made.images, made.labels, **options)
    assert all(torch.equal(a, b) for a, b in zip(one.network.parameters(), two.network.parameters(), strict=True))
    lines: list[str] = []
    benchkit.train("dot", made, progress=lines.append, **options)
    assert lines == ["train dot 1/2", "train dot 2/2"]


def test_selections_are_those_of_the_stage(run: FinishedRun, shapes: benchkit.DatasetView) -> None:
    stage = run.corrupted()[0]
    chunk = train_of(stage).pairs.chunks[0].region.select  # type: ignore[union-attr]
    masks = chunk.masks(run.env)
    model = benchkit.load_model(run.model(stage).location, device="cpu")
    batch = shapes["clean"][: len(masks)].autoencoded(model)
    assert np.array_equal(batch.images, run.env.arrays(chunk.images[0])["images"])
    assert np.array_equal(benchkit.select(str(chunk.selector), batch, seed=chunk.seed).numpy(), masks)


def test_a_learned_selection_has_the_area_that_was_trained_on(
    frozen: tuple[TrainedDetector, benchkit.ImageBatch],
) -> None:
    detector, batch = frozen
    masks = benchkit.select("learned", batch, detector=detector)
    prevalence = detector.card["training"]["prevalence"]
    assert float(masks.float().mean()) == pytest.approx(prevalence, rel=0.02)
    half = benchkit.select("learned:tau=0.5", batch, detector=detector)
    heats = torch.from_numpy(np.stack(detector(batch)))
    assert (half != (heats >= 0.5)).float().mean() < 1e-4  # the last bits differ: images are predicted one by one
    union = benchkit.select("union:of=learned:tau=0.5+random-boxes", batch, detector=detector)
    assert torch.equal(union, half | benchkit.select("random-boxes", batch))


def test_a_frozen_detector_predicts_and_is_scored(frozen: tuple[TrainedDetector, benchkit.ImageBatch]) -> None:
    detector, batch = frozen
    figures = benchkit.evaluate(detector, batch)
    assert 0 <= figures["ap"] <= 100
    assert np.isnan(figures["f1_validation_threshold"])


def test_a_trained_detector_is_saved_and_loaded(
    frozen: tuple[TrainedDetector, benchkit.ImageBatch], tmp_path: Path
) -> None:
    detector, batch = frozen
    detector.save(tmp_path / "mine")
    again = benchkit.load_detector(tmp_path / "mine", device="cpu")
    assert all(np.array_equal(a, b) for a, b in zip(again(batch), detector(batch), strict=True))
    assert again.card["training"]["prevalence"] == detector.card["training"]["prevalence"]
    with pytest.raises(BenchkitError, match="mine"):
        detector.save(tmp_path / "mine")
    detector.save(tmp_path / "mine", force=True)
    anonymous = replace(detector, card={"detector": {"name": "odd"}})
    with pytest.raises(ValueError, match=r"'odd' is a class of this session: write it to a file"):
        anonymous.save(tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_the_usual_settings_are_those_of_the_quick_preset() -> None:
    grid = load_grid("quick")
    assert {name: getattr(grid.training, name) for name in HEAD} == HEAD
    (network,) = grid.on_detector.values()
    own = network.training
    assert {name: getattr(own, name) if not isinstance(own, dict) else own[name] for name in WHOLE} == WHOLE


def trained(*arguments: Any, **options: Any) -> Any:
    return benchkit.train("dot", *arguments, plugins=[PLUGINS], **options)


Call = Callable[[benchkit.ImageBatch, TrainedDetector], Any]
WRONG: list[tuple[str, type[Exception], Call]] = [
    ("masks: give", TypeError, lambda b, d: trained(b.images)),
    (
        "not this generator",
        TypeError,
        lambda b, d: benchkit.train("dot", (i for i in b.images), b.masks, plugins=[PLUGINS]),
    ),  # type: ignore[arg-type]
    (r"masks of shape \(1,", ValueError, lambda b, d: trained(b, b.masks[:1])),
    (
        "none of the 2 training images shows",
        BenchkitError,
        lambda b, d: benchkit.train("dot", b, b.masks & False, plugins=[PLUGINS]),
    ),
    ("iterations=0", ValueError, lambda b, d: trained(b, iterations=0)),
    (
        "unknown key 'learning_rate'",
        ValueError,
        lambda b, d: benchkit.train("dot", b, training={"learning_rate": 1}, plugins=[PLUGINS]),
    ),
    (
        "training.lr: Input should be greater than 0",
        ValueError,
        lambda b, d: benchkit.train("dot", b, training={"lr": -1.0}, plugins=[PLUGINS]),
    ),
    (
        "give iterations as an argument",
        ValueError,
        lambda b, d: benchkit.train("dot", b, training={"iterations": 1}, plugins=[PLUGINS]),
    ),
    (
        "progress='yes': give True",
        TypeError,
        lambda b, d: trained(b, progress="yes"),
    ),  # type: ignore[arg-type]
    ("detector: 1 is no detector: give text", TypeError, lambda b, d: benchkit.train(1, b)),  # type: ignore[arg-type]
    ("give what benchkit.train or", TypeError, lambda b, d: benchkit.evaluate("dot", b)),  # type: ignore[arg-type]
    ("unknown split 'tset'", ValueError, lambda b, d: benchkit.evaluate(d, "shapes", split="tset", plugins=[PLUGINS])),
    ("count=0", ValueError, lambda b, d: benchkit.evaluate(d, b, count=0)),
    ("needs a trained detector, none was given", TypeError, lambda b, d: benchkit.select("learned", b)),
    ("its card does not say", ValueError, lambda b, d: benchkit.select("learned", b, detector=d)),
]


@pytest.mark.parametrize(("message", "kind", "call"), WRONG, ids=[message for message, *_ in WRONG])
def test_unusable_arguments_are_named(
    shapes: benchkit.DatasetView, run: FinishedRun, message: str, kind: type[Exception], call: Call
) -> None:
    trained = TrainedDetector(train_of(run.find_cell(RowQuery("human"))).network(run.env), 0.5, {})
    with pytest.raises(BenchkitError, match=message) as raised:
        call(shapes["test"][:2], trained)
    assert isinstance(raised.value, kind)
    assert "\n" not in str(raised.value)


def test_a_selector_that_reads_masks_is_told_which_image_lacks_one() -> None:
    from benchkit.api import RegionSelector

    needing = next(
        entry
        for entry in Registry.load().entries("selector")
        if issubclass(entry.cls, RegionSelector) and entry.cls().needs()
    )
    with pytest.raises(ValueError, match="of every image, and '0' has none: give an ImageBatch"):
        benchkit.select(needing.name, np.zeros((1, 8, 8, 3), np.uint8))
