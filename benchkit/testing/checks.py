"""What a check is, how a plugin is put through a list of them, and what comes of it."""

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
#: How a state is called in a report's lines.
WORDS: Mapping[State, str] = {"passed": "ok", "noted": "note", "failed": "FAIL", "skipped": "-"}


class Unmet(AssertionError):
    """A demand that a plugin does not meet.

    expected, came: one line each. panels: before, mask and after, where the demand is about images.
    """

    def __init__(self, expected: str, came: str, panels: Panels | None = None) -> None:
        super().__init__(f"expected {expected}; came {came}")
        self.expected, self.came, self.panels = expected, came, panels


class NotApplicable(Exception):
    """A demand that does not concern this plugin; the message says why."""


@dataclass
class Subject:
    """A plugin under test.

    params: its parameters, the defaults where absent. origin: the file or package it came from. pictures: a folder
    for pictures of failures, made when the first is written, or None for none. device: where tensors are shown to it.
    registry: the plugins it must get along with. kept: what checks share that is dear to make.
    """

    cls: type[Plugin]
    params: Mapping[str, Scalar] = field(default_factory=dict)
    origin: str = ""
    pictures: Path | None = None
    device: str = "cpu"
    registry: Registry = field(default_factory=lambda: _installed())
    kept: dict[str, Any] = field(default_factory=dict)

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
        return self.made()

    def made(self, **changes: Scalar) -> Any:
        """The plugin with some parameters changed."""
        spec = Spec.of(self.kind, self.name, **{**self.params, **changes})
        return self.cls(**validated(self.cls, spec))


@dataclass(frozen=True)
class Check:
    """One named demand on plugins of a kind.

    demand: what a conforming plugin does, as a sentence. gate: where it fails, the checks after it mean nothing.
    informs: it measures and never fails. Calling it with a plugin class raises AssertionError where the demand is not
    met, so a list of checks parametrises a test.
    """

    name: str
    demand: str
    work: Callable[[Subject], str | None]
    gate: bool = False
    informs: bool = False

    def __call__(self, cls: type[Plugin], **options: Any) -> None:
        """Check one class; options are the fields of Subject."""
        finding = self.on(Subject(cls, **options))
        if finding.state == "failed":
            raise AssertionError(f"{cls.__name__}: {finding.line()}")

    def __str__(self) -> str:
        return self.name

    def on(self, subject: Subject) -> Finding:
        """What the check finds; a plugin that raises where it should not has failed."""
        try:
            detail = self.work(subject)
        except NotApplicable as reason:
            return Finding(self, "skipped", str(reason))
        except Unmet as unmet:
            return self.failed(unmet, _pictured(unmet, subject, self.name))
        except (Exception, SystemExit) as error:
            return self.failed(Unmet(self.demand, said(error, subject.file)))
        return Finding(self, "noted" if self.informs else "passed", detail or "")

    def failed(self, unmet: Unmet, picture: Path | None = None) -> Finding:
        return Finding(self, "failed", "", unmet.expected, unmet.came, picture)


def check(name: str, demand: str, *, gate: bool = False, informs: bool = False) -> Callable[..., Check]:
    """Make a Check of a function of a Subject, which returns a remark or None, or raises Unmet or NotApplicable."""

    def make(work: Callable[[Subject], str | None]) -> Check:
        return Check(name, demand, work, gate, informs)

    return make


@dataclass(frozen=True)
class Finding:
    """What one check found. detail: a remark, or why it was not run; expected, came and picture: of a failure."""

    check: Check
    state: State
    detail: str = ""
    expected: str = ""
    came: str = ""
    picture: Path | None = None

    def line(self) -> str:
        """One line, or a few where it failed."""
        head = f"{WORDS[self.state]:5}{self.check.name:15}"
        if self.state != "failed":
            return f"{head}{self.detail or self.check.demand}"
        lines = [f"{head}expected: {self.expected}", f"{'':20}came:     {self.came}"]
        return "\n".join([*lines, f"{'':20}picture:  {self.picture}"] if self.picture else lines)

    def as_json(self) -> dict[str, str | None]:
        texts = {name: getattr(self, name) for name in ("state", "detail", "expected", "came")}
        picture = str(self.picture) if self.picture else None
        return {"check": self.check.name, "demand": self.check.demand, **texts, "picture": picture}


@dataclass(frozen=True)
class Report:
    """What all checks found about one plugin (or about a file that yields none)."""

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
        """The report for people: a line a check, three where one failed, and the counts."""
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
    """Put one plugin through the checks, in order; after a gate that failed the rest is not run."""
    findings: list[Finding] = []
    closed: str | None = None
    for one in checks:
        if closed is not None:
            findings.append(Finding(one, "skipped", f"not run, because '{closed}' failed"))
            continue
        findings.append(one.on(subject))
        if one.gate and findings[-1].state == "failed":
            closed = one.name
    return Report(subject.kind, subject.name, subject.origin, tuple(findings))


def said(error: BaseException, file: Path | None = None) -> str:
    """An exception in one line, with the line of the plugin's `file` from which it came, if there is one."""
    text = f"{type(error).__name__}: {' '.join(str(error).split()) or 'no message'}"[:400]
    place = None if file is None or isinstance(error, SyntaxError) else place_of(error, file)
    return f"{text} ({place})" if place else text


def _pictured(unmet: Unmet, subject: Subject, check: str) -> Path | None:
    if unmet.panels is None or subject.pictures is None:
        return None
    from benchkit.testing.pictures import write_panels

    words = re.sub(r"[^a-z0-9]+", "-", f"{subject.name}-{check}".lower())
    return write_panels(subject.pictures / f"{words}.png", unmet.panels)


_known: list[Registry] = []


def _installed() -> Registry:
    """The installed plugins, looked for once a process."""
    if not _known:
        _known.append(Registry.load())
    return _known[0]
