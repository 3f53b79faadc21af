"""One cell of a comparison: what is trained on, the detector, the seed, the test images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from benchkit.specs.spec import Spec
from benchkit.specs.training_sets import ImageSet, TrainingSet

#: What a row is on a board, whatever its plugins are called. human: labelled images, with the selector's training.
Role = Literal["human", "pseudo", "oracle", "corrupted", "mixed", "trivial"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True)
class Cell:
    """One trained and scored combination: training set, detector, seed, test images.

    role: what the row is. detector: None in trivial rows. method: the corruptor as its user wrote it, or the rule of a
    trivial row. inverter: None where the row needs none. source_name: the grid's name for the images that are corrupted
    or pseudo-labelled. variant: what an ablation changed, `AXIS=VALUE`. A row's printed name is made of these by
    `benchkit.report.names`.
    """

    role: Role
    training: TrainingSet
    detector: Spec | None
    seed: int
    test: ImageSet
    method: str | None = None
    inverter: Spec | None = None
    source_name: str | None = None
    variant: str | None = None
