"""The function form of a corruptor: `corruptor` makes a plugin class of a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import Field, dataclass
from typing import TYPE_CHECKING, Any, Literal

from benchkit.api.corruptors import Corruptor, LatentCorruptor, PixelCorruptor
from benchkit.api.plugin import param
from benchkit.errors import BenchkitError

if TYPE_CHECKING:
    from torch import Tensor


def corruptor(
    function: Callable[..., Tensor] | None = None,
    *,
    steps: int | None = None,
    name: str | None = None,
    space: Literal["latent", "pixel"] = "latent",
) -> Any:
    """Make a corruptor class of a function: the shortest form of a plugin.

        @corruptor(steps=10)
        def faint(at, strength: float = 0.5):
            "Fresh noise, weaker than it should be."
            return strength * at.noise()

    The function receives `at`, a LatentContext (a PixelContext with space="pixel"), and returns what stands inside the
    mask. Its other arguments are the plugin's parameters. Each needs a default: a plain value or `param(...)`. The
    plugin gets the function's docstring, and its name with `-` for `_` unless `name` is given. steps: default number
    of inversion steps, 10 if it is not given; a function with an argument `steps` declares the default there. Raises
    BenchkitError for a function of another form.
    """
    if function is None:
        return lambda decorated: corruptor(decorated, steps=steps, name=name, space=space)
    declared = _parse_parameters(function)
    if steps is not None and ("steps" in declared or space == "pixel"):
        why = "a pixel corruptor has none" if space == "pixel" else "the function declares them"
        raise BenchkitError(f"corruptor '{function.__name__}': remove steps={steps}: {why}")

    def corrupt(self: Corruptor, at: Any) -> Tensor:
        return function(at, **{key: getattr(self, key) for key in declared})

    own = {"steps": ("int", param(steps, ge=0, doc="inversion steps from the clean end"))} if steps is not None else {}
    fields = {**own, **declared}
    body = {
        "__module__": function.__module__,
        "__qualname__": function.__qualname__,
        "__doc__": function.__doc__,
        "__annotations__": {key: hint for key, (hint, _) in fields.items()},
        "name": name or function.__name__.replace("_", "-"),
        "corrupt": corrupt,
        "made_of": staticmethod(function),  # whose source identifies a corruptor that no file has
        **{key: default for key, (_, default) in fields.items()},
    }
    base = PixelCorruptor if space == "pixel" else LatentCorruptor
    return dataclass(frozen=True)(type(function.__name__, (base,), body))


def _parse_parameters(function: Callable[..., Tensor]) -> dict[str, tuple[Any, Any]]:
    """Return a function's arguments after the first: name -> (type, default or `param(...)`)."""
    if not inspect.isfunction(function):
        raise BenchkitError(f"@corruptor decorates a function, not {function!r}")
    who, parameters = f"corruptor '{function.__name__}'", {}
    first, *others = inspect.signature(function).parameters.values() or (None,)
    if first is None or first.kind not in (first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD):
        raise BenchkitError(f"{who}: its first argument must be `at`, the context that the corruptor receives")
    for argument in others:
        key, default = argument.name, argument.default
        if argument.kind not in (argument.POSITIONAL_OR_KEYWORD, argument.KEYWORD_ONLY) or default is argument.empty:
            raise BenchkitError(f"{who}: argument '{key}' needs a name and a default value")
        if key == "name" or (hasattr(LatentCorruptor, key) and key != "steps"):
            raise BenchkitError(f"{who}: every corruptor has its own '{key}': rename this argument")
        plain = default.default if isinstance(default, Field) else default
        parameters[key] = (type(plain) if argument.annotation is argument.empty else argument.annotation, default)
    return parameters
