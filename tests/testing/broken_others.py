"""Selectors, detectors, inverters, datasets and pixel corruptors that break their contract, each in one way."""

from __future__ import annotations

HEAD = """
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from benchkit.api import *

"""

SOUND_OTHERS: dict[str, str] = {
    "pixels": HEAD
    + '''
@dataclass(frozen=True)
class Mine(PixelCorruptor):
    """Turns the colours round."""
    name = "mine"

    def corrupt(self, at):
        return 1 - at.images

@hookimpl
def benchkit_corruptors():
    return [Mine]
''',
    "resampling": HEAD
    + '''
@dataclass(frozen=True)
class Mine(ResamplingCorruptor):
    """Takes the noise prediction of another caption inside the mask."""
    name = "mine"
    steps: int = param(3, ge=1)

    def step(self, at):
        eps = at.eps(captions=["melted"] * len(at.z_t))
        return at.solve(eps)

@hookimpl
def benchkit_corruptors():
    return [Mine]
''',
    "composite": HEAD
    + '''
@dataclass(frozen=True)
class Mine(CompositeCorruptor):
    """One of two, by lot."""
    name = "mine"

    def parts(self):
        return ("gaussian:steps=3", "blur:steps=3")

    def choose(self, rng):
        return (rng.uniform(()) > 0.5).long()

@hookimpl
def benchkit_corruptors():
    return [Mine]
''',
    "selector": HEAD
    + '''
@dataclass(frozen=True)
class Mine(RegionSelector):
    """Where it is bright, and a few pixels at random."""
    name = "mine"

    def select(self, at):
        noise = at.rng.uniform(tuple(at.images.shape[2:]))
        return (at.images.mean(1) > 0.6) | (noise > 0.99)

@hookimpl
def benchkit_selectors():
    return [Mine]
''',
    "detector": HEAD
    + '''
@dataclass(frozen=True)
class Mine(Detector):
    """One convolution."""
    name = "mine"

    def build(self):
        return nn.Conv2d(3, 2, 3, padding=1)

@hookimpl
def benchkit_detectors():
    return [Mine]
''',
    "inverter": HEAD
    + '''
@dataclass(frozen=True)
class Mine(Inverter):
    """Asks twice."""
    name = "mine"
    fraction: float = param(1.0, ge=0.5, le=1)

    def step(self, at):
        return at.solve(at.eps(at.solve(at.eps(at.z_s))))

    def network_evaluations(self, t):
        return 2

@hookimpl
def benchkit_inverters():
    return [Mine]
''',
    "dataset": HEAD
    + '''
SIZES = {"pool": 6, "clean": 4}

@dataclass(frozen=True)
class Mine(Dataset):
    """Grey squares."""
    name = "mine"

    def splits(self):
        return SIZES

    def read(self, split, indices):
        if split not in SIZES or not all(0 <= i < SIZES[split] for i in indices):
            raise BenchkitError("no such image")
        return [self.sample(split, i) for i in indices]

    def sample(self, split, i):
        image = np.full((32, 32, 3), 20 * i, np.uint8)
        return Sample(f"{split}-{i}", image, image[..., 0] > 30, "grey")

    def inspect(self, split, indices):
        return [ImageFacts(f"{split}-{i}", (32, 32), True) for i in indices]

    def labelled(self, count, seed):
        if count > SIZES["pool"]:
            raise BenchkitError("too many")
        return np.random.default_rng(seed).permutation(SIZES["pool"])[:count].tolist()

    def fingerprint(self):
        return "1"

@hookimpl
def benchkit_datasets():
    return [Mine]
''',
}

#: Kind -> what is wrong -> what stands in the place of what, and the check that must name it.
BROKEN_OTHERS: dict[str, dict[str, tuple[str, str, str]]] = {
    "pixels": {
        "leaves the range": ("1 - at.images", "at.images + 3", "range"),
        "mutates": ("1 - at.images", "at.images.mul_(0.5)", "inputs"),
        "other shape": ("1 - at.images", "at.images[:, :, ::2]", "shape"),
        "neighbours": ("1 - at.images", "(at.images - at.images.mean(0)).abs()", "neighbours"),
    },
    "resampling": {
        "predicts oftener than it says": ("return at.solve(eps)", "return at.solve(at.eps())", "runs"),
        "other shape": ("return at.solve(eps)", "return at.solve(eps)[:, :2]", "runs"),
        "mutates": ("return at.solve(eps)", "at.start.z_0.add_(1)\n        return at.solve(eps)", "runs"),
        "neighbours": ("return at.solve(eps)", "return at.solve(eps.mean(0, keepdim=True)).clone()", "neighbours"),
        "global generator": ("return at.solve(eps)", "return at.solve(eps + torch.rand(()))", "runs"),
    },
    "composite": {
        "no such part": ("blur:steps=3", "blurr:steps=3", "parts"),
        "one part": ('("gaussian:steps=3", "blur:steps=3")', '("gaussian:steps=3",)', "parts"),
        "floats": (".long()", ".float()", "choices"),
        "a part it lacks": (".long()", ".long() + 1", "choices"),
        "global generator": ("rng.uniform(())", "rng.uniform(()) * torch.rand(())", "deterministic"),
        "neighbours": ("rng.uniform(()) > 0.5", "rng.uniform(()) > rng.uniform(()).mean()", "neighbours"),
    },
    "selector": {
        "raises": ("(at.images.mean(1) > 0.6)", "at.nothing", "runs"),
        "other shape": ("return (at.images.mean(1) > 0.6) | (noise > 0.99)", "return at.images > 0.6", "shape"),
        "not bool": ("return (at.images.mean(1) > 0.6) | (noise > 0.99)", "return at.images.mean(1)", "dtype"),
        "mutates": ("        noise =", "        at.images.mul_(0.5)\n        noise =", "inputs"),
        "mutates a sample": ("        noise =", "        at.samples[0].mask[:] = True\n        noise =", "inputs"),
        "global generator": ("(noise > 0.99)", "(torch.rand_like(noise) > 0.9)", "deterministic"),
        "one noise for all seeds": ("(noise > 0.99)", "(noise > 9)", "seeds"),
        "neighbours": ("> 0.6", "> at.images.mean()", "neighbours"),
        "square images only": ("at.images.mean(1)", "at.images.mean(1).transpose(1, 2)", "sizes"),
        "threshold": (
            "    def select(",
            "    def required_detector(self):\n        return 'same'\n\n"
            "    def threshold(self):\n        return 3.0\n\n    def select(",
            "detector",
        ),
        "no such detector": (
            "    def select(",
            "    def required_detector(self):\n        return 'no-such-detector'\n    def select(",
            "detector",
        ),
    },
    "detector": {
        "does not build": ("nn.Conv2d(3, 2, 3, padding=1)", "nn.Conv(3)", "builds"),
        "nothing to train": ("nn.Conv2d(3, 2, 3, padding=1)", "nn.Identity()", "builds"),
        "three classes": ("nn.Conv2d(3, 2", "nn.Conv2d(3, 3", "logits"),
        "smaller logits": (", padding=1", "", "logits"),
        "fails at some sizes": (
            "nn.Conv2d(3, 2, 3, padding=1)",
            "nn.Sequential(nn.Conv2d(3, 2, 1), nn.LayerNorm([64, 64]))",
            "logits",
        ),
        "own seed": ("        return nn", "        torch.seed()\n        return nn", "reproducible"),
        "neighbours": (
            "nn.Conv2d(3, 2, 3, padding=1)",
            "nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2, track_running_stats=False))",
            "neighbours",
        ),
        "optimiser": (
            "    def build(",
            "    def optimiser(self, network, lr):\n        return 1\n\n    def build(",
            "optimiser",
        ),
    },
    "inverter": {
        "raises": ("at.solve(at.eps(at.solve", "at.nothing(at.eps(at.solve", "runs"),
        "not finite": ("return at.solve(", "return float('nan') * at.solve(", "runs"),
        "mutates": ("return at.solve(", "at.z_s.add_(1)\n        return at.solve(", "inputs"),
        "global generator": ("return at.solve(", "return torch.randn(()) + at.solve(", "runs"),
        "hides its noise": ("return at.solve(", "return at.rng.normal(at.z_s.shape[1:]) + at.solve(", "seeds"),
        "neighbours": ("return at.solve(", "return at.z_s.mean(0) + at.solve(", "neighbours"),
        "costs more than it says": ("return 2", "return 1", "network_evaluations"),
        "no number": ("return 2", "return 2.5", "network_evaluations"),
        "breaks at an end": ("return at.solve(", "return (1 / (self.fraction - 0.5)) * at.solve(", "ranges"),
    },
    "dataset": {
        "no splits": ("return SIZES", "return {}", "splits"),
        "does not read": ("image = np.full", "image = np.nothing", "reads"),
        "float images": ("np.uint8", "np.float32", "images"),
        "mask of another size": ("image[..., 0] > 30", "image[:9, :, 0] > 30", "masks"),
        "mask of bytes": ("image[..., 0] > 30", "image[..., 0]", "masks"),
        "marked and ignored": (', "grey")', ', "grey", ignored=image[..., 0] > 30)', "masks"),
        "ignored of another size": (', "grey")', ', "grey", ignored=image[:9, :, 0] > 300)', "masks"),
        "heat map with NaN": (
            ', "grey")',
            ', "grey", attributes={"heatmap": np.full((32, 32), np.nan)})',
            "heat maps",
        ),
        "caption": ('"grey"', "3", "captions"),
        "equal ids": ('f"{split}-{i}"', 'f"{i}"', "ids"),
        "order": ("for i in indices]", "for i in sorted(indices)]", "order"),
        "answers to anything": ("        if split not in SIZES or", "        if False and", "bounds"),
        "draws twice": ('.permutation(SIZES["pool"])[:count]', ".integers(0, 2, count)", "labelled"),
        "facts of another size": ("(32, 32), True", "(32, 16), True", "facts"),
        "facts of marks": ("(32, 32), True", "(32, 32), False", "facts"),
        "too few facts": (
            "for i in indices]\n\n    def labelled",
            "for i in indices[1:]]\n\n    def labelled",
            "facts",
        ),
        "another fingerprint": ('return "1"', "return str(np.random.rand())", "fingerprint"),
    },
}
