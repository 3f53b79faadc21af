"""A plugin and a notebook that import benchkit pass mypy's strict mode."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLUGIN = '''
from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from benchkit.api import LatentContext, LatentCorruptor, PixelContext, PixelCorruptor, RegionSelector, SelectionContext
from benchkit.api import param


@dataclass(frozen=True)
class Shrink(LatentCorruptor):
    """Scale the latents."""

    name = "shrink"
    strength: float = param(0.5, ge=0, le=1, doc="how much")

    def corrupt(self, at: LatentContext) -> Tensor:
        return at.z_t * (1 - self.strength)


@dataclass(frozen=True)
class Dark(PixelCorruptor):
    """Darken the pixels."""

    name = "dark"

    def corrupt(self, at: PixelContext) -> Tensor:
        return at.images / 2


@dataclass(frozen=True)
class Bright(RegionSelector):
    """Select bright pixels."""

    name = "bright"

    def select(self, at: SelectionContext) -> Tensor:
        return at.images.mean(dim=1) > 0.5
'''
NOTEBOOK = """
import benchkit
from plugin import Bright, Shrink

batch = benchkit.load_dataset("portraits")["clean"][:16]
model = benchkit.load_model("portraits", num_inference_steps=50)
masks = benchkit.select(Bright, batch, seed=1)
images, labels = benchkit.corrupt(Shrink(strength=0.3), batch, masks, model=model)
trajectory = benchkit.invert(batch, 5, model=model)
detector = benchkit.train("frozen-convnext", images, labels, iterations=20)
figures = benchkit.evaluate(detector, benchkit.load_dataset("portraits"), split="test", count=32)
print(trajectory.shape, figures["iou"] + 1, detector(batch)[0].mean())
comparison = benchkit.load_comparison("runs/first")
print(comparison.board.sort_values("ap"), comparison.compare(Shrink, "pseudo").verdict)
comparison.plot_board().savefig("board.pdf")
benchkit.gallery(comparison, count=2)
"""
WRONG = """
import benchkit

benchkit.invert("a.png", steps="three")
"""
#: The checkout in the place of an installed package: its types are used, and its own faults are not reported.
CONFIG = "[mypy]\nstrict = True\nmypy_path = {root}\n[mypy-benchkit.*]\nfollow_imports = silent\n"


def test_the_package_says_that_it_is_typed() -> None:
    assert (ROOT / "benchkit" / "py.typed").is_file()


@pytest.mark.slow
def test_a_plugin_and_a_notebook_pass_strict_checks(tmp_path: Path) -> None:
    """A minute, most of it for reading torch."""
    for name, text in (("plugin", PLUGIN), ("notebook", NOTEBOOK), ("wrong", WRONG)):
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "mypy.ini").write_text(CONFIG.format(root=ROOT))
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "plugin.py", "notebook.py", "wrong.py"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    faults = [line.partition(":")[0] for line in found.splitlines() if ": error:" in line]
    assert faults == ["wrong.py", "wrong.py"], found
