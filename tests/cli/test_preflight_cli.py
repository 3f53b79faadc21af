"""What the commands say before work: all faults in one message, the flags that mend them, nothing written."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.small_comparison import PLUGINS, Run

SIDE = 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small folder of images: pool 6 and test 4 with masks, clean 5, validation 3 with masks that mark nothing."""
    rng = np.random.default_rng(0)
    for split, count in {"pool": 6, "test": 4, "clean": 5, "validation": 3}.items():
        masks = tmp_path / "shots" / split / "masks"
        masks.mkdir(parents=True)
        for i in range(count):
            image = rng.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
            Image.fromarray(image).save(masks.parent / f"{i}.png")
            mask = np.zeros((SIDE, SIDE), np.uint8)
            mask[:8, :8] = 255 if split != "validation" else 0
            if split != "clean":
                Image.fromarray(mask).save(masks / f"{i}.png")
    return tmp_path / "shots"


def asked(grid: Path, folder: Path, *settings: str) -> list[object]:
    """The small comparison on the folder."""
    given = [word for setting in settings for word in ("--set", setting)]
    return [grid, "--plugin", PLUGINS, "--dataset", f"folder:root='{folder}',size={SIDE}", *given]


def test_all_shortages_are_one_message_and_its_flags_can_be_pasted(run: Run, grid: Path, folder: Path) -> None:
    wanted = ("labelled=60", "source.size=61", "test.size=62", "validation.split=validation", "validation.size=63")
    result = run(
        "compare", *asked(grid, folder, *wanted), "--dry-run", "--device", "gpu", "--out", folder / "0.png" / "x"
    )
    assert (result.code, result.out) == (2, "")
    head, *lines, fitting = [line for line in result.err.splitlines() if "warning" not in line]
    assert head == "benchkit: error: 6 faults, found before any work:"
    assert [line.split(":")[0] for line in lines[:5]] == [
        "  1. labelled",
        "  2. source",
        "  3. test",
        "  4. validation",
        "  5. validation",
    ]
    assert "none of the 3 images of split 'validation'" in lines[4] and "unknown device 'gpu'" in lines[5]
    lead, _, flags = fitting.partition(": ")
    assert lead == "  with this data"
    again = run("compare", *asked(grid, folder), "--dry-run", *shlex.split(flags))
    assert again.code == 0, again.err


@pytest.mark.parametrize("command", ["compare", "ablate", "tune"])
@pytest.mark.parametrize("dry", [True, False])
def test_a_mask_of_another_size_is_refused_by_every_command_before_it_writes(
    run: Run, grid: Path, folder: Path, cache: Path, command: str, dry: bool
) -> None:
    split = {"tune": "pool"}.get(command, "test")
    Image.new("L", (SIDE + 1, SIDE)).save(folder / split / "masks" / "3.png")
    settings = ["labelled=6", "source.size=5"]
    words: list[object] = asked(grid, folder, *settings, "selectors=['learned:detector=dot']")
    if command == "ablate":
        words += ["--vary", "source.size=3,4", "--vary", "training.lr=1e-3"]
    if command == "tune":
        words = ["gaussian:steps=1", *words, "--set", "validation={split: pool, size: 2}", "--space", "steps=1|2"]
        words = [word for word in words if word != "gaussian:steps=1"]
        words.insert(0, "gaussian")
    result = run(command, *words, *(["--dry-run"] if dry else []))
    assert (result.code, result.out) == (2, ""), result.err
    faults = [line for line in result.err.splitlines() if "3.png" in line]
    assert faults, result.err
    assert all(f"images of split '{split}'" in fault and "33x32" in fault for fault in faults)
    assert not cache.exists()


@pytest.mark.parametrize("command", ["compare", "ablate", "tune"])
@pytest.mark.parametrize("dry", [True, False])
def test_a_precision_that_the_device_does_not_have_is_refused_by_every_command(
    run: Run, grid: Path, folder: Path, cache: Path, command: str, dry: bool
) -> None:
    words: list[object] = asked(grid, folder, "labelled=6", "source.size=5")
    if command == "ablate":
        words += ["--vary", "training.precision=tf32"]
    else:
        words += ["--set", "training.precision=tf32"]
    if command == "tune":
        words = ["gaussian", *words, "--set", "validation={split: pool, size: 2}", "--space", "steps=1|2"]
    result = run(command, *words, "--device", "cpu", *(["--dry-run"] if dry else []))
    assert (result.code, result.out) == (2, ""), result.err
    assert "training.precision: device 'cpu' has no tf32" in result.err and "choose float32" in result.err
    assert not cache.exists()
