"""Checks that no option is ignored silently: options given twice, and options that a call does not use."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextvars import ContextVar
from typing import Any

import typer
from typer.core import TyperCommand

from benchkit.cli.common import settings, tell
from benchkit.errors import BenchkitError

_RUNNING: ContextVar[Any] = ContextVar("running", default=None)


class Command(TyperCommand):
    """A command that refuses an option given twice, unless the option is repeatable."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; raises BenchkitError for an option given twice."""
        settings.command = self
        *_, order = self.make_parser(ctx).parse_args(args=list(args))
        single = [option for option in order if not (getattr(option, "multiple", True) or option.nargs == -1)]
        twice = dict.fromkeys(flag_of(option) for option in single if single.count(option) > 1)
        if twice:
            raise BenchkitError(f"{', '.join(twice)}: given twice; give it once (see '{ctx.command_path} --help')")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; the functions below read its options meanwhile."""
        token = _RUNNING.set(ctx)
        try:
            return super().invoke(ctx)
        finally:
            _RUNNING.reset(token)


class App(typer.Typer):
    """A group of commands of the class `Command`."""

    def command(self, *names: Any, **given: Any) -> Callable[[Any], Any]:
        """Register a command."""
        return super().command(*names, **{"cls": Command, **given})


def given_flags(names: Collection[str]) -> list[str]:
    """Return the flags of those parameters that the user wrote, in the command's order."""
    context = _RUNNING.get()
    if context is None:
        return []
    return [
        flag_of(option)
        for option in context.command.params
        if option.name in names and str(getattr(context.get_parameter_source(option.name), "name", "")) == "COMMANDLINE"
    ]


def refuse_unused(names: Collection[str], reason: str) -> None:
    """Raise BenchkitError if the user gave one of these options; reason: why it is unused, and the remedy."""
    if flags := given_flags(names):
        raise BenchkitError(f"{', '.join(flags)}: not used here: {reason}")


def note_unused(names: Collection[str], reason: str) -> None:
    """Print a note if the user gave one of these options, which change nothing in this call."""
    if flags := given_flags(names):
        tell(f"note: {', '.join(flags)} changes nothing: {reason}")


def flag_of(parameter: Any) -> str:
    """Return the `--flag` of an option, or the name of an argument."""
    return str(max(parameter.opts, key=len)) if parameter.param_type_name == "option" else str(parameter.name)
