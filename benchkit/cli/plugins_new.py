"""`benchkit plugins new`: write the first file of a plugin, or a package."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from benchkit.cli import options
from benchkit.cli.common import load_registry
from benchkit.errors import BenchkitError


def new(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="corruptor, selector, detector, inverter or dataset.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Lower-case words joined by '-', such as my-method.")],
    space: Annotated[
        str | None,
        typer.Option(
            metavar="latent|pixel|resampling",
            help="Where a corruptor acts: on latents once, on pixels, or at every resampling step. Default: latent.",
        ),
    ] = None,
    package: Annotated[
        bool, typer.Option("--package", help="Write an installable package with entry point, tests and README.")
    ] = False,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write into.")] = Path(),
    plugin: options.PluginFiles = None,
    plugin_folder: options.PluginFolders = None,
) -> None:
    """Write a plugin that already runs. A comment shows the line to change. Existing files are never replaced."""
    from benchkit.scaffold import SPACES, new_plugin, write_plugin

    if space is not None and kind != "corruptor":
        raise BenchkitError(f"--space is for corruptors only: omit it for a {kind}")
    if space not in (None, *SPACES):
        raise BenchkitError(f"--space '{space}': choose {', '.join(SPACES)}")
    if out.exists() and not out.is_dir():
        raise BenchkitError(f"--out '{out}' is a file: name a folder")
    files = new_plugin(
        kind,
        name,
        load_registry(plugin, plugin_folder),
        space=next((one for one in SPACES if one == space), "latent"),
        package=package,
    )
    written = write_plugin(files, out)
    for path in written:
        print(path)
    for line in _next(kind, name, written[0].parent if package else written[0], package):
        print(line)


def _next(kind: str, name: str, place: Path, package: bool) -> list[str]:
    """Return the commands to run next."""
    path = shlex.quote(str(place))
    lines = ["", f"check it:   benchkit plugins check {path}"]
    if package:
        lines.append(f"install it: pip install --editable {path}")
    if kind in ("corruptor", "selector"):
        lines.append(f"look at it: benchkit plugins preview {name if package else path} --out {name}.png")
    known = "" if package else f"--plugin {path} "
    lines.append(f"compare it: benchkit compare quick {known}--{kind} {name} --out runs/{name}")
    return lines
