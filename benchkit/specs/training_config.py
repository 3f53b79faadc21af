"""How a network is trained: the settings that a grid writes as `training` and that a training reads."""

from __future__ import annotations

import math
from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, Strict, model_validator
from pydantic.dataclasses import dataclass

from benchkit.specs.grammar import read_value
from benchkit.specs.keys import LATER


def _read_number(value: Any) -> Any:
    """Return a number that YAML 1.1 takes for text, such as 1e-3."""
    if isinstance(value, str) and value.strip():
        read = read_value(value)
        return read if isinstance(read, float) else value
    return value


Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict(), BeforeValidator(_read_number)]
Flag = Annotated[bool, Strict()]
Schedule = Literal["constant", "poly", "linear-warmup-poly", "one-cycle"]
Weight = Annotated[Number, Field(gt=0)]
Precision = Literal["float32", "tf32", "bfloat16"]


@dataclass(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class TrainingConfig:
    """How a detector is trained.

    The defaults are the paper's (Sec. 4.4) where it gives one; batch and schedule are ours. Raises pydantic's
    ValidationError for values out of range.
    """

    iterations: Annotated[Whole, Field(ge=1, description="Gradient steps.")]
    batch: Annotated[Whole, Field(ge=1, description="Images of a step.")] = 8
    lr: Annotated[Number, Field(gt=0, description="Learning rate, at its highest.")] = 6e-5
    betas: Annotated[
        tuple[Annotated[Number, Field(ge=0, lt=1)], Annotated[Number, Field(ge=0, lt=1)]],
        Field(description="Of AdamW."),
    ] = (0.9, 0.999)
    weight_decay: Annotated[Number, Field(ge=0, description="Of AdamW.")] = 0.01
    schedule: Annotated[
        Schedule,
        Field(
            description="The learning rate: constant; `poly`: falls to zero; `linear-warmup-poly`: rises first; "
            "`one-cycle`: rises and falls by a cosine."
        ),
    ] = "constant"
    warmup: Annotated[
        Whole, Field(ge=0, description="Iterations of the linear rise; only of `linear-warmup-poly`.")
    ] = 0
    power: Annotated[Number, Field(gt=0, description="Of the polynomial by which the learning rate falls.")] = 1.0
    crop: Annotated[
        Whole | None,
        Field(ge=1, description="Side of the random square crops in pixels, 32 or more in a grid; null: whole images."),
    ] = None
    positive_crop: Annotated[
        Number,
        Field(ge=0, le=1, description="Fraction of the crops that are centred on an annotated pixel; needs a `crop`."),
    ] = 0.0
    flip: Annotated[Flag, Field(description="Mirror every other image, left to right.")] = True
    auxiliary_weight: Annotated[
        Number,
        Field(ge=0, description="Weight of the loss of every logit map after the first (a network's auxiliary heads)."),
    ] = 0.4
    class_weights: Annotated[
        tuple[Weight, ...] | None,
        Field(description="Weights of the cross-entropy, `[background, artifact]` in a grid; null: equal."),
    ] = None
    clip_norm: Annotated[
        Number | None, Field(gt=0, description="Gradients of a larger norm are scaled down to it; null: never.")
    ] = None
    checkpoint_every: Annotated[
        Whole,
        Field(
            ge=1,
            description="Iterations between the states that an interrupted training continues from. It changes no "
            "result, but a finished training with another value is not found again.",
        ),
    ] = 200
    resize: Annotated[
        tuple[Number, Number] | None,
        Field(
            description="Smallest and largest factor of resizing before the crop, in 0.1 … 10; null: 1.",
            exclude_if=lambda value: value is None,
        ),
    ] = field(default=None, metadata=LATER)
    photometric: Annotated[
        Flag,
        Field(description="Distort brightness, contrast, saturation and hue.", exclude_if=lambda value: not value),
    ] = field(default=False, metadata=LATER)
    ema_decay: Annotated[
        Number,
        Field(
            ge=0,
            lt=1,
            description="Decay of the exponential moving average of the weights, which is then scored; 0: the last "
            "weights are scored.",
            exclude_if=lambda value: not value,
        ),
    ] = field(default=0.0, metadata=LATER)
    prior_bias: Annotated[
        Flag,
        Field(
            description="Start the output biases at the training set's fraction of artifact pixels, not at 1/2.",
            exclude_if=lambda value: not value,
        ),
    ] = field(default=False, metadata=LATER)
    precision: Annotated[
        Precision,
        Field(
            description="What the network multiplies in: `float32` (by torch's default a GPU's convolutions may round "
            "to TF32), `tf32` (matrix products too; NVIDIA GPUs from compute capability 8), or `bfloat16` (the forward "
            "pass by torch's autocast). Weights, logits and loss are float32, and so is prediction.",
            exclude_if=lambda value: value == "float32",
        ),
    ] = field(default="float32", metadata=LATER)

    @model_validator(mode="after")
    def _check_together(self) -> TrainingConfig:
        if self.positive_crop and self.crop is None:
            raise ValueError("positive_crop needs a crop")
        low, high = self.resize or (1.0, 1.0)
        if not 0.1 <= low <= high <= 10:
            raise ValueError(f"resize must be two factors in [0.1, 10], the smaller one first, not {self.resize}")
        return self

    def lr_factor(self, iteration: int) -> float:
        """Return the fraction of the learning rate at `iteration` (from 0), in (0, 1]."""
        if self.schedule == "constant":
            return 1.0
        if self.schedule == "one-cycle":
            # 30 % of the iterations rise (Smith and Topin 2018). As torch's OneCycleLR by default, with constant betas.
            peak, last = 0.3 * self.iterations - 1, self.iterations - 1
            if iteration <= peak:
                return _cosine(1 / 25, 1.0, iteration / peak)
            return _cosine(1.0, 1 / 250_000, (iteration - peak) / (last - peak))
        warmup = self.warmup if self.schedule == "linear-warmup-poly" else 0
        if iteration < warmup:
            return (iteration + 1) / (warmup + 1)
        return (1 - (iteration - warmup) / max(1, self.iterations - warmup)) ** self.power


def _cosine(start: float, end: float, part: float) -> float:
    """Go from `start` (part 0) to `end` (part 1) by half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2
