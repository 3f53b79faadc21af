"""Functions of the kit: the checks of a kind, a report on a class, an assertion for a test."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from benchkit.api import CompositeCorruptor, Corruptor, Dataset, Detector, Inverter, Plugin, RegionSelector
from benchkit.errors import UnknownNameError
from benchkit.plugin.registry import KINDS
from benchkit.specs.grammar import Scalar
from benchkit.testing.checks import Check, Report, Subject, examine


def checks(of: str | type[Plugin]) -> tuple[Check, ...]:
    """Return all checks of a kind of plugins, or of one class, in the order in which they run.

    Raises UnknownNameError for an unknown kind. A check is called with a plugin class, and its text is its name:
    `@pytest.mark.parametrize("check", checks("corruptor"), ids=str)`.
    """
    kind = of if isinstance(of, str) else of.kind
    if kind not in KINDS:
        raise UnknownNameError("kind of plugin", kind, KINDS)
    from benchkit.testing import general

    composite = not isinstance(of, str) and issubclass(of, CompositeCorruptor)
    # Imported here, because these modules load torch.
    own: tuple[Check, ...] = import_module(f"benchkit.testing.{'composite' if composite else kind}s").CHECKS
    return (*general.CHECKS, *own)


def report_on(cls: type[Plugin], **options: Any) -> Report:
    """Run all checks of the class's kind; options are the fields of benchkit.testing.Subject."""
    return report_on_subject(Subject(cls, **options))


def report_on_subject(subject: Subject) -> Report:
    """Run all checks of the subject's kind."""
    return examine(subject, checks(subject.cls))


def assert_conforms(cls: type[Plugin], *, pictures: Path | None = None, **params: Scalar) -> None:
    """Raise AssertionError, with the whole report, unless the class passes every check of its kind.

    pictures: a folder for pictures of what failed. params: the plugin's parameters; missing ones have their defaults.
    """
    report = report_on(cls, pictures=pictures, params=params)
    if not report.ok:
        raise AssertionError(f"\n{report.text()}")


def check_corruptor(cls: type[Corruptor], **options: Any) -> Report:
    """Return the report on a corruptor; options are the fields of benchkit.testing.Subject."""
    return report_on(cls, **options)


def check_selector(cls: type[RegionSelector], **options: Any) -> Report:
    """Return the report on a region selector."""
    return report_on(cls, **options)


def check_detector(cls: type[Detector], **options: Any) -> Report:
    """Return the report on a detector."""
    return report_on(cls, **options)


def check_inverter(cls: type[Inverter], **options: Any) -> Report:
    """Return the report on an inverter."""
    return report_on(cls, **options)


def check_dataset(cls: type[Dataset], **options: Any) -> Report:
    """Return the report on a dataset."""
    return report_on(cls, **options)
