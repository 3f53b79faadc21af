"""A dataset for looking at: splits, batches, contact sheets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import benchkit
from benchkit.api import Sample
from benchkit.errors import BenchkitError
from benchkit.plugin.loading import import_file
from tests.helpers.small_comparison import PLUGINS


@pytest.fixture(scope="module")
def view() -> benchkit.DatasetView:
    return benchkit.load_dataset("shapes", plugins=[PLUGINS])


def sample(name: str, side: int = 8, mask: bool = True, ignored: bool = False) -> Sample:
    empty = np.zeros((side, side), bool)
    pixels = np.zeros((side, side, 3), np.uint8)
    return Sample(name, pixels, empty if mask else None, f"caption {name}", ignored=~empty if ignored else None)


def test_a_view_is_a_mapping_of_splits(view: benchkit.DatasetView) -> None:
    assert "test" in view
    assert "tset" not in view
    assert {name: len(split) for name, split in view.items()} == view.dataset.splits()
    with pytest.raises(ValueError, match="unknown split 'tset': did you mean 'test'"):
        view["tset"]
    assert repr(view["test"]).endswith("images of shapes, test>")
    assert "<th scope='row'>test</th>" in view._repr_html_()


def test_a_slice_gives_a_batch(view: benchkit.DatasetView) -> None:
    batch = view["test"][:3]
    expected = view.dataset.read("test", [0, 1, 2])
    assert batch.ids == tuple(one.id for one in expected)
    assert batch.captions == tuple(one.caption for one in expected)
    assert np.array_equal(batch.images, np.stack([one.image for one in expected]))
    assert np.array_equal(batch.masks, np.stack([one.mask for one in expected]))
    assert batch.annotated.all()
    assert view["test"][[2, 0]].ids == (expected[2].id, expected[0].id)
    assert batch[1:].ids == batch.ids[1:]
    assert view["test"][-1].id == list(view["test"])[-1].id
    assert len(list(view["test"])) == len(view["test"])


def test_parameters_are_keywords_or_text(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "shots").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.zeros((24, 24, 3), np.uint8)
    pixels[:12] = 255
    Image.fromarray(pixels).save(tmp_path / "shots" / "turned.png", exif=exif)  # the upper half is to be the right one
    for named in (
        benchkit.load_dataset("folder", root=str(tmp_path), size=24),
        benchkit.load_dataset("folder", root=tmp_path, size=24),
        benchkit.load_dataset(f"folder:root={tmp_path},size=24"),
    ):
        batch = named["shots"][:1]
        assert batch.images[0, :, :, 0].tolist() == [[0] * 12 + [255] * 12] * 24
        assert not batch.annotated.any()


def test_classes_and_plugins_are_datasets() -> None:
    cls = import_file(PLUGINS).Shapes
    assert benchkit.load_dataset(cls)["test"][:1].ids == benchkit.load_dataset(cls())["test"][:1].ids


def test_a_notebook_shows_a_contact_sheet(view: benchkit.DatasetView) -> None:
    batch = benchkit.ImageBatch((sample("<b>a"), sample("b", mask=False)), "made <i>up")
    assert repr(batch) == "<ImageBatch: 2 images of 8x8 pixels, 1 annotated, from made <i>up>"
    assert batch._repr_png_().startswith(b"\x89PNG")
    assert 'alt="Contact sheet: ImageBatch: 2 images' in batch._repr_html_()
    assert "<i>" not in batch._repr_html_()
    assert "data:image/png;base64," in view["test"]._repr_html_()


def test_ignored_pixels_are_in_the_labels() -> None:
    batch = benchkit.ImageBatch((sample("a"), sample("b", ignored=True)))
    assert batch.labels.dtype == np.uint8
    assert set(np.unique(batch.labels[1])) == {255}
    assert not batch.labels[0].any()
    assert benchkit.ImageBatch((sample("a"),)).labels.dtype == bool


def test_images_without_a_mask_give_no_masks() -> None:
    batch = benchkit.ImageBatch((sample("a"), sample("b", mask=False)))
    with pytest.raises(ValueError, match=r"1 of these 2 images are not annotated \('b' is the first\)"):
        batch.masks  # noqa: B018


@pytest.mark.parametrize(
    ("index", "message", "kind"),
    [
        (slice(5, 5), "no image is chosen of", ValueError),
        ([99999], "there is no image 99999 of .*: give 0 to", ValueError),
        ("first", "give a slice such as", TypeError),
        (1.5, "give a slice such as", TypeError),
        (99999, "the split has", IndexError),
    ],
)
def test_wrong_indices_are_named(
    view: benchkit.DatasetView, index: object, message: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match=message):
        view["test"][index]  # type: ignore[call-overload]


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="did you mean 'portraits'"):
        benchkit.load_dataset("portrait")
    with pytest.raises(BenchkitError, match="parameter"):
        benchkit.load_dataset("portraits", colour="red")
    with pytest.raises(TypeError, match="root: this list is no plain value: give text"):
        benchkit.load_dataset("folder", root=[])
    with pytest.raises(TypeError, match="dataset: 3 is no dataset: give text"):
        benchkit.load_dataset(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has its parameters already"):
        benchkit.load_dataset(import_file(PLUGINS).Shapes(), root="x")
    with pytest.raises(ValueError, match="images of several sizes"):
        benchkit.ImageBatch((sample("a"), sample("b", side=16))).images  # noqa: B018
    with pytest.raises(ValueError, match="the batch is empty"):
        benchkit.ImageBatch(())
