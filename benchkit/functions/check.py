"""Check that a plugin keeps its contract, from Python and for `benchkit plugins check`."""

from __future__ import annotations

import html
import inspect
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchkit.api import Plugin
from benchkit.errors import ArgumentTypeError, BenchkitError, describe_value
from benchkit.functions.plugin_arguments import PluginSources, load_plugins
from benchkit.specs.parameters import parameters
from benchkit.system.paths import check_path

if TYPE_CHECKING:
    from benchkit.testing import Report


class Reports(tuple["Report", ...]):
    """The reports on one or more plugins; `print` shows every check.

    Example:
        >>> import benchkit
        >>> benchkit.check("none")
        <Reports: corruptor none conforms>
    """

    @property
    def ok(self) -> bool:
        """Whether no check of any plugin failed."""
        return all(report.ok for report in self)

    def as_json(self) -> dict[str, Any]:
        """Return the reports as plain data."""
        return {"ok": self.ok, "plugins": [report.as_json() for report in self]}

    def __str__(self) -> str:
        return "\n\n".join(report.text() for report in self)

    def __repr__(self) -> str:
        each = ", ".join(f"{one.kind} {one.name} {'conforms' if one.ok else 'fails'}" for one in self)
        return f"<Reports: {each}>"

    def _repr_html_(self) -> str:
        """Return every check for a notebook."""
        return f"<pre>{html.escape(str(self))}</pre>"


def check(
    plugin: str | Path | type[Plugin] | Plugin,
    *,
    pictures: str | Path | None = None,
    device: str = "cpu",
    plugins: PluginSources = (),
) -> Reports:
    """Check that a plugin keeps its contract; a failed check says what it expected and what the plugin returned.

    plugin: a class or an instance, also of a notebook; or text: a name, `NAME:key=value`, a .py file, a folder of
    files, or a package. pictures: a folder where failed checks are drawn; None draws none. device: of the tensors that
    the plugin receives. plugins: see `compare`. Raises BenchkitError if there is no such plugin, file or package.

    Example:
        >>> import benchkit
        >>> benchkit.check("none").ok
        True
    """
    from benchkit.plugin.placeholders import TolerantRegistry
    from benchkit.system.devices import resolve_device
    from benchkit.testing import Subject, reports_on
    from benchkit.testing.kit import report_on_subject

    registry, folder = load_plugins(plugins), None if pictures is None else check_path("pictures", pictures)
    if isinstance(plugin, str | Path):
        return Reports(reports_on(str(plugin), registry, folder, resolve_device(device)))
    cls = plugin if inspect.isclass(plugin) else type(plugin)
    if not issubclass(cls, Plugin):
        raise ArgumentTypeError(
            f"plugin: {describe_value(plugin)} is no plugin: give a class, an instance, a name or a file"
        )
    own = TolerantRegistry(registry)
    with suppress(BenchkitError):  # what is wrong with the class is in the report
        own.add_class(cls)
    params = {} if inspect.isclass(plugin) else {f.name: getattr(plugin, f.name) for f in parameters(cls)}
    origin = f"class {cls.__name__} of a Python session"
    return Reports([report_on_subject(Subject(cls, params, origin, folder, resolve_device(device), own))])
