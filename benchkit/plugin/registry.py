"""Discovery of plugins: entry points of the group `benchkit`, plugin folders, single files.

Built-in plugins use the same entry points as other packages. A plugin that cannot be used is reported by name and
reason and skipped. Nothing in the working directory is imported unless it was named.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

import pluggy

from benchkit import api
from benchkit.errors import BenchkitError, UnknownNameError
from benchkit.plugin import hookspecs
from benchkit.plugin.class_source import plugin_source
from benchkit.plugin.loading import (
    GROUP,
    HOOKS,
    classes_of,
    hooks_of,
    import_file,
    module_file,
    modules_of,
    place_of,
    source_hash,
)
from benchkit.plugin.validation import check_class, class_name, default_parameters, give_name
from benchkit.specs.keys import digest
from benchkit.specs.parameters import parameters as parameters
from benchkit.specs.parameters import validated as validated
from benchkit.specs.spec import Spec
from benchkit.system.paths import resolve_links

#: The distribution that this package belongs to: its plugins are the built-in ones, whose names nobody can take.
DISTRIBUTION = "artifact-benchkit"
PLUGINS_VARIABLE = "BENCHKIT_PLUGINS"
KINDS = tuple(base.kind for base in HOOKS.values())
#: The line of a plugin's class that names it; a file that cannot be imported can still be read.
_PLUGIN_NAME = re.compile(r"""^[ \t]+name\b[^=\n]*=\s*["']([a-z0-9-]+)["']""", re.MULTILINE)
P = TypeVar("P", bound=api.Plugin)


@dataclass(frozen=True)
class Entry:
    """One usable plugin and where it came from.

    source_hash: sha256 of its file and helpers. file: its source file, or None where there is none to see. in_session:
    a class of this Python session, which no other process can load.
    """

    kind: str
    name: str
    cls: type[api.Plugin]
    origin: str
    version: str | None
    source_hash: str
    file: Path | None = None
    in_session: bool = False

    @property
    def is_built_in(self) -> bool:
        """Whether it ships with benchkit."""
        return self.origin == f"package {DISTRIBUTION}"


@dataclass(frozen=True)
class Broken:
    """A plugin that was skipped, and the reason in one line.

    kind: None where it is not known. provides: the names that its source seems to give plugins.
    """

    name: str
    origin: str
    reason: str
    provides: tuple[str, ...] = ()
    source_hash: str = ""
    kind: str | None = None


@dataclass(frozen=True)
class _Found:
    module: ModuleType
    origin: str
    version: str | None

    @property
    def has_helpers(self) -> bool:
        """Whether private files beside the module are its own; not so for an installed top-level module."""
        return self.version is None or bool(self.module.__package__)


class Registry:
    """The plugins in use, found by their Specs."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(hookspecs)
        self._entries: dict[tuple[str, str], Entry] = {}
        self._datasets: dict[Spec, api.Dataset] = {}
        self.broken: list[Broken] = []
        #: Real paths of loaded files: a file that is named twice, or through a link, is loaded once.
        self._files: set[Path] = set()
        #: Folders and files from which plugins were loaded, beside the installed packages.
        self.sources: tuple[tuple[Path, ...], tuple[Path, ...]] = ((), ())

    @classmethod
    def load(cls, folders: Iterable[Path] = (), files: Iterable[Path] = (), *, strict: bool = False) -> Registry:
        """Return all plugins of installed packages, of `folders`, of `files`, and of $BENCHKIT_PLUGINS.

        Raises BenchkitError for a folder or file that does not exist; with `strict` also for a broken plugin.
        """
        registry = cls()
        folders, files = tuple(folders), tuple(files)
        registry.sources = (folders, files)
        for point in sorted(entry_points(group=GROUP), key=_rank):
            registry._add_entry_point(point)
        for file in _files_of(folders, files):
            registry._add_file(file)
        if strict and registry.broken:
            reasons = "; ".join(f"plugin '{b.name}' ({b.origin}) cannot be used: {b.reason}" for b in registry.broken)
            raise BenchkitError(reasons)
        return registry

    def _add_entry_point(self, point: EntryPoint) -> None:
        origin = f"package {_owner(point)}".strip()
        try:
            version = point.dist.version if point.dist else None
            module = importlib.import_module(point.module)
            names = list(modules_of(module))
        except (Exception, SystemExit) as error:
            self._skip(point.name, origin, error, module_file(point))
            return
        for name in names:
            try:
                found = importlib.import_module(name)
                if not self._is_known(found.__file__):
                    self._register(_Found(found, origin, version))
            except (Exception, SystemExit) as error:
                self._skip(name, origin, error, module_file(name))

    def _add_file(self, path: Path) -> None:
        try:
            if not self._is_known(path):
                self._register(_Found(import_file(path), str(path), None))
        except (Exception, SystemExit) as error:
            self._skip(path.stem, str(path), error, path)

    def _is_known(self, file: Path | str | None) -> bool:
        """Whether a file was loaded before, whatever path leads to it; remembers it."""
        if file is None:
            return False
        path = resolve_links(file)
        known = path in self._files
        self._files.add(path)
        return known

    def _skip(self, name: str, origin: str, error: BaseException, source: Path | None) -> None:
        text = " ".join(str(error).split()) or "no message"
        place = place_of(error, source) if source is not None else None
        at = f" ({place})" if place and not isinstance(error, SyntaxError) else ""
        reason = text if isinstance(error, BenchkitError) else f"{type(error).__name__}: {text}{at}"
        code = b""
        with suppress(OSError):  # a file that cannot be read is skipped for that reason
            code = source.read_bytes() if source is not None and source.is_file() else b""
        provides = tuple(_PLUGIN_NAME.findall(code.decode("utf-8", "replace")))
        self.broken.append(Broken(name, origin, reason[:500], provides, hashlib.sha256(code).hexdigest()))

    def _register(self, found: _Found) -> None:
        """Add the plugins that a module's hooks return; without hooks, the classes that a plugin file defines."""
        hooks = hooks_of(found.module)
        self._manager.register(found.module)
        if not hooks and found.version is None:
            plugins: list[tuple[Any, type[api.Plugin]]] = list(classes_of(found.module))
            if not plugins:
                raise BenchkitError("it defines no plugin: write a class of one of benchkit.api's kinds, with a name")
        else:
            plugins = [(cls, HOOKS[hook]) for hook in hooks for cls in self._call(hook, found.module)]
        for plugin, base in plugins:
            try:
                self._add_class(plugin, base, found)
            except Exception as error:
                name = getattr(plugin, "name", None)
                self._skip(str(name or class_name(plugin)), found.origin, error, None)
                self.broken[-1] = replace(self.broken[-1], kind=base.kind)

    def _call(self, hook: str, module: ModuleType) -> list[Any]:
        """Return the classes that one module's hook returns, so that the source of each class is known."""
        others = [one for one in self._manager.get_plugins() if one is not module]
        # pluggy skips a hook that returns None.
        returned = self._manager.subset_hook_caller(hook, others)() or [None]
        for classes in returned:
            if not isinstance(classes, Iterable) or isinstance(classes, str):
                raise BenchkitError(f"{hook}() returned {classes!r}: return a list of plugin classes")
        return [cls for classes in returned for cls in classes]

    def _add_class(self, cls: Any, base: type[api.Plugin], found: _Found) -> None:
        check_class(cls, base)
        source = source_hash(Path(found.module.__file__ or ""), found.has_helpers)
        file = resolve_links(found.module.__file__) if found.module.__file__ else None
        known = self._entries.get((base.kind, cls.name))
        if known and (known.cls is cls or (known.file != file and _is_copy(source, known))):
            return  # the same plugin once more: imported by another module, or a copy of its file
        if known:
            raise BenchkitError(
                f"a {base.kind} named '{cls.name}' exists already ({known.origin}); this one is {found.origin}'s: "
                "rename it"
            )
        entry = Entry(base.kind, cls.name, cls, found.origin, found.version, source, file)
        self._entries[base.kind, cls.name] = entry

    def add_class(self, cls: type[api.Plugin]) -> Entry:
        """Add a class of this Python session, such as one of a notebook, and return its entry.

        Its name is its own `name`, or else the class's name in kebab case, which becomes its `name`. Its text
        identifies it, see `plugin_source`. Raises BenchkitError for a class that is no usable plugin, has no source, or
        has the name of another plugin.
        """
        base = next((one for one in HOOKS.values() if issubclass(cls, one)), None)
        if base is None:
            raise BenchkitError(f"class {cls.__name__} is no plugin: derive it from a class of benchkit.api")
        give_name(cls)
        check_class(cls, base)
        source = hashlib.sha256(plugin_source(cls, cls.name).encode()).hexdigest()
        known = self._entries.get((base.kind, cls.name))
        if known is None:
            origin = f"class {cls.__name__} of a Python session"
            known = Entry(base.kind, cls.name, cls, origin, None, source, in_session=True)
            self._entries[base.kind, cls.name] = known
        elif known.source_hash != source:
            raise BenchkitError(
                f"a {base.kind} named '{cls.name}' exists already ({known.origin}); class {cls.__name__} is another: "
                "give it a `name` of its own"
            )
        return known

    def find_class(self, cls: type[api.Plugin]) -> Entry | None:
        """Return the entry of a class, or of the same class of a plugin file that was imported once more."""
        for entry in self._entries.values():
            same = entry.file is not None and _file_of(cls) == entry.file and cls.__name__ == entry.cls.__name__
            if entry.cls is cls or same:
                return entry
        return None

    def entries(self, kind: str | None = None) -> list[Entry]:
        """Return the usable plugins, sorted by kind and name."""
        chosen = [e for e in self._entries.values() if kind in (None, e.kind)]
        return sorted(chosen, key=lambda e: (KINDS.index(e.kind), e.name))

    def entry(self, kind: str, name: str) -> Entry:
        """Return the plugin of a name; raises UnknownNameError with the nearest name, or why it was skipped."""
        if self.has(kind, name):
            return self._entries[kind, name]
        broken = self.find_skipped(name, kind)
        if broken:
            raise BenchkitError(f"{kind} '{name}' ({broken.origin}) was skipped: {broken.reason}")
        known = (n for k, n in self._entries if k == kind)
        raise UnknownNameError(kind, name, known, "a plugin of your own: load the .py file that it is in")

    def has(self, kind: str, name: str) -> bool:
        """Whether there is a usable plugin of that name."""
        return (kind, name) in self._entries

    def from_file(self, path: Path) -> list[Entry]:
        """Return the usable plugins of one file, whatever path leads to it."""
        return [entry for entry in self.entries() if entry.file == resolve_links(path)]

    def find_skipped(self, name: str, kind: str | None = None) -> Broken | None:
        """Return what was skipped under a name: a plugin, its file or module, or a file that gives a plugin this name.

        kind: where it is given, no plugin that is known to be of another kind.
        """
        for broken in self.broken:
            if None not in (kind, broken.kind) and kind != broken.kind:
                continue
            if name in (broken.name, broken.name.rpartition(".")[2].replace("_", "-"), *broken.provides):
                return broken
        return None

    def author_of(self, error: BaseException) -> Entry | None:
        """Return the innermost plugin whose code is in an exception's traceback; None if there is none."""
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)][::-1]
        for i, frame in enumerate(frames):
            here = [e for e in self._entries.values() if e.cls.__module__ == frame.f_globals.get("__name__")]
            if here:
                # Of several plugins in one file it is the one whose method runs, here or further out.
                running = [type(outer.f_locals.get("self")) for outer in frames[i:]]
                return min(here, key=lambda e: running.index(e.cls) if e.cls in running else len(running))
        return None

    def make(self, spec: Spec, base: type[P]) -> P:
        """Return the live plugin of a Spec; raises BenchkitError for an unknown or ill-typed parameter."""
        cls = self.entry(spec.kind, spec.name).cls
        return cast(P, cls(**validated(cls, spec)))

    def dataset(self, spec: Spec) -> api.Dataset:
        """Return the dataset of a complete Spec; it is opened once, however many ask for it."""
        if spec not in self._datasets:
            self._datasets[spec] = self.make(spec, api.Dataset)  # type: ignore[type-abstract]
        return self._datasets[spec]

    def complete(self, spec: Spec) -> Spec:
        """Return the Spec with all defaults, so that `x` and `x:k=default` are equal; its parts are checked."""
        cls = self.entry(spec.kind, spec.name).cls
        plugin = cls(**validated(cls, spec))
        self.parts(spec)
        whole = Spec.of(spec.kind, spec.name, **{f.name: getattr(plugin, f.name) for f in parameters(cls)})
        return replace(whole, defaults=default_parameters(cls, whole))

    def short(self, spec: Spec) -> str:
        """Return the Spec's text for people: only the parameters that differ from the plugin's defaults.

        A Spec that `complete` returned knows its defaults already: `spec.short`. A Spec of a plugin that is not there
        is returned with all of its parameters.
        """
        if not self.has(spec.kind, spec.name):
            return str(spec)
        return replace(spec, defaults=default_parameters(self.entry(spec.kind, spec.name).cls, spec)).short

    def parts(self, spec: Spec) -> tuple[Spec, ...]:
        """Return the complete Specs of a composite's parts; none for other plugins."""
        texts = self.make(spec, api.Plugin).parts()
        return tuple(self.complete(Spec.parse(spec.kind, text)) for text in texts)

    def with_parts(self, spec: Spec) -> Iterator[Spec]:
        """Yield the Spec itself, its parts, their parts, and so on."""
        yield spec
        for part in self.parts(spec):
            yield from self.with_parts(part)

    def identity(self, spec: Spec) -> str:
        """Return what a plugin's results depend on beside its parameters: its source, the files it reads, its parts."""
        entry = self.entry(spec.kind, spec.name)
        beside = self.make(spec, api.Plugin).depends_on()
        parts = [[part, self.identity(part)] for part in self.parts(spec)]
        return digest([entry.source_hash, beside, parts]) if beside or parts else entry.source_hash


def _file_of(cls: type) -> Path | None:
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return None if file is None or cls.__module__ == "__main__" else resolve_links(file)


def _is_copy(source: str, known: Entry) -> bool:
    """Whether a file with this source hash is a copy of a plugin's, with the helpers beside it or without any."""
    return source == known.source_hash or (known.file is not None and source == source_hash(known.file, False))


def _rank(point: EntryPoint) -> tuple[bool, str, str, str]:
    """Return the sort key of an entry point: built-in ones first, then by distribution and name, in a fixed order."""
    owner = re.sub(r"[-_.]+", "-", _owner(point)).lower() or "~"
    return owner != DISTRIBUTION, owner, point.name, point.value


def _owner(point: EntryPoint) -> str:
    """Return the distribution of an entry point; nothing if its metadata are damaged."""
    return str(point.dist.metadata["Name"] or "") if point.dist else ""


def _files_of(folders: Sequence[Path], files: Sequence[Path]) -> Iterator[Path]:
    """Yield the plugin files of folders, files and $BENCHKIT_PLUGINS; raises BenchkitError if one does not exist."""
    listed = [Path(p) for p in os.environ.get(PLUGINS_VARIABLE, "").split(os.pathsep) if p]
    for path in listed:
        if not path.exists():
            raise BenchkitError(f"${PLUGINS_VARIABLE}: '{path}' does not exist: name .py files or folders of them")
    for folder in [*(p for p in listed if p.is_dir()), *folders]:
        if not folder.is_dir():
            raise BenchkitError(f"plugin folder '{folder}' does not exist: name a folder of .py files")
        yield from (f for f in sorted(folder.glob("*.py")) if not f.name.startswith(("_", ".")) and not f.is_dir())
    for file in [*(p for p in listed if p.is_file()), *files]:
        if not file.is_file():
            raise BenchkitError(f"plugin file '{file}' does not exist: name a .py file")
        yield file


def why_unavailable(cls: type[api.Plugin]) -> str | None:
    """Return why a plugin cannot run here, or None; an `unavailable` that raises is such a reason."""
    try:
        return cls.unavailable()
    except Exception as error:
        return f"unavailable() raised {type(error).__name__}: {' '.join(str(error).split())}"
