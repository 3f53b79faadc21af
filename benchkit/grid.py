"""What a comparison is: the grid read from YAML and flags, checked key by key."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from benchkit.errors import BenchkitError, UnknownNameError
from benchkit.grammar import quoted, read_value
from benchkit.origin import Origin
from benchkit.parameters import as_declared, types_of
from benchkit.specs import SEEDS, UNREADABLE, Spec, TrainingConfig, keyed_fields, said, shortened

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_log = logging.getLogger(__name__)

T = TypeVar("T")
#: Settings of which a file that extends a preset may say a part; the rest stays the preset's.
MERGED = ("training", "selector_training")
#: Two keys for one thing, of which a file has one.
_ONE_OR_SEVERAL = (("source", "sources"), ("inverter", "inverters"))
#: Of a grid file: more entries, or deeper ones, are no grid.
ENTRIES, DEPTH = 20_000, 50


def _spec(kind: str) -> Any:
    return Annotated[str, AfterValidator(lambda text: str(_read(kind, text, Spec.parse)))]


def _specs(kind: str) -> Any:
    """Texts of which each may be a sweep, `NAME:key=value|value`; they come out as one text a Spec, each once."""

    def expanded(texts: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        return _each_once(tuple(str(spec) for text in texts for spec in Spec.parse_all(kind, text)), info)

    # Each by itself first, so that a mistake is named with its line.
    return Annotated[tuple[_sweep(kind), ...], AfterValidator(expanded)]  # type: ignore[misc]


def _sweep(kind: str) -> Any:
    """One text that may be a sweep, checked and left as it is written, without spaces around it."""

    def checked(text: str) -> str:
        specs = _read(kind, text, Spec.parse_all)
        return text.strip() if len(specs) > 1 else str(specs[0])

    return Annotated[str, AfterValidator(checked)]


def _read(kind: str, text: str, read: Callable[[str, str], T]) -> T:
    try:
        return read(kind, text)
    except BenchkitError as error:
        raise ValueError(str(error)) from None


def _each_once(values: tuple[T, ...], info: ValidationInfo) -> tuple[T, ...]:
    for value in dict.fromkeys(value for value in values if values.count(value) > 1):
        _log.warning("%s: '%s' is given twice: it is run once", info.field_name, value, extra={"tell": True})
    return tuple(dict.fromkeys(values))


Baseline = Literal["human", "pseudo", "oracle"]
TrivialRow = Literal["all-negative", "all-positive", "mean-mask"]
Seed = Annotated[int, Field(ge=0, lt=SEEDS)]
Baselines = Annotated[tuple[Baseline, ...], AfterValidator(_each_once)]
TrivialRows = Annotated[tuple[TrivialRow, ...], AfterValidator(_each_once)]
Seeds = Annotated[tuple[Seed, ...], AfterValidator(_each_once)]
Weight = Annotated[float, Field(gt=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _optional(default: Any, **limits: Any) -> Any:
    """A field that a grid's record leaves out where it says nothing, so that older grids are recorded as before."""
    return Field(default, exclude_if=lambda value: value == default, **limits)


class SetSize(_Strict):
    """A split of the dataset and how many of its first images; without a size all of them, or this share."""

    split: str
    size: int | None = Field(None, ge=1)
    share: float = _optional(1.0, gt=0, le=1)


class SourceSet(SetSize):
    """Images to corrupt: of the grid's dataset or another one.

    rest: of the split `pool`, without what the seed draws as labelled. name: what rows are called by where a grid has
    several sources; else the dataset's name or the split. paper: the paper's name for the images these stand for.
    """

    dataset: _spec("dataset") | None = _optional(None)  # type: ignore[valid-type]
    rest: bool = _optional(False)
    name: str | None = _optional(None, pattern=r"^[\w.+-]+( [\w.+-]+)*$")
    paper: str | None = _optional(None)

    @property
    def title(self) -> str:
        """What tells its rows from those of other sources."""
        return self.name or (self.dataset or self.split).partition(":")[0]

    @model_validator(mode="after")
    def _rest_of_the_pool(self) -> SourceSet:
        if self.rest and (self.split != "pool" or self.dataset is not None):
            raise ValueError("'rest: true' is about the split 'pool' of the grid's own dataset: name no other")
        return self


class Budget(_Strict):
    """How a detector is trained; the fields of benchkit.training.TrainingConfig."""

    iterations: int = Field(ge=1)
    batch: int = Field(8, ge=1)
    lr: float = Field(6e-5, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    crop: int | None = Field(None, ge=32)
    schedule: Literal["constant", "poly", "linear-warmup-poly"] = "constant"
    warmup: int = Field(0, ge=0)
    power: float = Field(1.0, gt=0)
    flip: bool = True
    positive_crop: float = Field(0.0, ge=0, le=1)
    auxiliary_weight: float = Field(0.4, ge=0)
    class_weights: tuple[Weight, Weight] | None = None
    clip_norm: float | None = Field(None, gt=0)
    resize: tuple[float, float] | None = None
    photometric: bool = False

    def config(self) -> TrainingConfig:
        """The training function's own description."""
        return TrainingConfig(**self.model_dump())


class Grid(_Strict):
    """One comparison: rows × selectors × detectors × seeds on one dataset through one checkpoint."""

    title: str
    note: str = ""
    dataset: _spec("dataset") = "portraits"  # type: ignore[valid-type]
    model: str = "portraits"
    schedule_steps: int = Field(50, ge=1, le=1000)
    labelled: int = Field(100, ge=1)
    source: SourceSet = SourceSet(split="clean", size=64)
    sources: tuple[SourceSet, ...] = _optional(())
    oracle: SetSize | None = None
    test: SetSize = SetSize(split="test", size=100)
    validation: SetSize | None = None
    baselines: Baselines = ("human", "pseudo")
    trivial: TrivialRows = ("all-negative", "all-positive", "mean-mask")
    selectors: _specs("selector") = ("learned",)  # type: ignore[valid-type]
    corruptors: _specs("corruptor") = ()  # type: ignore[valid-type]
    with_human: _specs("corruptor") = ()  # type: ignore[valid-type]
    inverter: _sweep("inverter") = "renoise"  # type: ignore[valid-type]
    inverters: _specs("inverter") = _optional(())  # type: ignore[valid-type]
    detectors: _specs("detector") = ("upernet-swin",)  # type: ignore[valid-type]
    seeds: Seeds = Field((0,), min_length=1)
    label: Literal["image", "latent"] = "image"
    composite: bool = False
    selector_training: Budget
    training: Budget
    #: Which of the paper's tables this is, and how many images the paper has of a split.
    paper_table: int | None = _optional(None, ge=1)
    paper_sizes: dict[str, int] = _optional({})
    #: Dataset's name -> what the paper's protocol says of how it was prepared, see benchkit.api.Dataset.provenance.
    paper_data: dict[str, dict[str, bool | int | float | str]] = _optional({})
    #: Dataset's name -> the fields that are replaced where the grid is run on it.
    on_dataset: dict[str, dict[str, Any]] = Field({}, exclude=True)
    #: What sizes and iterations have been multiplied by.
    scale: float = _optional(1.0, gt=0, le=1)

    _origin: Origin = PrivateAttr(default_factory=Origin)

    @model_validator(mode="after")
    def _labels_are_what_was_replaced(self) -> Grid:
        if self.composite and self.label == "latent":
            raise ValueError(
                "'composite: true' pastes the original back outside the mask, so that 'label: latent' would mark "
                "pixels that are not corrupted: write 'label: image', or 'composite: false'"
            )
        return self

    @model_validator(mode="after")
    def _sources_have_names(self) -> Grid:
        names = [source.title for source in self.sources]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"sources: two are called '{twice[0]}': give one of them a 'name'")
        return self

    @property
    def every_source(self) -> tuple[SourceSet, ...]:
        """The sources of the rows: `sources`, or the one `source`."""
        return self.sources or (self.source,)

    @property
    def every_inverter(self) -> tuple[Spec, ...]:
        """The inverters of the rows: `inverters`, or those that `inverter` names, one or a sweep's."""
        texts = self.inverters or (self.inverter,)
        return tuple(spec for text in texts for spec in Spec.parse_all("inverter", text))

    def replaced(self, **changes: Any) -> Grid:
        """A copy with some fields replaced and checked again."""
        kept = {**self.model_dump(mode="json"), "on_dataset": self.on_dataset}
        made = _checked({**kept, **changes}, "the command line", {})
        made._origin = self._origin
        return made

    @property
    def origin(self) -> Origin:
        """Where its values were written."""
        return self._origin


def presets() -> dict[str, str]:
    """Preset name -> its title."""
    return {name: body.get("title", "") for name, body in preset_data().items()}


def preset_data() -> dict[str, dict[str, Any]]:
    """Preset name -> what its file says, in the names' order."""
    folder = resources.files("benchkit.presets")
    found = {p.name[:-5]: yaml.safe_load(p.read_text()) for p in folder.iterdir() if p.name.endswith(".yaml")}
    return dict(sorted(found.items()))


def load_grid(name_or_file: str) -> Grid:
    """The grid of a preset's name or of a YAML file.

    Raises BenchkitError: no such preset or file, unreadable YAML, or a wrong key or value, named with its line.
    """
    path = Path(name_or_file)
    try:
        if path.suffix in (".yaml", ".yml") or path.is_file():
            grid, origin = _parsed(path.read_text(encoding="utf-8"), str(path))
            grid._origin = origin
            return grid
    except (OSError, ValueError) as error:
        raise BenchkitError(f"cannot read preset or file '{shortened(name_or_file, 300)}': {said(error)}") from None
    if name_or_file not in presets():
        raise UnknownNameError("preset", name_or_file, presets())
    return parse_grid((resources.files("benchkit.presets") / f"{name_or_file}.yaml").read_text(), name_or_file)


def setting_type(path: Sequence[str]) -> Any:
    """The declared type of a grid's setting: `training`, `lr`, say; Any where there is none of that name."""
    if path[:1] == ["on_dataset"] and len(path) > 2:
        return setting_type(path[2:])
    hint: Any = Grid
    for part in path:
        hint = next((found for one in _options(hint) if (found := _inner(one, part)) is not None), Any)
    return hint


def _options(hint: Any) -> list[Any]:
    """What a type may be: the members of a union, without annotations."""
    if get_origin(hint) in (Union, UnionType):
        return [option for one in get_args(hint) for option in _options(one)]
    return _options(get_args(hint)[0]) if get_origin(hint) is Annotated else [hint]


def _inner(hint: Any, part: str) -> Any:
    """The type of what a key or a place in a list holds; None where there is no such thing."""
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return hint.model_fields[part].annotation if part in hint.model_fields else None
    arguments = get_args(hint)
    if get_origin(hint) is tuple and part.isdecimal():
        return arguments[0] if arguments[-1] is ... else dict(enumerate(arguments)).get(int(part))
    return arguments[1] if get_origin(hint) is dict else None


def read_setting(path: Sequence[str], text: str) -> Any:
    """The value of a grid's setting from its text: by benchkit.grammar, lists and mappings as YAML writes them.

    Raises BenchkitError for a text that is neither.
    """
    hint = setting_type(path)
    listed = any(get_origin(one) is tuple for one in _options(hint))
    if text.strip()[:1] in ("[", "{") and str not in types_of(hint):
        try:
            return yaml.safe_load(text)
        except (yaml.YAMLError, *UNREADABLE):
            raise BenchkitError(f"'{shortened(text)}' is not a list or a mapping as YAML writes it") from None
    if listed and not (text.strip() == "null" and type(None) in types_of(hint)):
        entries = text if ":" not in text else quoted(text)
        raise BenchkitError(f"'{shortened(text)}' is not a list: write {'.'.join(path)}=[{shortened(entries.strip())}]")
    return as_declared(read_value(text), hint)


def parse_grid(text: str, where: str) -> Grid:
    """Check YAML text; `where` names it in messages."""
    return _parsed(text, where)[0]


def _parsed(text: str, where: str) -> tuple[Grid, Origin]:
    try:
        lines = dict(_lines(yaml.compose(text, yaml.SafeLoader), where))
        data = yaml.safe_load(text)
    except UNREADABLE as error:
        raise BenchkitError(f"{where}: not YAML that can be read: {said(error)}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise BenchkitError(f"{where}{line}: not YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(data, Mapping):
        raise BenchkitError(f"{where}: expected keys such as 'corruptors:' and 'detectors:', found no mapping")
    for one, several in _ONE_OR_SEVERAL:
        if one in data and several in data:
            raise BenchkitError(
                f"{where}, line {lines[several,]}: '{one}' and '{several}' exclude each other: keep one"
            )
    return _checked(_extended(data, where, lines), where, lines), Origin(where, lines, data)


def _extended(data: Mapping[Any, Any], where: str, lines: Mapping[tuple[Any, ...], int]) -> dict[Any, Any]:
    """The data, on top of those of the preset that `extends` names."""
    own = dict(data)
    if "extends" not in own:
        return own
    preset, known = own.pop("extends"), preset_data()
    if not isinstance(preset, str) or preset not in known:
        raise BenchkitError(f"{where}, line {lines['extends',]}: {UnknownNameError('preset', str(preset), known)}")
    base = _extended(known[preset], preset, {})
    for pair in _ONE_OR_SEVERAL:
        for one, other in (pair, pair[::-1]):
            if one in own:
                base.pop(other, None)
    for name in MERGED:
        if isinstance(own.get(name), Mapping) and isinstance(base.get(name), Mapping):
            own[name] = {**base[name], **own[name]}
    return {**base, **own}


def _checked(data: Any, where: str, lines: Mapping[tuple[Any, ...], int]) -> Grid:
    try:
        return Grid.model_validate(data)
    except ValidationError as error:
        # A misspelt key makes a required one missing too; the misspelling is the mistake.
        first = next((e for e in error.errors() if e["type"] == "extra_forbidden"), error.errors()[0])
        location = tuple(first["loc"])
        line = next((lines[location[:n]] for n in range(len(location), 0, -1) if location[:n] in lines), None)
        place = f"{where}, line {line}" if line else where
        key = ".".join(map(str, location))
        if first["type"] == "extra_forbidden":
            known = _fields(location[:-1])
            raise BenchkitError(f"{place}: {UnknownNameError('key', str(location[-1]), known)} (at '{key}')") from None
        key = f"{key}: " if key else ""  # what the settings are together has no key
        raise BenchkitError(f"{place}: {key}{_message(first)}") from None


def _message(error: ErrorDetails) -> str:
    """What is wrong with a value, in YAML's words: there are no tuples in a grid file."""
    if error["type"] == "tuple_type":
        return "Input should be a list"
    return error["msg"].removeprefix("Value error, ")


def _fields(location: tuple[Any, ...]) -> list[str]:
    model: Any = Grid
    for part in location:
        if not isinstance(part, int):  # a place in a list is of the list's own type
            annotation = model.model_fields[part].annotation
            options = get_args(annotation) or (annotation,)
            model = next(o for o in options if isinstance(o, type) and issubclass(o, BaseModel))
    return [*model.model_fields, *(["extends"] if model is Grid else [])]


def _lines(root: yaml.Node | None, where: str) -> Iterator[tuple[tuple[Any, ...], int]]:
    """The line of every key and list entry, by its path; an alias is walked wherever it stands.

    Raises BenchkitError for a key that stands twice in a mapping, and for aliases that make too much of a short text.
    """
    left: list[tuple[yaml.Node | None, tuple[Any, ...]]] = [(root, ())]
    seen = 0
    while left:
        node, at = left.pop()
        for key, value, line in _entries(node, where):
            seen += 1
            if seen > ENTRIES or len(at) > DEPTH:
                raise BenchkitError(
                    f"{where}: nested deeper than {DEPTH}, or more than {ENTRIES} entries (does an alias repeat "
                    "itself?): write it out"
                )
            yield (*at, key), line
            left.append((value, (*at, key)))


def _entries(node: yaml.Node | None, where: str) -> Iterator[tuple[Any, yaml.Node, int]]:
    """What is directly in a node: key or place, node, line."""
    if isinstance(node, yaml.SequenceNode):
        yield from ((i, value, value.start_mark.line + 1) for i, value in enumerate(node.value))
    if not isinstance(node, yaml.MappingNode):
        return
    keys: set[str] = set()
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise BenchkitError(f"{where}, line {line}: not YAML that can be read: a key is a list or a mapping")
        if key.value in keys and key.value != "<<":
            raise BenchkitError(f"{where}, line {line}: key '{key.value}' stands here twice: keep one")
        keys.add(key.value)
        yield key.value, value, line


def described(grid: Grid) -> dict[str, Any]:
    """The grid as plain data, with the training's full settings, for a run's record."""
    data = grid.model_dump(mode="json")
    return {
        **data,
        "training": _settings(grid.training.config()),
        "selector_training": _settings(grid.selector_training.config()),
    }


def _settings(config: TrainingConfig) -> dict[str, Any]:
    return {f.name: getattr(config, f.name) for f in keyed_fields(config)}
