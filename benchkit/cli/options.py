"""The options that several commands share, and the checks of their values."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchkit.cli.common import FLAGS
from benchkit.errors import BenchkitError, shortened

if TYPE_CHECKING:
    from benchkit.executors.batch import Executor

# Of every command.
PluginFiles = Annotated[
    list[Path] | None, typer.Option("--plugin", metavar="FILE", help="A .py file of plugins; repeatable.")
]
PluginFolders = Annotated[
    list[Path] | None, typer.Option("--plugin-folder", metavar="DIR", help="A folder of plugin files; repeatable.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Stop if a plugin cannot be used.")]
_MODEL = typer.Option(
    "--model",
    metavar="NAME|DIR|FILE[:k=v,…]",
    help="The diffusion checkpoint: a name, a folder, a .safetensors file, or a repository OWNER/NAME[@REVISION].",
)
Checkpoint = Annotated[str, _MODEL]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="cpu, cuda, cuda:N, mps, or auto (cuda if available, else cpu). cuda:0,1 trains on both GPUs.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]
Cache = Annotated[
    str | None,
    typer.Option(
        "--cache",
        metavar="DIR|URL",
        help="Where finished stages and cell results are kept. Default: $BENCHKIT_CACHE, else the user's cache folder.",
    ),
]
Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL|FILE",
        envvar="BENCHKIT_STORE",
        help="Database of runs and cell results: postgresql://…, sqlite:///… or a file. Default: a file in the cache.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace files that an earlier call wrote there.")]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Retry cells that failed in an earlier call with the same --out.")
]

# What a comparison compares.
_LIST = "repeatable; replaces the preset's list. `key=a|b` makes two entries; quote a value that contains a comma"
Preset = Annotated[str, typer.Argument(metavar="PRESET|FILE.yaml", help="A preset's name or a grid file.")]
DatasetName = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        metavar="NAME[:k=v,…]",
        help="The dataset. A preset may change other settings with it. Quote a value that has commas: root='a, b'.",
    ),
]
ModelName = Annotated[str | None, _MODEL]
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
UntilResolved = Annotated[
    float | None,
    typer.Option(
        "--until-resolved",
        metavar="POINTS",
        help="Add seeds to rows until each pair is resolved to this many points of IoU; needs --max-seeds.",
    ),
]
MaxSeeds = Annotated[
    int | None, typer.Option("--max-seeds", metavar="N", help="The largest number of seeds with --until-resolved.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Replace a setting of the grid, such as training.iterations=100; repeatable."
    ),
]
Scale = Annotated[
    float | None,
    typer.Option(
        "--scale", metavar="FACTOR", help="Multiply all numbers of images and iterations; 0.01 makes a quick trial."
    ),
]

# How it is run, and what it writes.
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Write rows, tables and a web page here.")]
TimeLimit = Annotated[
    float | None,
    typer.Option(
        "--time-limit",
        metavar="SECONDS",
        help="Stop a stage that takes longer. Only the cells that need it fail. Default: no limit.",
    ),
]
ExecutorName = Annotated[
    str,
    typer.Option(
        "--executor",
        metavar="auto|inline|processes[:workers=N]|ray[:address=…,…]",
        help="Where stages run. auto: on a CPU in one process per core, else in this process. inline: in this process, "
        "one after another. processes: in one process per GPU, or per core on a CPU. "
        "ray: as Ray tasks, here or on the cluster at address=HOST:PORT|auto (also workers=, cpus=, gpus=, memory=).",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address", metavar="HOST:PORT|auto", help="The cluster for --executor ray; the same as ray:address=…."
    ),
]
ReplaceReport = Annotated[
    bool, typer.Option("--force", help="Replace another run's report in --out, and other files of the same names.")
]
Calibrate = Annotated[
    bool,
    typer.Option("--calibrate", help="With --dry-run: first measure for about 20 s what stages cost on this machine."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only print what would run, and what is skipped and why.")]

# Which row of a finished run.
RunName = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's id, the start of an id, or the --out folder of a run.")
]
SelectorOf = Annotated[
    str | None,
    typer.Option("--selector", metavar="NAME[:k=v,…]", help="One of the run's selectors. Default: the first."),
]
DetectorOf = Annotated[
    str | None,
    typer.Option("--detector", metavar="NAME[:k=v,…]", help="One of the run's detectors. Default: the first."),
]
SeedOf = Annotated[
    int | None, typer.Option("--seed", min=0, metavar="N", help="One of the run's seeds. Default: the first.")
]


def check_single_plugins(setting: str, texts: Iterable[str]) -> None:
    """Raise BenchkitError if one text names several plugins (`a|b` or `a,b`); the message shows the right form."""
    flag = FLAGS[setting]
    for text in texts:
        name, colon, rest = text.partition(":")
        if len(names := re.split(r"[|,]", name)) > 1:
            names[-1] += colon + rest
            each = " ".join(f"{flag} {shlex.quote(name.strip())}" for name in names)
            raise BenchkitError(f"{flag} '{shortened(text)}': give one plugin per option: write {each}")


def grid_arguments(
    dataset: str | None,
    model: str | None,
    seeds: str | None,
    selectors: Sequence[str] | None,
    corruptors: Sequence[str] | None,
    detectors: Sequence[str] | None,
    inverters: Sequence[str] | None,
    settings: Sequence[str] | None,
    scale: float | None,
) -> dict[str, Any]:
    """Return the options that change a grid as arguments of `benchkit.compare`; an empty list as None."""
    lists = {"selectors": selectors, "corruptors": corruptors, "detectors": detectors, "inverters": inverters}
    for field, texts in lists.items():
        check_single_plugins(field, texts or ())
    numbers = None if seeds is None else parse_numbers("--seeds", seeds)
    own = {"dataset": dataset, "model": model, "seeds": numbers, "settings": settings, "scale": scale}
    return {**{field: texts or None for field, texts in lists.items()}, **own}


def parse_numbers(flag: str, text: str) -> list[int]:
    """Return the numbers of `0,1,2`; raise BenchkitError, with a suggestion, for anything else."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise BenchkitError(
            f"{flag} '{shortened(text)}': write whole numbers separated by commas, such as {_suggest_numbers(text)}"
        )
    return [int(part) for part in parts]


def _suggest_numbers(text: str) -> str:
    """Return the list that was probably intended: a range written out, or numbers with other separators."""
    ends = re.fullmatch(r"\D{0,2}([0-9]{1,6})\s*(?:-|\.\.\.?|:)\s*([0-9]{1,6})\D?", text.strip())
    if ends and 0 < int(ends[2]) - int(ends[1]) < 100:
        return ",".join(map(str, range(int(ends[1]), int(ends[2]) + 1)))
    numbers = re.findall(r"[0-9]{1,9}", text)
    clean = not re.search(r"[A-Za-z.\-]", text)
    return ",".join(numbers) if numbers and clean else "0,1,2"


def parse_executor(text: str, time_limit: float | None, address: str | None) -> Executor:
    """Return the executor of --executor, --time-limit and --address; raise BenchkitError for a wrong one."""
    from benchkit.executors import choose
    from benchkit.functions.session import check_time_limit

    check_time_limit(time_limit)
    return choose.parse_executor(text, time_limit, address)
