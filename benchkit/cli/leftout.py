"""Plugins that were left out, in a command that runs without them: their cells alone are lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from benchkit.cli.common import tell

if TYPE_CHECKING:
    from benchkit.plugin.placeholders import TolerantRegistry
    from benchkit.plugin.registry import Registry

#: The exit code where cells failed and others did not.
SOME_CELLS_FAILED = 3


def tolerant(registry: Registry) -> TolerantRegistry:
    """The registry with stand-ins for what was left out of it."""
    from benchkit.plugin.placeholders import TolerantRegistry

    return TolerantRegistry(registry)


@contextmanager
def left_out_named(registry: TolerantRegistry) -> Iterator[None]:
    """Name the plugins that were asked for and left out; after what is inside end with exit code 3, if any was."""
    for name, broken in registry.stood_in.items():
        tell(f"failed: {name} was left out ({broken.origin}): {broken.reason}")
    yield
    if registry.stood_in:
        raise typer.Exit(SOME_CELLS_FAILED)
