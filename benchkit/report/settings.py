"""The settings that decide a board's figures (sizes, budgets, inverter, checkpoint), and where two runs differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from benchkit.report.aggregate import read_object
from benchkit.report.format_values import known, listed, numeric
from benchkit.report.frames import line_records
from benchkit.specs.training_config import TrainingConfig
from benchkit.specs.training_sets import CHUNK

if TYPE_CHECKING:
    import pandas as pd

    from benchkit.report.board import Board

#: The columns that are settings of a run, in the order of the sentence, and their names there.
_NAMES = {
    "test_set": "test",
    "source_set": "source",
    "labelled": "labelled",
    "selection_seed": "selection",
    "validation_images": "validation",
    "inverter": "inverter",
    "label": "label",
    "paste_background": "paste_background",
    "checkpoint": "checkpoint",
    "checkpoint_sha256": "checkpoint sha256",
    "dtype": "dtype",
    "chunk": "chunk",
    "resampling": "resampling",
    "autoencoder": "autoencoder",
    "num_inference_steps": "num_inference_steps",
    "provenance": "data",
}
_BUDGETS = ("training", "selector_training")
#: The training settings that the sentence always contains; the others only if they are not TrainingConfig's defaults.
_ALWAYS = ("iterations", "batch", "lr")
_DEFAULTS = {one.name: one.default for one in fields(TrainingConfig)}
#: Settings that came after rows had been recorded; a record without them was made with the default.
_ADDED = {one.name: one.default for one in fields(TrainingConfig) if one.metadata.get("later")}
_HASH = 12

#: What a row is rather than how it was made: rows that differ in these are ranked together.
_LABELS = ("test_set", "inverter", "provenance")

#: How the regions are chosen where no seed is named for all; boards say it only beside one that shares a selection.
_OWN_SELECTION = "of each seed"
#: Settings that are a column only of boards that have another value -> the value of all others.
_USUAL = {"selection_seed": _OWN_SELECTION, "chunk": CHUNK, "resampling": "exact"}

Settings = dict[str, tuple[Any, ...]]


def settings_of(board: Board) -> Settings:
    """Return every setting of a board -> the values of its rows, each once.

    A training's settings are named `training.KEY` and `selector_training.KEY`. Rows without figures are skipped.
    """
    lines = board.frame[board.frame["seeds"] > 0]
    found: dict[str, dict[str, Any]] = {}
    read = [name for name in lines if name in ("selector", *_NAMES, *_BUDGETS)]
    for line in lines[read].drop_duplicates().to_dict("records"):
        for name, value in _settings_of_line(line):
            found.setdefault(name, {})[repr(value)] = value
    for name, usual in _USUAL.items():
        if set(found.get(name, {}).values()) == {usual}:
            del found[name]
    # Rows without training are computed once, for any number of seeds.
    trained = lines[lines["role"] != "trivial"]
    seeds = (trained if len(trained) else lines)["seeds"]
    found["seeds"] = {str(value): value for value in sorted(set(map(int, seeds)))}
    return {name: tuple(values.values()) for name, values in found.items()}


def protocol_names(lines: pd.DataFrame) -> list[str]:
    """Return for every line in which settings its protocol differs from the grid's, as text; empty where in none.

    Lines with different texts are not ranked together. Only variants of an ablation can have another protocol; one that
    varies a plugin's parameter has the grid's. A setting that does not affect a row is unknown, and fits any.
    """
    groups: list[dict[str, Any]] = [{}]
    found = []
    for line in line_records(lines):
        skipped = {*_LABELS, *(["source_set"] if known(line["source_name"]) else [])}
        skipped |= {"labelled", "training.iterations"} if line["role"] == "oracle" else set()
        own = {name: value for name, value in _settings_of_line(line) if name not in skipped}
        fitting = (group for group in groups if all(group.get(name, value) == value for name, value in own.items()))
        group = next(fitting, None) if known(line["variant"]) else groups[0]
        if group is None:
            groups.append(group := {})
        found.append(group)
        group |= own | group
    base = groups[0]
    texts = {
        id(group): ", ".join(
            f"{_NAMES.get(name, name)} {_text(value)}"
            for name, value in group.items()
            if base.get(name, value) != value
        )
        for group in groups
    }
    return [texts[id(group)] for group in found]


def _settings_of_line(line: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    for name in _NAMES:
        if name == "selection_seed":
            if known(line.get("selector")):
                seed = numeric(line.get(name))
                yield name, f"shared, of seed {seed:.0f}" if known(seed) else _OWN_SELECTION
        elif name in ("chunk", "resampling"):
            if known(line.get("checkpoint")):
                value = line[name] if known(line.get(name)) else _USUAL[name]
                yield name, int(value) if isinstance(value, float) else value
        elif known(line.get(name)):
            value = line[name]
            yield name, int(value) if isinstance(value, float) else value
    for budget in _BUDGETS:
        recorded = read_object(line.get(budget))
        yield from ((f"{budget}.{key}", value) for key, value in ((_ADDED if recorded else {}) | recorded).items())


def settings_line(board: Board) -> str:
    """Return one sentence of everything that decided the figures of a board; empty where its rows do not say."""
    settings = settings_of(board)
    if not settings.keys() - {"seeds", "test_set"}:
        return ""
    parts = [f"{_number(settings['seeds'])} seed{'s' if settings['seeds'] != (1,) else ''}"]
    for name, label in _NAMES.items():
        if name in settings and name != "checkpoint_sha256":
            parts.append(f"{label} {_values(board, settings[name])}{_sha(settings) if name == 'checkpoint' else ''}")
    budgets = [_budget(settings, name) for name in _BUDGETS]
    if budgets[0] and budgets[0] == budgets[1]:
        parts.append(f"training and selector_training: {budgets[0]}")
    else:
        parts += [f"{name}: {text}" for name, text in zip(_BUDGETS, budgets, strict=True) if text]
    return f"Settings: {'; '.join(parts)}."


def differing(boards: Sequence[Board]) -> dict[str, tuple[str, ...]]:
    """Return the settings in which boards differ -> each board's own values as text, in the boards' order.

    A setting that a board does not know (it was written by an earlier benchkit) counts as different.
    """
    every = [settings_of(board) for board in boards]
    names = list(dict.fromkeys(name for own in every for name in own))
    found = {}
    for name in names:
        values = tuple(
            _values(board, own[name]) if name in own else str(_USUAL.get(name, "unknown"))
            for board, own in zip(boards, every, strict=True)
        )
        if len(set(values)) > 1:
            found[_NAMES.get(name, name)] = values
    if "checkpoint sha256" not in found:  # one checkpoint under two names
        found.pop("checkpoint", None)
    return found


def _sha(settings: Settings) -> str:
    hashes = ", ".join(str(value)[:_HASH] for value in settings.get("checkpoint_sha256", ()))
    return f" (sha256 {hashes})" if hashes else ""


def _budget(settings: Settings, budget: str) -> str:
    """Return a training's settings, `iterations 140, batch 8 …`, without those that have their defaults."""
    texts = []
    for key, default in _DEFAULTS.items():
        values = settings.get(f"{budget}.{key}", ())
        plain = tuple(list(default) if isinstance(default, tuple) else default for _ in values[:1])
        if values and (key in _ALWAYS or values != plain):
            texts.append(f"{key} {' or '.join(map(_text, values))}")
    return ", ".join(texts)


def _number(values: Sequence[int]) -> str:
    return str(values[0]) if len(values) == 1 else f"{min(values)} to {max(values)}" if values else "no"


def _values(board: Board, values: Sequence[Any]) -> str:
    """Return a setting's values as people are shown them."""
    return listed(_text(board.shown.get(value, value) if isinstance(value, str) else value) for value in values)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return "/".join(map(_text, value))
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)
    return text if len(text) != 64 else text[:_HASH]
