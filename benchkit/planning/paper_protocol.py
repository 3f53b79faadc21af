"""Where a grid's protocol differs from the preset that states the paper's table: what a board must say beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchkit.api import Dataset
from benchkit.config.grid import Grid, SourceSet, described, load_grid, preset_data
from benchkit.config.overrides import scaled
from benchkit.plugin.registry import Registry
from benchkit.specs.grammar import plain_text
from benchkit.specs.spec import Spec
from benchkit.system.paths import expand_path

#: What leads the name of a file in a URL.
_ADDRESS = re.compile(r"https?://[^,]*/")
_PLAIN = ("model", "num_inference_steps", "labelled", "seeds", "label", "paste_background")
_NESTED = ("test", "selector_training", "training")


def recorded(grid: Grid, registry: Registry) -> dict[str, Any]:
    """The grid as a run records it; that of a paper's table with what stands beside the paper's figures.

    paper: table, sources (what a row's name calls its source -> the paper's name for it), differs (sentences).
    """
    data = described(grid)
    if grid.paper_table is None:
        return data
    sources = {source.title: source.paper for source in grid.every_source if source.paper is not None}
    differs = all_differences(grid, registry)
    return {**data, "paper": {"table": grid.paper_table, "sources": sources, "differs": differs}}


def preset_of(table: int) -> Grid | None:
    """The preset that states one of the paper's tables; presets that extend it do not."""
    found = (name for name, body in preset_data().items() if body.get("paper_table") == table and "extends" not in body)
    name = next(found, None)
    return None if name is None else load_grid(name)


def differences(grid: Grid) -> tuple[str, ...]:
    """What decides a row's figure and is not as in the preset of the same table of the paper, a sentence each.

    Which rows there are is none: a method more changes no other's figure. Nor is where data
    and weights lie.
    """
    preset = None if grid.paper_table is None else preset_of(grid.paper_table)
    if preset is None:
        return ()
    told = [] if grid.scale == 1 else [f"scaled: sizes and iterations are multiplied by {grid.scale:g}"]
    preset = scaled(preset, grid.scale)
    told += _other_specs("dataset", "dataset", (grid.dataset,), (preset.dataset,))
    told += _other_sources(grid, preset)
    told += _other_specs("selector", "selectors", grid.selectors, preset.selectors)
    told += _other_specs("detector", "detectors", grid.detectors, preset.detectors)
    told += _other_inverters(grid, preset)
    told += _other_parameters(grid.corruptors, preset.corruptors)
    ours, theirs = (one.model_dump(mode="json") for one in (grid, preset))
    told += [_told(name, ours[name], theirs[name]) for name in _PLAIN if ours[name] != theirs[name]]
    if ours.get("on_detector") != theirs.get("on_detector"):
        told += [f"on_detector: {' and '.join(ours.get('on_detector', {})) or 'none'} with settings of their own"]
    for name in _NESTED:
        keys = [key for key in ours[name] if ours[name][key] != theirs[name].get(key)]
        told += [f"{name}: {', '.join(f'{key} {_text(ours[name][key])}' for key in keys)}"] if keys else []
    return tuple(told)


def all_differences(grid: Grid, registry: Registry) -> list[str]:
    """Return `differences`, and those that only the datasets know: their sizes, and how they were prepared."""
    return [*differences(grid), *other_sizes(grid, registry), *other_data(grid, registry)]


def other_data(grid: Grid, registry: Registry) -> tuple[str, ...]:
    """Return a sentence for each dataset that was prepared by another rule, draw or filter than the preset states."""
    preset = None if grid.paper_table is None else preset_of(grid.paper_table)
    told = []
    used = dict.fromkeys([grid.dataset, *(source.dataset for source in grid.every_source if source.dataset)])
    for spec in (Spec.parse("dataset", text) for text in used):
        stated = preset.paper_data.get(spec.name) if preset else None
        if stated is None:
            continue
        facts = registry.make(spec, Dataset).provenance()  # type: ignore[type-abstract]
        sections = {name.partition(" ")[0] for name in stated}
        found = [
            f"{key} {_text(facts[key])}, not {_text(value)}"
            for key, value in stated.items()
            if _other(facts, key, value)
        ]
        # A step of preparation that the preset knows nothing of, a filter say.
        found += [f"{key} {_text(value)}" for key, value in facts.items() if key.partition(" ")[0] not in sections]
        told += [f"data of {spec.name}: {', '.join(found)}"] if found else []
    return tuple(told)


def _other(facts: Mapping[str, Any], key: str, value: Any) -> bool:
    """Whether a set says that it was prepared otherwise; one that says nothing of it is believed."""
    return key in facts and facts[key] != value


def other_sizes(grid: Grid, registry: Registry) -> tuple[str, ...]:
    """The splits that have another number of images than the paper's; nothing on a dataset that is not the paper's."""
    preset = None if grid.paper_table is None else preset_of(grid.paper_table)
    spec = Spec.parse("dataset", grid.dataset)
    if preset is None or spec.name != Spec.parse("dataset", preset.dataset).name:
        return ()
    sizes: Mapping[str, int] = registry.make(spec, Dataset).splits()  # type: ignore[type-abstract]
    found = ((split, sizes.get(split, 0), number) for split, number in preset.paper_sizes.items())
    return tuple(f"split {split}: {here} images, {paper} in the paper" for split, here, paper in found if here != paper)


def _other_specs(kind: str, field: str, ours: tuple[str, ...], theirs: tuple[str, ...]) -> Iterator[str]:
    known = [Spec.parse(kind, text) for text in theirs]
    # A detector less leaves the others' figures as they are; one that the preset lacks is another protocol.
    if any(not any(_same(Spec.parse(kind, text), spec) for spec in known) for text in ours):
        yield _told(field, *([_ADDRESS.sub("", text) for text in texts] for texts in (ours, theirs)))


def _other_parameters(ours: tuple[str, ...], theirs: tuple[str, ...]) -> Iterator[str]:
    """Corruptors of the preset whose parameters differ, but for their steps, by which rows are matched anyway."""
    known = {spec.name: _but_depth(spec) for spec in (Spec.parse("corruptor", text) for text in theirs)}
    for text in ours:
        spec = Spec.parse("corruptor", text)
        if spec.name in known and _but_depth(spec) != known[spec.name]:
            yield f"corruptor {text}: parameters that the preset has not"


def _other_inverters(grid: Grid, preset: Grid) -> Iterator[str]:
    """One sentence where the rows are inverted by others than the preset's."""
    ours, theirs = ([str(spec) for spec in one.every_inverter] for one in (grid, preset))
    if ours != theirs:
        yield _told("inverter", ours, theirs)


def _but_depth(spec: Spec) -> dict[str, Any]:
    return {key: value for key, value in spec.values.items() if key != "steps"}


def _same(mine: Spec, preset: Spec) -> bool:
    if mine.name != preset.name:
        return False
    keys = dict.fromkeys((*mine.values, *preset.values))
    return all(_same_value(mine.values.get(key), preset.values.get(key)) for key in keys)


def _same_value(mine: Any, preset: Any) -> bool:
    """Whether two parameters mean the same; a folder that is there stands for a default place, a file for a URL."""
    if mine == preset or mine is None or not expand_path(plain_text(mine)).exists():
        return bool(mine == preset)
    return preset is None or ("://" in str(preset) and Path(plain_text(mine)).name == str(preset).rpartition("/")[2])


def _other_sources(grid: Grid, preset: Grid) -> Iterator[str]:
    """One sentence where some source of the grid is none of the preset's."""
    if any(not any(_same_source(mine, other) for other in preset.every_source) for mine in grid.every_source):
        names, full = ([[of(s) for s in one.every_source] for one in (grid, preset)] for of in (_title, _in_full))
        yield _told("sources", *(full if names[0] == names[1] else names))


def _title(source: SourceSet) -> str:
    return source.title


def _in_full(source: SourceSet) -> str:
    """What tells sources of one name apart."""
    images = f"{source.size} images" if source.size else f"{source.fraction:g} of the images"
    return f"{source.dataset or source.split} ({source.split}, {images})"


def _same_source(mine: SourceSet, other: SourceSet) -> bool:
    if (mine.split, mine.size, mine.fraction, mine.rest) != (other.split, other.size, other.fraction, other.rest):
        return False
    if mine.dataset is None or other.dataset is None:
        return mine.dataset == other.dataset
    return _same(Spec.parse("dataset", mine.dataset), Spec.parse("dataset", other.dataset))


def _told(name: str, ours: Any, theirs: Any) -> str:
    return f"{name}: {_text(ours)}, not {_text(theirs)}"


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " and ".join(map(str, value))
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
