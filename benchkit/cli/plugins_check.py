"""`benchkit plugins check`: run the conformance kit on a plugin."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from benchkit.cli import options
from benchkit.cli.common import load_registry, print_json

SOME_CHECKS_FAILED = 3


def check(
    target: Annotated[
        str,
        typer.Argument(
            metavar="NAME[:k=v,…]|FILE[:k=v,…]|FOLDER|PACKAGE",
            help="A plugin, a .py file, a folder of files, or a package.",
        ),
    ],
    pictures: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where to draw failed checks. Default: a new temporary folder."),
    ] = None,
    device: options.Device = "cpu",
    as_json: options.AsJson = False,
    plugin: options.PluginFiles = None,
    plugin_folder: options.PluginFolders = None,
) -> None:
    """Check that a plugin keeps its contract. A failed check prints what it expected and what the plugin returned.

    Exit code 0: all checks passed. 3: some failed. 2: there is no such plugin, file or package.
    """
    from benchkit.functions.check import check as examine

    # Made only when there is a picture to draw.
    folder = pictures or Path(tempfile.gettempdir()) / f"benchkit-check-{os.getpid()}"
    with redirect_stdout(sys.stderr):  # stdout is for results, not for what plugins print
        registry = load_registry(plugin, plugin_folder)
        reports = examine(target, pictures=folder, device=device, plugins=registry)
    if as_json:
        print_json(reports.as_json())
    else:
        print(reports)
    if not reports.ok:
        raise typer.Exit(SOME_CHECKS_FAILED)
