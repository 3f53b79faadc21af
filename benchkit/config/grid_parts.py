"""What a grid is made of: the types of its settings, sets of images, budgets of trainings.

The descriptions of the fields are the reference of a grid file's keys: `python docs/keys.py` writes docs/keys.md.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationInfo,
    create_model,
    model_serializer,
    model_validator,
)

from benchkit.errors import BenchkitError
from benchkit.specs.grammar import read_value
from benchkit.specs.spec import SEEDS, Schedule, Spec, TrainingConfig

_log = logging.getLogger(__name__)
T = TypeVar("T")

#: A fraction of a split is never less: batch-normalised detectors train on two or more.
LEAST = 2


@dataclass(frozen=True)
class Names:
    """Marks a text as naming plugins of a kind, `NAME:key=value`; sweep: `NAME:key=a|b` may name several."""

    kind: str
    sweep: bool


def spec_text(kind: str) -> Any:
    """The type of a text that names one plugin of a kind; it comes out as its Spec prints it."""
    return Annotated[str, AfterValidator(lambda text: str(_read(kind, text, Spec.parse))), Names(kind, False)]


def sweep_text(kind: str) -> Any:
    """The type of one text that may be a sweep, checked and left as it is written, without spaces around it."""

    def checked(text: str) -> str:
        specs = _read(kind, text, Spec.parse_all)
        return text.strip() if len(specs) > 1 else str(specs[0])

    return Annotated[str, AfterValidator(checked), Names(kind, True)]


def spec_texts(kind: str) -> Any:
    """The type of texts of which each may be a sweep; they come out as one text a Spec, each once."""

    def expanded(texts: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        return _each_once(tuple(str(spec) for text in texts for spec in Spec.parse_each(kind, text)), info)

    # Each by itself first, so that a mistake is named with its line.
    return Annotated[tuple[sweep_text(kind), ...], AfterValidator(expanded)]  # type: ignore[misc]


def _read(kind: str, text: str, read: Callable[[str, str], T]) -> T:
    try:
        return read(kind, text)
    except BenchkitError as error:
        raise ValueError(str(error)) from None


def _each_once(values: tuple[T, ...], info: ValidationInfo) -> tuple[T, ...]:
    for value in dict.fromkeys(value for value in values if values.count(value) > 1):
        _log.warning("%s: '%s' is given twice: it is run once", info.field_name, value, extra={"tell": True})
    return tuple(dict.fromkeys(values))


def _as_number(value: Any) -> Any:
    """A number that YAML 1.1 takes for text, such as 1e-3."""
    if isinstance(value, str) and value.strip():
        read = read_value(value)
        return read if isinstance(read, float) else value
    return value


Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict(), BeforeValidator(_as_number)]
Flag = Annotated[bool, Strict()]
Seed = Annotated[Whole, Field(ge=0, lt=SEEDS)]
Weight = Annotated[Number, Field(gt=0)]
Baseline = Literal["human", "pseudo", "oracle"]
TrivialRow = Literal["all-negative", "all-positive", "mean-mask"]
Baselines = Annotated[tuple[Baseline, ...], AfterValidator(_each_once)]
TrivialRows = Annotated[tuple[TrivialRow, ...], AfterValidator(_each_once)]
Seeds = Annotated[tuple[Seed, ...], AfterValidator(_each_once)]


class StrictModel(BaseModel):
    """Keys that a grid does not have are refused, and so are values of another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def optional(default: Any, description: str, **limits: Any) -> Any:
    """A field that a grid's record leaves out where it says nothing, so that older grids are recorded as before."""
    return Field(default, exclude_if=lambda value: value == default, description=description, **limits)


class SetSize(StrictModel):
    """A split of the dataset and how many of its images."""

    split: str = Field(description="The dataset's split.")
    size: Whole | None = Field(
        None, ge=1, description="How many of its first images; null: all of them, or `fraction`."
    )
    fraction: Number = optional(1.0, "Without a `size`: this fraction of the images.", gt=0, le=1)


class SourceSet(SetSize):
    """Images to corrupt: of the grid's dataset or another one."""

    dataset: spec_text("dataset") | None = optional(None, "Another dataset than the grid's.")  # type: ignore[valid-type]
    rest: Flag = optional(False, "Of the split `pool`: without what the seed draws as labelled.")
    name: str | None = optional(
        None,
        "What its rows are called by where a grid has several sources; null: the dataset's name, or the split.",
        pattern=r"^[\w.+-]+( [\w.+-]+)*$",
    )
    paper: str | None = optional(None, "The paper's name for the images that these stand for.")

    @property
    def title(self) -> str:
        """What tells its rows from those of other sources."""
        return self.name or (self.dataset or self.split).partition(":")[0]

    @model_validator(mode="after")
    def _rest_of_the_pool(self) -> SourceSet:
        if self.rest and (self.split != "pool" or self.dataset is not None):
            raise ValueError("'rest: true' is about the split 'pool' of the grid's own dataset: name no other")
        return self


class Budget(StrictModel):
    """How a detector is trained."""

    iterations: Whole = Field(ge=1, description="Gradient steps.")
    batch: Whole = Field(8, ge=1, description="Images of a step.")
    lr: Number = Field(6e-5, gt=0, description="Learning rate, at its highest.")
    weight_decay: Number = Field(0.01, ge=0, description="Of AdamW.")
    crop: Whole | None = Field(
        None, ge=32, description="Side of the random square crops in pixels; null: whole images."
    )
    schedule: Schedule = Field(
        "constant",
        description="The learning rate: constant; `poly`: falls to zero; `linear-warmup-poly`: rises first; "
        "`one-cycle`: rises and falls by a cosine.",
    )
    warmup: Whole = Field(0, ge=0, description="Iterations of the rise; only of `linear-warmup-poly`.")
    power: Number = Field(1.0, gt=0, description="Of the polynomial by which the learning rate falls.")
    flip: Flag = Field(True, description="Mirror every other image, left to right.")
    positive_crop: Number = Field(
        0.0, ge=0, le=1, description="Fraction of the crops that are centred on a marked pixel; needs a `crop`."
    )
    auxiliary_weight: Number = Field(
        0.4, ge=0, description="Weight of the loss of every logit map after the first (a network's auxiliary heads)."
    )
    class_weights: tuple[Weight, Weight] | None = Field(
        None, description="Weights of the cross-entropy, `[background, artifact]`; null: equal."
    )
    clip_norm: Number | None = Field(
        None, gt=0, description="Gradients of a larger norm are scaled down to it; null: never."
    )
    checkpoint_every: Whole = optional(
        200,
        "Iterations between the states that an interrupted training continues from. It changes no result, but a "
        "finished training with another value is not found again.",
        ge=1,
    )
    resize: tuple[Number, Number] | None = Field(
        None,
        description="Smallest and largest factor of resizing before the crop, in 0.1 … 10; null: 1.",
    )
    photometric: Flag = Field(False, description="Distort brightness, contrast, saturation and hue.")
    ema_decay: Number = optional(
        0.0,
        "Decay of the moving average of the weights, which is what is scored then; 0: the last weights are scored.",
        ge=0,
        lt=1,
    )
    prior_bias: Flag = optional(
        False, "Start the output biases at the training set's fraction of artifact pixels, not at 1/2."
    )

    @model_validator(mode="after")
    def _as_a_training(self) -> Budget:
        try:
            self.config()
        except BenchkitError as error:
            raise ValueError(str(error).removeprefix("training: ")) from None
        return self

    def config(self) -> TrainingConfig:
        """The training function's own description."""
        return TrainingConfig(**self.model_dump())

    def changed(self, changes: Mapping[str, Any]) -> Budget:
        """Return a copy with some settings replaced, and checked together; raises pydantic's ValidationError."""
        return Budget.model_validate({**self.model_dump(), **changes})


class _Written(StrictModel):
    """Settings of which only those that were written count, and are dumped."""

    @model_serializer
    def written(self) -> dict[str, Any]:
        """Return the settings that were written."""
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}


def _without_defaults(model: type[BaseModel]) -> Any:
    """Return the fields of a model for `create_model`, none of which must be written."""
    fields = {name: copy(field) for name, field in model.model_fields.items()}
    for field in fields.values():
        field.default = None
    return {name: (field.annotation, field) for name, field in fields.items()}


#: Some settings of a training; those that are not written stay the grid's own.
PartialBudget: Any = create_model("PartialBudget", __base__=_Written, **_without_defaults(Budget))


class OnDetector(StrictModel):
    """What the rows of one detector have in place of the grid's own."""

    training: PartialBudget = optional(PartialBudget(), "Settings of `training` that are replaced.")
    selector_training: PartialBudget = optional(
        PartialBudget(), "Settings of `selector_training` that are replaced; for rows `human` too."
    )
    seeds: Seeds | None = optional(None, "In place of the grid's seeds.", min_length=1)
