"""What a comparison is: the grid read from YAML and flags, checked key by key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from benchkit.errors import BenchkitError, UnknownNameError
from benchkit.specs import Spec, TrainingConfig, keyed_fields

T = TypeVar("T")


def _spec(kind: str) -> Any:
    return Annotated[str, AfterValidator(lambda text: str(_read(kind, text, Spec.parse)))]


def _specs(kind: str) -> Any:
    """Texts of which each may be a sweep, `NAME:key=value|value`; they come out as one text a Spec, each once."""

    def expanded(texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(str(spec) for text in texts for spec in Spec.parse_all(kind, text)))

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


Baseline = Literal["human", "pseudo", "oracle"]
TrivialRow = Literal["all-negative", "all-positive", "mean-mask"]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SetSize(_Strict):
    """A split of the dataset and how many of its first images."""

    split: str
    size: int = Field(ge=1)


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
    class_weights: tuple[float, float] | None = None
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
    source: SetSize = SetSize(split="clean", size=64)
    oracle: SetSize | None = None
    test: SetSize = SetSize(split="test", size=100)
    validation: SetSize | None = None
    baselines: tuple[Baseline, ...] = ("human", "pseudo")
    trivial: tuple[TrivialRow, ...] = ("all-negative", "all-positive", "mean-mask")
    selectors: _specs("selector") = ("learned",)  # type: ignore[valid-type]
    corruptors: _specs("corruptor") = ()  # type: ignore[valid-type]
    with_human: _specs("corruptor") = ()  # type: ignore[valid-type]
    inverter: _sweep("inverter") = "renoise"  # type: ignore[valid-type]
    detectors: _specs("detector") = ("upernet-swin",)  # type: ignore[valid-type]
    seeds: tuple[Seed, ...] = (0,)
    label: Literal["image", "latent"] = "image"
    composite: bool = False
    selector_training: Budget
    training: Budget

    @property
    def inverters(self) -> tuple[Spec, ...]:
        """The inverters that `inverter` names: one, or those of a sweep."""
        return Spec.parse_all("inverter", self.inverter)

    def replaced(self, **changes: Any) -> Grid:
        """A copy with some fields replaced and checked again."""
        return _checked({**self.model_dump(mode="json"), **changes}, "the command line", {})


def presets() -> dict[str, str]:
    """Preset name -> its title."""
    folder = resources.files("benchkit.presets")
    found = {p.name[:-5]: yaml.safe_load(p.read_text()) for p in folder.iterdir() if p.name.endswith(".yaml")}
    return {name: body.get("title", "") for name, body in sorted(found.items())}


def load_grid(name_or_file: str) -> Grid:
    """The grid of a preset's name or of a YAML file.

    Raises BenchkitError: no such preset or file, unreadable YAML, or a wrong key or value, named with its line.
    """
    path = Path(name_or_file)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise BenchkitError(f"cannot read '{path}': {error}") from None
        return parse_grid(text, str(path))
    if name_or_file not in presets():
        raise UnknownNameError("preset", name_or_file, presets())
    return parse_grid((resources.files("benchkit.presets") / f"{name_or_file}.yaml").read_text(), name_or_file)


def parse_grid(text: str, where: str) -> Grid:
    """Check YAML text; `where` names it in messages."""
    try:
        data = yaml.safe_load(text)
        lines = dict(_lines(yaml.compose(text, yaml.SafeLoader)))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise BenchkitError(f"{where}{line}: not YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(data, Mapping):
        raise BenchkitError(f"{where}: expected keys such as 'corruptors:' and 'detectors:', found no mapping")
    return _checked(data, where, lines)


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
        raise BenchkitError(f"{place}: {key}: {first['msg'].removeprefix('Value error, ')}") from None


def _fields(location: tuple[Any, ...]) -> list[str]:
    model: Any = Grid
    for part in location:
        annotation = model.model_fields[part].annotation
        options = getattr(annotation, "__args__", (annotation,))
        model = next(o for o in options if isinstance(o, type) and issubclass(o, BaseModel))
    return list(model.model_fields)


def _lines(node: yaml.Node | None, at: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], int]]:
    if node is None:
        return
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*at, key.value), key.start_mark.line + 1
            yield from _lines(value, (*at, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            yield (*at, i), value.start_mark.line + 1
            yield from _lines(value, (*at, i))


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
