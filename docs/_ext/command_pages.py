"""The reference of the command line, from the commands themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer
from markdown_text import escaped

from benchkit.cli.main import app


def reference() -> str:
    """Return one section for every command: usage, what it does, arguments and options."""
    root = typer.main.get_command(app)
    return "\n".join(line for name, command in commands(root, "benchkit") for line in section(name, command))


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield every command that can be run, with its full name."""
    if not hasattr(command, "commands"):
        yield name, command
        return
    context = command.context_class(command, info_name=name)
    for own in command.list_commands(context):
        inner = command.get_command(context, own)
        if inner is not None and not inner.hidden:
            yield from commands(inner, f"{name} {own}")


def section(name: str, command: Any) -> Iterator[str]:
    """Yield the lines of one command's section."""
    context = command.context_class(command, info_name=name)
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"## {name.removeprefix('benchkit ')}\n"
    yield f"```text\n{name} {usage}\n```\n"
    yield f"{prose(command.help or '')}\n"
    arguments = [p for p in command.params if p.param_type_name == "argument" and not p.hidden]
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden and p.name != "help"]
    for title, params in (("argument", arguments), ("option", options)):
        if params:
            yield f"| {title} | meaning |"
            yield "|---|---|"
            yield from (row(one, context) for one in params)
            yield ""


def row(one: Any, context: Any) -> str:
    """Return the table row of an argument or option, as `--help` shows it."""
    left, text = one.get_help_record(context)
    left = re.sub(r" <\w+>$", "", left)
    flags = f"`{left.replace('|', chr(92) + '|')}`"
    return f"| {flags} | {prose(text).replace('|', chr(92) + '|')} |"


def prose(text: str) -> str:
    """Return a help text as one paragraph each; signs that Markdown would read are escaped."""
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n|\f|\x08", text) if part.strip()]
    return "\n\n".join(map(escaped, paragraphs))
