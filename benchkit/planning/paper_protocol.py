"""Differences between a grid and the preset that states the protocol of the paper's table; a board lists them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchkit.config.grid import TRAININGS, Grid, SourceSet, load_grid, read_presets
from benchkit.config.overrides import scale_grid
from benchkit.config.settings import fields_of
from benchkit.plugin.registry import Registry
from benchkit.specs.grammar import plain_text
from benchkit.specs.spec import Spec
from benchkit.system.paths import expand_path

#: The part of a URL before the file's name.
_ADDRESS = re.compile(r"https?://[^,]*/")
_PLAIN = ("model", "num_inference_steps", "labelled", "seeds", "label", "paste_background")


def to_record(grid: Grid, registry: Registry) -> dict[str, Any]:
    """Return the grid as a run records it; for a paper's table, with facts to print beside the paper's figures.

    paper: table, sources (a source's name in rows -> the paper's name), differs (sentences).
    """
    data = grid.as_data()
    if grid.paper_table is None:
        return data
    sources = {source.title: source.paper for source in grid.every_source if source.paper is not None}
    differs = find_all_differences(grid, registry)
    return {**data, "paper": {"table": grid.paper_table, "sources": sources, "differs": differs}}


def find_paper_preset(grid: Grid) -> Grid | None:
    """Return the preset that states the grid's paper table; presets that extend it do not."""
    table = grid.paper_table
    for name, body in read_presets().items() if table is not None else ():
        if body.get("paper_table") == table and "extends" not in body:
            return load_grid(name)
    return None


def find_all_differences(grid: Grid, registry: Registry) -> list[str]:
    """Return `list_protocol_differences`, and those that only datasets know: sizes, and how they were prepared."""
    return [*list_protocol_differences(grid), *find_other_sizes(grid, registry), *find_other_data(grid, registry)]


def list_protocol_differences(grid: Grid) -> tuple[str, ...]:
    """Return a sentence for each setting that decides a row's figure and differs from the preset of the paper's table.

    Additional or missing methods do not count, because they change no other row's figure. The places of data and of
    weights do not count either.
    """
    preset = find_paper_preset(grid)
    if preset is None:
        return ()
    preset = scale_grid(preset, grid.scale)
    found = [] if grid.scale == 1 else [f"scaled: sizes and iterations are multiplied by {grid.scale:g}"]
    found += _other_specs("dataset", [grid.dataset], [preset.dataset])
    found += _other_sources(grid.every_source, preset.every_source)
    found += _other_specs("selectors", grid.selectors, preset.selectors)
    found += _other_specs("detectors", grid.detectors, preset.detectors)
    if grid.every_inverter != preset.every_inverter:
        found.append(_difference("inverter", grid.every_inverter, preset.every_inverter))
    found += _other_parameters(grid.corruptors, preset.corruptors)
    ours, theirs = grid.as_data(), preset.as_data()
    found += [_difference(name, ours[name], theirs[name]) for name in _PLAIN if ours[name] != theirs[name]]
    if grid.selection_seed is not None:
        found.append(f"selection: that of seed {grid.selection_seed} for all detectors and seeds, not one for each")
    if grid.until_resolved is not None:
        found.append(f"seeds: more are added where rows are unresolved, up to {grid.max_seeds}")
    if grid.on_detector != preset.on_detector:
        found.append(f"on_detector: {_text(list(grid.on_detector)) or 'none'} with settings of their own")
    for name in ("test", *TRAININGS[::-1]):
        own, stated = getattr(grid, name), getattr(preset, name)
        keys = [key for key in fields_of(type(own)) if getattr(own, key) != getattr(stated, key)]
        found += [f"{name}: {', '.join(f'{key} {_text(getattr(own, key))}' for key in keys)}"] if keys else []
    return tuple(found)


def find_other_data(grid: Grid, registry: Registry) -> tuple[str, ...]:
    """Return a sentence for each dataset that was prepared by another rule, draw or filter than the preset states."""
    preset = find_paper_preset(grid)
    found = []
    for spec in dict.fromkeys([grid.dataset, *(source.dataset for source in grid.every_source if source.dataset)]):
        stated = preset.paper_data.get(spec.name) if preset else None
        if stated is None:
            continue
        facts: Mapping[str, Any] = registry.dataset(registry.complete(spec)).provenance()
        # A fact that the dataset does not record counts as equal.
        others = [
            f"{key} {_text(facts[key])}, not {_text(value)}"
            for key, value in stated.items()
            if key in facts and facts[key] != value
        ]
        # A step of preparation that the preset does not have, such as a filter.
        steps = {name.partition(" ")[0] for name in stated}
        others += [f"{key} {_text(value)}" for key, value in facts.items() if key.partition(" ")[0] not in steps]
        found += [f"data of {spec.name}: {', '.join(others)}"] if others else []
    return tuple(found)


def find_other_sizes(grid: Grid, registry: Registry) -> tuple[str, ...]:
    """Return a sentence for each split with another number of images than in the paper; none for other datasets."""
    preset = find_paper_preset(grid)
    if preset is None or grid.dataset.name != preset.dataset.name:
        return ()
    sizes = registry.dataset(registry.complete(grid.dataset)).splits()
    found = ((split, sizes.get(split, 0), number) for split, number in preset.paper_sizes.items())
    return tuple(f"split {split}: {here} images, {paper} in the paper" for split, here, paper in found if here != paper)


def _other_specs(field: str, ours: Sequence[Spec], theirs: Sequence[Spec]) -> Iterator[str]:
    # Removing a detector does not change the others' figures. An additional detector differs from the protocol.
    if any(not any(_same(mine, spec) for spec in theirs) for mine in ours):
        yield _difference(field, *([_ADDRESS.sub("", str(spec)) for spec in specs] for specs in (ours, theirs)))


def _other_parameters(ours: Sequence[Spec], theirs: Sequence[Spec]) -> Iterator[str]:
    """Yield a sentence for each of the preset's corruptors with other parameters than steps, which are in the row."""

    def without_steps(spec: Spec) -> dict[str, Any]:
        return {key: value for key, value in spec.values.items() if key != "steps"}

    known = {spec.name: without_steps(spec) for spec in theirs}
    for spec in ours:
        if spec.name in known and without_steps(spec) != known[spec.name]:
            yield f"corruptor {spec}: parameters that the preset does not have"


def _other_sources(ours: Sequence[SourceSet], theirs: Sequence[SourceSet]) -> Iterator[str]:
    """Yield one sentence if a source of the grid is none of the preset's."""
    if all(any(_same_source(mine, other) for other in theirs) for mine in ours):
        return
    names, full = ([[of(s) for s in sources] for sources in (ours, theirs)] for of in (_title, _in_full))
    yield _difference("sources", *(full if names[0] == names[1] else names))


def _title(source: SourceSet) -> str:
    return source.title


def _in_full(source: SourceSet) -> str:
    """Return a text that differs between sources of one name."""
    images = f"{source.size} images" if source.size else f"{source.fraction:g} of the images"
    return f"{source.dataset or source.split} ({source.split}, {images})"


def _same_source(mine: SourceSet, other: SourceSet) -> bool:
    if (mine.split, mine.size, mine.fraction, mine.rest) != (other.split, other.size, other.fraction, other.rest):
        return False
    if mine.dataset is None or other.dataset is None:
        return mine.dataset == other.dataset
    return _same(mine.dataset, other.dataset)


def _same(mine: Spec, preset: Spec) -> bool:
    """Whether two Specs are the same plugin with equal parameters, places of files aside."""
    keys = dict.fromkeys((*mine.values, *preset.values))
    return mine.name == preset.name and all(_same_value(mine.values.get(k), preset.values.get(k)) for k in keys)


def _same_value(mine: Any, preset: Any) -> bool:
    """Whether two parameters mean the same: a folder that exists replaces the default place, a file replaces a URL."""
    if mine == preset or mine is None or not expand_path(plain_text(mine)).exists():
        return bool(mine == preset)
    return preset is None or ("://" in str(preset) and Path(plain_text(mine)).name == str(preset).rpartition("/")[2])


def _difference(name: str, ours: Any, theirs: Any) -> str:
    return f"{name}: {_text(ours)}, not {_text(theirs)}"


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " and ".join(map(str, value))
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
