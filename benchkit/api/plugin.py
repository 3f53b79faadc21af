"""What plugins of every kind share: `Plugin`, `param` and `hookimpl`."""

from __future__ import annotations

from abc import ABC
from dataclasses import field
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import pluggy

from benchkit.specs.parameters import check_parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchkit.api.datasets import Sample

F = TypeVar("F", bound="Callable[[], Sequence[type[Plugin]]]")


def hookimpl(function: F) -> F:
    """Mark a hook of a module: a function such as `benchkit_corruptors` that returns a list of plugin classes.

    A module of an installed package needs a hook. In a plugin file without hooks, benchkit finds the plugin classes
    that the file defines. The marker has no options: each module's hooks are called separately, so their order has no
    effect.
    """
    return pluggy.HookimplMarker("benchkit")(function)


def param(
    default: Any,
    *,
    doc: str = "",
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    choices: Sequence[str] | None = None,
) -> Any:
    """Declare a parameter of a plugin: its default, meaning and allowed range.

    Use it as the value of a dataclass field. A plain default is enough where every value of the type is allowed.
    """
    bounds = {"ge": ge, "gt": gt, "le": le, "lt": lt}
    metadata = {"doc": doc, "bounds": {k: v for k, v in bounds.items() if v is not None}, "choices": choices}
    return field(default=default, metadata=metadata)


class Plugin(ABC):
    """Base class of every plugin.

    A plugin has a `name` (kebab-case, unique within its kind), a docstring and dataclass fields.
    """

    name: ClassVar[str]
    kind: ClassVar[str]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = cls.__dict__.get("__post_init__")
        if own is not None:  # so that a subclass's own __post_init__ need not call this one

            @wraps(own)
            def checked(self: Plugin) -> None:
                Plugin.__post_init__(self)
                own(self)

            cls.__post_init__ = checked  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        """Raise BenchkitError for a parameter of the wrong type or out of its range, however the plugin is made."""
        check_parameters(self)

    @classmethod
    def unavailable(cls) -> str | None:
        """Return why this plugin cannot run here (for example, a missing package), or None.

        benchkit shows the text as the reason why rows are skipped.
        """
        return None

    def depends_on(self) -> str:
        """Return a digest of what this plugin reads besides its source and parameters, such as a file of weights.

        The digest is part of the plugin's identity: when it changes, the plugin's work is computed again.
        """
        return ""

    def needs(self) -> Sequence[str]:
        """Return what every sample must have: `mask`, `caption`, or names of attributes.

        If a sample lacks one of them, the rows of this plugin are refused before anything is computed.
        """
        return ()

    def check_sample(self, sample: Sample) -> None:  # noqa: B027  # optional
        """Raise BenchkitError if the plugin's parameters do not fit a sample that has what `needs` names.

        A plugin that needs an attribute receives the first sample of each set before anything is computed.
        """

    def parts(self) -> Sequence[str]:
        """Return the plugins of the same kind that this one is made of, `NAME:key=value` each (see `split_parts`).

        benchkit checks the parts, does their work, and includes their identities in this plugin's identity.
        """
        return ()
