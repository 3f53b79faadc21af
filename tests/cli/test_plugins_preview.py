"""`benchkit plugins preview`: one labelled sheet; tried with a tiny checkpoint and a made-up dataset."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchkit.plugin.registry import Registry
from benchkit.scaffold import new_plugin
from tests.helpers.small_comparison import PLUGINS, Result, Run


@pytest.fixture
def previewed(run: Run, tiny_checkpoint: Path, tmp_path: Path):  # type: ignore[no-untyped-def]
    def command(target: object, *options: object) -> Result:
        world = ("--plugin", PLUGINS, "--dataset", "shapes", "--model", tiny_checkpoint, "--device", "cpu")
        return run("plugins", "preview", target, *world, "--out", tmp_path / "sheet.png", *options)

    return command


def grid_of(path: Path, columns: int, rows: int) -> np.ndarray:
    """The panels of a sheet as (rows, columns, side, side, 3); shapes are 32 pixels, shown four times as large."""
    pixels = np.asarray(Image.open(path).convert("RGB"))
    side, gap = 128, 4
    assert pixels.shape[1] == columns * (side + gap) + gap
    top = pixels.shape[0] - rows * (side + gap)
    return np.stack(
        [
            np.stack(
                [
                    pixels[top + r * 132 : top + r * 132 + side, gap + c * 132 : gap + c * 132 + side]
                    for c in range(columns)
                ]
            )
            for r in range(rows)
        ]
    )


def test_a_sheet_of_values_and_seeds(previewed, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    result = previewed("gaussian", "--set", "steps=0|1", "--seeds", "0,1,0", "--images", 2, "--inverter", "ddim")
    assert result.code == 0, result.err
    assert result.out == f"{tmp_path / 'sheet.png'}: 2 images, 2 values, 2 seeds\n"
    assert "a seed that is given twice is shown once" in result.err
    panels = grid_of(tmp_path / "sheet.png", columns=2 + 4, rows=2)
    first, second = panels[0, 2], panels[0, 3]
    assert (first != second).any(), "seeds differ"
    assert (panels[0, 0] != panels[1, 0]).any(), "images differ"
    assert (panels[0, 0] * 0.4 >= panels[0, 1])[:8, :8].all(), "outside the box the mask column is dark"


def test_a_file_and_a_selector_for_its_mask(previewed, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (text,) = new_plugin("corruptor", "mine", Registry.load(), space="pixel").values()
    (tmp_path / "mine.py").write_text(text)
    result = previewed(tmp_path / "mine.py", "--mask", "random-boxes:boxes=1", "--images", 1)
    assert result.code == 0, result.err
    grid_of(tmp_path / "sheet.png", columns=3, rows=1)


def test_selectors_show_their_masks_and_load_no_checkpoint(previewed, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    result = previewed("random-boxes", "--set", "boxes=1|9", "--images", 2, "--model", "no-such-model")
    assert result.code == 0, result.err
    panels = grid_of(tmp_path / "sheet.png", columns=3, rows=2)
    assert panels[:, 1].mean() < panels[:, 2].mean(), "more boxes, more light"


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("dot", [], "a detector has no preview"),
        ("ddim", [], "an inverter has no preview"),
        ("shapes", [], "a dataset has no preview"),
        ("learned", [], "selector 'learned' needs a trained detector"),
        ("gaussian", ["--mask", "learned"], "selector 'learned' needs a trained detector"),
        ("gaussian", ["--mask", "bax"], "unknown selector 'bax'"),
        ("gausian", [], "unknown plugin 'gausian': did you mean 'gaussian'?"),
        ("gaussian", ["--set", "stepps=1"], "did you mean 'steps'"),
        ("gaussian", ["--set", "steps"], "--set 'steps': write KEY=VALUE"),
        ("gaussian", ["--set", "steps=1|"], "empty alternative"),
        ("gaussian", ["--seeds", "a"], "--seeds 'a'"),
        ("gaussian", ["--images", "0"], "--images 0: give a whole number, from 1 to 16"),
        ("gaussian", ["--images", "17"], "--images 17: give a whole number, from 1 to 16"),
        ("gaussian", ["--out", "sheet.txt"], "--out 'sheet.txt': name an image file"),
        ("gaussian", ["--model", "sd"], "unknown checkpoint 'sd'"),
        ("nothing.py", [], "there is no plugin file 'nothing.py'"),
    ],
)
def test_mistakes(previewed, tmp_path: Path, target: str, options: list[str], message: str) -> None:  # type: ignore[no-untyped-def]
    result = previewed(target, *options)
    assert result.code == 2, result.err
    assert message in result.err.splitlines()[-1] and result.out == ""
    assert not (tmp_path / "sheet.png").exists()


def test_a_broken_file_is_said_in_one_line(previewed, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "mine.py").write_text("import no_such_package\n")
    result = previewed(tmp_path / "mine.py")
    assert result.code == 2
    assert "cannot be used: ModuleNotFoundError" in result.err.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("name", [entry.name for entry in Registry.load().entries("corruptor")])
def test_every_corruptor_is_previewed_in_under_a_minute(run: Run, tmp_path: Path, name: str) -> None:
    """As the command stands, on the embedded checkpoint, in seconds of the processor."""
    began = time.process_time()
    result = run("plugins", "preview", name, "--device", "cpu", "--out", tmp_path / "sheet.png")
    spent = time.process_time() - began
    assert result.code == 0, result.err
    assert Image.open(tmp_path / "sheet.png").width > 2 * 128
    print(f"{name}: {spent:.1f} s of the processor")
    assert spent < 60


def test_parameters_behind_a_name_or_a_file(previewed, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    result = previewed("gaussian:steps=1", "--images", 1, "--inverter", "ddim")
    assert result.code == 0, result.err
    (text,) = new_plugin("corruptor", "mine", Registry.load(), space="pixel").values()
    (tmp_path / "mine.py").write_text(text)
    result = previewed(f"{tmp_path / 'mine.py'}:strength=0.5|1", "--images", 1, "--force")
    assert result.code == 0, result.err
    assert "1 images, 2 values" in result.out
    result = previewed("gaussian:steps=1", "--set", "steps=2", "--force")
    assert (result.code, "parameter 'steps' is given twice" in result.err) == (2, True)
    result = previewed("random-boxes:boxes=2", "--images", 1, "--inverter", "ddim", "--force")
    assert result.code == 0, result.err
    assert "note: --inverter, --model changes nothing: 'random-boxes' is a selector" in result.err
