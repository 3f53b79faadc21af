"""Frozen descriptions that cross process borders: Spec, training sets, test sets, Cell, and the keys made of them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, is_dataclass
from itertools import product
from typing import Any, ClassVar, Literal

import yaml

from benchkit.errors import BenchkitError

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

Scalar = bool | int | float | str | None
Label = Literal["image", "latent"]


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
        """Read `NAME` or `NAME:key=value,key=value`; values are YAML scalars, a comma in brackets belongs to one.

        Raises BenchkitError when the text has another form, or is a sweep of several values.
        """
        specs = cls.parse_all(kind, text)
        if len(specs) > 1:
            raise BenchkitError(f"{kind} '{text}' names {len(specs)} of them where one is wanted: leave out the '|'")
        return specs[0]

    @classmethod
    def parse_all(cls, kind: str, text: str) -> tuple[Spec, ...]:
        """Read a text in which a parameter may have alternatives, `NAME:key=value|value`; see `parse`.

        Of several such parameters every combination is meant, the last one varying fastest; equal ones are given
        once. So are the alternatives of a Spec in brackets, which a composite's parameter holds: `of=a+(b:x=1|2)`.
        Raises BenchkitError when the text has another form.
        """
        name, _, rest = text.strip().partition(":")
        name = name.rstrip()
        if not name:
            raise BenchkitError(f"{kind} '{text}' has no name: write NAME or NAME:key=value,key=value")
        alternatives: dict[str, list[Scalar]] = {}
        for item in _split(rest, ",") if rest else ():
            key, equals, values = item.partition("=")
            key = key.strip()
            if not equals or not key.isidentifier():
                raise BenchkitError(f"{kind} '{shortened(text)}': '{shortened(item)}' is not key=value")
            if key in alternatives:
                raise BenchkitError(f"{kind} '{text}': parameter '{key}' is given twice; write {key}=VALUE|VALUE")
            texts = cls._alternatives(kind, values)
            if len(texts) > 1 and not all(one.strip() for one in texts):
                raise BenchkitError(f"{kind} '{text}': '{item}' has an empty alternative; write {key}=VALUE|VALUE")
            alternatives[key] = [scalar(one, f"{kind} '{shortened(text)}'") for one in texts]
        if (number := math.prod(map(len, alternatives.values()))) > ALTERNATIVES:
            raise BenchkitError(
                f"{kind} '{shortened(text)}' has {number} combinations of alternatives, the limit is {ALTERNATIVES}: "
                "write fewer"
            )
        combined = product(*alternatives.values())
        specs = (cls.of(kind, name, **dict(zip(alternatives, values, strict=True))) for values in combined)
        # By their text, because 1, 1.0 and true are equal in Python and three parameters here.
        return tuple({str(spec): spec for spec in specs}.values())

    @classmethod
    def _alternatives(cls, kind: str, text: str) -> list[str]:
        """The alternatives that one parameter's text stands for, those of the Specs in its brackets multiplied out."""

        def meant(piece: str) -> list[str]:
            bracketed = piece[:1] == "(" and piece[-1:] == ")"
            return [f"({spec})" for spec in cls.parse_all(kind, piece[1:-1])] if bracketed and "|" in piece else [piece]

        return ["".join(each) for one in _split(text, "|") for each in product(*map(meant, _pieces(one)))]

    @property
    def values(self) -> dict[str, Scalar]:
        """The parameters as a dict."""
        return dict(self.params)

    @property
    def short(self) -> str:
        """The text for people: without the parameters that are known to have their default."""
        return str(Spec(self.kind, self.name, tuple((k, v) for k, v in self.params if k not in self.defaults)))

    def __str__(self) -> str:
        inner = ",".join(f"{k}={_text(v)}" for k, v in self.params)
        return f"{self.name}:{inner}" if inner else self.name


def split_parts(text: str) -> tuple[str, ...]:
    """The Specs in one parameter, joined by `+`; one that holds a `,` or a `+` itself stands in brackets.

    `a+(b:x=1,y=2)` is `a` and `b:x=1,y=2`. Raises BenchkitError for an empty part.
    """
    parts = [part.strip() for part in _split(text, "+")]
    bare = tuple(part[1:-1].strip() if part[:1] == "(" and part[-1:] == ")" else part for part in parts)
    if not all(bare):
        raise BenchkitError(f"'{text}' names no plugin in one place: write A+B or A+(B:key=value,key=value)")
    return bare


def split_values(text: str) -> tuple[str, ...]:
    """The values in `a,b,c`; one that holds a `,` itself stands in brackets, `(b:x=1,y=2)`. Each once, in order."""
    parts = (part.strip() for part in _split(text, ","))
    return tuple(dict.fromkeys(part[1:-1].strip() if part[:1] == "(" and part[-1:] == ")" else part for part in parts))


def _split(text: str, separator: str) -> list[str]:
    """Split where the separator stands outside of brackets."""
    parts, depth = [""], 0
    for character in text:
        depth = max(0, depth + {"(": 1, ")": -1}.get(character, 0))
        if character == separator and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _pieces(text: str) -> list[str]:
    """The outermost brackets, each with what it holds, and what stands between them; joined they are the text."""
    pieces, depth = [""], 0
    for character in text:
        if character == "(" and not depth:
            pieces.append("")
        depth = max(0, depth + {"(": 1, ")": -1}.get(character, 0))
        pieces[-1] += character
        if character == ")" and not depth:
            pieces.append("")
    return pieces


#: What PyYAML raises beside YAMLError: impossible dates, numbers or brackets without end, tags no value fits.
UNREADABLE = (ValueError, RecursionError, AttributeError, LookupError, TypeError)


def scalar(text: str, where: str) -> Scalar:
    """One parameter's text as YAML reads it, `1e-3` as a number; `where` leads the message of a BenchkitError.

    Not-a-numbers and infinities are refused: no key can be made of them, and no parameter means them.
    """
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text.strip()
    except UNREADABLE as error:
        raise BenchkitError(f"{where}: '{shortened(text)}' is not a single value ({said(error)})") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise BenchkitError(f"{where}: '{shortened(text)}' is no finite number")
    if value is not None and not isinstance(value, bool | int | float | str):
        raise BenchkitError(f"{where}: '{text}' is not a single value")
    # YAML 1.1 reads 1e-3 as text; a user means the number.
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return value
        if not math.isfinite(number):
            raise BenchkitError(f"{where}: '{shortened(text)}' is no finite number")
        return number
    return value


def shortened(text: str, longest: int = 80) -> str:
    """Foreign text in a message: no longer than it is worth."""
    return text if len(text) <= longest else f"{text[:longest]}…"


def said(error: Exception) -> str:
    """What another library's exception says, on one line."""
    deep = isinstance(error, RecursionError)
    return "nested too deep" if deep else shortened(" ".join(str(error).split()) or type(error).__name__, 120)


def _text(value: Scalar) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)


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


@dataclass(frozen=True)
class Labelled:
    """Images with their datasets' own labels: the `human` rows and the oracle."""

    images: ImageSet


@dataclass(frozen=True)
class Pseudo:
    """Unlabelled images as they are, with a region selector's masks for labels."""

    images: ImageSet
    selector: Spec


@dataclass(frozen=True)
class Corrupted:
    """Images corrupted inside a region selector's masks, with those masks for labels.

    label: `image` is the mask as selected, `latent` the latent cells really replaced. composite: paste the original
    pixels outside the mask after decoding.
    """

    images: ImageSet
    selector: Spec
    corruptor: Spec
    inverter: Spec
    label: Label = "image"
    composite: bool = False


@dataclass(frozen=True)
class Mix:
    """The union of other training sets."""

    parts: tuple[Labelled | Pseudo | Corrupted, ...]


@dataclass(frozen=True)
class Trivial:
    """No training: a constant or prior prediction, the floor of every board."""

    rule: Literal["all-negative", "all-positive", "mean-mask"]
    RULES: ClassVar[tuple[str, ...]] = ("all-negative", "all-positive", "mean-mask")


TrainingSet = Labelled | Pseudo | Corrupted | Mix | Trivial


@dataclass(frozen=True)
class Cell:
    """One square of the grid: a training set, the detector trained on it, a seed, the images it is scored on.

    row: the board's name for the training set (`human`, `pseudo`, a corruptor ...). detector: None in trivial rows.
    """

    row: str
    training: TrainingSet
    detector: Spec | None
    seed: int
    test: ImageSet


@dataclass(frozen=True)
class TrainingConfig:
    """How a network is trained; the defaults are the paper's (Sec. 4.4) where it gives one.

    Batch and schedule are ours.

    crop: side of random square crops in pixels, None for whole images. positive_crop: share of crops centred on a
    pixel of a class other than 0. flip: mirror every other image, left to right. warmup: iterations of linear rise
    (linear-warmup-poly). power: of the polynomial fall to zero. auxiliary_weight: of every logit map after the first.
    class_weights: of the cross-entropy. clip_norm: largest gradient norm. checkpoint_every: iterations; changes no
    result. resize: smallest and largest factor by which an image is resized before it is cropped, None for 1.
    photometric: distort brightness, contrast, saturation and hue (benchkit.augmentation). Raises BenchkitError for
    values out of range.
    """

    iterations: int
    batch: int = 8
    lr: float = 6e-5
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01
    schedule: Literal["constant", "poly", "linear-warmup-poly"] = "constant"
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

    def __post_init__(self) -> None:
        at_least_one = {"batch": self.batch, "checkpoint_every": self.checkpoint_every, "crop": self.crop or 1}
        for name, value in at_least_one.items():
            _require(value >= 1, f"training: {name} must be at least 1, not {value}")
        _require(self.iterations >= 0, f"training: iterations must not be negative: {self.iterations}")
        _require(self.lr > 0 and math.isfinite(self.lr), f"training: lr must be positive, not {self.lr}")
        _require(0 <= self.positive_crop <= 1, f"training: positive_crop must lie in [0, 1], not {self.positive_crop}")
        _require(not self.positive_crop or self.crop is not None, "training: positive_crop needs a crop")
        low, high = self.resize or (1.0, 1.0)
        _require(0.1 <= low <= high <= 10, f"training: resize must be two factors in [0.1, 10], not {self.resize}")
        weights = self.class_weights or ()
        positive = all(weight > 0 and math.isfinite(weight) for weight in weights)
        _require(positive, f"training: class_weights must be positive and finite, not {list(weights)}")
        _require(self.warmup >= 0, f"training: warmup must not be negative: {self.warmup}")
        known = ("constant", "poly", "linear-warmup-poly")
        _require(self.schedule in known, f"training: schedule must be one of {', '.join(known)}, not {self.schedule!r}")

    def lr_factor(self, iteration: int) -> float:
        """The share of the learning rate at `iteration` (from 0), in (0, 1]."""
        if self.schedule == "constant":
            return 1.0
        warmup = self.warmup if self.schedule == "linear-warmup-poly" else 0
        if iteration < warmup:
            return (iteration + 1) / (warmup + 1)
        return (1 - (iteration - warmup) / max(1, self.iterations - warmup)) ** self.power


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise BenchkitError(message)
