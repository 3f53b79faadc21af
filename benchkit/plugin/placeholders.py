"""Stand-ins for plugins that were left out: whatever asks for one is skipped with the reason, and all else runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar, cast

from benchkit import api
from benchkit.errors import BenchkitError
from benchkit.plugin.loading import HOOKS
from benchkit.plugin.registry import Broken, Entry, Registry
from benchkit.specs.spec import Spec

P = TypeVar("P", bound=api.Plugin)
#: A comparison without its dataset has nothing to skip to.
_BASES = {base.kind: base for base in HOOKS.values() if base is not api.Dataset}


class TolerantRegistry(Registry):
    """The plugins of another registry, with a stand-in wherever one is asked for that was left out.

    A stand-in is unavailable, for the reason why the plugin was left out, and takes any parameter. stood_in: those that
    were asked for, "KIND 'NAME'" -> the plugin that was left out. A name that nobody gave is an error as ever.
    """

    def __init__(self, registry: Registry) -> None:
        super().__init__()
        self.__dict__.update(vars(registry))
        self.stood_in: dict[str, Broken] = {}

    def entry(self, kind: str, name: str) -> Entry:
        """The plugin of that name, or its stand-in; raises UnknownNameError with the nearest name."""
        broken = None if self.has(kind, name) else self.left_out(name)
        if broken is None or kind not in _BASES:
            return super().entry(kind, name)
        self.stood_in[f"{kind} '{name}'"] = broken
        cls = _stand_in(_BASES[kind], name, f"left out ({broken.origin}): {broken.reason}")
        return Entry(kind, name, cls, broken.origin, None, broken.source_hash)

    def make(self, spec: Spec, base: type[P]) -> P:
        """The live plugin of a Spec, or its stand-in; raises BenchkitError for a wrong parameter of a usable one."""
        if self._stands_in(spec):
            return cast(P, self.entry(spec.kind, spec.name).cls())
        return super().make(spec, base)

    def complete(self, spec: Spec) -> Spec:
        """The Spec with every default filled in; that of a stand-in as it is."""
        return spec if self._stands_in(spec) else super().complete(spec)

    def _stands_in(self, spec: Spec) -> bool:
        return issubclass(self.entry(spec.kind, spec.name).cls, _StandIn)


class _StandIn:
    """What tells a stand-in from a plugin."""


def _stand_in(base: type[api.Plugin], name: str, reason: str) -> type[api.Plugin]:
    """A plugin class of this kind that cannot run; what planning asks of every plugin it answers."""

    def refuse(self: Any, *given: Any, **named: Any) -> Any:
        raise BenchkitError(f"{base.kind} '{name}': {reason}")

    body: dict[str, Any] = dict.fromkeys(getattr(base, "__abstractmethods__", ()), refuse)
    body |= {"name": name, "__doc__": reason, "unavailable": classmethod(lambda cls: reason)}
    if issubclass(base, api.RegionSelector):
        body["detector"] = lambda self: None
    if issubclass(base, api.Inverter):
        body["uses_noise"] = lambda self: False
    return dataclass(frozen=True)(type("LeftOut", (_StandIn, base), body))
