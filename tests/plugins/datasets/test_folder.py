"""The same images in every layout give the same samples, and every layout keeps a dataset's contract."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from benchkit.api import BenchkitError, Dataset
from benchkit.plugin.registry import Registry
from benchkit.readers.framing import Framing
from benchkit.specs.spec import Spec
from benchkit.testing import assert_conforms
from benchkit_plugins.datasets.folder.dataset import Folder
from tests.plugins.datasets.folder_makers import (
    MAKERS,
    SHAPE,
    SPLITS,
    coco,
    make_parquet,
    make_plain,
    mark,
    photo,
    write,
)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    for name, make in MAKERS.items():
        found[name] = tmp_path_factory.mktemp("folders") / name
        make(found[name])
    return found


@pytest.mark.parametrize("name", MAKERS)
def test_a_layout_is_found_and_read(name: str, made: dict[str, Path]) -> None:
    dataset = Folder(str(made[name]), size=16, fit="crop")
    assert dict(dataset.splits()) == dict.fromkeys(SPLITS, 2)
    framing = Framing(16, "crop")
    for split in SPLITS:
        for number, sample in enumerate(dataset.read(split, [0, 1])):
            assert np.array_equal(sample.image, framing.image(photo(split, number)))
            assert sample.caption == f"{split} {number}"
            assert sample.id.startswith(f"{split}/")
            if split == "clean":
                assert sample.mask is None and not sample.kinds
            else:
                assert np.array_equal(sample.mask, framing.mask(mark(number))) and sample.mask.any()
                assert list(sample.kinds) == (["hand-melted"] if name == "coco" else [])


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("fit", ["resize", "tile"])
def test_every_layout_conforms(name: str, fit: str, made: dict[str, Path]) -> None:
    assert_conforms(Folder, root=str(made[name]), size=16, fit=fit)


def test_tiles_are_samples_of_their_own(made: dict[str, Path]) -> None:
    for name in ("plain", "parquet"):
        dataset = Folder(str(made[name]), size=16, fit="tile")
        assert dataset.splits() == dict.fromkeys(SPLITS, 8)  # 20 x 32: two rows of two
        samples = dataset.read("pool", [7, 0, 5])
        assert [sample.id.partition("#")[2] for sample in samples] == ["3", "0", "1"]
        assert np.array_equal(samples[0].image, photo("pool", 1)[4:20, 16:32])
        assert np.array_equal(samples[1].image, photo("pool", 0)[:16, :16])
        assert np.array_equal(samples[2].mask, mark(1)[:16, 16:])
        assert set(dataset.labelled(8, 0)) == set(range(8))


def test_splits_take_the_names_that_are_asked_for_and_keep_their_own(made: dict[str, Path]) -> None:
    dataset = Folder(str(made["plain"]), size=16, wild="pool", validation="test", test="clean")
    assert dataset.splits() == dict.fromkeys(("clean", "pool", "test", "validation", "wild"), 2)
    own = Folder(str(made["plain"]), size=16)
    for split, source in (("wild", "pool"), ("validation", "test"), ("test", "clean"), ("clean", "clean")):
        given, taken = dataset.read(split, [0])[0], own.read(source, [0])[0]
        assert given.id == f"{split}/{taken.id.partition('/')[2]}" and np.array_equal(given.image, taken.image)
    with pytest.raises(BenchkitError, match=r"^test=tset: dataset 'folder' .* it has clean, pool, test$"):
        Folder(str(made["plain"]), test="tset").splits()
    with pytest.raises(BenchkitError, match=r"^pool=poll, test=tset: dataset 'folder' "):
        Folder(str(made["plain"]), test="tset", pool="poll").splits()


def test_a_missing_split_has_a_remedy_and_a_shared_one_is_remarked_on(tmp_path: Path) -> None:
    write(tmp_path / "val" / "0.png", photo("test", 0))
    dataset = Folder(str(tmp_path), size=8)
    with pytest.raises(BenchkitError, match=r"no split 'pool': it has val: give one of its splits this name, too, as"):
        dataset.labelled(1, 0)
    remedy = "give one of its splits this name, too, as in folder:root=…,validation=val"
    assert dataset.remedy("validation") == remedy and dataset.remedy("poll") is None
    assert dataset.remarks(dataset.splits()) == []
    both = Folder(str(tmp_path), size=8, test="val", validation="val")
    threshold = "the threshold is chosen on the images that it is measured on"
    message = "validation and test are the same images, the folder's 'val'"
    assert both.remarks({"validation", "test", "pool"}) == [f"{message}: {threshold}"]
    assert both.remarks({"test"}) == []
    (source,) = Folder(str(tmp_path), size=8, pool="val", clean="val").remarks({"pool", "clean"})
    assert source == "pool and clean are the same images, the folder's 'val'", "as in the docs, and nothing leaks"


def test_a_grid_is_told_of_the_splits_that_it_reads(made: dict[str, Path]) -> None:
    from benchkit.config.grid import load_grid
    from benchkit.planning.image_sets import read_remarks

    registry = Registry.load(files=[Path(sys.modules[Folder.__module__].__file__ or "")])
    place = f"folder:root={made['plain']},validation=test,wild=test"
    grid = load_grid("quick").replaced(dataset=place)
    (line,) = read_remarks(grid, registry)
    assert f"dataset '{place}': validation and test are the same images" in line
    assert read_remarks(grid.replaced(validation=None), registry) == []
    (line,) = read_remarks(grid.replaced(validation=None, baselines=("human", "oracle")), registry)
    assert line.endswith("wild are the same images, the folder's 'test': the oracle is trained on the test images")


def test_the_first_images_are_a_fair_draw_that_other_files_leave_alone(tmp_path: Path) -> None:
    """A folder sorted by kind: its first half by name would be of one kind."""
    for kind in ("burger", "salad"):
        for number in range(32):
            write(tmp_path / "test" / f"{kind}-{number:02d}.png", photo("test", number)[:8, :8])

    def first(count: int, **params: str) -> list[str]:
        return [sample.id for sample in Folder(str(tmp_path), size=8, **params).read("test", range(count))]

    by_name, drawn = first(32, order="name"), first(64)
    assert all("burger" in one for one in by_name) and by_name == sorted(by_name)
    assert 10 <= sum("burger" in one for one in drawn[:32]) <= 22
    assert sorted(drawn) == first(64, order="name")
    write(tmp_path / "test" / "apple.png", photo("test", 0))
    assert [one for one in first(65) if "apple" not in one] == drawn
    assert [one.partition("/")[2] for one in first(64, pool="test")] == [one.partition("/")[2] for one in first(64)]


def test_rows_and_tiles_are_shuffled_too(tmp_path: Path) -> None:
    from pyarrow import parquet

    from tests.plugins.datasets.folder_makers import table

    parquet.write_table(table("clean", range(9)), tmp_path / "clean.parquet")
    ids = [s.id for s in Folder(str(tmp_path), size=16, fit="tile").read("clean", range(36))]
    images = [one.partition("#")[0] for one in ids[::4]]
    assert ids == [f"{image}#{window}" for image in images for window in range(4)]
    assert images != sorted(images) == [f"clean/{row:06d}" for row in range(9)]
    captions = [s.caption for s in Folder(str(tmp_path), size=16).read("clean", range(9))]
    assert captions == [f"clean {int(one.rpartition('/')[2])}" for one in images]
    rows = Folder(str(tmp_path), size=16, order="name").read("clean", range(9))
    assert [row.id for row in rows] == sorted(images)


def test_a_flat_folder_is_one_split(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / f"{number}.png", photo("pool", number))
    write(tmp_path / "masks" / "1.png", mark(1))
    assert Folder(str(tmp_path), size=8).splits() == {"all": 3}
    dataset = Folder(str(tmp_path), size=8, pool="all", clean="all")
    assert dataset.splits() == {"all": 3, "pool": 3, "clean": 3}
    (drawn,) = dataset.labelled(1, 0)
    assert dataset.read("pool", [drawn])[0].id == "pool/1", "only one image has a mask"
    with pytest.raises(BenchkitError, match="2 labelled images are more than the 1 with a mask"):
        dataset.labelled(2, 0)


def test_pictures_may_lie_in_folders_of_a_split(tmp_path: Path) -> None:
    write(tmp_path / "pool" / "a" / "0.png", photo("pool", 0))
    write(tmp_path / "pool" / "b" / "0.png", photo("pool", 1))
    write(tmp_path / "pool" / "masks" / "b" / "0.png", mark(1))
    (tmp_path / "pool" / "metadata.csv").write_text("file_name,prompt\nb/0.png,a hand\n")
    first, second = Folder(str(tmp_path), size=16, order="name").read("pool", [0, 1])
    assert (first.id, first.mask, first.caption) == ("pool/a/0", None, None)
    assert (second.id, second.caption) == ("pool/b/0", "a hand") and second.mask is not None


def test_the_labelled_set_depends_on_the_seed_alone(tmp_path: Path) -> None:
    for number in range(12):
        write(tmp_path / "pool" / f"{number:02d}.png", photo("pool", number)[:8, :8])
        write(tmp_path / "pool" / f"{number:02d}.mask.png", mark(0)[:8, :8])
    drawn = [Folder(str(tmp_path), size=8).labelled(6, seed) for seed in (0, 0, 1, 2)]
    assert drawn[0] == drawn[1] and len({tuple(one) for one in drawn}) == 3

    def ids() -> set[str]:
        dataset = Folder(str(tmp_path), size=8)
        return {sample.id for sample in dataset.read("pool", dataset.labelled(6, 0))}

    before = ids()
    write(tmp_path / "pool" / "more.png", photo("pool", 0)[:8, :8])
    assert ids() == before, "an image without a mask changes nothing"
    write(tmp_path / "pool" / "more.mask.png", mark(0)[:8, :8])
    assert len(ids() & before) >= 5


def test_the_fingerprint_follows_every_file_and_not_the_place(tmp_path: Path) -> None:
    seen = set()
    for place in ("here", "there"):
        make_plain(tmp_path / place)
        seen.add(Folder(str(tmp_path / place), size=16).fingerprint())
    assert len(seen) == 1
    root = tmp_path / "here"
    changes = [
        lambda: write(root / "clean" / "0.png", photo("clean", 5)),
        lambda: write(root / "pool" / "1.mask.png", mark(3)),
        lambda: (root / "test" / "0.txt").write_text("another caption"),
        lambda: (root / "test" / "masks" / "0.png").unlink(),
        lambda: write(root / "wild" / "0.png", photo("clean", 5)),
    ]
    for change in changes:
        change()
        seen.add(Folder(str(root), size=16).fingerprint())
    assert len(seen) == 1 + len(changes)
    before = Folder(str(root), size=16).fingerprint()
    assert Folder(str(root), size=16, autoencode=True).fingerprint() == before, "core keys the pass itself"
    others = [
        Folder(str(root), size=24),
        Folder(str(root), size=16, fit="pad"),
        Folder(str(root), size=16, wild="pool"),
        Folder(str(root), size=16, order="name"),
    ]
    assert len({before, *(other.fingerprint() for other in others)}) == 5


def test_unchanged_files_are_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    make_plain(tmp_path)
    hashed = []
    digest = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, kind: hashed.append(file.name) or digest(file, kind))
    Folder(str(tmp_path), size=16).fingerprint()
    assert len(hashed) == 6 + 4 + 6
    os.utime(tmp_path / "pool" / "0.png", ns=(0, 0))
    Folder(str(tmp_path), size=16).fingerprint()
    assert len(hashed) == 17 and hashed[-1].endswith("pool/0.png")


def test_a_folder_that_stands_still_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchkit_plugins.datasets.folder import layouts

    listings: list[Path] = []
    lister = layouts._LISTERS["plain"]
    monkeypatch.setitem(layouts._LISTERS, "plain", lambda root, columns: listings.append(root) or lister(root, columns))
    make_plain(tmp_path)
    (tmp_path / "clean" / "captions.csv").write_text("file_name,text\n0.png,a\n")
    (tmp_path / "clean" / "0.txt").unlink()

    def still() -> None:
        for folder in (tmp_path, *(p for p in tmp_path.rglob("*") if p.is_dir())):
            os.utime(folder, ns=(0, folder.stat().st_mtime_ns - 10**10))

    for _ in range(2):
        Folder(str(tmp_path), size=16).splits()
    assert len(listings) == 2, "what has only just changed is not kept"
    still()
    for _ in range(4):
        assert Folder(str(tmp_path), size=16).splits() == dict.fromkeys(SPLITS, 2)
    assert len(listings) == 3
    write(tmp_path / "test" / "2.png", photo("test", 2))
    assert Folder(str(tmp_path), size=16).splits()["test"] == 3 and len(listings) == 4
    still()
    assert Folder(str(tmp_path), size=16).read("clean", [0])[0].caption == "a"
    (tmp_path / "clean" / "captions.csv").write_text("file_name,text\n0.png,changed\n")
    assert Folder(str(tmp_path), size=16).read("clean", [0])[0].caption == "changed"


def test_autoencode_is_the_users(made: dict[str, Path]) -> None:
    assert Folder.autoencode is False and Folder(str(made["plain"]), autoencode=True).autoencode


def test_other_columns_can_be_named(tmp_path: Path) -> None:
    from pyarrow import parquet

    from tests.plugins.datasets.folder_makers import table

    names = {"image": "picture", "mask": "artifacts", "caption": "prompt"}
    rows = table("pool").rename_columns([names[name] for name in table("pool").column_names])
    parquet.write_table(rows, tmp_path / "pool.parquet")
    columns = {"image_column": "picture", "mask_column": "artifacts", "caption_column": "prompt"}
    (sample,) = Folder(str(tmp_path), size=16, **columns).read("pool", [1])
    assert sample.caption == "pool 1" and sample.mask is not None and sample.id == "pool/000001"
    with pytest.raises(BenchkitError, match=r"no column 'image': it has picture, prompt, artifacts"):
        Folder(str(tmp_path), size=16).read("pool", [0])
    with pytest.raises(BenchkitError, match="no column 'marks'"):
        Folder(str(tmp_path), size=16, **{**columns, "mask_column": "marks"}).read("pool", [0])


def test_a_repository_is_read_from_the_hubs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the hub's client leaves it; nothing is fetched."""
    from huggingface_hub import snapshot_download

    kept = tmp_path / "datasets--someone--marked"
    make_parquet(kept / "snapshots" / ("0" * 40))
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download",
        lambda *given, **options: snapshot_download(*given, **options, cache_dir=tmp_path, local_files_only=True),
    )
    for root in ("hf://datasets/someone/marked", "hf://datasets/someone/marked@main/data"):
        dataset = Folder(root, size=16)
        assert dataset.splits() == dict.fromkeys(SPLITS, 2)
        assert np.array_equal(dataset.read("test", [1])[0].mask, Framing(16, "crop").mask(mark(1)))
    with pytest.raises(
        BenchkitError, match=r"^root=hf://datasets/someone/other: cannot be downloaded \([^\n]*\): name a"
    ):
        Folder("hf://datasets/someone/other").splits()
    for wrong in ("hf://someone", "hf://datasets/someone/marked/../x"):
        with pytest.raises(BenchkitError, match="write hf://datasets/OWNER/NAME"):
            Folder(wrong).splits()


def test_coco_beside_its_images(tmp_path: Path) -> None:
    for number in range(2):
        write(tmp_path / "test" / f"{number}.png", photo("test", number))
    (tmp_path / "test" / "_annotations.coco.json").write_text(json.dumps(coco("test")))
    first, second = Folder(str(tmp_path), size=32, fit="pad").read("test", [0, 1])
    for number, sample in enumerate((first, second)):
        assert np.array_equal(sample.kinds["hand-melted"][6:26], mark(number))
        assert np.array_equal(sample.mask, sample.kinds["hand-melted"])


def test_shards_and_captions_as_exports_write_them(tmp_path: Path) -> None:
    """`benchkit export --format hf` numbers its shards without their count; `coco` keeps captions with the images."""
    from pyarrow import parquet

    from tests.plugins.datasets.folder_makers import table

    (tmp_path / "hf" / "data").mkdir(parents=True)
    for number in range(2):
        rows = table("pool", range(number, number + 1))
        parquet.write_table(rows, tmp_path / "hf" / "data" / f"pool-0000{number}.parquet")
    assert [s.caption for s in Folder(str(tmp_path / "hf"), size=16).read("pool", [1, 0])] == ["pool 1", "pool 0"]
    data = coco("test")
    for number, image in enumerate(data["images"]):
        write(tmp_path / "coco" / "images" / "test" / image["file_name"], photo("test", number))
        image["caption"] = f"test {number}"
    (tmp_path / "coco" / "annotations").mkdir()
    (tmp_path / "coco" / "annotations" / "test.json").write_text(json.dumps(data))
    assert [s.caption for s in Folder(str(tmp_path / "coco"), size=16).read("test", [0, 1])] == ["test 0", "test 1"]


def test_a_plan_lists_a_folder_twice_and_its_stages_read_it(
    made: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for the cells, once for all of their stages, however many chunks there are."""
    from types import SimpleNamespace

    from benchkit.config.grid import load_grid
    from benchkit.planning.planner import Planner
    from benchkit.stages.base import Model
    from benchkit.stages.images import Images

    registry = Registry.load(files=[Path(sys.modules[Folder.__module__].__file__ or "")])
    loaded = sys.modules[type(registry.make(Spec.parse("dataset", "folder"), Dataset)).__module__]  # type: ignore[type-abstract]
    listings: list[Path] = []
    list_folder = loaded.list_folder
    monkeypatch.setattr(loaded, "list_folder", lambda root, *rest: listings.append(root) or list_folder(root, *rest))
    sets = {"source": {"split": "clean", "size": 2}, "test": {"split": "test", "size": 2}, "oracle": None}
    place = f"folder:root={made['mmseg']},size=16"
    grid = load_grid("quick").replaced(dataset=place, labelled=2, validation=None, **sets)
    plan = Planner(grid, registry, Model("tiny", "0" * 64, 50)).plan()
    images = [stage for stage in plan.stages if isinstance(stage, Images)]
    assert {stage.source.split for stage in images} == {"pool", "clean", "test"} and len(listings) <= 4
    env = SimpleNamespace(registry=registry)
    for stage in images:
        assert [s.image.shape for s in stage.source.read(env)] == [(16, 16, 3)] * 2  # type: ignore[arg-type]


def test_its_spec_is_plain_text(made: dict[str, Path]) -> None:
    spec = Spec.parse("dataset", f"folder:root={made['coco']},size=64,fit=pad,pool=test")
    assert Folder(**spec.values).splits() == {"pool": 2, "clean": 2, "test": 2}  # type: ignore[arg-type]
    assert SHAPE == (20, 32)
