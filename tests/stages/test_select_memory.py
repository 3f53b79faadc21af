"""A selection of many images keeps a bit for each pixel in memory, and its facts are those of all masks together."""

from __future__ import annotations

import weakref
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchkit.specs.spec import Spec
from benchkit.stages import select
from benchkit.store.artifacts import arrays_from_bytes


def test_masks_are_packed_chunk_by_chunk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    chunks = [rng.random((count, 10, 7)) < 0.3 for count in (16, 16, 16, 16, 5)]
    chunks[1][3] = chunks[4][0] = False
    made: list[weakref.ref[Any]] = []
    most = 0

    def make_masks(_: Any, __: Any, ___: Any, index: int, *____: Any) -> np.ndarray:
        nonlocal most
        masks = chunks[index].copy()
        made.append(weakref.ref(masks))
        most = max(most, sum(one() is not None for one in made))
        return masks

    monkeypatch.setattr(select, "check_ids", lambda *_: None)
    monkeypatch.setattr(select.Select, "_chunk", make_masks)
    env: Any = SimpleNamespace(
        registry=SimpleNamespace(make=lambda *_: None),
        store=SimpleNamespace(workdir=lambda _: nullcontext(tmp_path)),
    )
    images: Any = tuple(range(len(chunks)))
    stage = select.Select(images, Spec.parse("selector", "grid"), "", None, 0)
    monkeypatch.setattr(select.Select, "key", "k" * 64)
    output = stage.run(env)

    whole = np.concatenate(chunks)
    (data,) = output.files.values()
    arrays = arrays_from_bytes(data)  # type: ignore[arg-type]
    assert np.array_equal(arrays["masks"], np.packbits(whole.reshape(len(whole), -1), axis=-1))
    assert tuple(arrays["shape"]) == whole.shape
    assert output.meta == {"threshold": None, "area": float(whole.mean()), "empty": 2}
    assert most <= 2  # a chunk and the one before it, whose name is not yet bound anew
