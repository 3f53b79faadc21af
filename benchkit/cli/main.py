"""The entry point: it finds the command, runs it, and turns every ending into one line and an exit code.

0: done. 1: a fault of benchkit. 2: bad input. 3: some cells failed. 130: interrupted. 141: the reader of the output
ended.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from benchkit.cli.common import as_flags, debugging, log_file, logging_to_file, one_line, settings, tell, with_flags
from benchkit.cli.unused_options import App
from benchkit.errors import BenchkitError
from benchkit.specs.faults import FaultsError

if TYPE_CHECKING:
    from benchkit.plugin.registry import Entry

INTERRUPTED, BROKEN_PIPE = 130, 141

#: Command -> its module in this package, and its line in `benchkit --help`. The module has a function of that name, or
#: a group `app`.
COMMANDS = {
    "compare": ("compare", "Run a comparison: corrupt, train, score, rank."),
    "ablate": ("ablate", "Vary one setting of a comparison at a time."),
    "tune": ("tune", "Search the parameters of a corruptor."),
    "predict": ("predict", "Predict a corruptor's place on a board, from short trainings."),
    "figure": ("figure", "Draw the paper's Figures 4 to 8 from a run."),
    "export": ("export", "Write the training set or the detector of a run."),
    "detect": ("detect", "Find artifacts in any images."),
    "corrupt": ("corrupt", "Corrupt one image inside a mask."),
    "doctor": ("doctor", "Check the installation."),
    "plugins": ("plugins", "List, show, write, check and preview plugins."),
    "data": ("data", "List, show, export and prepare datasets."),
    "leaderboard": ("leaderboard", "Show the boards of finished runs."),
    "cache": ("cache", "List, check and delete finished stages."),
}


class Commands(TyperGroup):
    """The commands by name. A command's module is imported only when this command is called."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands = dict.fromkeys(COMMANDS)  # type: ignore[assignment]  # typer compares a misspelt name with these

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"benchkit.cli.{COMMANDS[cmd_name][0]}")
        group = getattr(module, "app", None)
        if group is not None:
            command: Any = typer.main.get_group(group)
        else:
            single = App(**PLAIN)
            single.command(cmd_name)(getattr(module, cmd_name))
            command = typer.main.get_command(single)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


PLAIN: dict[str, Any] = {"add_completion": False, "rich_markup_mode": None, "pretty_exceptions_enable": False}
app = typer.Typer(
    cls=Commands,
    name="benchkit",
    help="Compare methods that create artifacts in clean images: train detectors on these images, and score them.",
    **PLAIN,
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"benchkit {version('artifact-benchkit')}")
        raise typer.Exit


@app.callback()
def _root(
    debug: Annotated[bool, typer.Option("--debug", help="Show full tracebacks (or set BENCHKIT_DEBUG=1).")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    settings.debug = debug


def program() -> int:
    """Run `main` as the console script, whose process ends with it."""
    # Imports make some hundred thousand objects, and all of them stay. Collecting garbage after every 700 objects takes
    # a seventh of the start-up time, and the last collection half a second.
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)
    return main()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (default: this process's) and return its exit code; never raises."""
    settings.debug, settings.cache, settings.registry, settings.command = False, None, None, None
    _never_fail_to_print()
    try:
        with logging_to_file():
            return _run(list(sys.argv[1:] if arguments is None else arguments) or ["--help"])
    except KeyboardInterrupt:
        return _interrupted()
    except BrokenPipeError:
        _drop_output()
        return BROKEN_PIPE


def _run(arguments: list[str]) -> int:
    try:
        # Outside of standalone mode usage errors are raised, and what a command exits with is returned.
        code = typer.main.get_command(app).main(arguments, "benchkit", standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, BrokenPipeError):
        raise
    except typer.Abort:
        return _interrupted()
    except SystemExit as stopped:
        if isinstance(stopped.__context__, BrokenPipeError):  # typer or rich caught it first
            return BROKEN_PIPE
        return stopped.code if isinstance(stopped.code, int) else 1
    except FaultsError as error:
        return _refused(*error.lines(as_flags))
    except BenchkitError as error:
        return _refused(str(error))
    except Exception as error:
        if hasattr(error, "format_message"):
            return _refused(_usage(error))
        return _fault(error)
    return _interrupted() if code == INTERRUPTED else int(code or 0)


def _refused(message: str, *lines: str) -> int:
    if debugging():
        traceback.print_exc()
    tell(f"error: {message}")
    for line in lines:
        print(f"  {one_line(with_flags(line))}", file=sys.stderr, flush=True)
    return 2


def _usage(error: Exception) -> str:
    """Return what is wrong with the command line, and where its help is."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "benchkit"
    return f"{error.format_message().rstrip('.')} (see '{path} --help')"  # type: ignore[attr-defined]


def _fault(error: Exception) -> int:
    """Report an unexpected exception: as bad input if a plugin of the user raised it, else as a fault of benchkit."""
    from benchkit.plugin.loading import place_of

    if author := _foreign_author(error):
        place = place_of(error, author.file) if author.file else None
        at = f" ({place})" if place else ""
        raised = f"{author.kind} '{author.name}' ({author.origin}) raised {type(error).__name__}: {error}{at}"
        return _refused(f"{raised}; correct the plugin or omit it ('benchkit --debug' shows the traceback)")
    where = "the traceback is above"
    if debugging():
        traceback.print_exc()
    else:
        where = f"the traceback is in {_logged()}"
    tell(f"error: {type(error).__name__}: {error} (a fault of benchkit: {where})")
    return 1


def _foreign_author(error: Exception) -> Entry | None:
    """Return the plugin that raised the error, unless it ships with benchkit."""
    from benchkit.report.third_party import OWN

    author = settings.registry.author_of(error) if settings.registry else None
    return None if author is None or author.origin == OWN else author


def _logged() -> str:
    try:
        file = log_file()
        with file.open("a", encoding="utf-8", errors="backslashreplace") as log:
            log.write(traceback.format_exc())
    except (OSError, BenchkitError):
        return "no file, because none can be written: run it again with 'benchkit --debug'"
    return str(file)


def _interrupted() -> int:
    tell("interrupted; finished work is kept: run the same command to continue")
    return INTERRUPTED


def _never_fail_to_print() -> None:
    """Print characters that the terminal cannot show, and file names that are not text, as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """Send further output nowhere, since its reader has ended; else the interpreter's flush at exit would fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(program())
