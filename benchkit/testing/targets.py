"""The targets of `plugins check`: a plugin's name, a file, a folder or a package, and the plugins in it."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from benchkit.errors import BenchkitError, UnknownNameError
from benchkit.plugin.loading import GROUP, HOOKS, classes_of, hooks_of, import_file, module_file, modules_of
from benchkit.plugin.registry import Entry, Registry
from benchkit.specs.grammar import Scalar
from benchkit.specs.parameters import validated
from benchkit.specs.spec import Spec
from benchkit.testing.checks import Finding, Report, Subject, Violation, check, format_error
from benchkit.testing.general import form, is_plugin_class, parameters
from benchkit.testing.kit import report_on_subject


@dataclass(frozen=True)
class Conditions:
    """What all checks of one call share; see benchkit.testing.Subject."""

    registry: Registry
    pictures: Path | None = None
    device: str = "cpu"


@check("imports", "it can be imported")
def imports(_: Subject) -> None:
    """Name the check; `_of_module` runs it before there is a plugin."""


@check("hooks", "every hook is known to benchkit, and returns plugin classes of its kind")
def hooks(_: Subject) -> None:
    """Name the check; `_of_module` runs it."""


def split_target(target: str) -> tuple[str, str]:
    """Return the name or file of `NAME:key=value` or `FILE.py:key=value`, and the text of the parameters behind it."""
    found = None if os.path.exists(target) else re.fullmatch(r"(.+?):(\s*\w+\s*=.*)", target, re.DOTALL)  # noqa: PTH110
    return (found[1], found[2]) if found else (target, "")


def reports_on(
    target: str, registry: Registry | None = None, pictures: Path | None = None, device: str = "cpu"
) -> list[Report]:
    """Check what `target` names: `NAME[:key=value]` of a plugin, a .py file, a folder or a distribution.

    A file of one plugin may be followed by its parameters, `FILE.py:key=value`.
    A folder is of plugin files, or of a package whose pyproject.toml names entry points of the group `benchkit`. A
    file that cannot be imported is reported as failed. Raises BenchkitError if there is nothing of that name.
    """
    conditions = Conditions(registry or Registry.load(), pictures, device)
    name, given = split_target(target)
    path = Path(name)
    if path.suffix == ".py" or path.is_file():
        if not path.is_file():
            raise BenchkitError(f"there is no plugin file '{name}'")
        return _of_module(str(path), lambda: import_file(path), conditions, given=given)
    if path.is_dir():
        return _of_folder(path, conditions)
    return _of_name(target, conditions)


def _of_name(target: str, conditions: Conditions) -> list[Report]:
    registry, name = conditions.registry, target.partition(":")[0]
    entries = [entry for entry in registry.entries() if entry.name == name]
    if entries:
        return [_of_entry(entry, target, conditions) for entry in entries]
    for broken in registry.broken:
        if name in (broken.name, broken.name.rpartition(".")[2].replace("_", "-")):
            return [_failed(broken.name, broken.origin, imports.fail(Violation(imports.requirement, broken.reason)))]
    points = [p for p in entry_points(group=GROUP) if p.dist and _plain(p.dist.name) == _plain(name)]
    if points:
        return [report for point in points for report in _of_point(point.module, str(name), conditions)]
    known = {entry.name for entry in registry.entries()}
    raise UnknownNameError(
        "plugin, file or package", target, known | {p.dist.name for p in entry_points(group=GROUP) if p.dist}
    )


def _plain(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _of_entry(entry: Entry, target: str, conditions: Conditions) -> Report:
    params = Spec.parse(entry.kind, target).values
    conditions.registry.make(Spec.of(entry.kind, entry.name, **params), entry.cls)  # raises for a fault in the target
    origin = f"{entry.origin} {entry.version}" if entry.version else entry.origin
    return report_on_subject(Subject(entry.cls, params, origin, *_rest(conditions)))


def _rest(conditions: Conditions) -> tuple[Path | None, str, Registry]:
    return conditions.pictures, conditions.device, conditions.registry


def _of_folder(folder: Path, conditions: Conditions) -> list[Report]:
    if (folder / "pyproject.toml").is_file():
        return _of_project(folder, conditions)
    files = [file for file in sorted(folder.glob("*.py")) if not file.name.startswith("_")]
    if not files:
        raise BenchkitError(f"folder '{folder}' holds no plugin files, and no pyproject.toml of a package")
    return [report for file in files for report in reports_on(str(file), *_of_reports(conditions))]


def _of_reports(conditions: Conditions) -> tuple[Registry, Path | None, str]:
    return conditions.registry, conditions.pictures, conditions.device


def _of_project(folder: Path, conditions: Conditions) -> list[Report]:
    """Check the plugins of a package, installed or not: those of the modules in its entry points."""
    file = folder / "pyproject.toml"
    try:
        project = tomllib.loads(file.read_text()).get("project", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BenchkitError(f"cannot read '{file}': {error}") from None
    points = project.get("entry-points", {}).get(GROUP, {})
    if not isinstance(points, dict) or not points:
        raise BenchkitError(f"'{file}' names no entry point: add [project.entry-points.{GROUP}] with NAME = \"MODULE\"")
    with _importable(folder, folder / "src"):
        return [report for module in points.values() for report in _of_point(str(module), str(folder), conditions)]


@contextmanager
def _importable(*folders: Path) -> Iterator[None]:
    added = [str(folder.resolve()) for folder in folders if folder.is_dir()]
    sys.path[:0] = added
    try:
        yield
    finally:
        for folder in added:
            sys.path.remove(folder)


def _of_point(module: str, origin: str, conditions: Conditions) -> list[Report]:
    try:
        names = list(modules_of(import_module(module)))
    except (Exception, SystemExit) as error:
        return [_failed(module, origin, _at_import(error, module_file(module) or Path(module)))]
    reports = []
    for name in names:
        if name == module and len(names) > 1 and not _implements(name):
            continue  # a package that only holds its modules
        reports += _of_module(name, lambda name=name: import_module(name), conditions, origin)  # type: ignore[misc]
    return reports


def _implements(name: str) -> bool:
    try:
        return bool(hooks_of(import_module(name)))
    except Exception:
        return True


def _of_module(
    name: str, load: Callable[[], ModuleType], conditions: Conditions, origin: str | None = None, given: str = ""
) -> list[Report]:
    try:
        module = load()
    except (Exception, SystemExit) as error:
        return [_failed(name, origin or "file", _at_import(error, module_file(name) or Path(name)))]
    try:
        classes = _classes(module, is_file=origin is None)
    except Violation as violation:
        return [_failed(name, origin or "file", hooks.fail(violation))]
    params = _params(classes, name, given) if given else {}
    return [report_on_subject(Subject(cls, params, origin or name, *_rest(conditions))) for cls in classes]


def _params(classes: Sequence[Any], name: str, given: str) -> dict[str, Scalar]:
    """Return the parameters behind a file's name; raise BenchkitError for a fault in them."""
    if len(classes) != 1:
        names = ", ".join(str(cls.name) for cls in classes)
        raise BenchkitError(f"'{name}' has {len(classes)} plugins ({names}): parameters are for one; omit them")
    spec = Spec.parse(classes[0].kind, f"{classes[0].name}:{given}")
    return validated(classes[0], spec)


def _at_import(error: BaseException, file: Path) -> Finding:
    # dataclasses raises this while the class is made; the fault is in the parameter.
    if isinstance(error, TypeError) and "no type annotation" in str(error):
        return parameters.fail(Violation("a type for every parameter, such as 'strength: float = 0.5'", str(error)))
    if isinstance(error, TypeError) and "non-frozen dataclass" in str(error):
        return form.fail(Violation("@dataclass(frozen=True) on every plugin class", str(error)))
    if isinstance(error, ModuleNotFoundError):
        remedy = "install it, or import it inside the method and name it in unavailable()"
        return imports.fail(Violation(imports.requirement, f"{format_error(error, file)}: {remedy}"))
    return imports.fail(Violation(imports.requirement, format_error(error, file)))


def _failed(name: str, origin: str, finding: Finding) -> Report:
    return Report("module", name, "" if origin == "file" else origin, (finding,))


def _classes(module: ModuleType, is_file: bool) -> Sequence[type]:
    """Return the plugin classes of a module's hooks, or those that a plugin file without hooks defines.

    Raises Violation for a wrong hook, and if there is no plugin.
    """
    try:
        found = hooks_of(module)
    except UnknownNameError as error:
        raise Violation("hooks that benchkit knows", str(error)) from None
    unmarked = [name for name in dir(module) if name.startswith("benchkit_") and name not in found]
    unmarked = [name for name in unmarked if callable(getattr(module, name))]
    if unmarked:
        raise Violation("@hookimpl on every hook", f"{', '.join(unmarked)} without it")
    if not found and is_file and (own := [cls for cls, _ in classes_of(module)]):
        return own
    if not found:
        wanted = f"a hook that returns its plugins ({', '.join(HOOKS)})"
        raise Violation(f"a plugin class, or {wanted}" if is_file else wanted, "none")
    classes: list[type] = []
    for hook in found:
        classes += _returned(module, hook)
    return classes


def _returned(module: ModuleType, hook: str) -> list[type]:
    base = HOOKS[hook]
    wanted = f"{hook}() to return a list of subclasses of benchkit.api.{base.__name__}"
    try:
        returned = list(getattr(module, hook)())
    except (Exception, SystemExit) as error:
        raise Violation(wanted, format_error(error, Path(module.__file__ or ""))) from None
    for cls in returned:
        if not is_plugin_class(cls) or not issubclass(cls, base):
            raise Violation(wanted, f"{cls!r} in it")
    if not returned:
        raise Violation(wanted, "an empty list")
    return returned
