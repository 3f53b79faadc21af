"""Pictures by their ids out of community copies: tables of any columns, archives with captions, linked folders."""

from __future__ import annotations

import csv
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchkit.cli.main import main
from benchkit.errors import BenchkitError
from benchkit.readers.images_by_id import ImageStore, collect_images
from benchkit.readers.tables import Columns
from benchkit_plugins.datasets.richhf import RichHF
from recipes.tfrecord_writer import example, write

WANTED = ("t0", "t1", "t2")
MAP = np.zeros((512, 512), np.uint8)
MAP[100:200, 100:200] = 255


def encoded(pixels: np.ndarray) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, format="PNG")
    return sink.getvalue()


def picture(name: str) -> bytes:
    return encoded(np.full((16, 16, 3), 10 + WANTED.index(name), np.uint8))


def hf(name: str, path: str | None = None) -> dict[str, Any]:
    return {"bytes": picture(name), "path": path}


def parquet(path: Path, table: pa.Table) -> Path:
    pq.write_table(table, path, row_group_size=2)
    return path


def arrow_stream(path: Path, table: pa.Table) -> Path:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return path


def arrow_file(path: Path, table: pa.Table) -> Path:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return path


WRITERS: dict[str, Callable[[Path, pa.Table], Path]] = {
    "a.parquet": parquet,
    "data-00000-of-00001.arrow": arrow_stream,
    "file.arrow": arrow_file,
}

Found = dict[str, tuple[bytes, str | None]]


@pytest.fixture
def found(tmp_path: Path) -> Callable[..., Found]:
    def run(*sources: Path, columns: str = "", wanted: tuple[str, ...] = WANTED) -> Found:
        with (tmp_path / ".scratch").open("w+b") as file:
            shelf = ImageStore(file)
            collect_images(sources, wanted, shelf, lambda _: None, Columns.parse([columns] if columns else []))
            return {n: (shelf.get(n).data, shelf.get(n).caption) for n in wanted if n in shelf}

    return run


ALL: Found = {name: (picture(name), f"of {name}") for name in WANTED}
CAPTIONS = [f"of {name}" for name in WANTED]
USUAL: dict[str, Mapping[str, list[Any]]] = {
    "filename and image bytes": {"filename": [f"train/{n}.png" for n in WANTED], "image": list(map(picture, WANTED))},
    "Hugging Face's image": {"uid": list(WANTED), "image": list(map(hf, WANTED))},
    "the image's own path": {"image": [hf(n, f"{n}.png") for n in WANTED]},
    "webdataset's keys": {"__key__": list(WANTED), "jpg": list(map(picture, WANTED))},
    "numbers beside names": {
        "id": ["0", "1", "2"],
        "file_name": [f"{n}.jpg" for n in WANTED],
        "png": list(map(picture, WANTED)),
    },
}


@pytest.mark.parametrize("file", WRITERS)
@pytest.mark.parametrize("kind", USUAL)
def test_usual_columns_are_known(found: Callable[..., Found], tmp_path: Path, file: str, kind: str) -> None:
    table = pa.table({**USUAL[kind], "caption": CAPTIONS, "other": [1, 2, 3]})
    assert found(WRITERS[file](tmp_path / file, table)) == ALL


@pytest.mark.parametrize("file", WRITERS)
def test_any_columns_can_be_named(found: Callable[..., Found], tmp_path: Path, file: str) -> None:
    table = pa.table(
        {
            "which": list(WANTED),
            "image": [b"a thumbnail"] * 3,
            "full size": list(map(picture, WANTED)),
            "prompt": ["another"] * 3,
            "said": CAPTIONS,
        }
    )
    path = WRITERS[file](tmp_path / file, table)
    assert found(path, columns="image=full size,id=which,caption=said") == ALL
    with pytest.raises(BenchkitError, match=r"`columns` id=uid: .* has no column 'uid': it has which, image, full"):
        found(path, columns="id=uid")


def test_a_column_of_pick_a_pic_can_be_chosen(found: Callable[..., Found], tmp_path: Path) -> None:
    names = {"image_0_uid": ["t0", "t1"], "image_1_uid": ["t1", "t2"]}
    table = pa.table({**names, "jpg_0": [picture("t0"), picture("t1")], "jpg_1": [picture("t1"), picture("t2")]})
    path = parquet(tmp_path / "p.parquet", table)
    assert set(found(path)) == set(WANTED)
    assert set(found(path, columns="id=image_0_uid,image=jpg_0")) == {"t0", "t1"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("image", "is not KEY=COLUMN"),
        ("image=", "is not KEY=COLUMN"),
        ("picture=a", "unknown key 'picture'"),
        ("image=a,image=b", "given twice, as 'a' and 'b'"),
    ],
)
def test_columns_that_mean_nothing_are_refused(text: str, says: str) -> None:
    with pytest.raises(BenchkitError, match=says):
        Columns.parse([text])


COLUMN = st.text(st.characters(exclude_characters="=", exclude_categories=["Cs", "Z", "C"]), min_size=1)


@given(st.dictionaries(st.sampled_from(["image", "id", "caption"]), COLUMN, min_size=1))
def test_columns_of_any_name_are_read_as_written(columns: dict[str, str]) -> None:
    written = [f"{key}={column}" for key, column in columns.items()]
    assert Columns.parse([",".join(written)]) == Columns.parse(written) == Columns(columns)


def test_a_table_without_pictures_is_passed_over_beside_others(found: Callable[..., Found], tmp_path: Path) -> None:
    folder = tmp_path / "both"
    folder.mkdir()
    labels = parquet(folder / "labels.parquet", pa.table({"uid": list(WANTED), "score": [1, 2, 3]}))
    parquet(folder / "pictures.parquet", pa.table({**USUAL["Hugging Face's image"], "caption": CAPTIONS}))
    assert found(folder) == ALL
    with pytest.raises(BenchkitError, match=r"labels\.parquet has no known columns of images and ids"):
        found(labels)


def zipped(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tarred(path: Path, files: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_captions_stand_beside_pictures_in_archives(
    found: Callable[..., Found], tmp_path: Path, pack: Callable[[Path, Mapping[str, bytes]], Path]
) -> None:
    files = {
        "a/t0.png": picture("t0"),
        "a/t0.txt": b" of t0\n",
        "a/t1.txt": b"of t1",
        "a/t1.png": picture("t1"),
        "b/t2.png": picture("t2"),
        "a/t2.txt": b"of another folder",
        "long.txt": bytes(2**17),
    }
    path = pack(tmp_path / f"a.{'zip' if pack is zipped else 'tar'}", files)
    assert found(path) == {**ALL, "t2": (picture("t2"), None)}


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_caption_may_begin_with_a_byte_order_mark_and_its_file_be_upper_case(
    found: Callable[..., Found], tmp_path: Path, pack: Callable[[Path, Mapping[str, bytes]], Path]
) -> None:
    files = {"t0.PNG": picture("t0"), "t0.TXT": "\ufeffa café\r\n".encode()}
    path = pack(tmp_path / f"a.{'zip' if pack is zipped else 'tar'}", files)
    (tmp_path / "folder").mkdir()
    for name, data in files.items():
        (tmp_path / "folder" / name).write_bytes(data)
    assert found(path) == found(tmp_path / "folder") == {"t0": (picture("t0"), "a café")}


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_two_pictures_of_one_name_in_an_archive_are_refused(
    found: Callable[..., Found], tmp_path: Path, pack: Callable[[Path, Mapping[str, bytes]], Path]
) -> None:
    path = pack(tmp_path / f"a.{'zip' if pack is zipped else 'tar'}", {"t0.png": picture("t0"), "t0.jpg": b"other"})
    with pytest.raises(BenchkitError, match=r"t0.*remove one of them"):
        found(path)
    assert found(path, wanted=("t1",)) == {}


def test_a_later_source_fills_in_captions(found: Callable[..., Found], tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    for name in WANTED:
        (folder / f"{name}.png").write_bytes(picture(name))
    (folder / "t0.txt").write_text("the first")
    table = parquet(tmp_path / "x.parquet", pa.table({**USUAL["Hugging Face's image"], "caption": CAPTIONS}))
    assert found(folder)["t1"] == (picture("t1"), None)
    assert found(folder, table) == {**ALL, "t0": (picture("t0"), "the first")}


def test_links_are_followed(found: Callable[..., Found], tmp_path: Path) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "pictures"
    elsewhere.mkdir()
    folder.mkdir()
    (elsewhere / "t0.png").write_bytes(picture("t0"))
    (folder / "linked").symlink_to(elsewhere)
    (elsewhere / "round").symlink_to(folder)
    assert set(found(folder)) == {"t0"}


def scored(name: str, **scores: list[float]) -> bytes:
    usual = {key: [0.5] for key in ("aesthetics_score", "artifact_score", "misalignment_score", "overall_score")}
    maps = {"artifact_map": [encoded(MAP)], "misalignment_map": [encoded(MAP)]}
    return example({"filename": [f"{name}.png".encode()], **usual, **maps, **scores})


@pytest.fixture
def prepare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*words: object) -> tuple[int, str, str]:
        code = main([str(word) for word in ("data", "prepare", "richhf-18k", *words, "--out", tmp_path / "set")])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "pictures"
    made.mkdir()
    for name in WANTED:
        (made / f"{name}.png").write_bytes(picture(name))
    (made / "t1.txt").write_text("of t1")
    return made


@pytest.mark.parametrize(("rule", "kept"), [("three-annotators", 1), ("by-levels", 3)])
def test_impossible_scores_are_counted_and_said(
    prepare: Callable[..., tuple[int, str, str]], tmp_path: Path, folder: Path, rule: str, kept: int
) -> None:
    scores = ({"artifact_score": [1.5]}, {"overall_score": [float("nan")]}, {"artifact_score": []})
    write(tmp_path / "train.tfrecord", [scored(name, **one) for name, one in zip(WANTED, scores, strict=True)])
    code, out, err = prepare("--records", tmp_path / "train.tfrecord", "--images", folder, "--rule", rule)
    assert code == 0, err
    for what in ("a score outside 0 ... 1", "a score that is not a number", "a score that is missing"):
        assert f"scores: 1 examples with {what}" in out
    dataset = RichHF(root=str(tmp_path / "set"), size=16)
    assert dataset.splits()["pool"] == kept
    values = [one.attributes["overall_score"] for one in dataset.read("pool", range(kept))]
    assert values == ([0.5] if kept == 1 else [0.5, None, 0.5])
    if kept == 1:
        with (tmp_path / "set/left-out.csv").open() as file:
            details = [one["detail"] for one in csv.DictReader(file)]
        assert "artifact_score 1.5000 is not a mean of 3 answers" in details[0]
        assert "overall_score nan" in details[1]


def test_left_out_does_not_say_kept_of_what_was_dropped(
    prepare: Callable[..., tuple[int, str, str]], tmp_path: Path, folder: Path
) -> None:
    """Without a misalignment map one is dropped by the rule, one comes twice, one has no image, and one is kept."""
    lacking: dict[str, Any] = {"misalignment_map": [b"broken"]}
    records = [
        scored("t0", **lacking, artifact_score=[0.3]),
        scored("t1", **lacking),
        scored("t1", **lacking),
        scored("unseen", **lacking),
    ]
    write(tmp_path / "train.tfrecord", records)
    code, out, err = prepare("--records", tmp_path / "train.tfrecord", "--images", folder)
    assert code == 0, err
    with (tmp_path / "set/left-out.csv").open() as file:
        kept = [(one["id"]) for one in csv.DictReader(file) if "kept" in one["reason"]]
    assert kept == ["t1"]
    assert "captions: 1 of 1" in out


def community(names: tuple[str, ...], **more: list[Any]) -> pa.Table:
    """Labels and images in one table, as joined copies have them."""
    scores = ("aesthetics_score", "artifact_score", "misalignment_score", "overall_score")
    columns: dict[str, list[Any]] = {
        "filename": [f"{name}.png" for name in names],
        **{score: [0.5] * len(names) for score in scores},
        "artifact_map": [{"bytes": encoded(MAP), "path": None}] * len(names),
        "misalignment_map": [encoded(MAP)] * len(names),
        "prompt_misalignment_label": ["1 0"] * len(names),
        "prompt": [f"of {name}" for name in names],
        "image": list(map(hf, names)),
    }
    return pa.table({key: value for key, value in {**columns, **more}.items() if value})


@pytest.mark.parametrize("kind", ["parquet", "save_to_disk"])
def test_labels_and_images_come_from_one_table(
    prepare: Callable[..., tuple[int, str, str]], tmp_path: Path, kind: str
) -> None:
    root = tmp_path / "joined"
    for split, names in (("train", ("t0", "t1")), ("test", ("t2",))):
        (root / split).mkdir(parents=True)
        if kind == "parquet":
            parquet(root / f"{split}-00000-of-00001.parquet", community(names))
        else:
            arrow_stream(root / split / "data-00000-of-00001.arrow", community(names))
            (root / split / "state.json").write_text("{}")
    code, out, err = prepare("--records", root)
    assert code == 0, err
    assert "images: 3 of 3 found, 0 missing" in out and "captions: 3 of 3" in out
    dataset = RichHF(root=str(tmp_path / "set"), size=16)
    assert dict(dataset.splits()) == {"pool": 2, "test": 1}
    sample = dataset.read("test", [0])[0]
    assert (sample.id, sample.caption, sample.attributes["prompt_misalignment_label"]) == ("t2", "of t2", "1 0")
    assert sample.mask is not None and sample.mask.mean() == pytest.approx((100 / 512) ** 2, abs=0.03)
    assert json.loads((tmp_path / "set/manifest.json").read_text())["scores"] == {}


def test_columns_of_records_can_be_named(prepare: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    table = community(("t0",), artifact_map=[], heat=[encoded(MAP)], filename=[], which=["t0"])
    path = parquet(tmp_path / "train.parquet", table)
    code, _, err = prepare("--records", path)
    assert code == 2
    assert "train.parquet has no column artifact_map" in err and "name it with --columns artifact_map=NAME" in err
    code, _, err = prepare("--records", path, "--columns", "artifact_map=heat")
    assert code == 2 and "name it with --columns id=NAME" in err
    code, _, err = prepare("--records", path, "--columns", "artifact_map=heat,id=which")
    assert code == 0, err


def test_maps_that_are_no_encoded_images_are_refused(
    prepare: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    path = parquet(tmp_path / "train.parquet", community(("t0",), artifact_map=[[[0, 1], [1, 0]]]))
    code, _, err = prepare("--records", path)
    assert code == 2 and "column 'artifact_map' holds no encoded images: store the maps as PNG bytes" in err


def test_tfrecords_need_images(prepare: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    write(tmp_path / "train.tfrecord", [scored("t0")])
    code, _, err = prepare("--records", tmp_path / "train.tfrecord")
    assert code == 2 and "--images is missing: TFRecord files hold no images" in err
