"""What was given on the command line, so that no option is ignored: given twice, or not used by what was asked for."""

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
    """A command that refuses an option of one value, or an on-off flag, that is given twice."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; raises BenchkitError for an option given twice."""
        settings.command = self
        *_, order = self.make_parser(ctx).parse_args(args=list(args))
        single = [one for one in order if not (getattr(one, "multiple", True) or one.nargs == -1)]
        twice = dict.fromkeys(flag_of(one) for one in single if single.count(one) > 1)
        if twice:
            raise BenchkitError(f"{', '.join(twice)}: given twice; give it once (see '{ctx.command_path} --help')")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command, known to the functions below while it runs."""
        token = _RUNNING.set(ctx)
        try:
            return super().invoke(ctx)
        finally:
            _RUNNING.reset(token)


class App(typer.Typer):
    """A group whose commands are of the class above."""

    def command(self, *names: Any, **given: Any) -> Callable[[Any], Any]:
        """Register a command."""
        return super().command(*names, **{"cls": Command, **given})


def given_flags(names: Collection[str]) -> list[str]:
    """The flags among these parameters of the running command that its user wrote, in the command's order."""
    context = _RUNNING.get()
    if context is None:
        return []
    return [
        flag_of(one)
        for one in context.command.params
        if one.name in names and str(getattr(context.get_parameter_source(one.name), "name", "")) == "COMMANDLINE"
    ]


def refuse_unused(names: Collection[str], reason: str) -> None:
    """Raise BenchkitError where an option was given that this command does not use; reason: why, and what to do."""
    if flags := given_flags(names):
        raise BenchkitError(f"{', '.join(flags)}: not used here: {reason}")


def note_unused(names: Collection[str], reason: str) -> None:
    """Say on stderr that an option was given which changes nothing here."""
    if flags := given_flags(names):
        tell(f"note: {', '.join(flags)} changes nothing: {reason}")


def flag_of(parameter: Any) -> str:
    """`--flag` of a parameter, or the name of an argument."""
    return str(max(parameter.opts, key=len)) if parameter.param_type_name == "option" else str(parameter.name)
