"""A comparison as small as can be, in which every command runs."""

from __future__ import annotations

from pathlib import Path

PLUGINS = Path(__file__).parent / "tiny_plugins.py"

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
