"""The same images in every layout give the same samples, and every layout keeps a dataset's contract."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from folder_makers import MAKERS, SHAPE, SPLITS, coco, make_parquet, make_plain, mark, photo, write

from benchkit.api import BenchkitError
from benchkit.datasets.folder.dataset import Folder
from benchkit.datasets.framing import Framing
from benchkit.specs import Spec
from benchkit.testing import assert_conforms


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


def test_splits_take_the_names_that_are_asked_for(made: dict[str, Path]) -> None:
    dataset = Folder(str(made["plain"]), size=16, wild="pool", validation="pool", test="clean")
    assert dataset.splits() == {"validation": 2, "test": 2, "wild": 2}
    wild, held = dataset.read("wild", [0])[0], dataset.read("validation", [0])[0]
    assert (wild.id, held.id) == ("wild/0", "validation/0") and np.array_equal(wild.image, held.image)
    with pytest.raises(BenchkitError, match=r"no split 'pool': name one of validation, test, wild by pool=SPLIT"):
        dataset.labelled(1, 0)
    with pytest.raises(BenchkitError, match=r"^test=tset: dataset 'folder' .* it has clean, pool, test$"):
        Folder(str(made["plain"]), test="tset").splits()


def test_a_flat_folder_is_one_split(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / f"{number}.png", photo("pool", number))
    write(tmp_path / "masks" / "1.png", mark(1))
    assert Folder(str(tmp_path), size=8).splits() == {"all": 3}
    dataset = Folder(str(tmp_path), size=8, pool="all", clean="all")
    assert dataset.splits() == {"pool": 3, "clean": 3}
    assert dataset.labelled(1, 0) == [1], "only one image has a mask"
    with pytest.raises(BenchkitError, match="2 labelled images are more than the 1 with a mask"):
        dataset.labelled(2, 0)


def test_pictures_may_lie_in_folders_of_a_split(tmp_path: Path) -> None:
    write(tmp_path / "pool" / "a" / "0.png", photo("pool", 0))
    write(tmp_path / "pool" / "b" / "0.png", photo("pool", 1))
    write(tmp_path / "pool" / "masks" / "b" / "0.png", mark(1))
    (tmp_path / "pool" / "metadata.csv").write_text("file_name,prompt\nb/0.png,a hand\n")
    first, second = Folder(str(tmp_path), size=16).read("pool", [0, 1])
    assert (first.id, first.mask, first.caption) == ("pool/a/0", None, None)
    assert (second.id, second.caption) == ("pool/b/0", "a hand") and second.mask is not None


def test_the_labelled_set_depends_on_the_seed_alone(tmp_path: Path) -> None:
    for number in range(12):
        write(tmp_path / "pool" / f"{number:02d}.png", photo("pool", number)[:8, :8])
        write(tmp_path / "pool" / f"{number:02d}.mask.png", mark(0)[:8, :8])
    drawn = [Folder(str(tmp_path), size=8).labelled(6, seed) for seed in (0, 0, 1, 2)]
    assert drawn[0] == drawn[1] and len({tuple(one) for one in drawn}) == 3


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
    ]
    assert len({before, *(other.fingerprint() for other in others)}) == 4


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


def test_autoencode_is_the_users(made: dict[str, Path]) -> None:
    assert Folder.autoencode is False and Folder(str(made["plain"]), autoencode=True).autoencode


def test_other_columns_can_be_named(tmp_path: Path) -> None:
    from folder_makers import table
    from pyarrow import parquet

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

    from benchkit.datasets.folder.hub import downloaded

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
    with pytest.raises(BenchkitError, match=r"^root=hf://datasets/someone/other: cannot be fetched \([^\n]*\): name a"):
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


def test_its_spec_is_plain_text(made: dict[str, Path]) -> None:
    spec = Spec.parse("dataset", f"folder:root={made['coco']},size=64,fit=pad,pool=test")
    assert Folder(**spec.values).splits() == {"pool": 2, "clean": 2}  # type: ignore[arg-type]
    assert SHAPE == (20, 32)
