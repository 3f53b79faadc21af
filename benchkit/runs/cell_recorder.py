"""Write planned cells to the result store, and the rows of those that are done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from benchkit.diffusion.options import public_name
from benchkit.executors.batch import StageResult
from benchkit.executors.repair_artifacts import read_repaired
from benchkit.metrics.counts import COUNTS, Measured
from benchkit.metrics.curves import is_climbing
from benchkit.metrics.registry import by_kind
from benchkit.planning.plan import Plan, PlannedCell
from benchkit.plugin.networks import get_frozen
from benchkit.plugin.registry import Registry
from benchkit.runs.provenance import count_threads
from benchkit.specs.cell import Cell
from benchkit.specs.spec import Spec
from benchkit.specs.training_sets import ImageSet, Labelled
from benchkit.stages.base import Env
from benchkit.stages.evaluate import TrivialPredictor
from benchkit.stages.pairs import AnyPairs, LabelledPairs, MixedPairs, PseudoPairs
from benchkit.stages.train import Train
from benchkit.store.artifacts import parse_json
from benchkit.store.results import CellInfo, ResultStore


def make_cell_info(planned: PlannedCell, registry: Registry) -> CellInfo:
    """Return the CellInfo of a planned cell: its labels, and every setting that decides its figures."""
    cell = planned.cell
    corruptor = cell.training.corruptor
    return CellInfo(
        key=planned.key,
        role=cell.role,
        seed=cell.seed,
        test_set=_set_text(cell.test),
        method=cell.method,
        detector=_text(cell.detector),
        selector=_text(cell.training.selector),
        corruptor=corruptor.name if corruptor else None,
        corruptor_params=corruptor.values if corruptor else {},
        inverter=_text(cell.inverter),
        source_name=cell.source_name,
        variant=cell.variant,
        settings=_settings(planned, registry),
        state="skipped" if planned.skip else "pending",
        reason=planned.skip,
    )


def list_plugins(cell: Cell, registry: Registry) -> set[Spec]:
    """Return every plugin that a cell uses, with the parts of composite plugins."""
    named = [cell.test.dataset, *cell.training.plugins(), *([cell.detector] if cell.detector else [])]
    # An inverter that the row does not need decides nothing.
    named = [spec for spec in named if spec.kind != "inverter" or spec == cell.inverter]
    return {part for spec in named for part in registry.with_parts(spec)}


def map_short_texts(plan: Plan) -> dict[str, str]:
    """Return full text -> shorter text of the plan's Specs and image sets, for display."""
    found: dict[str, str] = {}
    for cell in (planned.cell for planned in plan.cells):
        specs = {spec for spec in (cell.detector, *cell.training.plugins()) if spec is not None}
        found |= {str(spec): spec.short for spec in specs}
        found |= {
            _set_text(images): _set_text(images, short=True) for images in (cell.test, *cell.training.image_sets())
        }
    return {text: short for text, short in found.items() if text != short}


def _settings(planned: PlannedCell, registry: Registry) -> dict[str, Any]:
    """Return the SETTINGS of a row that have a value."""
    cell, train, model = planned.cell, planned.train, planned.model
    corrupted = cell.training.corrupted()
    selection = _selector_training(train.pairs) if train else None
    labelled = _labelled(planned, selection)
    if cell.role == "human":  # it is the selector's training, by the selector's settings
        train, selection = None, train
    sources = [part.images for part in cell.training.parts if cell.role == "oracle" or not isinstance(part, Labelled)]
    source = sources[-1] if sources else None
    found: dict[str, Any] = {
        "labelled": labelled,
        "source_set": None if source is None else _set_text(source),
        "source_images": None if source is None else len(source.indices),
        "test_images": len(cell.test.indices),
        "validation_images": sum(len(s.source.indices) for s in planned.evaluate.validation)
        if planned.evaluate
        else None,
        "label": corrupted[0].label if corrupted else None,
        "paste_background": corrupted[0].paste_background if corrupted else None,
        "selection_seed": planned.selection_seed,
        "training": _config(train, registry),
        "selector_training": _config(selection, registry),
        "provenance": _provenance(cell, registry),
        "uses": "; ".join(sorted({f"{spec.kind} {spec.name}" for spec in list_plugins(cell, registry)})),
    }
    if model is not None:
        found |= {
            "checkpoint": public_name(model.location),
            "checkpoint_sha256": model.identity,
            "dtype": model.dtype if model.sampling == "float32" else f"{model.dtype}, sampling {model.sampling}",
            "autoencoder": model.vae,
            "num_inference_steps": model.steps,
            "chunk": planned.chunk,
            "resampling": planned.resampling,
        }
    return {name: value for name, value in found.items() if value is not None}


def _provenance(cell: Cell, registry: Registry) -> str | None:
    """Return how the datasets of a row were prepared; None if they record nothing."""
    specs = dict.fromkeys((cell.test.dataset, *(images.dataset for images in cell.training.image_sets())))
    lines = []
    for spec in specs:
        facts = registry.dataset(spec).provenance()
        lines += [f"{spec.name}: {', '.join(f'{key} {value}' for key, value in facts.items())}"] if facts else []
    return "; ".join(lines) or None


def _selector_training(pairs: AnyPairs) -> Train | None:
    """Return the training of the selector that chose a set's regions; None if it is not learned."""
    if isinstance(pairs, MixedPairs):
        return next((found for part in pairs.parts[::-1] if (found := _selector_training(part))), None)
    if isinstance(pairs, LabelledPairs):
        return None
    select = pairs.select if isinstance(pairs, PseudoPairs) else pairs.chunks[0].region.select
    return next((one.train for one in (select, *select.parts) if one.train is not None), None)


def _labelled(planned: PlannedCell, selection: Train | None) -> int | None:
    """Return how many labelled images a row used: itself, in its selector, or for the mean of their masks."""
    cell, predictor = planned.cell, planned.evaluate.predictor if planned.evaluate else None
    own = [len(part.images.indices) for part in cell.training.parts if isinstance(part, Labelled)]
    if own and cell.role != "oracle":
        return own[0]
    if isinstance(predictor, TrivialPredictor):
        return sum(len(stage.source.indices) for stage in predictor.labelled) or None
    pairs = selection.pairs if selection else None
    return sum(len(stage.source.indices) for stage in pairs.images) if isinstance(pairs, LabelledPairs) else None


def _config(train: Train | None, registry: Registry) -> str | None:
    """Return a training's config as JSON, without settings that do not change results; None for one that has none."""
    if train is None or ((head := get_frozen(registry, train.detector)) and head.fits_itself):
        return None
    values = asdict(train.config)
    del values["checkpoint_every"]
    if train.config.precision == "float32":  # as rows say that were recorded before there was another one
        del values["precision"]
    return json.dumps(values, sort_keys=True)


def _set_text(images: ImageSet, *, short: bool = False) -> str:
    """Return `DATASET/SPLIT[IMAGES]`."""
    return f"{images.dataset.short if short else images.dataset}/{images.split}[{len(images.indices)}]"


def _text(spec: Spec | None) -> str | None:
    return None if spec is None else str(spec)


@dataclass
class Recorder:
    """Records each cell when its last stage is done, so that an interrupted run shows its finished cells."""

    run: str
    env: Env
    results: ResultStore
    environment: Mapping[str, Any]
    cells: Sequence[PlannedCell]
    stage_results: dict[str, StageResult] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.readers: dict[str, list[PlannedCell]] = {}
        for planned in self.cells:
            for stage in planned.stages:
                self.readers.setdefault(stage.key, []).append(planned)

    def record(self, result: StageResult) -> None:
        """Record the result of a stage, and every cell whose last stage it is."""
        self.stage_results[result.stage.key] = result
        for planned in self.readers.get(result.stage.key, ()):
            if all(stage.key in self.stage_results for stage in planned.stages):
                self._record_cell(planned)

    def _record_cell(self, planned: PlannedCell) -> None:
        for result in (self.stage_results[stage.key] for stage in planned.stages):
            if result.state in ("failed", "skipped"):
                self.results.set_state(self.run, planned.key, "failed", reason=result.reason)
                return
        row, counts, measured = read_repaired(lambda: read_row(planned, self.env), planned.stages, self.env)
        provenance = {**self.environment, "threads": count_threads()}
        self.results.save_row(planned.key, row, counts, measured, provenance=provenance)
        results = (self.stage_results.get(stage.key) for stage in Plan((planned,)).stages)
        seconds = sum(result.seconds for result in results if result is not None)
        self.results.set_state(self.run, planned.key, "done", seconds=seconds)


def read_row(planned: PlannedCell, env: Env) -> tuple[dict[str, Any], pd.DataFrame, dict[str, np.ndarray]]:
    """Return a finished cell's metrics, per-image counts and histograms."""
    assert planned.evaluate is not None
    facts = parse_json(env.store.open(planned.evaluate.key).read("row.json"))
    measured = planned.evaluate.measured(env)
    counts = pd.DataFrame({"image": facts["ids"], **{name: measured[f"table:{name}"] for name in COUNTS}})
    kinds = by_kind(replace(Measured.from_arrays(measured), threshold=facts["threshold"]))
    row = {
        **facts["row"],
        **kinds,
        **facts["coverage"],
        "threshold": facts["threshold"],
        **_training_facts(planned, env),
    }
    return row, counts, measured


def _training_facts(planned: PlannedCell, env: Env) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    assert planned.evaluate is not None
    train = planned.evaluate.predictor
    if isinstance(train, Train):
        meta = env.meta(train)
        facts |= {"train_images": meta["images"], "dropped": meta["dropped"], "train_prevalence": meta["prevalence"]}
        if curve := meta.get("curve"):
            climbing = is_climbing(curve["iterations"], curve["average_precision"])
            facts |= {"curve": json.dumps(curve, sort_keys=True), "still_climbing": climbing}
    if planned.confine is not None:
        select = env.meta(planned.confine.select)
        facts |= {"selected_area": select["area"], "selector_threshold": select["threshold"]}
        summary = parse_json(env.store.open(planned.confine.key).read("confinement.json"))
        facts |= {f"confinement_{name}": value for name, value in summary.items()}
    return facts
