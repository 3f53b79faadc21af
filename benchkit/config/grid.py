"""The grid: a comparison as YAML and options describe it, checked key by key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml
from pydantic import (
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from benchkit.config.grid_parts import (
    Baselines,
    Corruptors,
    Detectors,
    DetectorTraining,
    Inverters,
    OnDetector,
    OneDataset,
    OneDetector,
    OneInverter,
    Seeds,
    Selectors,
    StrictModel,
    Sweep,
    TrivialRows,
    change_training,
    optional,
)
from benchkit.config.grid_parts import OracleSet as OracleSet
from benchkit.config.grid_parts import Sampling as Sampling
from benchkit.config.grid_parts import SetSize as SetSize
from benchkit.config.grid_parts import SourceSet as SourceSet
from benchkit.config.origin import UNREADABLE, Origin, lines_of
from benchkit.config.settings import known_keys
from benchkit.errors import BenchkitError, UnknownNameError, describe_error, shortened
from benchkit.specs.spec import Spec
from benchkit.specs.training_config import Flag, Number, Whole
from benchkit.specs.training_sets import SEEDS

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

#: The settings of trainings. A file that extends a preset may write a part of them; the rest stays the preset's.
TRAININGS = ("training", "selector_training")
#: pydantic's names for a key that a model, or a dataclass, does not have.
UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
#: Two keys for one thing, of which a file has one.
_ONE_OR_SEVERAL = (("source", "sources"), ("inverter", "inverters"))

#: The least that makes a grid: what `on_dataset` says is checked on it where the grid itself is wrong.
_LEAST = {"title": "", "training": {"iterations": 1}, "selector_training": {"iterations": 1}}


class Grid(StrictModel):
    """One comparison: rows × selectors × detectors × seeds on one dataset through one checkpoint."""

    title: str = Field(description="The title of the board and the page.")
    note: str = Field("", description="A note that is printed below the board.")
    dataset: OneDataset = Field(
        Spec("dataset", "portraits"),
        description="The dataset of labelled and test images, and of clean images if `source` names no other.",
    )
    model: str = Field(
        "portraits",
        description="The diffusion checkpoint: a name, a folder or a repository, with options (docs/how-to/models.md).",
    )
    num_inference_steps: Whole = Field(
        50,
        ge=1,
        le=1000,
        description="Number of DDIM steps of the schedule; a corruptor's `steps` are at most as many.",
    )
    labelled: Whole = Field(
        100,
        ge=1,
        description="How many annotated images of the split `pool` each seed draws: they train `human` and selectors.",
    )
    sampling: Sampling = optional(
        Sampling(), "Number format and number of images at once in the checkpoint's networks (docs/how-to/grids.md)."
    )
    source: SourceSet = Field(
        SourceSet(split="clean", size=64), description="The images to be corrupted; `pseudo` uses them, too."
    )
    sources: tuple[SourceSet, ...] = optional(
        (), "Several sources instead of `source`; each has its own rows, which contain its name."
    )
    oracle: OracleSet | None = Field(
        None,
        description="The annotated images of the row `oracle`; null: as many of the split `wild` as the source has.",
    )
    test: SetSize = Field(
        SetSize(split="test", size=100), description="The images on which every row is scored; each must have a mask."
    )
    validation: SetSize | None = Field(
        None, description="Annotated images on which thresholds are chosen and `tune` scores; null: none."
    )
    baselines: Baselines = Field(
        ("human", "pseudo"),
        description="Rows without a corruptor. `human`: the labelled images; `pseudo`: source images with the selected "
        "regions as labels; `oracle`: many annotated images.",
    )
    trivial: TrivialRows = Field(
        ("all-negative", "all-positive", "mean-mask"), description="Rows whose predictions do not depend on the image."
    )
    selectors: Selectors = Field(
        (Spec("selector", "learned"),),
        description="The plugins that choose the regions, for corrupted rows and for `pseudo`.",
    )
    corruptors: Corruptors = Field(
        (), description="The methods to be compared. Each has a row, which is trained on its corrupted images only."
    )
    with_human: Corruptors = Field(
        (),
        description="Corruptors that also get a row `human+…`, trained on their corrupted and on the labelled images.",
    )
    inverter: OneInverter = Field(
        Sweep("renoise", (Spec("inverter", "renoise"),)),
        description="How latents are inverted; each inverter of a sweep has its own rows.",
    )
    inverters: Inverters = optional((), "Several inverters instead of `inverter`; each has its own rows.")
    detectors: Detectors = Field(
        (Spec("detector", "upernet-swin"),),
        description="The networks to be trained; every row is trained with each of them.",
    )
    seeds: Seeds = Field(
        (0,), min_length=1, description="Seeds of the draw of labelled images, of the noise and of the training."
    )
    selection_seed: Whole | None = optional(
        None,
        "Choose and corrupt the regions once per source and selector, with this seed, for all detectors and seeds; "
        "null: for each seed, and with `learned` for each detector (docs/how-to/grids.md).",
        ge=0,
        lt=SEEDS,
    )
    until_resolved: Number | None = optional(
        None,
        "Add seeds where pairs of rows are unresolved, until each is resolved to this many points of artifact IoU; "
        "`seeds` are those of the first look (docs/explanation/statistics.md).",
        gt=0,
        lt=100,
    )
    max_seeds: Whole | None = optional(None, "The largest number of seeds of `until_resolved`.", ge=2, le=1000)
    label: Literal["image", "latent"] = Field(
        "image", description="A corrupted image's label: the mask as selected, or the latent pixels that were replaced."
    )
    paste_background: Flag = Field(
        False, description="Paste the original pixels back outside the mask; excludes `label: latent`."
    )
    selector_training: DetectorTraining = Field(
        description="Training settings of the row `human` and of learned selectors."
    )
    training: DetectorTraining = Field(description="Training settings of all other rows.")
    paper_table: Whole | None = optional(None, "Number of the paper's table that is shown beside the board.", ge=1)
    paper_sizes: dict[str, Whole] = optional({}, "How many images each split has in the paper.")
    paper_data: dict[str, dict[str, bool | int | float | str]] = optional(
        {}, "How the paper's data were prepared: for each dataset, the values that its `provenance` returns."
    )
    on_dataset: dict[str, dict[str, Any]] = Field(
        {}, exclude=True, description="For each dataset, the settings that are replaced if the grid runs on it."
    )
    on_detector: dict[OneDetector, OnDetector] = optional(
        {},
        "For each detector, with parameters or without: training settings and seeds of its rows, which replace the "
        "grid's.",
    )
    scale: Number = optional(
        1.0, "Numbers of images and iterations were multiplied by it; set by the option `scale`.", gt=0, le=1
    )

    _origin: Origin = PrivateAttr(default_factory=Origin)

    @model_validator(mode="after")
    def _labels_are_what_was_replaced(self) -> Grid:
        if self.paste_background and self.label == "latent":
            raise ValueError(
                "'paste_background: true' pastes the original back outside the mask, so that 'label: latent' "
                "would mark pixels that are not corrupted: write 'label: image', or 'paste_background: false'"
            )
        return self

    @model_validator(mode="after")
    def _sources_have_names(self) -> Grid:
        names = [source.title for source in self.sources]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"sources: two are called '{twice[0]}': give one of them a 'name'")
        return self

    @model_validator(mode="after")
    def _detectors_have_valid_trainings(self) -> Grid:
        for name, own in self.on_detector.items():
            for part in TRAININGS:
                try:
                    change_training(getattr(self, part), getattr(own, part).written())
                except ValueError as error:
                    raise ValueError(f"on_detector.{name}.{part}: {error}") from None
        return self

    @property
    def every_source(self) -> tuple[SourceSet, ...]:
        """The sources of the rows: `sources`, or `source` alone."""
        return self.sources or (self.source,)

    @property
    def every_seed(self) -> tuple[int, ...]:
        """The seeds of all rows: the grid's, then those that only a detector has."""
        own = (seed for settings in self.on_detector.values() for seed in settings.seeds or ())
        return tuple(dict.fromkeys((*self.seeds, *own)))

    def selection_seed_of(self, seed: int) -> int:
        """Return the seed that chooses and corrupts the regions of a row's seed."""
        return seed if self.selection_seed is None else self.selection_seed

    @property
    def every_inverter(self) -> tuple[Spec, ...]:
        """The inverters of the rows: `inverters`, or those of the text `inverter`, which may be a sweep."""
        return self.inverters or tuple(dict.fromkeys(self.inverter.specs))

    def as_data(self) -> dict[str, Any]:
        """Return the grid as plain data, as a run records it; Specs are texts."""
        return self.model_dump(mode="json")

    def replaced(self, **changes: Any) -> Grid:
        """Return a copy with some fields replaced, and everything checked again."""
        kept = {**self.as_data(), "on_dataset": self.on_dataset}
        made = _checked({**kept, **changes}, "the arguments", {})
        made._origin = self._origin
        return made

    @property
    def origin(self) -> Origin:
        """The file and lines in which its values were written."""
        return self._origin


def list_presets() -> dict[str, str]:
    """Return the title of every preset by its name."""
    return {name: body.get("title", "") for name, body in read_presets().items()}


def read_presets() -> dict[str, dict[str, Any]]:
    """Return the content of every preset's file by its name, in the names' order."""
    return {name: yaml.safe_load(file.read_text()) for name, file in _preset_files().items()}


def _preset_files() -> dict[str, Any]:
    """Return the file of every preset by its name, in the names' order."""
    folder = resources.files("benchkit.config.presets")
    return dict(sorted((file.name[:-5], file) for file in folder.iterdir() if file.name.endswith(".yaml")))


def load_grid(name_or_file: str) -> Grid:
    """Return the grid of a preset's name or of a YAML file.

    Raises BenchkitError: no such preset or file, unreadable YAML, or a wrong key or value, named with its line.
    """
    path = Path(name_or_file)
    try:
        if path.suffix in (".yaml", ".yml") or path.is_file():
            grid, origin = _parsed(path.read_text(encoding="utf-8"), str(path))
            grid._origin = origin
            return grid
    except (OSError, ValueError) as error:
        raise BenchkitError(
            f"cannot read preset or file '{shortened(name_or_file, 300)}': {describe_error(error)}"
        ) from None
    files = _preset_files()
    if name_or_file not in files:
        raise UnknownNameError("preset", name_or_file, files)
    return parse_grid(files[name_or_file].read_text(), name_or_file)


def parse_grid(text: str, where: str) -> Grid:
    """Check YAML text; `where` names it in messages."""
    return _parsed(text, where)[0]


def _parsed(text: str, where: str) -> tuple[Grid, Origin]:
    try:
        lines = dict(lines_of(yaml.compose(text, yaml.SafeLoader), where))
        data = yaml.safe_load(text)
    except UNREADABLE as error:
        raise BenchkitError(f"{where}: not YAML that can be read: {describe_error(error)}") from None
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
    """Return the data merged into those of the preset that `extends` names."""
    own = dict(data)
    if "extends" not in own:
        return own
    preset, known = own.pop("extends"), _preset_files()
    if not isinstance(preset, str) or preset not in known:
        raise BenchkitError(f"{where}, line {lines['extends',]}: {UnknownNameError('preset', str(preset), known)}")
    base = _extended(yaml.safe_load(known[preset].read_text()), preset, {})
    for other in _excluded_by(own):
        base.pop(other, None)
    for name in TRAININGS:
        if isinstance(own.get(name), Mapping) and isinstance(base.get(name), Mapping):
            own[name] = {**base[name], **own[name]}
    return {**base, **own}


def _checked(data: Any, where: str, lines: Mapping[tuple[Any, ...], int]) -> Grid:
    """Return the grid of plain data; raises BenchkitError with every fault in it, and its line if known."""
    faults: list[str] = []
    grid, kept = None, dict(_LEAST)
    try:
        grid = Grid.model_validate(data)
        kept = grid.as_data()
    except ValidationError as error:
        faults += _faults(error, where, lines)
    replaced = data.get("on_dataset") if isinstance(data, Mapping) else None
    for name, changes in (replaced if isinstance(replaced, Mapping) else {}).items():
        if not isinstance(changes, Mapping):
            continue  # which is a fault above
        at = ("on_dataset", name)
        own = {path[2:]: line for path, line in lines.items() if path[:2] == at and path[2:]}
        base = {key: value for key, value in kept.items() if key not in _excluded_by(changes)}
        try:
            Grid.model_validate({**base, **changes})
        except ValidationError as error:
            faults += _faults(error, where, own, at)
    if grid is None or faults:
        raise BenchkitError("; ".join(faults))
    return grid


def _excluded_by(changes: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys that others replace, such as `sources` if `source` is written."""
    both = (order for pair in _ONE_OR_SEVERAL for order in (pair, pair[::-1]))
    return tuple(other for one, other in both if one in changes)


def _faults(
    error: ValidationError, where: str, lines: Mapping[tuple[Any, ...], int], at: tuple[str, ...] = ()
) -> Iterator[str]:
    """Yield every fault as one line: its place, its key below `at`, and what is wrong."""
    # pydantic also reports a list whose only entry is wrong as too short.
    found = [
        one
        for one in error.errors()
        if one["type"] != "too_short"
        or not any(other["loc"][:-1] == one["loc"] for other in error.errors() if other["loc"])
    ]
    if any(one["type"] in UNKNOWN for one in found):
        # A misspelt key makes a required one missing too; the misspelling is the fault.
        found = [one for one in found if one["type"] != "missing"]
    for number, one in enumerate(found):
        location = tuple(one["loc"])
        line = next((lines[location[:n]] for n in range(len(location), 0, -1) if location[:n] in lines), None)
        place = "" if number and line is None else f"{where}, " if not number and line else where if not number else ""
        place += f"line {line}" if line else ""
        key = ".".join(map(str, (*at, *(part for part in location if part != "[key]"))))
        if one["type"] in UNKNOWN:
            known = known_keys(Grid, location[:-1]) + (["extends"] if not at and not location[1:] else [])
            wrong = f"{UnknownNameError('key', str(location[-1]), known)} (at '{key}')"
        else:
            wrong = f"{key}: {_message(one)}" if location else _message(one)  # all settings together have no key
        yield f"{place}: {wrong}" if place else wrong


def _message(error: ErrorDetails) -> str:
    """Return what is wrong with a value, in YAML's words: a grid file has no tuples."""
    if error["type"] == "tuple_type":
        return "Input should be a list"
    if error["type"] == "too_short" and error["ctx"]["min_length"] == 1:
        return "the list is empty: give at least one"
    if error["type"] == "string_type" and isinstance(error["input"], bool | int | float | date):
        return f"{error['msg']}: write it in quotes, '{error['input']}'"
    return error["msg"].removeprefix("Value error, ")
