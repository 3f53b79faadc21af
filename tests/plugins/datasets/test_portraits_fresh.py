"""Fresh portraits: made as the frozen test split is, and determined by the secret alone."""

from __future__ import annotations

import numpy as np
import pytest

from benchkit.functions.steps import load_model
from benchkit.stages.images import to_tensor, to_uint8
from benchkit_plugins.datasets.portraits.dataset import Portraits
from benchkit_plugins.datasets.portraits.splits import generator
from benchkit_plugins.datasets.portraits_fresh import FreshPortraits, draw_images


def autoencode(images: np.ndarray) -> np.ndarray:
    return to_uint8(load_model("portraits", device="cpu").autoencode(to_tensor(images)))


def test_the_recipe_is_that_of_the_frozen_test_split() -> None:
    """With the generators of `test`, the images, labels and kinds are those whose marks ship."""
    wanted = Portraits().read("test", [0, 1, 2, 3])
    found = draw_images([0, 1, 2, 3], lambda index, purpose: generator("test", index, purpose), autoencode)
    assert any(one.mask is not None and one.mask.any() for one in wanted)
    for one, other in zip(wanted, found, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.mask, other.mask)
        assert one.kinds.keys() == other.kinds.keys()
        assert one.caption == other.caption


@pytest.mark.parametrize("secret", ["a secret of a season", "another secret of one"])
def test_only_secret_and_index_determine_an_image(secret: str) -> None:
    dataset = FreshPortraits()
    alone, together = dataset.draw_fresh(secret, [5], autoencode), dataset.draw_fresh(secret, [0, 5], autoencode)
    np.testing.assert_array_equal(alone[0].image, together[1].image)
    assert not alone[0].mask.any()  # every fifth has no artifact
    other = dataset.draw_fresh(f"{secret}!", [5], autoencode)
    assert not np.array_equal(alone[0].image, other[0].image)
    assert all(not np.array_equal(alone[0].image, one.image) for one in Portraits().read("test", [0, 5]))


def test_without_a_season_it_is_portraits() -> None:
    assert FreshPortraits().splits() == Portraits().splits()
    assert FreshPortraits().fingerprint() == Portraits().fingerprint()
