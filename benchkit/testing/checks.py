"""A check, running a list of checks on a plugin, and the report."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchkit.api import Plugin
from benchkit.plugin.loading import place_of
from benchkit.plugin.registry import Registry, validated
from benchkit.specs.grammar import Scalar
from benchkit.specs.spec import Spec

if TYPE_CHECKING:
    from benchkit.testing.pictures import Panels

State = Literal["passed", "noted", "failed", "skipped"]
#: State -> its word in the lines of a report.
WORDS: Mapping[State, str] = {"passed": "ok", "noted": "note", "failed": "FAIL", "skipped": "-"}


class Violation(AssertionError):
    """A requirement that a plugin does not meet.

    expected, actual: one line each. panels: before, mask and after, if the requirement is about images.
    """

    def __init__(self, expected: str, actual: str, panels: Panels | None = None) -> None:
        super().__init__(f"expected {expected}; got {actual}")
        self.expected, self.actual, self.panels = expected, actual, panels


class NotApplicable(Exception):
    """A requirement that does not apply to this plugin; the message says why."""


@dataclass
class Subject:
    """A plugin under test.

    params: its parameters; missing ones have their defaults. origin: the file or package it comes from. pictures: a
    folder for pictures of failures, made with the first picture; None for no pictures. device: of the tensors that it
    receives. registry: all known plugins. cache: expensive objects that several checks use.
    """

    cls: type[Plugin]
    params: Mapping[str, Scalar] = field(default_factory=dict)
    origin: str = ""
    pictures: Path | None = None
    device: str = "cpu"
    registry: Registry = field(default_factory=lambda: _load_installed())
    cache: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return self.cls.kind

    @property
    def name(self) -> str:
        return str(getattr(self.cls, "name", self.cls.__name__))

    @property
    def file(self) -> Path | None:
        """The file of the class."""
        try:
            return Path(inspect.getsourcefile(self.cls) or "")
        except TypeError:
            return None

    @cached_property
    def plugin(self) -> Any:
        """The plugin with its parameters; raises BenchkitError for one that its class does not allow."""
        return self.make()

    def make(self, **changes: Scalar) -> Any:
        """Return the plugin with some parameters changed."""
        spec = Spec.of(self.kind, self.name, **{**self.params, **changes})
        return self.cls(**validated(self.cls, spec))


@dataclass(frozen=True)
class Check:
    """One named requirement on plugins of a kind.

    requirement: a sentence that is true of a conforming plugin. gate: if it fails, later checks are not run. informs:
    the check measures and never fails. Calling a check with a plugin class raises AssertionError if the requirement is
    not met, so a list of checks parametrises a test.
    """

    name: str
    requirement: str
    work: Callable[[Subject], str | None]
    gate: bool = False
    informs: bool = False

    def __call__(self, cls: type[Plugin], **options: Any) -> None:
        """Check one class; options are the fields of Subject."""
        finding = self.run(Subject(cls, **options))
        if finding.state == "failed":
            raise AssertionError(f"{cls.__name__}: {finding.line()}")

    def __str__(self) -> str:
        return self.name

    def run(self, subject: Subject) -> Finding:
        """Return the finding. A plugin that raises an unexpected exception has failed."""
        try:
            detail = self.work(subject)
        except NotApplicable as reason:
            return Finding(self, "skipped", str(reason))
        except Violation as violation:
            return self.fail(violation, _draw(violation, subject, self.name))
        except (Exception, SystemExit) as error:
            return self.fail(Violation(self.requirement, format_error(error, subject.file)))
        return Finding(self, "noted" if self.informs else "passed", detail or "")

    def fail(self, violation: Violation, picture: Path | None = None) -> Finding:
        return Finding(self, "failed", "", violation.expected, violation.actual, picture)


def check(name: str, requirement: str, *, gate: bool = False, informs: bool = False) -> Callable[..., Check]:
    """Make a Check of a function of a Subject that returns a remark or None, or raises Violation or NotApplicable."""

    def make(work: Callable[[Subject], str | None]) -> Check:
        return Check(name, requirement, work, gate, informs)

    return make


@dataclass(frozen=True)
class Finding:
    """The result of one check. detail: a remark, or why it was not run. expected, actual, picture: of a failure."""

    check: Check
    state: State
    detail: str = ""
    expected: str = ""
    actual: str = ""
    picture: Path | None = None

    def line(self) -> str:
        """Return one line, or several for a failure."""
        head = f"{WORDS[self.state]:5}{self.check.name:15}"
        if self.state != "failed":
            return f"{head}{self.detail or self.check.requirement}"
        lines = [f"{head}expected: {self.expected}", f"{'':20}actual:   {self.actual}"]
        return "\n".join([*lines, f"{'':20}picture:  {self.picture}"] if self.picture else lines)

    def as_json(self) -> dict[str, str | None]:
        texts = {name: getattr(self, name) for name in ("state", "detail", "expected", "actual")}
        picture = str(self.picture) if self.picture else None
        return {"check": self.check.name, "requirement": self.check.requirement, **texts, "picture": picture}


@dataclass(frozen=True)
class Report:
    """The findings of all checks on one plugin, or on a file without a usable plugin."""

    kind: str
    name: str
    origin: str
    findings: tuple[Finding, ...]

    @property
    def failures(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.state == "failed")

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return not self.failures

    def text(self) -> str:
        """Return the report as text: one line per check, two or three per failure, and the counts."""
        counts = {word: sum(f.state in states for f in self.findings) for word, states in _COUNTED.items()}
        summary = ", ".join(f"{number} {word}" for word, number in counts.items() if number)
        origin = f" ({self.origin})" if self.origin else ""
        lines = [line for finding in self.findings for line in finding.line().splitlines()]
        return "\n".join([f"{self.kind} {self.name}{origin}", *(f"  {line}" for line in lines), f"  {summary}"])

    def as_json(self) -> dict[str, Any]:
        findings = [finding.as_json() for finding in self.findings]
        return {"kind": self.kind, "name": self.name, "origin": self.origin, "ok": self.ok, "checks": findings}


_COUNTED: Mapping[str, Sequence[State]] = {
    "passed": ("passed", "noted"),
    "failed": ("failed",),
    "not run": ("skipped",),
}


def examine(subject: Subject, checks: Iterable[Check]) -> Report:
    """Run the checks on one plugin, in order; skip the rest after a failed gate."""
    findings: list[Finding] = []
    closed: str | None = None
    for one in checks:
        if closed is not None:
            findings.append(Finding(one, "skipped", f"not run, because '{closed}' failed"))
            continue
        findings.append(one.run(subject))
        if one.gate and findings[-1].state == "failed":
            closed = one.name
    return Report(subject.kind, subject.name, subject.origin, tuple(findings))


def format_error(error: BaseException, file: Path | None = None) -> str:
    """Return an exception as one line, with the line of the plugin's `file` that raised it, if any."""
    text = f"{type(error).__name__}: {' '.join(str(error).split()) or 'no message'}"[:400]
    place = None if file is None or isinstance(error, SyntaxError) else place_of(error, file)
    return f"{text} ({place})" if place else text


def _draw(violation: Violation, subject: Subject, check: str) -> Path | None:
    if violation.panels is None or subject.pictures is None:
        return None
    from benchkit.testing.pictures import write_panels

    words = re.sub(r"[^a-z0-9]+", "-", f"{subject.name}-{check}".lower())
    return write_panels(subject.pictures / f"{words}.png", violation.panels)


_known: list[Registry] = []


def _load_installed() -> Registry:
    """Return the installed plugins, loaded once per process."""
    if not _known:
        _known.append(Registry.load())
    return _known[0]
