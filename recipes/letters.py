"""A small reader of signs: tells the 26 letters, and places without one, in windows of 28x28 pixels.

It learns from raw renders of the split `train` with the letters' known places, a little blurred and noisy at random, so
that what it measures is legibility and not how far an image is from a raw render. Being convolutional it also slides
over a whole image to find a sign that nobody has placed, as on generated samples.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from renders import rendered
from state import Average, resume, save
from torch import Tensor, nn

from benchkit_plugins.datasets.portraits.board import glyph_centres, sign_frame
from benchkit_plugins.datasets.portraits.letters import ALPHABET
from benchkit_plugins.datasets.portraits.records import SIZE, Scene
from benchkit_plugins.datasets.portraits.splits import scene_at

WINDOW, PAD = 28, 16
NONE = len(ALPHABET)
GAP = (10.0, 30.0)
"""Pixels between neighbouring letters of a sign, along x."""
RISE = 7.0
"""Pixels a letter can lie higher or lower than its neighbour."""


class Reader(nn.Module):
    """(N, 3, H, W) in [0, 1] to logits (N, 27, h, w), one cell a window, every fourth pixel."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, side, pool in ((3, 24, 3, 0), (24, 32, 3, 2), (32, 64, 3, 0), (64, 64, 3, 2)):
            layers += [nn.Conv2d(inputs, outputs, side, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
            layers += [nn.MaxPool2d(pool)] if pool else []
        layers += [nn.Conv2d(64, 96, 4, bias=False), nn.BatchNorm2d(96), nn.ReLU(), nn.Conv2d(96, NONE + 1, 1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layers(images * 2 - 1)
        return logits


def places(scene: Scene) -> np.ndarray:
    """Centres (x, y) of the sign's letters in image pixels, (3, 2)."""
    return sign_frame(scene.sign).apply(glyph_centres(scene.sign))


def truth(scene: Scene) -> list[int]:
    """The sign's letters, as numbers."""
    return [ALPHABET.index(glyph.letter) for glyph in scene.sign.glyphs]


def windows(image: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The windows of a uint8 image (128, 128, 3) around points (n, 2): (n, 28, 28, 3)."""
    wide = np.pad(image, ((PAD, PAD), (PAD, PAD), (0, 0)), mode="edge")
    corners = np.clip(np.rint(centres - WINDOW / 2).astype(int) + PAD, 0, SIZE + 2 * PAD - WINDOW)
    return np.stack([wide[y : y + WINDOW, x : x + WINDOW] for x, y in corners])


def examples(images: np.ndarray, scenes: list[Scene], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Windows and classes of each scene: its three letters, a little off centre, and two places without a letter."""
    shown, classes = [], []
    for image, scene in zip(images, scenes, strict=True):
        at = places(scene)
        near = at[rng.integers(3)] + rng.uniform(-16, 16, 2)
        empty = np.array([near, rng.uniform(0, SIZE, 2)])
        empty = empty[(np.hypot(*(empty[:, None] - at).transpose(2, 0, 1)) > 6.5).all(1)]
        shown.append(windows(image, np.concatenate((at + rng.uniform(-2, 2, at.shape), empty))))
        classes += [*truth(scene), *[NONE] * len(empty)]
    return np.concatenate(shown), np.array(classes)


def altered(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Windows (N, 3, 28, 28) with other contrast and brightness, half the time blurred, a little noisy."""
    n = len(x)
    scale, shift = (torch.from_numpy(rng.uniform(*span, (n, 1, 1, 1))).float() for span in ((0.75, 1.2), (-0.08, 0.08)))
    x = (x - 0.5) * scale + 0.5 + shift
    if rng.random() < 0.5:
        sigma = rng.uniform(0.4, 1.1)
        tap = torch.exp(-torch.arange(-2.0, 3.0).square() / (2 * sigma**2))
        kernel = torch.outer(tap, tap).div(tap.sum() ** 2).expand(3, 1, 5, 5)
        x = F.conv2d(F.pad(x, (2,) * 4, mode="replicate"), kernel, groups=3)
    return (x + torch.from_numpy(rng.normal(0, 0.015, x.shape)).float()).clamp(0, 1)


def trained_reader(state: Path, images: int = 12000, iterations: int = 400, scenes_a_batch: int = 24) -> Reader:
    """The reader, trained on the first call (some minutes) and kept in STATE/letters.safetensors."""
    torch.manual_seed(0)
    model = Reader()
    optimiser = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=1e-3)
    average = Average(model, 0.99)
    path = state / "letters.safetensors"
    start = resume(path, model, optimiser, average).get("iteration", 0)
    stored = rendered(state, "train", images) if start < iterations else np.empty(0)
    for i in range(start, iterations):
        rng = np.random.default_rng([3, i])
        picked = rng.choice(images, scenes_a_batch, replace=False)
        shown, classes = examples(stored[np.sort(picked)], [scene_at("train", int(k)) for k in np.sort(picked)], rng)
        x = altered(torch.from_numpy(shown).permute(0, 3, 1, 2).float() / 255, rng)
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1, (i + 1) / 50) * (1 - i / iterations)
        loss = F.cross_entropy(model(x).flatten(1), torch.from_numpy(classes))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        average.update(model, i)
        if (i + 1) % 100 == 0:
            print(f"letters {i + 1}/{iterations} loss {loss.item():.4f}", flush=True)
            save(path, model, optimiser, average, iteration=i + 1)
    model.load_state_dict(average.weights)
    return model.eval().requires_grad_(False)


def read_at(model: Reader, images: np.ndarray, scenes: list[Scene]) -> np.ndarray:
    """The letters (N, 3) that the reader sees at the scenes' own places in uint8 images."""
    shown = [torch.from_numpy(windows(i, places(s))).permute(0, 3, 1, 2) for i, s in zip(images, scenes, strict=True)]
    x = torch.stack(shown).flatten(0, 1).float() / 255
    letters = torch.cat([model(part).flatten(1)[:, :NONE].argmax(1) for part in x.split(96)])
    return letters.view(-1, 3).numpy()


class Peak(NamedTuple):
    """A place that looks like a letter: how sure, where, and which."""

    score: float
    x: float
    y: float
    letter: int


def find_and_read(model: Reader, image: np.ndarray) -> list[int] | None:
    """The three letters of the sign, found without knowing where it is; None where no three stand in a row.

    The places are chosen by how surely they hold *some* letter, never by which.
    """
    row = max(_rows(_peaks(_dense(model, image))), key=lambda peaks: sum(p.score for p in peaks), default=None)
    return [peak.letter for peak in row] if row else None


def _dense(model: Reader, image: np.ndarray) -> Tensor:
    """Log probabilities (27, 64, 64): the window centred on every second pixel of an image."""
    x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    x = F.pad(x, (WINDOW // 2,) * 4, mode="replicate")
    side = SIZE // 2
    out = torch.empty(NONE + 1, side, side)
    for dy in (0, 1):
        for dx in (0, 1):
            logits = model(x[:, :, 2 * dy :, 2 * dx :])[0, :, : side // 2, : side // 2]
            out[:, dy::2, dx::2] = logits.log_softmax(0)
    return out


def _peaks(logs: Tensor) -> list[Peak]:
    """Up to twelve places that most surely hold a letter, averaged over 6x6 pixels, no two within 6 pixels."""
    sure = torch.log1p(-logs[NONE].exp().clamp(max=1 - 1e-6))
    mean = F.avg_pool2d(torch.cat([sure[None], logs[:NONE]])[None], 3, 1, 1, count_include_pad=False)[0]
    score, letters = mean[0], mean[1:].argmax(0)
    top = (score == F.max_pool2d(score[None], 5, 1, 2)[0]) & (score > np.log(0.05))
    found = [Peak(float(score[y, x]), 2.0 * x, 2.0 * y, int(letters[y, x])) for y, x in top.nonzero().tolist()]
    return sorted(found, reverse=True)[:12]


def _rows(peaks: list[Peak]) -> list[tuple[Peak, ...]]:
    """All threes that can be a sign's letters, left to right."""

    def neighbours(a: Peak, b: Peak) -> bool:
        return GAP[0] <= b.x - a.x <= GAP[1] and abs(b.y - a.y) <= RISE

    threes = combinations(sorted(peaks, key=lambda p: p.x), 3)
    return [(a, b, c) for a, b, c in threes if neighbours(a, b) and neighbours(b, c)]
