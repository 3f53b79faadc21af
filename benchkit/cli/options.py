"""The options that choose a comparison, the same for every command that runs one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchkit.errors import BenchkitError, shortened

if TYPE_CHECKING:
    from benchkit.executors.batch import Executor

_LIST = "may be repeated; replaces the preset's list. NAME:key=a|b names two, key='a, b' is text (docs/names.md)"

Preset = Annotated[str, typer.Argument(metavar="PRESET|FILE.yaml", help="A preset or a grid file.")]
DatasetName = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        metavar="NAME[:k=v,…]",
        help="The dataset; with it what the preset replaces there. Text such as root='a, b' in quotes (docs/names.md).",
    ),
]
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME|DIR|FILE[:k=v,…]",
        help="The checkpoint: a name, a folder, a .safetensors file or a repository, OWNER/NAME[@REVISION].",
    ),
]
Selectors = Annotated[
    list[str] | None, typer.Option("--selector", metavar="NAME[:k=v,…]", help=f"A region selector; {_LIST}.")
]
Corruptors = Annotated[
    list[str] | None, typer.Option("--corruptor", metavar="NAME[:k=v,…]", help=f"A corruptor; {_LIST}.")
]
Detectors = Annotated[
    list[str] | None, typer.Option("--detector", metavar="NAME[:k=v,…]", help=f"A detector; {_LIST}.")
]
Inverters = Annotated[
    list[str] | None, typer.Option("--inverter", metavar="NAME[:k=v,…]", help=f"An inverter; {_LIST}.")
]
Seeds = Annotated[str | None, typer.Option("--seeds", metavar="0,1,2", help="Seeds of selection, noise and training.")]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Write rows, tables and the page here.")]
Scale = Annotated[
    float | None,
    typer.Option(
        "--scale", metavar="FACTOR", help="Multiply all numbers of images and iterations, such as by 0.01 for a trial."
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Replace a setting of the grid, such as training.iterations=100; repeatable."
    ),
]
TimeLimit = Annotated[
    float | None,
    typer.Option(
        "--time-limit", metavar="SECONDS", help="End a stage that takes longer; only its own cells fail. Default: none."
    ),
]
ExecutorName = Annotated[
    str,
    typer.Option(
        "--executor",
        metavar="inline|processes[:workers=N]|ray[:address=…,…]",
        help="Run stages in this process; in several, one a device, on a CPU one a core; or as Ray tasks, here or on "
        "the cluster at address=HOST:PORT|auto (also workers=, cpus=, gpus=, memory=).",
    ),
]
Address = Annotated[
    str | None,
    typer.Option("--address", metavar="HOST:PORT|auto", help="The cluster of --executor ray: as ray:address=…."),
]
Force = Annotated[
    bool, typer.Option("--force", help="Replace another run's report in --out, and other files of its names.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be run, skipped and why.")]


#: The grid's fields that options of other names fill.
FLAGS = {
    "selectors": "--selector",
    "corruptors": "--corruptor",
    "detectors": "--detector",
    "inverters": "--inverter",
}


def check_one_each(field: str, texts: Iterable[str]) -> None:
    """Raise BenchkitError for several plugins in one text, `a|b` or `a,b`, with the form that was meant."""
    flag = FLAGS.get(field, f"--{field}")
    for text in texts:
        name, colon, rest = text.partition(":")
        if len(names := re.split(r"[|,]", name)) > 1:
            names[-1] += colon + rest
            each = " ".join(f"{flag} {shlex.quote(one.strip())}" for one in names)
            raise BenchkitError(f"{flag} '{shortened(text)}': one plugin to an option: write {each}")


def check_settings(fields: Iterable[str], settings: Sequence[str]) -> None:
    """Raise BenchkitError where a `--set` says again what another option says of one of the grid's fields."""
    given = {FLAGS.get(field, f"--{field}") for field in fields}
    for text in settings:
        field = re.split(r"[.=]", text, maxsplit=1)[0].strip()
        if (flag := FLAGS.get(field, f"--{field}")) in given:
            raise BenchkitError(f"--set {shortened(text)}: {flag} says the same; give one of the two")


def parse_numbers(flag: str, text: str) -> list[int]:
    """Return `0,1,2` as numbers; raises BenchkitError, with the form that was meant, for anything else."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise BenchkitError(
            f"{flag} '{shortened(text)}': write whole numbers from 0 on, separated by commas, such as {_meant(text)}"
        )
    return [int(part) for part in parts]


def _meant(text: str) -> str:
    """The list that was probably meant: a range written out, numbers with other separators."""
    ends = re.fullmatch(r"\D{0,2}([0-9]{1,6})\s*(?:-|\.\.\.?|:)\s*([0-9]{1,6})\D?", text.strip())
    if ends and 0 < int(ends[2]) - int(ends[1]) < 100:
        return ",".join(map(str, range(int(ends[1]), int(ends[2]) + 1)))
    numbers = re.findall(r"[0-9]{1,9}", text)
    clean = not re.search(r"[A-Za-z.\-]", text)
    return ",".join(numbers) if numbers and clean else "0,1,2"


def check_time_limit(seconds: float | None) -> None:
    """Raise BenchkitError unless this is a time."""
    if seconds is not None and not 0 < seconds < 1e9:
        raise BenchkitError(f"--time-limit {seconds:g}: give a number of seconds above 0")


def chosen_executor(text: str, time_limit: float | None, address: str | None) -> Executor:
    """The executor that --executor, --time-limit and --address mean; raises BenchkitError for what is none of them."""
    from benchkit.executors.choose import parse_executor

    check_time_limit(time_limit)
    return parse_executor(text, time_limit, address)
