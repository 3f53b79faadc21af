"""Frozen descriptions that cross process borders: Spec, training sets, test sets, Cell, and the keys made of them."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, is_dataclass
from itertools import product
from typing import Any, ClassVar, Literal, get_args

from benchkit.errors import BenchkitError
from benchkit.errors import shortened as shortened
from benchkit.specs.grammar import Scalar as Scalar
from benchkit.specs.grammar import bracketed_pieces, print_value, quoted, read_items, read_value, unbracketed

#: Images are processed in chunks of this many, so that a result does not depend on who computed it.
CHUNK = 16

#: Metadata of a field that a class was given after results were kept under keys made of it: where it has its default,
#: it stays out of the key, so that what was computed before is found.
LATER: Mapping[str, Any] = {"later": True}

#: Metadata of a field that is shown to people, and is no part of what a description means.
SHOWN: Mapping[str, Any] = {"shown": True}

#: A sweep of more combinations than this is a mistake: each of them would be trained.
ALTERNATIVES = 10_000

#: Seeds are whole numbers from 0 on and below this.
SEEDS = 2**31

Label = Literal["image", "latent"]
#: How the learning rate goes over a training.
Schedule = Literal["constant", "poly", "linear-warmup-poly", "one-cycle"]


def canonical(value: Any) -> Any:
    """Plain JSON data for a frozen description: dataclasses by class name and fields, in declared order."""
    if is_dataclass(value) and not isinstance(value, type):
        body = {f.name: canonical(getattr(value, f.name)) for f in keyed_fields(value)}
        return {"is": type(value).__name__, **body}
    if isinstance(value, tuple | list):
        return [canonical(item) for item in value]
    if isinstance(value, dict):
        return {str(k): canonical(v) for k, v in value.items()}
    return value


def keyed_fields(value: Any) -> Iterator[Field[Any]]:
    """The fields of a frozen description that count in its key: no SHOWN ones, and of LATER those without default."""
    for one in fields(value):
        if one.metadata.get("shown"):
            continue
        if not one.metadata.get("later") or getattr(value, one.name) != one.default:
            yield one


def digest(value: Any) -> str:
    """sha256 (hex) of the canonical JSON of `value`; equal descriptions have equal digests, on any machine."""
    text = json.dumps(canonical(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, order=True)
class Spec:
    """Name and parameters of one plugin; parameters sorted by name, so equal Specs compare and hash equal.

    defaults: names of the parameters that have the plugin's default, as far as `Registry.complete` has said so. They
    are left out of `short`, and are no part of the Spec's identity.
    """

    kind: str
    name: str
    params: tuple[tuple[str, Scalar], ...] = ()
    defaults: frozenset[str] = field(default=frozenset(), compare=False, repr=False, metadata=SHOWN)

    @classmethod
    def of(cls, kind: str, name: str, /, **params: Scalar) -> Spec:
        """A Spec from keyword parameters, which may have any names (`kind` and `name` too)."""
        return cls(kind, name, tuple(sorted(params.items())))

    @classmethod
    def parse(cls, kind: str, text: str) -> Spec:
        """Read `NAME` or `NAME:key=value,key=value`; how values are written: benchkit.specs.grammar.

        Raises BenchkitError when the text has another form, or is a sweep of several values.
        """
        specs = cls.parse_all(kind, text)
        if len(specs) > 1:
            items = read_items(text.partition(":")[2])
            one = next((f"{key}={quoted('|'.join(texts).strip())}" for key, texts in items if len(texts) > 1), None)
            raise BenchkitError(
                f"{kind} '{shortened(text)}' names {len(specs)} of them where one is wanted: leave out the '|'"
                + (f", or, if it belongs to the value, write {one}" if one else "")
            )
        return specs[0]

    @classmethod
    def parse_all(cls, kind: str, text: str) -> tuple[Spec, ...]:
        """Read a text in which a parameter may have alternatives, `NAME:key=value|value`; see `parse`.

        Of several such parameters every combination is meant, the last one varying fastest; equal ones are given
        once. So are the alternatives of a Spec in brackets, which a composite's parameter holds: `of=a+(b:x=1|2)`.
        Raises BenchkitError when the text has another form.
        """
        return tuple(dict.fromkeys(cls.parse_each(kind, text)))

    @classmethod
    def parse_each(cls, kind: str, text: str) -> tuple[Spec, ...]:
        """Read a text as `parse_all` does, with equal Specs as often as they are written."""
        name, _, rest = text.strip().partition(":")
        name = name.rstrip()
        if not name:
            raise BenchkitError(f"{kind} '{text}' has no name: write NAME or NAME:key=value,key=value")
        if len(names := [one.strip() for one in re.split(r"[|,]", name)]) > 1:
            raise BenchkitError(f"{kind} '{shortened(text)}' is several: write each by itself, {' and '.join(names)}")
        try:
            items = read_items(rest) if rest else []
            alternatives = {
                key: [read_value(one) for each in texts for one in cls._multiplied_out(kind, each)]
                for key, texts in items
            }
        except BenchkitError as error:
            raise BenchkitError(f"{kind} '{shortened(text)}': {error}") from None
        if (number := math.prod(map(len, alternatives.values()))) > ALTERNATIVES:
            raise BenchkitError(
                f"{kind} '{shortened(text)}' has {number} combinations of alternatives, the limit is {ALTERNATIVES}: "
                "write fewer"
            )
        combined = product(*alternatives.values())
        return tuple(cls.of(kind, name, **dict(zip(alternatives, values, strict=True))) for values in combined)

    @classmethod
    def _multiplied_out(cls, kind: str, text: str) -> list[str]:
        """The alternatives that one parameter's text stands for, those of the Specs in its brackets multiplied out."""

        def meant(piece: str) -> list[str]:
            specs = cls.parse_all(kind, unbracketed(piece)) if piece[:1] == "(" and "|" in piece else ()
            return [f"({spec})" for spec in specs] if len(specs) > 1 else [piece]

        return ["".join(each) for each in product(*map(meant, bracketed_pieces(text)))]

    def __eq__(self, other: object) -> bool:
        return self._identity == other._identity if isinstance(other, Spec) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[str, str, tuple[tuple[str, str], ...]]:
        """What two Specs are compared by: 1, 1.0 and true are equal in Python, and three parameters here."""
        return self.kind, self.name, tuple((key, print_value(value)) for key, value in self.params)

    @property
    def values(self) -> dict[str, Scalar]:
        """The parameters as a dict."""
        return dict(self.params)

    @property
    def short(self) -> str:
        """The text for people: without the parameters that are known to have their default."""
        return str(Spec(self.kind, self.name, tuple((k, v) for k, v in self.params if k not in self.defaults)))

    def __str__(self) -> str:
        inner = ",".join(f"{k}={print_value(v)}" for k, v in self.params)
        return f"{self.name}:{inner}" if inner else self.name


#: What PyYAML raises beside YAMLError: impossible dates, numbers or brackets without end, tags no value fits.
UNREADABLE = (ValueError, RecursionError, AttributeError, LookupError, TypeError)


def said(error: Exception) -> str:
    """What another library's exception says, on one line."""
    deep = isinstance(error, RecursionError)
    return "nested too deep" if deep else shortened(" ".join(str(error).split()) or type(error).__name__, 120)


@dataclass(frozen=True)
class ImageSet:
    """Which images: a dataset's split and the indices into it."""

    dataset: Spec
    split: str
    indices: tuple[int, ...]

    def chunks(self) -> tuple[ImageSet, ...]:
        """The same images in pieces of CHUNK, in order."""
        starts = range(0, len(self.indices), CHUNK)
        return tuple(ImageSet(self.dataset, self.split, self.indices[i : i + CHUNK]) for i in starts)


class _Whole:
    """What can be asked of every training set alike: it answers for its parts, `parts`, whose union it is."""

    parts: Any  # a property or a field: tuple[Labelled | Pseudo | Corrupted, ...]

    def image_sets(self) -> tuple[ImageSet, ...]:
        """Return the images of every part."""
        return tuple(part.images for part in self.parts)

    def corrupted(self) -> tuple[Corrupted, ...]:
        """Return the parts that are corrupted images."""
        return tuple(part for part in self.parts if isinstance(part, Corrupted))

    def plugins(self) -> tuple[Spec, ...]:
        """Return the Specs of all its plugins: datasets, selectors, corruptors, inverters."""
        own = ((p.images.dataset, p.selector, p.corruptor, p.inverter) for p in self.parts)
        return tuple(dict.fromkeys(spec for specs in own for spec in specs if spec is not None))


class _Part(_Whole):
    """A training set that is its own only part."""

    @property
    def parts(self) -> tuple[Any, ...]:
        """The set itself."""
        return (self,)


@dataclass(frozen=True)
class Labelled(_Part):
    """Images with their datasets' own labels: the `human` rows and the oracle."""

    images: ImageSet
    selector: ClassVar[None] = None
    corruptor: ClassVar[None] = None
    inverter: ClassVar[None] = None


@dataclass(frozen=True)
class Pseudo(_Part):
    """Unlabelled images as they are, with a region selector's masks for labels."""

    images: ImageSet
    selector: Spec
    corruptor: ClassVar[None] = None
    inverter: ClassVar[None] = None


@dataclass(frozen=True)
class Corrupted(_Part):
    """Images corrupted inside a region selector's masks, with those masks for labels.

    label: `image` is the mask as selected, `latent` the latent cells really replaced. paste_background: paste the
    original pixels outside the mask after decoding.
    """

    images: ImageSet
    selector: Spec
    corruptor: Spec
    inverter: Spec
    label: Label = "image"
    paste_background: bool = False


@dataclass(frozen=True)
class Mix(_Whole):
    """The union of other training sets. Its selector, corruptor and inverter are those of the last part."""

    parts: tuple[Labelled | Pseudo | Corrupted, ...]

    @property
    def selector(self) -> Spec | None:
        """The last part's selector."""
        return self.parts[-1].selector

    @property
    def corruptor(self) -> Spec | None:
        """The last part's corruptor."""
        return self.parts[-1].corruptor

    @property
    def inverter(self) -> Spec | None:
        """The last part's inverter."""
        return self.parts[-1].inverter


@dataclass(frozen=True)
class Trivial(_Whole):
    """No training: a constant or prior prediction, the floor of every board."""

    rule: Literal["all-negative", "all-positive", "mean-mask"]
    RULES: ClassVar[tuple[str, ...]] = ("all-negative", "all-positive", "mean-mask")
    selector: ClassVar[None] = None
    corruptor: ClassVar[None] = None
    inverter: ClassVar[None] = None

    @property
    def parts(self) -> tuple[Labelled | Pseudo | Corrupted, ...]:
        """Nothing: nothing is trained."""
        return ()


TrainingSet = Labelled | Pseudo | Corrupted | Mix | Trivial
#: What a row is on a board, whatever its plugins are called. human: labelled images, with the selector's training.
Role = Literal["human", "pseudo", "oracle", "corrupted", "mixed", "trivial"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True)
class Cell:
    """One square of the grid: a training set, the detector trained on it, a seed, the images it is scored on.

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


@dataclass(frozen=True)
class TrainingConfig:
    """How a network is trained; the defaults are the paper's (Sec. 4.4) where it gives one.

    Batch and schedule are ours.

    crop: side of random square crops in pixels, None for whole images. positive_crop: fraction of crops centred on a
    pixel of a class other than 0. flip: mirror every other image, left to right. schedule: `one-cycle` rises to lr
    over the first 30 % of the iterations and falls to almost nothing, both by a cosine (Smith and Topin 2018). warmup:
    iterations of linear rise (linear-warmup-poly). power: of the polynomial fall to zero (poly, linear-warmup-poly).
    auxiliary_weight: of every logit map after the first.
    class_weights: of the cross-entropy. clip_norm: largest gradient norm. checkpoint_every: iterations; changes no
    result. resize: smallest and largest factor by which an image is resized before it is cropped, None for 1.
    photometric: distort brightness, contrast, saturation and hue (benchkit.training.augmentation). ema_decay: the
    weights that are scored are the exponential moving average of the trained ones with this decay; 0 scores the last
    ones. prior_bias: the output biases start at the class prior of the training set, so that the first prediction is
    its prevalence, not 1/2. Raises BenchkitError for values out of range.
    """

    iterations: int
    batch: int = 8
    lr: float = 6e-5
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01
    schedule: Schedule = "constant"
    warmup: int = 0
    power: float = 1.0
    crop: int | None = None
    positive_crop: float = 0.0
    flip: bool = True
    auxiliary_weight: float = 0.4
    class_weights: tuple[float, ...] | None = None
    clip_norm: float | None = None
    checkpoint_every: int = 200
    resize: tuple[float, float] | None = field(default=None, metadata=LATER)
    photometric: bool = field(default=False, metadata=LATER)
    ema_decay: float = field(default=0.0, metadata=LATER)
    prior_bias: bool = field(default=False, metadata=LATER)

    def __post_init__(self) -> None:
        at_least_one = {"batch": self.batch, "checkpoint_every": self.checkpoint_every, "crop": self.crop or 1}
        for name, value in at_least_one.items():
            _require(value >= 1, f"training: {name} must be at least 1, not {value}")
        _require(self.iterations >= 0, f"training: iterations must not be negative: {self.iterations}")
        _require(self.lr > 0 and math.isfinite(self.lr), f"training: lr must be positive, not {self.lr}")
        _require(self.power >= 0, f"training: power must not be negative: {self.power}")
        _require(0 <= self.positive_crop <= 1, f"training: positive_crop must lie in [0, 1], not {self.positive_crop}")
        _require(not self.positive_crop or self.crop is not None, "training: positive_crop needs a crop")
        low, high = self.resize or (1.0, 1.0)
        _require(0.1 <= low <= high <= 10, f"training: resize must be two factors in [0.1, 10], not {self.resize}")
        weights = self.class_weights or ()
        positive = all(weight > 0 and math.isfinite(weight) for weight in weights)
        _require(positive, f"training: class_weights must be positive and finite, not {list(weights)}")
        _require(self.warmup >= 0, f"training: warmup must not be negative: {self.warmup}")
        _require(0 <= self.ema_decay < 1, f"training: ema_decay must lie in [0, 1), not {self.ema_decay}")
        known = get_args(Schedule)
        _require(self.schedule in known, f"training: schedule must be one of {', '.join(known)}, not {self.schedule!r}")

    def lr_factor(self, iteration: int) -> float:
        """Return the fraction of the learning rate at `iteration` (from 0), in (0, 1]."""
        if self.schedule == "constant":
            return 1.0
        if self.schedule == "one-cycle":
            # As torch's OneCycleLR by default, but that it leaves the betas alone.
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


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise BenchkitError(message)
