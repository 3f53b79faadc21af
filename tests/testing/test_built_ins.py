"""The conformance kit over every plugin that ships."""

from __future__ import annotations

import io
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchkit.errors import BenchkitError
from benchkit.plugin.registry import Entry, Registry
from benchkit.readers.prepared import Row, Writer, replace_set
from benchkit.scaffold import new_plugin
from benchkit.specs.grammar import Scalar
from benchkit.testing import Check, Subject, checks, report_on, reports_on

REGISTRY = Registry.load()
#: Settings of plugins under which other code runs than under their defaults.
VARIANTS: dict[str, list[dict[str, Scalar]]] = {
    "rotation": [{"extent": "component"}],
    "downscale": [{"factor": 3}],
    "cutpaste": [{"jitter": 0.0}, {"variant": "scar"}],
    "poisson-patch": [{"gradients": "mixed"}, {"solver": "sparse"}, {"solver": "sparse", "gradients": "mixed"}],
    "mode-interpolation": [{"reference": "mirror"}],
    "attention-perturbation": [{"map": "blur", "strength": 2.0}],
    "renoise": [{"regularise": True}, {"regularise": True, "iterations": 9, "target": "identity"}],
    "prompt-swap": [{"caption": "a sign", "guidance": 3.0}],
}
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


@pytest.fixture(scope="session")
def prepared_sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of every dataset that `benchkit data prepare` writes."""
    root = tmp_path_factory.mktemp("data")
    picture, mask = io.BytesIO(), io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(picture, format="PNG")
    Image.fromarray((pixels[..., 0] > 200).astype(np.uint8) * np.uint8(255)).save(mask, format="PNG")
    for name, splits in {"richhf-18k": ("pool", "test"), "dalle3-hq": ("clean",)}.items():
        with replace_set(root / name) as folder, Writer(folder) as writer:
            for split in splits:
                label = None if split == "clean" else mask.getvalue()
                for number in range(4):
                    writer.add(split, Row(f"{split}{number}", picture.getvalue(), 64, 64, label, label))
            writer.finish(name, {}, [])
    return root


@pytest.mark.parametrize("entry", REGISTRY.entries(), ids=lambda e: f"{e.kind}-{e.name}")
def test_every_built_in_conforms(
    entry: Entry, own_images: Path, prepared_sets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCHKIT_DATA", str(prepared_sets))
    known = {field.name for field in fields(entry.cls)}  # type: ignore[arg-type]
    params = {name: value for name, value in PARAMS.get(entry.kind, {}).items() if name in known}
    if entry.name == "folder":
        params = {"root": str(own_images)}
    report = report_on(entry.cls, registry=REGISTRY, params=params)
    assert report.ok, report.text()
    run = [finding.check.name for finding in report.findings if finding.state != "skipped"]
    assert len(run) >= len(checks(entry.cls)) - 2


@pytest.mark.parametrize(("name", "params"), [(name, one) for name, several in VARIANTS.items() for one in several])
def test_every_variant_of_a_built_in_conforms(name: str, params: dict[str, Scalar]) -> None:
    entry = REGISTRY.entry("inverter" if name == "renoise" else "corruptor", name)
    report = report_on(entry.cls, registry=REGISTRY, params=params)
    assert report.ok, report.text()


@pytest.mark.parametrize("check", checks("inverter"), ids=str)
def test_checks_parametrise_a_test(check: Check) -> None:
    entry = REGISTRY.entries("inverter")[0]
    check(entry.cls, registry=REGISTRY)
    assert check.requirement and check.run(Subject(entry.cls, registry=REGISTRY)).state in ("passed", "noted")


def test_a_file_is_checked_with_the_parameters_behind_it(tmp_path: Path) -> None:
    (text,) = new_plugin("corruptor", "mine", Registry.load(), space="pixel").values()
    file = tmp_path / "mine: two.py"
    file.write_text(text)
    (report,) = reports_on(f"{file}:strength=0.25")
    assert report.ok, report.text()
    assert "strength=0.25" in report.text()
    with pytest.raises(BenchkitError, match="parameter strength=9: it must be a number"):
        reports_on(f"{file}:strength=9")
    with pytest.raises(BenchkitError, match="no plugin file"):
        reports_on(f"{tmp_path / 'none.py'}:strength=1")
