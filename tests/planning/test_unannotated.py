"""An image that nobody marked fails whatever needs its mask, by name, where nothing could tell so before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchkit.errors import BenchkitError
from benchkit.plugin.registry import Registry
from benchkit.specs.spec import Spec
from benchkit.specs.training_sets import ImageSet
from benchkit.stages.base import Env, pack_arrays
from benchkit.stages.evaluate import Evaluate, TrivialPredictor
from benchkit.stages.images import Images, Source
from benchkit.stages.pairs import LabelledPairs
from benchkit.store.artifacts import ArtifactStore

IMAGES = Images(Source.of(ImageSet(Spec.of("dataset", "half"), "test", (0, 1)), "fingerprint"), None)


def finish_images(env: Env, labelled: list[bool]) -> None:
    count = len(labelled)
    arrays = {
        "images": np.zeros((count, 4, 4, 3), np.uint8),
        "masks": np.zeros((count, 4, 4), bool),
        "labelled": np.array(labelled),
        "kinds": np.zeros((count, 0, 2), np.uint8),
    }
    output = pack_arrays(arrays, kinds=[], ids=[f"i{i}" for i in range(count)], captions=[None] * count)
    env.store.write(IMAGES.key, output.files, output.meta)


@pytest.mark.parametrize("role", ["test", "validation", "prior", "training"])
def test_a_later_image_without_a_mask_fails_what_reads_it(tmp_path: Path, role: str) -> None:
    env = Env(Registry(), ArtifactStore(tmp_path / "cache"))
    finish_images(env, [True, False])
    with pytest.raises(
        BenchkitError, match="'test' of dataset 'half' has images without a mask, 'i1' is the first: annotate"
    ):
        if role == "training":
            LabelledPairs((IMAGES,)).load(env)
        elif role == "prior":
            TrivialPredictor("mean-mask", (IMAGES,)).predictor(env)
        else:
            validation = (IMAGES,) if role == "validation" else ()
            Evaluate(TrivialPredictor("all-negative"), (IMAGES,), validation).run(env)
