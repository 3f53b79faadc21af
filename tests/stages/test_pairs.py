"""Training pairs stay on disk, however many they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchkit.errors import BenchkitError
from benchkit.specs.spec import Spec
from benchkit.stages.base import ARRAYS, Env
from benchkit.stages.pairs import CorruptedPairs, LabelledPairs, MixedPairs, PseudoPairs
from benchkit.stages.select import Select
from benchkit.store.artifacts import ArtifactStore, arrays_to_bytes
from benchkit.training.augmentation import IGNORED

#: Trains on a few images and then on many, and prints by how many MB the second raises the process's peak memory.
SCRIPT = """
import resource, sys
from pathlib import Path
from types import SimpleNamespace
import numpy as np, torch
from benchkit.specs.training_config import TrainingConfig
from benchkit.stages.base import ARRAYS, Env
from benchkit.stages.pairs import CorruptedPairs
from benchkit.store.artifacts import ArtifactStore, arrays_to_bytes
from benchkit.training.loop import train

folder, few, many, side = Path(sys.argv[1]), *map(int, sys.argv[2:])
store, chunks = ArtifactStore(folder / "cache"), []
for start in range(0, many, 16):
    images = np.full((16, side, side, 3), start % 251, np.uint8)
    labels = np.zeros((16, side, side), bool)
    labels[:, 3:20, 3:20] = start % 32 == 0
    key = f"{start:064x}"
    store.write(key, {ARRAYS: arrays_to_bytes({"images": images, "labels": labels})})
    chunks.append(SimpleNamespace(key=key))
env, peaks = Env(None, store), []
for count in (few, many):
    pairs = CorruptedPairs(tuple(chunks[: count // 16])).load(env)
    assert len(pairs.images) == len(pairs.masks) == (count // 16 + 1) // 2 * 16 and 0 < pairs.prevalence < 0.5
    config = TrainingConfig(iterations=3, batch=8, crop=32)
    train(torch.nn.Conv2d(3, 2, 1), pairs.images, pairs.masks, config, 0, checkpoint=folder / f"{count}")
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10))
print(peaks[1] - peaks[0])
"""


def test_ten_times_the_images_take_no_more_memory(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), "80", "800", "224"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    # Images and labels of the 720 further ones, half of which are used, are 145 MB, and 72 MB in use.
    assert float(ended.stdout) < 25


@pytest.fixture
def env(tmp_path: Path) -> Env:
    return Env(None, ArtifactStore(tmp_path))  # type: ignore[arg-type]


def stored(env: Env, name: str, **arrays: np.ndarray) -> Any:
    """Return a stage that is finished, with these arrays."""
    key = name * 64
    env.store.write(
        key, {ARRAYS: arrays_to_bytes(arrays)}, {"ids": [f"{name}{i}" for i in range(len(arrays["images"]))]}
    )
    return SimpleNamespace(key=key, source=SimpleNamespace(indices=range(len(arrays["images"]))))


def selected(env: Env, masks: np.ndarray) -> Select:
    """Return a stage that has selected these masks."""
    stage = Select((), Spec.parse("selector", "random"), "", None, 0)
    whole = {"masks": np.packbits(masks.reshape(len(masks), -1), axis=-1), "shape": np.array(masks.shape)}
    env.store.write(stage.key, {ARRAYS: arrays_to_bytes(whole)})
    return stage


def arrays(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    masks = rng.random((count, 8, 8)) > 0.7
    masks[1] = False
    return rng.integers(0, 256, (count, 8, 8, 3), np.uint8), masks


def test_pairs_are_the_images_and_labels_of_their_stages_in_order(env: Env) -> None:
    (one, first), (two, second), (three, third) = (arrays(seed, 3 + seed) for seed in range(3))
    ignored = np.zeros_like(second)
    ignored[2, :4] = True
    every = np.ones(len(one), bool)
    a = stored(env, "a", images=one, masks=first, labelled=every)
    b = stored(env, "b", images=two, masks=second, ignored=ignored, labelled=np.ones(len(two), bool))
    c = stored(env, "c", images=three, labels=third)
    labelled, corrupted = LabelledPairs((a, b)), CorruptedPairs((c,))
    mixed = MixedPairs((labelled, corrupted)).load(env)
    keep = third.any(axis=(1, 2))
    labels = np.concatenate([first, np.where(ignored, np.uint8(IGNORED), second), third[keep]])
    np.testing.assert_array_equal(np.asarray(mixed.images), np.concatenate([one, two, three[keep]]))
    np.testing.assert_array_equal(np.asarray(mixed.masks), labels)
    assert mixed.masks.dtype == np.uint8 and mixed.dropped == 1
    np.testing.assert_array_equal(mixed.kept, np.concatenate([np.ones(7, bool), keep]))
    assert mixed.prevalence == labels[labels != IGNORED].mean()
    alone = corrupted.load(env)
    assert alone.masks.dtype == np.bool_ and alone.prevalence == third[keep].mean()


def test_who_needs_labels_alone_reads_no_image(env: Env) -> None:
    images, masks = arrays(0, 4)
    stage = stored(env, "d", images=images, masks=masks, labelled=np.ones(4, bool))
    (env.store.open(stage.key).folder / ARRAYS).write_bytes(b"x" * env.store.open(stage.key).size)
    select = selected(env, masks)
    pairs = PseudoPairs((stage,), select).load(env)
    np.testing.assert_array_equal(np.asarray(pairs.masks), masks[masks.any(axis=(1, 2))])
    assert len(pairs.masks) == 3 and pairs.prevalence == masks[masks.any(axis=(1, 2))].mean()
    with pytest.raises(BenchkitError, match="does not match its checksum"):
        _ = pairs.images[0]
