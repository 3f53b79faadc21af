"""Placeholders for skipped plugins: cells that use one are skipped with the reason, all others run."""

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
    """The plugins of another registry, and placeholders for those that were skipped.

    A placeholder is unavailable, for the reason why the plugin was skipped, and accepts any parameter. An unknown name
    is an error as usual. placeholders: the skipped plugin of every placeholder in use, by "KIND 'NAME'".
    """

    def __init__(self, registry: Registry) -> None:
        super().__init__()
        self.__dict__.update(vars(registry))
        # Classes that are added here, and datasets that are opened, stay here.
        self._entries, self._datasets = dict(self._entries), dict(self._datasets)
        self.placeholders: dict[str, Broken] = {}

    def entry(self, kind: str, name: str) -> Entry:
        """Return the plugin of a name, or its placeholder; raises UnknownNameError with the nearest name."""
        broken = None if self.has(kind, name) else self.find_skipped(name)
        if broken is None or kind not in _BASES:
            return super().entry(kind, name)
        self.placeholders[f"{kind} '{name}'"] = broken
        cls = _make_placeholder(_BASES[kind], name, f"skipped ({broken.origin}): {broken.reason}")
        return Entry(kind, name, cls, broken.origin, None, broken.source_hash)

    def make(self, spec: Spec, base: type[P]) -> P:
        """Return the live plugin of a Spec, or its placeholder; raises BenchkitError for a wrong parameter."""
        if self._is_placeholder(spec):
            return cast(P, self.entry(spec.kind, spec.name).cls())
        return super().make(spec, base)

    def complete(self, spec: Spec) -> Spec:
        """Return the Spec with every default filled in; that of a placeholder unchanged."""
        return spec if self._is_placeholder(spec) else super().complete(spec)

    def _is_placeholder(self, spec: Spec) -> bool:
        return issubclass(self.entry(spec.kind, spec.name).cls, _Placeholder)


class _Placeholder:
    """Marks placeholders."""


def _make_placeholder(base: type[api.Plugin], name: str, reason: str) -> type[api.Plugin]:
    """Return a plugin class of this kind that cannot run, but answers the questions of planning."""

    def refuse(self: Any, *given: Any, **named: Any) -> Any:
        raise BenchkitError(f"{base.kind} '{name}': {reason}")

    body: dict[str, Any] = dict.fromkeys(getattr(base, "__abstractmethods__", ()), refuse)
    body |= {"name": name, "__doc__": reason, "unavailable": classmethod(lambda cls: reason)}
    if issubclass(base, api.RegionSelector):
        body["detector"] = lambda self: None
    if issubclass(base, api.Inverter):
        body["uses_noise"] = lambda self: False
    return dataclass(frozen=True)(type("Skipped", (_Placeholder, base), body))
