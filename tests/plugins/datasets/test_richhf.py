"""RichHF-18k from records written byte by byte and images in every place they may lie: what is joined, what is not."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from benchkit.cli.main import main
from benchkit.errors import BenchkitError
from benchkit.preparation.richhf import record_files
from benchkit.preparation.richhf_rule import Rule, beside_paper
from benchkit.testing import report_on
from benchkit_plugins.datasets.richhf import RichHF
from recipes.tfrecord_writer import example, write

SIDE = 512


def encoded(pixels: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, format=kind, **options)
    return sink.getvalue()


def levels(*squares: tuple[int, int, int]) -> np.ndarray:
    """A map of squares (row, level, side) in a column at the left."""
    made = np.zeros((SIDE, SIDE), np.uint8)
    for row, level, side in squares:
        made[row : row + side, 64 : 64 + side] = level
    return made


#: Three squares, marked by one, two and three annotators.
THREE = levels((0, 85, 96), (160, 170, 96), (320, 255, 96))
TRUTH = levels((160, 1, 96), (320, 1, 96)).astype(bool)


def record(name: str, artifact: bytes | None = None, score: float = 1 / 12, **other: object) -> bytes:
    """A record as the published files hold them: eight features."""
    plain = encoded(THREE, "JPEG", quality=95)
    features: dict = {
        "filename": [f"{name}.png".encode()],
        "aesthetics_score": [0.5],
        "artifact_score": [score],
        "misalignment_score": [0.75],
        "overall_score": [7 / 12],
        "artifact_map": [plain if artifact is None else artifact],
        "misalignment_map": [encoded(levels())],
        "prompt_misalignment_label": [b"1 0 1"],
    }
    return example({**features, **other})


def picture(seed: int, size: tuple[int, int] = (64, 64)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """Six train examples, two dev, one test; `two` has a level that only two annotators give."""
    folder = tmp_path / "records"
    folder.mkdir()
    two = encoded(levels((0, 128, 96)))
    train = [record(f"train/t{i}") for i in range(5)] + [record("two", two)]
    write(folder / "train.tfrecord", train)
    write(folder / "dev.tfrecord", [record("d0"), record("d1", score=0.3)])
    write(folder / "test.tfrecord", [record("e0", encoded(levels()))])
    return folder


@pytest.fixture
def folder_of_images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    (folder / "deep").mkdir(parents=True)
    for i in range(5):
        (folder / "deep" / f"t{i}.png").write_bytes(encoded(picture(i)))
    (folder / "t0.txt").write_text("not beside it")
    (folder / "deep" / "t1.txt").write_text("a cat on a mat\n")
    (folder / "d0.jpg").write_bytes(encoded(picture(10), "JPEG"))
    (folder / "e0.webp").write_bytes(encoded(picture(11, (48, 96)), "WEBP", lossless=True))
    (folder / "unwanted.png").write_bytes(b"never opened")
    return folder


Prepare = Callable[..., tuple[int, str, str]]


@pytest.fixture
def prepare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Prepare:
    def run(records: Path, images: Path, *more: object) -> tuple[int, str, str]:
        words = ["data", "prepare", "richhf-18k", "--records", records, "--images", images, "--out", tmp_path / "set"]
        code = main([str(word) for word in (*words, *more)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def left(root: Path) -> list[tuple[str, str, str]]:
    with (root / "left-out.csv").open() as file:
        return [(one["split"], one["id"], one["reason"]) for one in csv.DictReader(file)]


def test_a_set_is_written_and_read_back(
    prepare: Prepare, records: Path, folder_of_images: Path, tmp_path: Path
) -> None:
    code, out, err = prepare(records, folder_of_images)
    assert code == 0, err
    assert "5 of 6 train (the paper: 7,801), 1 of 1 test (the paper: 500): other examples than the paper's" in out
    assert "from level 128 of 255: 2 of 3 annotators" in out
    assert "images: 7 of 7 found, 0 missing" in out
    assert "skipped: 2 by the rule" in out
    assert "states no licence" in err
    dataset = RichHF(root=str(tmp_path / "set"), size=64)
    assert dict(dataset.splits()) == {"pool": 5, "test": 1, "validation": 1}
    sample = dataset.read("pool", [1])[0]
    assert (sample.id, sample.caption) == ("t1", "a cat on a mat")
    assert np.array_equal(sample.image, picture(1))
    assert np.array_equal(sample.mask, TRUTH[4::8, 4::8])
    heat = sample.attributes["heatmap"]
    assert heat.shape == (64, 64) and heat.dtype == np.uint8
    assert abs(int(heat[24, 12]) - 170) <= 4 and abs(int(heat[4, 12]) - 85) <= 4
    assert sample.attributes["artifact_score"] == pytest.approx(1 / 12)
    assert sample.attributes["prompt_misalignment_label"] == "1 0 1"
    empty = dataset.read("test", [0])[0]
    assert not empty.mask.any() and empty.image.shape == (64, 64, 3)
    assert sorted(left(tmp_path / "set")) == [("pool", "two", "by the rule"), ("validation", "d1", "by the rule")]


def test_the_dataset_conforms(prepare: Prepare, records: Path, folder_of_images: Path, tmp_path: Path) -> None:
    assert prepare(records, folder_of_images)[0] == 0
    for more in ({}, {"fit": "tile", "size": 32}):
        report = report_on(RichHF, params={"root": str(tmp_path / "set"), "size": 64, **more})
        assert report.ok, report.text()
    assert RichHF(root=str(tmp_path / "set"), fit="tile", size=32).splits()["pool"] == 5 * 4


def test_the_manifest_tells_what_was_done(
    prepare: Prepare, records: Path, folder_of_images: Path, tmp_path: Path
) -> None:
    assert prepare(records, folder_of_images, "--rule", "all:needed=1")[0] == 0
    reported = RichHF(root=str(tmp_path / "set")).provenance()
    rule = "all:annotators=3,needed=1,tolerance=12.0,fraction=0.25,score_tolerance=0.05"
    assert reported == {"rule": rule, "rule threshold": 43}
    manifest = json.loads((tmp_path / "set" / "manifest.json").read_text())
    assert manifest["examples"]["left_by_rule"] == {"test": 1, "dev": 2, "train": 6}
    assert manifest["rule"]["threshold"] == 43  # half of 85, rounded up
    assert manifest["left_out"] == {"no image": 2}
    for facts in manifest["splits"].values():
        data = (tmp_path / "set" / facts["file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == facts["sha256"] and len(data) == facts["bytes"]


def test_a_label_follows_an_image_of_another_shape(prepare: Prepare, records: Path, tmp_path: Path) -> None:
    images = tmp_path / "wide"
    images.mkdir()
    (images / "t0.png").write_bytes(encoded(picture(0, (128, 256))))
    assert prepare(records, images)[0] == 0
    root = str(tmp_path / "set")
    resized = RichHF(root=root, size=128, fit="resize").read("pool", [0])[0]
    assert np.array_equal(resized.mask, TRUTH[2::4, 2::4])
    cropped = RichHF(root=root, size=128).read("pool", [0])[0]
    assert not cropped.mask.any(axis=0)[16:].any() and cropped.mask.any(axis=0)[:16].all()
    prints = {RichHF(root=root, size=128, fit=fit).fingerprint() for fit in ("resize", "crop", "pad")}
    assert len(prints) == 3


def pick_a_pic(path: Path, rows: list[dict]) -> Path:
    names = ("image_0_uid", "image_1_uid", "jpg_0", "jpg_1", "caption")
    pq.write_table(pa.table({name: [row.get(name) for row in rows] for name in names}), path, row_group_size=2)
    return path


def test_images_come_out_of_a_zip_and_of_pick_a_pic(prepare: Prepare, records: Path, tmp_path: Path) -> None:
    places = tmp_path / "places"
    places.mkdir()
    with zipfile.ZipFile(places / "a.zip", "w") as archive:
        archive.writestr("../../t0.png", encoded(picture(0)))
        archive.writestr("notes.txt", "no picture")
    t1, e0 = encoded(picture(1), "JPEG"), encoded(picture(2), "JPEG")
    rows = [
        {"image_0_uid": "t1", "jpg_0": t1, "image_1_uid": "x", "jpg_1": b"", "caption": "one"},
        {"image_0_uid": "x", "jpg_0": b"", "image_1_uid": "t1", "jpg_1": t1, "caption": "again"},
        {"image_0_uid": "y", "jpg_0": b"", "image_1_uid": "e0", "jpg_1": e0, "caption": "two"},
    ]
    pick_a_pic(places / "b.parquet", rows)
    code, out, err = prepare(records, places)
    assert code == 0, err
    assert "images: 3 of 7 found, 4 missing" in out and "skipped: 4 no image" in out
    dataset = RichHF(root=str(tmp_path / "set"), size=64)
    assert [(s.id, s.caption) for s in dataset.read("pool", [0, 1])] == [("t0", None), ("t1", "one")]
    assert dataset.read("test", [0])[0].caption == "two"
    manifest = json.loads((tmp_path / "set" / "manifest.json").read_text())
    assert manifest["images"] == {"wanted": 7, "found": 3, "repeated": 1, "captions": 2}


def test_two_images_of_one_name_stop_it(
    prepare: Prepare, records: Path, folder_of_images: Path, tmp_path: Path
) -> None:
    (folder_of_images / "t0.jpg").write_bytes(encoded(picture(0), "JPEG"))
    code, _, err = prepare(records, folder_of_images)
    assert code == 2 and "'t0' is in" in err and "with different bytes" in err
    assert not (tmp_path / "set").exists() and not list(tmp_path.glob(".set-*"))


def test_what_cannot_be_used_is_left_out_and_named(prepare: Prepare, folder_of_images: Path, tmp_path: Path) -> None:
    records = tmp_path / "bad"
    records.mkdir()
    (folder_of_images / "deep" / "t3.png").write_bytes(b"\x89PNG broken")
    train = [
        record("t0", b"no picture"),
        record("t1", encoded(THREE)[:-200]),
        record("t2", encoded(THREE[:256])),
        record("t3"),
        record("t4", misalignment_map=[b"broken"]),
        record("t4"),
        record("unseen"),
        record("x", filename=[b"../"]),
        record("x", artifact_map=[]),
        record("e0"),
    ]
    write(records / "train.tfrecord", train)
    write(records / "test.tfrecord", [record("e0")])
    code, _, err = prepare(records, folder_of_images)
    assert code == 0, err
    assert dict(RichHF(root=str(tmp_path / "set")).splits()) == {"pool": 1, "test": 1}
    assert left(tmp_path / "set") == [
        ("pool", "t0", "artifact_map does not decode"),
        ("pool", "t1", "artifact_map does not decode"),
        ("pool", "t2", "artifact_map of another size"),
        ("pool", "t4", "image labelled twice"),
        ("pool", "", "no image id"),
        ("pool", "x", "no artifact_map"),
        ("pool", "e0", "image labelled twice"),
        ("pool", "t3", "image does not decode"),
        ("pool", "t4", "misalignment map skipped, its image kept"),
        ("pool", "unseen", "no image"),
    ]
    assert "train.tfrecord: record 3" in (tmp_path / "set" / "left-out.csv").read_text()
    attributes = RichHF(root=str(tmp_path / "set")).read("pool", [0])[0].attributes
    assert "heatmap" in attributes and "misalignment_map" not in attributes


def test_an_output_that_is_something_else_stays(
    prepare: Prepare, records: Path, folder_of_images: Path, tmp_path: Path
) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine.txt").write_text("mine")
    for more in ((), ("--force",)):
        assert "set' contains other files than" in prepare(records, folder_of_images, *more)[2]
    assert (tmp_path / "set" / "mine.txt").read_text() == "mine"
    (tmp_path / "set" / "mine.txt").unlink()
    assert prepare(records, folder_of_images)[0] == 0
    first = (tmp_path / "set" / "pool.parquet").read_bytes()
    assert prepare(records, folder_of_images, "--force")[0] == 0
    assert (tmp_path / "set" / "pool.parquet").read_bytes() == first


def test_a_set_that_was_changed_is_not_read(
    prepare: Prepare, records: Path, folder_of_images: Path, tmp_path: Path
) -> None:
    assert prepare(records, folder_of_images)[0] == 0
    root, file = tmp_path / "set", tmp_path / "set" / "pool.parquet"
    data = bytearray(file.read_bytes())
    place = data.index(encoded(picture(2))) + 60
    data[place] ^= 1
    file.write_bytes(bytes(data))
    dataset = RichHF(root=str(root), size=64)
    assert dataset.read("pool", [1])[0].id == "t1"
    with pytest.raises(BenchkitError, match=r"row 2 \('t2'\) was changed"):
        dataset.read("pool", [2])
    file.write_bytes(bytes(data[:-5]))
    (root / "manifest.json").touch()
    with pytest.raises(BenchkitError, match="bytes, not"):
        RichHF(root=str(root)).splits()


def test_two_of_three_is_a_level_of_128() -> None:
    rule = Rule()
    assert rule.threshold == 128
    steps = np.arange(256, dtype=np.uint8)
    assert np.array_equal(rule.label(steps), steps >= 128)
    assert Rule(needed=3).threshold == 213 and Rule(annotators=2, needed=2).threshold == 192


def test_the_rule_excludes_what_three_annotators_cannot_give() -> None:
    three, two, one = THREE, levels((0, 128, 96)), levels((0, 255, 96))
    scores, halves = {"a": 1 / 12, "b": 7 / 12}, {"a": 3 / 8}
    assert Rule().objection(scores, [three]) is None
    assert Rule().objection(scores, [one]) is None  # three may have agreed
    assert "have no level of 3" in str(Rule().objection(scores, [three, two]))
    assert Rule("by-scores").objection(scores, [two]) is None
    assert "a 0.3750 is not a mean of 3" in str(Rule("by-scores").objection(halves, [three]))
    assert Rule("by-levels").objection(halves, [three]) is None
    assert Rule("all").objection(halves, [two]) is None
    assert Rule(annotators=2).objection({"a": 3 / 8}, [two]) is None


def test_only_the_papers_numbers_are_called_so() -> None:
    same = beside_paper(Rule(), {"train": 7801, "test": 500}, {"train": 15810, "test": 955})
    assert same.endswith("the paper's numbers")
    for kept in ({"train": 7801, "test": 499}, {"train": 7801}):
        assert "do not replicate" in beside_paper(Rule(), kept, {})


def test_names_of_record_files_say_their_split(tmp_path: Path) -> None:
    for name in ("train-00000-of-00002.tfrecord", "train-00001-of-00002.tfrecord", "test.tfrecord"):
        (tmp_path / name).write_bytes(b"")
    found = record_files([tmp_path])
    assert list(found) == ["test", "train"] and len(found["train"]) == 2
    (tmp_path / "other.tfrecord").write_bytes(b"")
    with pytest.raises(BenchkitError, match=r"other\.tfrecord': a name with train, dev or test"):
        record_files([tmp_path])
