"""dalle3-hq from tar shards made here: the draw, what records lack, and what shards must not hold."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchkit.cli.main import main
from benchkit.preparation.dalle3 import rank
from benchkit.readers import tar_shards as shards_module
from benchkit_plugins.datasets.dalle3 import Dalle3HQ


def encoded(seed: int, size: tuple[int, int] = (24, 16), kind: str = "PNG") -> bytes:
    sink = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(sink, format=kind)
    return sink.getvalue()


def tar(path: Path, files: dict[str, bytes], *special: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in special:
            archive.addfile(info)
    return path


def record_json(i: int, **other: object) -> bytes:
    """The JSON of an image as the published shards hold it."""
    record = {
        "image_name": f"img{i}.png",
        "width": 16,
        "height": 24,
        "short_caption": f"caption {i}",
        "long_caption": f"a long caption {i}",
        "original_prompt": f"prompt {i}",
    }
    return json.dumps({**record, **other}).encode()


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Two shards of ten images each."""
    folder = tmp_path / "shards"
    folder.mkdir()
    for number in range(2):
        files = {}
        for i in range(10 * number, 10 * number + 10):
            files[f"img{i}.png"] = encoded(i)
            files[f"img{i}.json"] = record_json(i)
        tar(folder / f"data-00000{number}.tar", files)
    return folder


Prepare = Callable[..., tuple[int, str, str]]


@pytest.fixture
def prepare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Prepare:
    def run(shards: object, *more: object, out: str = "set") -> tuple[int, str, str]:
        words = ["data", "prepare", "dalle3-hq", "--shards", shards, "--out", tmp_path / out, *more]
        code = main([str(word) for word in words])
        found = capsys.readouterr()
        return code, found.out, found.err

    return run


def ids(root: Path) -> list[str]:
    dataset = Dalle3HQ(root=str(root), size=16)
    return [sample.id for sample in dataset.read("clean", range(dataset.splits()["clean"]))]


def test_a_draw_is_written_and_read_back(prepare: Prepare, shards: Path, tmp_path: Path) -> None:
    code, out, err = prepare(shards, "--count", 12, "--seed", 3)
    assert code == 0, err
    assert "12 of 20 images of 2 shards, seed 3" in out and "clean 12" in out and "MIT" in err
    facts = Dalle3HQ(root=str(tmp_path / "set")).provenance()
    assert facts == {"draw seed": 3, "draw count": 12, "draw of": 20}
    expected = sorted((f"img{i}" for i in range(20)), key=lambda name: rank(3, name))[:12]
    assert ids(tmp_path / "set") == expected
    dataset = Dalle3HQ(root=str(tmp_path / "set"), size=16, fit="crop")
    for sample in dataset.read("clean", [0, 11]):
        i = int(sample.id.removeprefix("img"))
        pixels = np.asarray(Image.open(io.BytesIO(encoded(i))))
        assert np.array_equal(sample.image, pixels[4:20])
        assert sample.mask is None and sample.caption == f"caption {i}"
        assert sample.attributes["original_prompt"] == f"prompt {i}"


def test_the_draw_is_the_seeds_own(prepare: Prepare, shards: Path, tmp_path: Path) -> None:
    one, two = sorted(shards.iterdir())
    assert prepare(shards, "--count", 8)[0] == 0
    assert prepare(two, "--shards", one, "--count", 8, out="again")[0] == 0
    assert prepare(shards, "--count", 8, "--seed", 1, out="other")[0] == 0
    first = ids(tmp_path / "set")
    assert ids(tmp_path / "again") == first != ids(tmp_path / "other")
    files = [(tmp_path / name / "clean.parquet").read_bytes() for name in ("set", "again")]
    assert files[0] == files[1]
    assert prepare(shards, "--count", 12, out="longer")[0] == 0
    assert ids(tmp_path / "longer")[:8] == first


def test_shards_come_from_any_file_system(prepare: Prepare, shards: Path, tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    for file in shards.iterdir():
        memory.pipe(f"/dalle3-test/{file.name}", file.read_bytes())
    assert prepare("memory://dalle3-test/data-*.tar", "--count", 8)[0] == 0
    assert prepare(shards, "--count", 8, out="local")[0] == 0
    assert ids(tmp_path / "set") == ids(tmp_path / "local")
    for url, says in (("memory://dalle3-test/none.tar", "does not exist"), ("nosuch://x/a.tar", "cannot be read")):
        code, _, err = prepare(url, "--count", 8, out="x")
        assert code == 2 and says in err


def test_records_that_lack_something_are_kept(prepare: Prepare, tmp_path: Path) -> None:
    files = {f"{name}.png": encoded(i) for i, name in enumerate(["none", "broken", "list", "poor", "other"])}
    files |= {"broken.json": b"{", "list.json": b"[1]", "poor.json": b'{"short_caption": null, "width": 16}'}
    files |= {
        "other.json": record_json(4, width=99, short_caption=" last "),
        "alone.json": record_json(9),
        "notes.txt": b"?",
    }
    code, out, err = prepare(tar(tmp_path / "a.tar", files), "--count", 5)
    assert code == 0, err
    assert "drawn: 1 without a record\n" in out
    assert "drawn: 2 with a record that is no JSON object" in out
    assert "drawn: 4 without a short_caption" in out
    assert "drawn: 1 with another size than the record says" in out
    dataset = Dalle3HQ(root=str(tmp_path / "set"), size=16)
    captions = {sample.id: sample.caption for sample in dataset.read("clean", range(5))}
    assert captions == {"none": None, "broken": None, "list": None, "poor": None, "other": "last"}


def test_another_image_takes_the_place_of_one_that_does_not_decode(prepare: Prepare, tmp_path: Path) -> None:
    names = sorted((f"img{i}" for i in range(6)), key=lambda name: rank(0, name))
    files = {f"{name}.png": encoded(i) for i, name in enumerate(names)}
    files[f"{names[1]}.png"] = b"no picture"
    file = tar(tmp_path / "a.tar", files)
    code, out, err = prepare(file, "--count", 3)
    assert code == 0, err
    assert ids(tmp_path / "set") == [names[0], names[2], names[3]]
    assert "skipped: 1 image does not decode" in out
    with (tmp_path / "set" / "left-out.csv").open() as listed:
        assert [one["id"] for one in csv.DictReader(listed)] == [names[1]]
    for count, says in ((6, "only 5 of 6 images can be read"), (7, "the shards hold 6 images")):
        code, _, err = prepare(file, "--count", count, out="x")
        assert code == 2 and says in err and not (tmp_path / "x").exists()


def test_pictures_that_are_not_taken_are_listed(prepare: Prepare, tmp_path: Path) -> None:
    files = {"a.jpg": encoded(0), "a.png": encoded(1), "b.gif": b"GIF89a", "c.png": encoded(2), "d.avif": b"x"}
    files |= {"a.json": record_json(0), "a.txt": b"a caption", "LICENSE": b"MIT"}
    code, out, err = prepare(tar(tmp_path / "a.tar", files), "--count", 2)
    assert code == 0, err
    assert "2 of 2 images of 1 shards" in out and "captions: 1 of 2" in out
    assert "skipped: 1 another file of the same name" in out
    assert "skipped: 2 a suffix that is not read" in out
    with (tmp_path / "set" / "left-out.csv").open() as listed:
        names = [one["detail"].rpartition(": ")[2] for one in csv.DictReader(listed)]
    assert names == ["a.png", "b.gif", "d.avif"]


def test_absurd_sizes_are_left_out(prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards_module, "IMAGE_LIMIT", 4000)
    files = {"small.png": encoded(0), "large.png": encoded(1) + bytes(4000)}
    code, out, _ = prepare(tar(tmp_path / "a.tar", files), "--count", 1)
    assert code == 0 and "skipped: 1 too large" in out and ids(tmp_path / "set") == ["small"]


def test_captions_that_a_tokenizer_cuts_are_counted(prepare: Prepare, tmp_path: Path) -> None:
    from benchkit.diffusion.tokens import caption_length

    count, limit = caption_length("portraits")
    word = "hand "
    fits = next(n for n in range(limit, 0, -1) if count(word * n) <= limit)
    assert count(word * (fits + 1)) > limit
    files = {}
    for i, words in enumerate((1, fits, fits + 1, fits + 50)):
        files |= {f"img{i}.png": encoded(i), f"img{i}.json": record_json(i, short_caption=word * words)}
    code, out, err = prepare(tar(tmp_path / "a.tar", files), "--count", 4, "--model", "portraits")
    assert code == 0, err
    assert f"captions: the tokenizer of portraits cuts 2 of 4, after {limit} tokens" in out


BRIGHT = '''
from dataclasses import dataclass
from benchkit.api import Detector, hookimpl

@dataclass(frozen=True)
class Bright(Detector):
    """Marks what is bright, once its weights are set."""
    name = "bright-for-cleanest"

    def build(self):
        from torch import nn
        return nn.Conv2d(3, 2, 1)

@hookimpl
def benchkit_detectors():
    return [Bright]
'''


@pytest.fixture
def judge(tmp_path: Path) -> tuple[object, ...]:
    """A detector's folder and the flags that name it: a pixel is marked where the mean of its channels is above 128."""
    import torch

    from benchkit.plugin.registry import Registry
    from benchkit.specs.spec import Spec
    from benchkit.training.weights import save_network

    plugin, folder = tmp_path / "bright.py", tmp_path / "bright"
    plugin.write_text(BRIGHT)
    folder.mkdir()
    network = torch.nn.Conv2d(3, 2, 1)
    with torch.no_grad():
        network.weight[0], network.weight[1] = 0, 200 / 3
        network.bias.copy_(torch.tensor([0.0, -200 * 128.5 / 255]))
    save_network(network, folder / "model.safetensors")
    spec = Spec.of("detector", "bright-for-cleanest")
    about = {"name": spec.name, "params": {}, "identity": Registry.load(files=[plugin]).identity(spec)}
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    card = {"schema": 1, "detector": about, "threshold": 0.5, "sha256": digest}
    (folder / "card.json").write_text(json.dumps(card))
    return "--cleanest-by", folder, "--plugin", plugin, "--device", "cpu", "--cleanest-size", 16


def lit(fraction: float, level: int = 0) -> bytes:
    """A picture of which the upper part, a fraction of it, is white, and the rest of a level."""
    pixels = np.full((16, 16, 3), level, np.uint8)
    pixels[: round(16 * fraction)] = 255
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, format="PNG")
    return sink.getvalue()


@pytest.fixture
def graded(tmp_path: Path) -> tuple[Path, dict[str, float]]:
    """A shard of 40 images with as many shares of light, an image that is none, and one that is a line."""
    names = [f"img{i}" for i in range(40)]
    shares = {name: (i * 7 % 17) / 16 for i, name in enumerate(names)}
    files = {f"{name}.png": lit(share) for name, share in shares.items()}
    files |= {f"{name}.json": record_json(i) for i, name in enumerate(names)}
    line = io.BytesIO()
    Image.new("L", (500_000, 1)).save(line, format="PNG")
    return tar(tmp_path / "graded.tar", files | {"broken.png": b"none", "line.png": line.getvalue()}), shares


def test_the_images_that_a_detector_finds_cleanest_are_kept(
    prepare: Prepare,
    graded: tuple[Path, dict[str, float]],
    judge: tuple[object, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from benchkit.training import loop as training

    seen: list[int] = []
    predict = training.predict
    monkeypatch.setattr(training, "predict", lambda *of: (seen.append(len(of[1])), predict(*of))[1])
    file, shares = graded
    options = ("--count", 9, "--seed", 2, "--cleanest-of", 30)
    code, out, err = prepare(file, *options, *judge)
    assert code == 0, err
    assert seen == [16, 14], "batches of a fixed size"
    drawn = sorted([*shares, "broken", "line"], key=lambda name: rank(2, name))
    drawn = [name for name in drawn if name in shares][:30]
    wanted = sorted(drawn, key=lambda name: shares[name])[:9]  # a stable sort: ties go to the earlier drawn
    assert ids(tmp_path / "set") == [name for name in drawn if name in wanted], "in the order of the draw"
    manifest = json.loads((tmp_path / "set" / "manifest.json").read_text())
    found = manifest["cleanest"]
    assert (found["detector"], found["candidates"], found["scored"]) == ("bright-for-cleanest", 30, 30)
    assert (found["threshold"], found["size"], found["fit"]) == (0.5, 16, "crop")
    facts = Dalle3HQ(root=str(tmp_path / "set")).provenance()
    assert all(facts[f"cleanest {key}"] == found[key] for key in ("detector", "sha256", "candidates"))
    assert found["largest_fraction_kept"] == max(shares[name] for name in wanted)
    assert found["mean_fraction_scored"] == pytest.approx(sum(shares[name] for name in drawn) / 30)
    assert len(found["sha256"]) == len(found["identity"]) == 64
    assert str(tmp_path) not in (tmp_path / "set" / "manifest.json").read_text()
    singles = {"image does not decode": 1, "image cannot be framed": 1}
    assert manifest["left_out"] == {**singles, "not among the cleanest": 21}
    assert "the cleanest of 30 by bright-for-cleanest" in out
    with (tmp_path / "set" / "cleanest.csv").open() as listed:
        lines = {one["name"]: one for one in csv.DictReader(listed)}
    assert list(lines) == drawn
    assert all(float(lines[name]["fraction"]) == pytest.approx(shares[name], abs=1e-5) for name in drawn)
    assert {name for name, one in lines.items() if one["kept"] == "1"} == set(wanted)
    assert prepare(file, *options, *judge, out="again")[0] == 0
    for name in ("clean.parquet", "manifest.json", "cleanest.csv", "left-out.csv"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "set" / name).read_bytes()


def test_of_equally_clean_images_the_one_with_the_smaller_mean_is_kept(
    prepare: Prepare, judge: tuple[object, ...], tmp_path: Path
) -> None:
    levels = {"a": 120, "b": 90, "c": 0, "d": 126}
    file = tar(tmp_path / "a.tar", {f"{name}.png": lit(0, level) for name, level in levels.items()})
    assert prepare(file, "--count", 1, *judge)[0] == 0, "four for one is the default"
    assert ids(tmp_path / "set") == ["c"]


def test_a_filter_that_cannot_be_is_one_line_and_nothing_is_written(
    prepare: Prepare, graded: tuple[Path, dict[str, float]], judge: tuple[object, ...], tmp_path: Path
) -> None:
    file, _ = graded
    empty = tmp_path / "empty"
    empty.mkdir()
    weights = (tmp_path / "bright" / "model.safetensors").read_bytes()
    cases = [
        (("--cleanest-by", empty), "no detector in"),
        (("--cleanest-by", tmp_path / "none"), "no detector in"),
        (("--cleanest-of", 20), "--cleanest-by"),
        ((*judge, "--cleanest-of", 9), "give more than --count 9"),
        ((*judge, "--cleanest-of", 43), "--cleanest-of 43: the shards hold 42 images"),
        (judge, None),
        ((*judge[:2],), "bright-for-cleanest"),
    ]
    for options, says in cases:
        code, _, err = prepare(file, "--count", 9, *options)
        if says is None:
            assert code == 0
            (tmp_path / "bright" / "model.safetensors").write_bytes(weights[:-1])
            code, _, err = prepare(file, "--count", 9, *options, out="other")
            says = "damaged or incomplete"
        assert code == 2 and says in err and err.count("error: ") == 1, err
        assert not (tmp_path / "other").exists()
    for name in (".set", ".other"):
        assert not list(tmp_path.glob(f"{name}*"))
