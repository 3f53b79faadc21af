"""The conformance kit over every plugin that ships."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchkit.registry import Entry, Registry
from benchkit.testing import Check, Subject, checks, report_on

REGISTRY = Registry.load()
#: Random weights: what a shipped weights file holds is tested where it is read.
PARAMS = {"detector": {"pretrained": "none"}}


@pytest.fixture(scope="session")
def own_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the dataset that has none of its own."""
    root = tmp_path_factory.mktemp("images")
    for split in ("pool", "clean"):
        (root / split).mkdir()
        for number in range(4):
            pixels = np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / split / f"{number}.png")
            Image.fromarray(pixels[..., 0] > 200).save(root / split / f"{number}.mask.png")
    return root


@pytest.mark.parametrize("entry", REGISTRY.entries(), ids=lambda e: f"{e.kind}-{e.name}")
def test_every_built_in_conforms(entry: Entry, own_images: Path) -> None:
    params = {"root": str(own_images)} if entry.name == "folder" else PARAMS.get(entry.kind, {})
    report = report_on(entry.cls, registry=REGISTRY, params=params)
    assert report.ok, report.text()
    run = [finding.check.name for finding in report.findings if finding.state != "skipped"]
    assert len(run) >= len(checks(entry.cls)) - 2


@pytest.mark.parametrize("check", checks("inverter"), ids=str)
def test_checks_parametrise_a_test(check: Check) -> None:
    entry = REGISTRY.entries("inverter")[0]
    check(entry.cls, registry=REGISTRY)
    assert check.demand and check.on(Subject(entry.cls, registry=REGISTRY)).state in ("passed", "noted")
