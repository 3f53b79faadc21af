"""What a grid is made of: the types of its settings, sets of images, trainings.

The descriptions of the fields are the reference of a grid file's keys: `make docs` completes
docs/reference/grid-keys.md.
"""

from __future__ import annotations

import logging
from copy import copy
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    create_model,
    model_serializer,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from benchkit.errors import BenchkitError
from benchkit.specs.spec import Spec
from benchkit.specs.training_config import Flag, Number, TrainingConfig, Whole
from benchkit.specs.training_sets import CHUNK, SEEDS, Resampling

_log = logging.getLogger(__name__)
T = TypeVar("T")

#: A fraction of a split is at least this number of images: networks with batch normalisation train on two or more.
LEAST = 2
#: A crop in a grid has at least this side: the detectors reduce an image 32 times.
SMALLEST_CROP = 32
#: More images are never processed at once.
LARGEST_CHUNK = 1024


@dataclass(frozen=True)
class Sweep:
    """Specs that one text names: one, or several by `NAME:key=a|b`."""

    text: str
    specs: tuple[Spec, ...]

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Names:
    """Annotates a Spec, or with `sweep` a Sweep: files and records contain the text, the grid the parsed value."""

    kind: str
    sweep: bool = False

    def parse(self, value: Any) -> Spec | Sweep:
        """Return what a text names; a parsed value is returned as it is."""
        if isinstance(value, Spec):
            return Sweep(str(value), (value,)) if self.sweep else value
        if isinstance(value, Sweep):
            return value
        if not isinstance(value, str):
            raise PydanticKnownError("string_type")
        try:
            if not self.sweep:
                return Spec.parse(self.kind, value)
            specs = Spec.parse_each(self.kind, value)
        except BenchkitError as error:
            raise ValueError(str(error)) from None
        return Sweep(str(specs[0]) if len(specs) == 1 else value.strip(), specs)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        as_text = core_schema.plain_serializer_function_ser_schema(str)
        return core_schema.no_info_plain_validator_function(self.parse, serialization=as_text)


def _each_once(values: tuple[T, ...], info: ValidationInfo) -> tuple[T, ...]:
    for value in dict.fromkeys(value for value in values if values.count(value) > 1):
        _log.warning("%s: '%s' is given twice: it is run once", info.field_name, value, extra={"tell": True})
    return tuple(dict.fromkeys(values))


def _expand(entries: tuple[Any, ...], info: ValidationInfo) -> tuple[Spec, ...]:
    """Return the Specs of all sweeps, equal ones once."""
    return _each_once(tuple(spec for sweep in entries for spec in sweep.specs), info)


OneDataset = Annotated[Spec, Names("dataset")]
OneDetector = Annotated[Spec, Names("detector")]
OneInverter = Annotated[Sweep, Names("inverter", sweep=True)]
# Each entry is parsed by itself, so that a fault is reported with its line; then sweeps become Specs.
Corruptors = Annotated[tuple[Annotated[Spec, Names("corruptor", sweep=True)], ...], AfterValidator(_expand)]
Detectors = Annotated[tuple[Annotated[Spec, Names("detector", sweep=True)], ...], AfterValidator(_expand)]
Inverters = Annotated[tuple[Annotated[Spec, Names("inverter", sweep=True)], ...], AfterValidator(_expand)]
Selectors = Annotated[tuple[Annotated[Spec, Names("selector", sweep=True)], ...], AfterValidator(_expand)]

Seed = Annotated[Whole, Field(ge=0, lt=SEEDS)]
Seeds = Annotated[tuple[Seed, ...], AfterValidator(_each_once)]
Baselines = Annotated[tuple[Literal["human", "pseudo", "oracle"], ...], AfterValidator(_each_once)]
TrivialRows = Annotated[tuple[Literal["all-negative", "all-positive", "mean-mask"], ...], AfterValidator(_each_once)]


class StrictModel(BaseModel):
    """Unknown keys and values of another type are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)


def optional(default: Any, description: str, **limits: Any) -> Any:
    """Return a field that records skip at its default value, so that older grids are recorded as before."""
    return Field(default, exclude_if=lambda value: value == default, description=description, **limits)


class SetSize(StrictModel):
    """A split of the dataset and how many of its images."""

    split: str = Field(description="The dataset's split.")
    size: Whole | None = Field(
        None, ge=1, description="How many of its first images; null: all of them, or `fraction`."
    )
    fraction: Number = optional(1.0, "Without a `size`: this fraction of the images.", gt=0, le=1)


class OracleSet(SetSize):
    """The images of the row `oracle`, and how long it is trained."""

    iterations: Whole | None = optional(
        None,
        "Training iterations of the row; null: as many as the other rows. Many more images take longer to learn.",
        ge=1,
    )


def _check_chunk(value: Any) -> Any:
    """Return the number of images of a chunk, or `auto`; raises ValueError for anything else."""
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LARGEST_CHUNK):
        return value
    raise ValueError(f"must be a whole number from 1 to {LARGEST_CHUNK}, or auto")


class Sampling(StrictModel):
    """How images pass the checkpoint: in which number format, and how many at once.

    A record contains what `auto` was on its machine.
    """

    precision: Literal["float32", "bfloat16", "float16", "auto"] = Field(
        "float32",
        description="What the denoiser and the decoder compute in. Captions and images are encoded in float32, and "
        "latents are float32. The half formats must pass a check at the start of a run. `auto`: bfloat16 (older GPUs: "
        "float16) where the device computes in it and the check is passed, else float32.",
    )
    chunk: Annotated[int | Literal["auto"], BeforeValidator(_check_chunk)] = Field(
        CHUNK,
        description="How many images pass the networks at once, 1 to 1024. It is part of every key, because it changes "
        "the last digits of results. `auto`: 64 for latents of 16 x 16 and smaller, fewer for larger ones and where "
        "memory is small.",
    )
    resampling: Resampling = optional(
        "exact",
        "How corrupted latents are resampled (eq. 6). `masked` is an approximation: where a mask is compact, the "
        "denoiser is evaluated inside it and its surroundings only, and the rest of the image is that of the round "
        "trip. It must pass a check at the start of a run.",
    )


class SourceSet(SetSize):
    """Images to corrupt: of the grid's dataset or another one."""

    dataset: OneDataset | None = optional(None, "Another dataset than the grid's.")
    rest: Flag = optional(False, "Of the split `pool`: without the images that the seed draws as labelled.")
    name: str | None = optional(
        None,
        "Name of its rows if a grid has several sources; null: the dataset's name, or the split.",
        pattern=r"^[\w.+-]+( [\w.+-]+)*$",
    )
    paper: str | None = optional(None, "The paper's name of the dataset that these images correspond to.")

    @property
    def title(self) -> str:
        """The name by which its rows differ from those of other sources."""
        return self.name or (self.dataset.name if self.dataset else self.split.partition(":")[0])

    @model_validator(mode="after")
    def _check_rest(self) -> SourceSet:
        if self.rest and (self.split != "pool" or self.dataset is not None):
            raise ValueError("'rest: true' is about the split 'pool' of the grid's own dataset: name no other")
        return self


def _check_for_detectors(config: TrainingConfig) -> TrainingConfig:
    if config.crop is not None and config.crop < SMALLEST_CROP:
        raise ValueError(f"crop must be {SMALLEST_CROP} or more, not {config.crop}")
    if config.class_weights is not None and len(config.class_weights) != 2:
        raise ValueError(f"class_weights must be two, [background, artifact], not {len(config.class_weights)}")
    return config


DetectorTraining = Annotated[TrainingConfig, AfterValidator(_check_for_detectors)]


def change_training(config: TrainingConfig, changes: dict[str, Any]) -> TrainingConfig:
    """Return a training with some settings replaced; raises ValueError where they do not fit together."""
    try:
        return _check_for_detectors(replace(config, **changes))
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None


class _SomeSettings(StrictModel):
    """Settings of which only those that were written count, and are recorded."""

    model_config = ConfigDict(validate_default=False)

    @model_serializer
    def written(self) -> dict[str, Any]:
        """Return the settings that were written."""
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}


def _make_optional(fields: dict[str, Any]) -> Any:
    """Return the fields of a model for `create_model`, each with None as its default."""
    copies = {name: copy(field) for name, field in fields.items()}
    for field in copies.values():
        field.default = None
    return {name: (field.annotation, field) for name, field in copies.items()}


#: Some settings of a training; those that are not written stay the grid's own.
SomeTraining: Any = create_model(
    "SomeTraining",
    __base__=_SomeSettings,
    **_make_optional(TrainingConfig.__pydantic_fields__),  # type: ignore[attr-defined]
)


class OnDetector(StrictModel):
    """What the rows of one detector have in place of the grid's own."""

    training: SomeTraining = optional(SomeTraining(), "Settings of `training` that are replaced.")
    selector_training: SomeTraining = optional(
        SomeTraining(), "Settings of `selector_training` that are replaced; for rows `human` too."
    )
    seeds: Seeds | None = optional(None, "In place of the grid's seeds.", min_length=1)
