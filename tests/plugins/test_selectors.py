"""The selectors that need no training, on part maps, lattices and one photograph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchkit.api import Sample, SelectionContext
from benchkit.diffusion.noise import ImageNoise
from benchkit.errors import BenchkitError
from benchkit_plugins.selectors import faces
from benchkit_plugins.selectors.faces import Faces
from benchkit_plugins.selectors.grid import Grid
from benchkit_plugins.selectors.intersect import Intersect
from benchkit_plugins.selectors.parts import Parts
from benchkit_plugins.selectors.union import Union


def context(images: Tensor, samples: tuple[Sample, ...] = (), parts: tuple[Tensor, ...] = ()) -> SelectionContext:
    ids = [f"image-{i}" for i in range(len(images))]
    return SelectionContext(images, samples, ImageNoise(0, ids), parts=parts)


def test_grid_selects_whole_cells() -> None:
    masks = Grid(cells=4, fraction=0.25).select(context(torch.zeros(5, 3, 16, 24)))
    assert masks.shape == (5, 16, 24)
    assert masks.dtype == torch.bool
    cells = masks.view(5, 4, 4, 4, 6).transpose(2, 3).reshape(5, 16, 24)
    assert ((cells.float().mean(dim=2) == 0) | cells.all(dim=2)).all()
    assert cells.all(dim=2).sum(dim=1).tolist() == [4] * 5
    assert len({tuple(mask.flatten().tolist()) for mask in masks}) > 1
    alone = SelectionContext(torch.zeros(1, 3, 16, 24), (), ImageNoise(0, ["image-3"]))
    assert torch.equal(Grid(cells=4, fraction=0.25).select(alone)[0], masks[3])


def test_grid_covers_every_pixel_and_selects_one_cell_at_least() -> None:
    whole = Grid(cells=3, fraction=1.0).select(context(torch.zeros(1, 3, 16, 17)))
    assert whole.all()
    single = Grid(cells=3, fraction=0.01).select(context(torch.zeros(100, 3, 16, 17)))
    assert set(single.sum(dim=(1, 2)).tolist()) <= {5 * 5, 5 * 6, 6 * 5, 6 * 6}
    assert single.any(dim=0).all()


def test_union_and_intersect_join_their_parts() -> None:
    one, two = torch.tensor([[[True, True, False, False]]]), torch.tensor([[[True, False, True, False]]])
    at = context(torch.zeros(1, 3, 1, 4), parts=(one, two))
    assert Union().select(at).tolist() == [[[True, True, True, False]]]
    assert Intersect().select(at).tolist() == [[[True, False, False, False]]]


@pytest.mark.parametrize("cls", [Union, Intersect])
def test_one_selector_is_no_list(cls: type) -> None:
    for text in ("grid", "(grid:cells=2,fraction=1)"):
        with pytest.raises(BenchkitError, match="is one selector: join two"):
            cls(of=text)
    with pytest.raises(BenchkitError, match="names no plugin in one place"):
        cls(of="grid+")
    assert cls(of="grid+(grid:cells=2,fraction=1)").parts() == ("grid", "grid:cells=2,fraction=1")


def sample(**attributes: object) -> Sample:
    return Sample("one", np.zeros((2, 3, 3), np.uint8), attributes=attributes)


def test_parts_selects_by_name() -> None:
    parts = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    at = context(torch.zeros(1, 3, 2, 3), (sample(parts=parts, part_names=("wall", "hand", "face")),))
    assert Parts().select(at).tolist() == [(parts == 1).tolist()]
    assert Parts(names="hand + face").select(at).tolist() == [(parts > 0).tolist()]
    with pytest.raises(BenchkitError, match="the dataset has no part 'foot': choose from wall, hand, face"):
        Parts(names="hand+foot").select(at)
    with pytest.raises(BenchkitError, match="'one' has no part map"):
        Parts().select(context(torch.zeros(1, 3, 2, 3), (sample(),)))


def test_portraits_name_their_parts() -> None:
    from benchkit_plugins.datasets.portraits.dataset import Portraits

    samples = tuple(Portraits().read("clean", [0, 1]))
    images = torch.zeros(2, 3, *samples[0].image.shape[:2])
    background, others = (
        Parts(names=names).select(context(images, samples))
        for names in ("background", "hair+face+eyes_mouth+hand+clothes+sign")
    )
    assert torch.equal(background, ~others)
    assert others.any()


def photograph() -> Tensor:
    """The portrait that matplotlib ships, at a third of its size."""
    import cv2
    from matplotlib import cbook

    with cbook.get_sample_data("grace_hopper.jpg") as file:
        pixels = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    small = cv2.resize(np.ascontiguousarray(pixels), None, fx=0.33, fy=0.33, interpolation=cv2.INTER_AREA)
    return torch.from_numpy(small).permute(2, 0, 1).float()[None] / 255


@pytest.mark.skipif(Faces.unavailable() is not None, reason="this OpenCV has no cascades")
def test_a_face_is_found_in_a_photograph_and_none_on_a_wall() -> None:
    image = photograph()
    height, width = image.shape[2:]
    mask = Faces(neighbours=8).select(context(image))[0]
    y, x = torch.nonzero(mask, as_tuple=True)
    # Her face: right of the middle line's left, in the upper half.
    assert abs(float(x.float().mean()) / width - 0.53) < 0.1
    assert abs(float(y.float().mean()) / height - 0.32) < 0.1
    wider = Faces(neighbours=8, margin=0.25).select(context(image))[0]
    assert (wider | ~mask).all()
    assert float(wider.sum()) == pytest.approx(2.25 * float(mask.sum()), rel=0.1)
    assert not Faces().select(context(torch.full((1, 3, 64, 64), 0.5))).any()


def test_an_opencv_without_cascades_names_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import cv2

    assert Faces.unavailable() is None
    assert len(Faces().depends_on()) == 64
    monkeypatch.setattr(cv2.data, "haarcascades", f"{tmp_path}/")
    assert faces.cascade_file("frontalface_default") is None
    assert "install 'opencv-python<5'" in str(Faces.unavailable())
    assert Faces().depends_on() == ""
