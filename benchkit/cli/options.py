"""The options that choose a comparison, the same for every command that runs one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchkit.errors import BenchkitError

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


def check_time_limit(seconds: float | None) -> None:
    """Raise BenchkitError unless this is a time."""
    if seconds is not None and not 0 < seconds < 1e9:
        raise BenchkitError(f"--time-limit {seconds:g}: give a number of seconds above 0")


def chosen_executor(text: str, time_limit: float | None, address: str | None) -> Executor:
    """The executor that --executor, --time-limit and --address mean; raises BenchkitError for what is none of them."""
    from benchkit.executors.choose import parse_executor

    check_time_limit(time_limit)
    return parse_executor(text, time_limit, address)
