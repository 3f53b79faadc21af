"""Keys outlive new fields: one that a class was given later counts only where it differs from its default."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
from pydantic import ValidationError

from benchkit.config.grid import load_grid
from benchkit.specs.keys import canonical, digest
from benchkit.specs.training_config import TrainingConfig
from benchkit.stages.base import _keyed

#: digest(TrainingConfig(iterations=400)) before `resize` and `photometric` existed.
OLD = "5d93c8e93b17f84ae5795c5c80fe5dc26cf1569797a0215732428fb329d1dbcb"


def test_a_config_at_its_defaults_has_the_key_it_always_had() -> None:
    config = TrainingConfig(iterations=400)
    assert digest(config) == OLD
    assert "resize" in asdict(config) and "resize" not in canonical(config)
    assert _keyed(config) == canonical(config)


def test_augmentations_make_another_key() -> None:
    config = TrainingConfig(iterations=400)
    keys = {digest(replace(config, **change)) for change in ({}, {"resize": (0.5, 2.0)}, {"photometric": True})}
    assert len(keys) == 3
    assert canonical(replace(config, resize=(1.0, 1.5)))["resize"] == [1.0, 1.5]


@pytest.mark.parametrize("wrong", [(2.0, 0.5), (0.0, 1.0)])
def test_factors_of_resizing_are_checked(wrong: tuple[float, float]) -> None:
    with pytest.raises(ValidationError, match="resize must be two factors"):
        TrainingConfig(iterations=1, resize=wrong)


def test_a_runs_description_is_what_it_was() -> None:
    assert "photometric" not in load_grid("portraits").as_data()["training"]
