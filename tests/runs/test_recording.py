"""A planned cell's record: its role and every setting that decides its figures, as fields."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchkit.config.grid import parse_grid
from benchkit.planning.plan import Plan
from benchkit.planning.planner import Planner
from benchkit.plugin.registry import Registry
from benchkit.runs.cell_recorder import make_cell_info, map_short_texts
from benchkit.stages.base import Model
from benchkit.store.columns import SETTINGS
from benchkit.store.results import ResultStore
from benchkit.store.schema import CellInfo

GRID = """
title: test
labelled: 10
source: {split: clean, size: 20}
test: {split: test, size: 4}
validation: {split: validation, size: 6}
trivial: [mean-mask]
baselines: [human, pseudo, oracle]
oracle: {split: wild, size: 5}
corruptors: ["gaussian:steps=2", "gaussian:steps=0"]
with_human: ["gaussian:steps=2"]
detectors: ["upernet-convnext:pretrained=none"]
label: latent
selector_training: {iterations: 3, crop: 32}
training: {iterations: 7, batch: 2, crop: 32}
"""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load()


@pytest.fixture(scope="module")
def plan(registry: Registry) -> Plan:
    model = Model.of("owner/name@v1:dtype=float16", "ab" * 32, 50)
    return Planner(parse_grid(GRID, "test"), registry, model).plan()


@pytest.fixture(scope="module")
def infos(plan: Plan, registry: Registry) -> dict[str, CellInfo]:
    return {plan.names[planned.key]: make_cell_info(planned, registry) for planned in plan.cells}


def test_a_row_is_its_fields(infos: dict[str, CellInfo]) -> None:
    assert {name: (info.role, info.method) for name, info in infos.items()} == {
        "mean-mask": ("trivial", "mean-mask"),
        "human": ("human", None),
        "oracle": ("oracle", None),
        "pseudo": ("pseudo", None),
        "gaussian:steps=2": ("corrupted", "gaussian:steps=2"),
        "gaussian:steps=0": ("corrupted", "gaussian:steps=0"),
        "human+gaussian:steps=2": ("mixed", "gaussian:steps=2"),
    }
    assert infos["pseudo"].source_name == "clean"
    assert infos["human"].source_name is None
    assert infos["human+gaussian:steps=2"].corruptor == "gaussian"
    assert infos["gaussian:steps=2"].inverter == "renoise:iterations=1,regularise=false,target=forward"
    assert infos["gaussian:steps=0"].inverter is None, "nothing is inverted"


def test_every_setting_of_a_corrupted_row_is_there(infos: dict[str, CellInfo]) -> None:
    settings = dict(infos["gaussian:steps=2"].settings)
    trainings = [json.loads(settings.pop(name)) for name in ("training", "selector_training")]
    assert [one["iterations"] for one in trainings] == [7, 3]
    assert trainings[0]["batch"] == 2
    assert settings == {
        "labelled": 10,
        "source_set": "portraits/clean[20]",
        "source_images": 20,
        "test_images": 4,
        "validation_images": 6,
        "label": "latent",
        "paste_background": False,
        "checkpoint": "owner/name@v1",
        "checkpoint_sha256": "ab" * 32,
        "dtype": "float16",
        "autoencoder": "whole",
        "num_inference_steps": 50,
        "uses": "corruptor gaussian; dataset portraits; detector upernet-convnext; inverter renoise; selector learned",
    }
    assert {*settings, "training", "selector_training", "provenance"} == set(SETTINGS)


def test_a_row_has_no_setting_that_it_does_not_rest_on(infos: dict[str, CellInfo]) -> None:
    human, trivial = infos["human"].settings, infos["mean-mask"].settings
    assert json.loads(human["selector_training"])["iterations"] == 3, "it is trained as the selector is"
    assert "training" not in human
    assert human["labelled"] == 10
    assert trivial["labelled"] == 10, "the mean of their masks"
    assert not {"label", "source_set", "training"} & trivial.keys()
    assert "inverter" not in infos["gaussian:steps=0"].settings["uses"]


def test_every_row_says_which_images_it_learned_from(infos: dict[str, CellInfo]) -> None:
    found = {name: (info.settings.get("labelled"), info.settings.get("source_set")) for name, info in infos.items()}
    clean = "portraits/clean[20]"
    assert found == {
        "mean-mask": (10, None),
        "human": (10, None),
        "oracle": (None, "portraits/wild[5]"),
        "pseudo": (10, clean),
        "gaussian:steps=2": (10, clean),
        "gaussian:steps=0": (10, clean),
        "human+gaussian:steps=2": (10, clean),
    }


def test_people_are_shown_no_defaults(plan: Plan) -> None:
    shown = map_short_texts(plan)
    assert shown["upernet-convnext:pretrained=none,size=mini"] == "upernet-convnext:pretrained=none"
    learned = next(text for text in shown if text.startswith("learned"))
    assert shown[learned] == "learned"


def test_the_store_keeps_all_of_it(infos: dict[str, CellInfo], tmp_path: Path) -> None:
    results = ResultStore(tmp_path / "results.sqlite")
    run = results.create_run({}, {})
    results.upsert_cells(run, infos.values())
    assert results.cells(run) == list(infos.values())
    row = results.rows(run).set_index("cell").loc[infos["gaussian:steps=2"].key]
    assert (row["role"], row["method"], row["num_inference_steps"]) == ("corrupted", "gaussian:steps=2", 50)
    assert json.loads(row["training"])["iterations"] == 7
