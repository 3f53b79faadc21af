"""The conformance kit over every plugin that ships."""

from __future__ import annotations

from dataclasses import fields

import pytest

from benchkit.registry import Entry, Registry
from benchkit.testing import Check, Subject, checks, report_on

REGISTRY = Registry.load()
#: Random weights: what a shipped weights file holds is tested where it is read.
PARAMS = {"detector": {"pretrained": "none"}}


@pytest.mark.parametrize("entry", REGISTRY.entries(), ids=lambda e: f"{e.kind}-{e.name}")
def test_every_built_in_conforms(entry: Entry) -> None:
    known = {field.name for field in fields(entry.cls)}  # type: ignore[arg-type]
    params = {name: value for name, value in PARAMS.get(entry.kind, {}).items() if name in known}
    report = report_on(entry.cls, registry=REGISTRY, params=params)
    assert report.ok, report.text()
    run = [finding.check.name for finding in report.findings if finding.state != "skipped"]
    assert len(run) >= len(checks(entry.cls)) - 2


@pytest.mark.parametrize("check", checks("inverter"), ids=str)
def test_checks_parametrise_a_test(check: Check) -> None:
    entry = REGISTRY.entries("inverter")[0]
    check(entry.cls, registry=REGISTRY)
    assert check.demand and check.on(Subject(entry.cls, registry=REGISTRY)).state in ("passed", "noted")
