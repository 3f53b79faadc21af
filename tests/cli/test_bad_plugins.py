"""Bad plugins in one comparison: each is one named failure of its own cells, and the board has all others."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.helpers.small_comparison import PLUGINS, Finished, Run

GOOD = """\
from dataclasses import dataclass
from benchkit.api import LatentCorruptor, PixelCorruptor, hookimpl, param

@dataclass(frozen=True)
class Mine(LatentCorruptor):
    '''A corruptor.'''

    name = "{name}"
    steps: int = param(1, ge=0)

    def corrupt(self, at):
        import random, sys, time
        import numpy as np
        import torch
        {body}

@hookimpl
def benchkit_corruptors():
    return [Mine]
"""
NOISE = "return at.noise()"
#: Name -> what `corrupt` does, and what the failure must say.
WRONG = {
    "raises": ("raise ValueError('no such luck')", "ValueError: no such luck"),
    "nan": ("return at.noise() / 0 * 0", "not finite"),
    "shape": ("return at.noise()[:, :2]", r"shape \(4, 2, .*, expected"),
    "dtype": ("return at.noise().double()", "dtype torch.float64"),
    "nothing": ("return None", "returned NoneType"),
    "writes": ("return at.z_t.add_(1.0)", "changed its input z_t in place"),
    "widens": ("at.mask.fill_(True); " + NOISE, "changed its input mask in place"),
    "torchs": ("return torch.randn_like(at.z_t)", "global generator of torch"),
    "numpys": ("return at.z_t + float(np.random.rand())", "global generator of numpy"),
    "randoms": ("return at.z_t + random.random()", "global generator of random"),
    "private": ("return at.z_t + float(np.random.default_rng().normal())", "two results for the same images and seed"),
    "lacks": ("import no_such_package", "No module named 'no_such_package'"),
    "ends": ("sys.exit(0)", "SystemExit: 0"),
    "hangs": ("time.sleep(300)", "longer than the time limit of 10 s"),
}
#: The same of selectors.
WRONG_SELECTORS = {
    "raises": ("raise ValueError('no such luck')", "ValueError: no such luck"),
    "shape": ("return torch.ones(1, 1, dtype=torch.bool)", r"shape \(1, 1\), expected \(4, 32, 32\)"),
    "dtype": ("return at.images.mean(dim=1)", "dtype torch.float32"),
    "nothing": ("return None", "returned NoneType"),
    "writes": ("return at.images.mul_(0.5).mean(dim=1) > 0.1", "changed its input images in place"),
    "torchs": ("return torch.rand(at.images[:, 0].shape) > 0.5", "global generator of torch"),
}
#: Name -> what of the file is wrong before it runs, and what the cell's reason must say.
UNUSABLE = {
    "hook": (("benchkit_corruptors", "benchkit_corruptor"), "did you mean 'benchkit_corruptors'"),
    "package": (("from dataclasses", "import no_such_package\nfrom dataclasses"), "No module named 'no_such_package'"),
    "syntax": (("class Mine", "class class"), "SyntaxError"),
    "method": (("def corrupt(", "def corupt("), "lacks corrupt"),
    "leaves": (("from dataclasses", "import sys\nsys.exit(0)\nfrom dataclasses"), "SystemExit"),
}


def write(folder: Path, file: str, text: str) -> tuple[str, str]:
    (folder / f"{file}.py").write_text(text)
    return "--plugin", str(folder / f"{file}.py")


@pytest.fixture
def warm(finished: Finished, cache: Path) -> None:
    """The finished comparison's cache, so that only what is asked of the bad ones is computed."""
    shutil.copytree(finished.cache, cache)


def test_each_fails_by_name_and_alone(run: Run, warm: None, grid: Path, tmp_path: Path) -> None:
    options: list[str] = []
    for name, (body, _) in WRONG.items():
        options += [
            *write(tmp_path, name, GOOD.format(name=name, body=body)),
            "--corruptor",
            f"{name}:steps={1 + (name == 'hangs')}",
        ]  # at a depth of its own it is in no group
    for name, (change, _) in UNUSABLE.items():
        # The file's name says nothing of the plugin's.
        text = GOOD.format(name=name, body=NOISE).replace(*change)
        options += [*write(tmp_path, f"file_{name}", text), "--corruptor", f"{name}:steps=1"]
    options += write(tmp_path, "shadow", GOOD.format(name="gaussian", body="raise ValueError('the shadow ran')"))
    common = ("--plugin", PLUGINS, "--device", "cpu", "--time-limit", 10, "--out", tmp_path / "out")
    result = run("compare", grid, *common, *options, "--corruptor", "gaussian:steps=1")
    assert result.code == 3, result.err
    rows = json.loads((tmp_path / "out" / "rows.json").read_text())["rows"]
    states = {row["training_set"].partition(":")[0]: (row["state"], row["reason"]) for row in rows}
    for name, (_, message) in WRONG.items():
        assert states[name][0] == "failed"
        assert re.search(message, states[name][1]) and name in states[name][1], states[name]
    for name, (_, message) in UNUSABLE.items():
        assert states[name][0] == "skipped"
        assert re.search(message, states[name][1]) and f"corruptor '{name}'" in states[name][1], states[name]
        assert re.search(f"failed: corruptor '{name}' was skipped .*file_{name}.py", result.err)
    for name in ("human", "pseudo", "gaussian", "all-negative"):
        assert states[name] == ("done", None)
    assert "'gaussian'" in result.err and "exists already" in result.err
    assert "the shadow ran" not in result.err


def test_each_bad_selector_fails_by_name_and_alone(run: Run, warm: None, grid: Path, tmp_path: Path) -> None:
    options: list[object] = ["--selector", "random-boxes", "--corruptor", "gaussian:steps=1"]
    for name, (body, _) in WRONG_SELECTORS.items():
        text = GOOD.format(name=name, body=body).replace("    steps: int = param(1, ge=0)\n", "")
        text = (
            text.replace("LatentCorruptor", "RegionSelector")
            .replace("benchkit_corruptors", "benchkit_selectors")
            .replace("def corrupt(", "def select(")
        )
        options += [*write(tmp_path, name, text), "--selector", name]
    result = run("compare", grid, "--plugin", PLUGINS, "--device", "cpu", "--out", tmp_path / "out", *options)
    assert result.code == 3, result.err
    rows = json.loads((tmp_path / "out" / "rows.json").read_text())["rows"]
    reported = {
        (row["training_set"], str(row["selector"]).partition(":")[0]): (row["state"], row["reason"]) for row in rows
    }
    for row in ("pseudo", "gaussian:steps=1"):
        assert reported[row, "random-boxes"] == ("done", None)
        for name, (_, message) in WRONG_SELECTORS.items():
            state, reason = reported[row, name]
            assert state == "failed" and re.search(message, reason) and name in reason, (name, state, reason)


def test_a_left_out_name_is_planned_as_skipped_and_a_wrong_one_refused(
    run: Run, warm: None, grid: Path, tmp_path: Path
) -> None:
    broken = write(tmp_path, "file", GOOD.format(name="mine", body=NOISE).replace("frozen=True", "frozen=False"))
    planned = run("compare", grid, "--plugin", PLUGINS, *broken, "--corruptor", "mine:fraction=2|3", "--dry-run")
    assert planned.code == 0 and "frozen" in planned.out
    refused = run("compare", grid, "--plugin", PLUGINS, *broken, "--corruptor", "mini")
    assert refused.code == 2 and "unknown corruptor 'mini'" in refused.err
    strict = run("compare", grid, "--plugin", PLUGINS, *broken, "--corruptor", "mine", "--strict")
    assert strict.code == 2 and "frozen" in strict.err


def test_left_out_selectors_detectors_and_inverters_take_their_own_rows(
    run: Run, warm: None, grid: Path, tmp_path: Path
) -> None:
    options: list[str] = []
    for kind, method in (("selector", "select"), ("detector", "build"), ("inverter", "step")):
        text = GOOD.format(name=f"my-{kind}", body=NOISE).replace("def corrupt(", f"def {method}(")
        text = text.replace("from dataclasses", "import no_such_package\nfrom dataclasses")
        options += [*write(tmp_path, kind, text), f"--{kind}", f"my-{kind}"]
    for kind, other in (("selector", "random-boxes"), ("detector", "dot")):
        options += [f"--{kind}", other]
    options[options.index("my-inverter")] = "ddim"
    result = run("compare", grid, "--plugin", PLUGINS, *options, "--device", "cpu", "--out", tmp_path / "out")
    assert result.code == 3, result.err
    rows = json.loads((tmp_path / "out" / "rows.json").read_text())["rows"]
    for row in rows:
        broken = {str(row["selector"]).partition(":")[0], str(row["detector"]).partition(":")[0]} & {
            "my-selector",
            "my-detector",
        }
        assert row["state"] == ("skipped" if broken else "done"), row
    assert {row["state"] for row in rows} == {"skipped", "done"}
    assert options[8:10] == ["--plugin", str(tmp_path / "inverter.py")]
    alone = run("compare", grid, "--plugin", PLUGINS, *options[8:10], "--inverter", "my-inverter", "--dry-run")
    assert alone.code == 0 and "inverter 'my-inverter': skipped" in " ".join(alone.out.split()), alone.out
