"""`benchkit data list`: all datasets, or the contents of one, split by split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchkit.cli import options
from benchkit.cli.common import console, load_registry, one_line, print_json, tell
from benchkit.errors import BenchkitError
from benchkit.functions import progress

if TYPE_CHECKING:
    from benchkit.api import Dataset
    from benchkit.plugin.registry import Registry
    from benchkit.readers.dataset_summary import SplitSummary

SOME_IMAGES_FAILED = 3
#: At most so many sizes and kinds are named in a cell, and so many faults of a split.
_NAMED, _FAULTS = 3, 5

Name = Annotated[
    str | None,
    typer.Argument(metavar="[NAME[:k=v,…]]", help="One dataset, such as folder:root=shots. Default: all datasets."),
]
Pixels = Annotated[bool, typer.Option("--pixels", help="Decode every image of the dataset, not only 64 of each split.")]


def list_(
    dataset: Name = None,
    pixels: Pixels = False,
    as_json: options.AsJson = False,
    plugin: options.PluginFiles = None,
    plugin_folder: options.PluginFolders = None,
    strict: options.Strict = False,
) -> None:
    """List all datasets and their splits, or describe one dataset: what it holds and which files it skips.

    Exit code 3: some images of the dataset cannot be read; the list names them.
    """
    registry = load_registry(plugin, plugin_folder, strict)
    if dataset is not None:
        _describe(registry, dataset, pixels, as_json)
    elif pixels:
        raise BenchkitError("--pixels: also name the dataset to decode")
    else:
        _list_all(registry, as_json)


def _list_all(registry: Registry, as_json: bool) -> None:
    from benchkit.plugin.registry import why_unavailable

    listed = []
    for entry in registry.entries("dataset"):
        reason = why_unavailable(entry.cls)
        splits, reason = _splits(entry.cls()) if reason is None else ({}, reason)
        autoencode = bool(getattr(entry.cls, "autoencode", False))
        listed.append({"name": entry.name, "splits": splits, "autoencode": autoencode, "unavailable": reason})
    if as_json:
        print_json({"datasets": listed})
    else:
        _print_all(listed)


def _splits(dataset: Any) -> tuple[dict[str, int], str | None]:
    """Return a dataset's splits, or why they cannot be listed (for example, its default folder is missing)."""
    try:
        return dict(dataset.splits()), None
    except BenchkitError as error:
        return {}, str(error)
    except Exception as error:  # a fault of one plugin must not hide the other datasets
        return {}, f"splits() raised {type(error).__name__}: {error}"


def _print_all(listed: list[dict[str, Any]]) -> None:
    rows: list[tuple[str, ...]] = []
    for one in listed:
        splits = ", ".join(f"{name} {size:,}" for name, size in one["splits"].items())
        words = "once, by benchkit" if one["autoencode"] else "as it is"
        rows.append((one["name"], one["unavailable"] or splits, words))
    _print_table(("dataset", "splits", "autoencoder pass"), rows, numbers=())


def _describe(registry: Registry, name: str, pixels: bool, as_json: bool) -> None:
    from benchkit.api import Dataset
    from benchkit.readers.dataset_summary import count_skipped_files, remark_on_masks
    from benchkit.specs.spec import Spec

    source = registry.make(Spec.parse("dataset", name), Dataset)  # type: ignore[type-abstract]
    found = _summaries(source, pixels)
    passed, remarks = count_skipped_files(source.passed_over()), [*source.remarks(found), *remark_on_masks(found)]
    if as_json:
        splits = {split: one.as_json() for split, one in found.items()}
        print_json({"dataset": name, "splits": splits, "passed_over": list(map(vars, passed)), "remarks": remarks})
    else:
        _print_summaries(name, found, [*map(str, passed), *remarks])
    unread = sum(len(one.faults) for one in found.values())
    if unread:
        tell(f"{unread} images of {name} cannot be read")
        raise typer.Exit(SOME_IMAGES_FAILED)


def _summaries(source: Dataset, pixels: bool) -> dict[str, SplitSummary]:
    from benchkit.readers.dataset_summary import count_ticks, summarise

    sizes = source.splits()
    found = {}
    with progress.shown() as screen:
        screen.start(sum(count_ticks(size, pixels) for size in sizes.values()))

        def tick(count: int) -> None:
            for _ in range(count):
                screen.advance()

        for split in sizes:
            screen.note(f"look at {split}")
            found[split] = summarise(source, split, pixels=pixels, tick=tick)
    return found


_NUMBERS = ("images", "with mask", "without", "no artifact", "annotated area", "ignored", "captions")
_HEADERS = ("split", *_NUMBERS, "sizes", "kinds")


def _print_summaries(name: str, found: dict[str, SplitSummary], remarks: list[str]) -> None:
    print(f"{one_line(name)}\n")
    _print_table(_HEADERS, [_row(split, one) for split, one in found.items()], _NUMBERS)
    if any(one.looked_at < one.images - len(one.faults) for one in found.values()):
        print("of N, annotated area, ignored and kinds: of the first images of each split; --pixels decodes all")
    for split, one in found.items():
        for fault in one.faults[:_FAULTS]:
            print(f"cannot be read: {one_line(fault)}")
        if len(one.faults) > _FAULTS:
            print(f"cannot be read: {len(one.faults) - _FAULTS} more of split {one_line(split)}")
    for remark in remarks:
        print(one_line(remark))


def _row(split: str, one: SplitSummary) -> tuple[str, ...]:
    def count(known: int | None, looked: int) -> str:
        """Format a number of all images if it is known, else of those that were decoded."""
        return f"{known:,}" if known is not None else f"{looked:,} of {one.looked_at:,}"

    whole = one.looked_at == one.images
    return (
        split,
        f"{one.images:,}",
        count(one.annotated, one.looked_annotated),
        count(one.unannotated, one.looked_at - one.looked_annotated),
        count(one.no_artifact if whole else None, one.no_artifact) if one.area is not None else "–",
        f"{100 * one.area:.1f} %" if one.area is not None else "–",
        f"{100 * one.ignored:.1f} %" if one.ignored else "–",
        count(one.captioned, one.looked_captioned),
        _named(one.sizes, "other sizes"),
        _named(one.kinds, "other kinds"),
    )


def _named(counts: Any, others: str) -> str:
    """Return the most frequent names with their numbers; a single size without its number."""
    if len(counts) == 1 and others == "other sizes":
        return str(next(iter(counts)))
    shown = [f"{name} ({number:,})" for name, number in counts.most_common(_NAMED)]
    rest = len(counts) - _NAMED
    return ", ".join([*shown, f"{rest} {others}"] if rest > 0 else shown) or "–"


def _print_table(headers: tuple[str, ...], rows: list[tuple[str, ...]], numbers: tuple[str, ...]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for header in headers:
        table.add_column(header, justify="right" if header in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(one_line(cell)) for cell in row))
    console().print(table)
