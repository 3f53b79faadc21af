"""The smallest world in which every command runs: a random checkpoint, a dataset, a detector, a grid."""

from __future__ import annotations

import importlib.util
from pathlib import Path

PLUGINS = Path(__file__).parent / "cli" / "tiny_plugins.py"

GRID = """
title: A tiny comparison
dataset: shapes
model: {model}
schedule_steps: 10
labelled: 4
source: {{split: clean, size: 4}}
test: {{split: test, size: 4}}
baselines: [human, pseudo]
trivial: [all-negative]
selectors: [random-boxes]
corruptors: ["none:steps=1", "gaussian:steps=1"]
inverter: ddim
detectors: [dot]
seeds: [0]
selector_training: &budget {{iterations: 2, batch: 2}}
training: *budget
"""


def save_checkpoint(folder: Path) -> Path:
    """Write the diffusion tests' random Stable Diffusion checkpoint (factor 8) to `folder`."""
    spec = importlib.util.spec_from_file_location("diffusion_conftest", Path(__file__).parent / "diffusion/conftest.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.tiny_pipeline().save_pretrained(folder)
    return folder
