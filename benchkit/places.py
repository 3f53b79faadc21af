"""Places that differ from machine to machine: `${VARIABLE}` in a Spec's text stands for an environment variable.

A Spec keeps the name and never the place, so that boards and keys are the same wherever the files lie.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchkit.errors import BenchkitError

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def variables(text: Any) -> tuple[str, ...]:
    """The environment variables that a text names, each once; none for what is no text."""
    return tuple(dict.fromkeys(_VARIABLE.findall(text))) if isinstance(text, str) else ()


def expanded(value: Any, where: str) -> Any:
    """The value with its variables replaced by what they hold; `where` leads the message of a BenchkitError."""
    for name in variables(value):
        held = os.environ.get(name, "")
        if not held:
            raise BenchkitError(f"{where}: the environment variable {name} is not set; put the place there")
        value = value.replace(f"${{{name}}}", held)
    return value


def names_a_place(value: Any) -> bool:
    """Whether a value, its variables replaced, is an address or something that exists in the file system."""
    try:
        text = str(expanded(value, ""))
        return "://" in text or Path(text).expanduser().exists()
    except (BenchkitError, OSError, ValueError):
        return False


def check_places(texts: Iterable[str], meanings: Mapping[str, str], instead: Iterable[str] = ()) -> None:
    """Raise one BenchkitError that names every variable of `texts` that is not set, and what is to be put there.

    instead: datasets for which a grid needs none of them.
    """
    wanted = dict.fromkeys(name for text in texts for name in variables(text))
    if missing := [name for name in wanted if not os.environ.get(name)]:
        told = "; ".join(f"{name}={meanings.get(name, 'the place')}" for name in missing)
        other = "".join(f"; --dataset {name} needs none" for name in instead)
        raise BenchkitError(
            f"not set: {told}. Set {'it' if len(missing) == 1 else 'them'} with 'export', or write the place out in "
            f"--dataset, --detector or --set{other}"
        )
