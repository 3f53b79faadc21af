"""A prepared set: rows across row groups, framing over windows, and a folder that appears whole or not at all."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchkit.errors import BenchkitError
from benchkit.readers import prepared_dataset
from benchkit.readers.prepared import GROUP, Row, SkippedImage, Writer, replace_set
from benchkit.readers.prepared_dataset import resize_nearest
from benchkit_plugins.datasets.dalle3 import Dalle3HQ


def row(i: int, height: int = 16, width: int = 16) -> Row:
    pixels = np.full((height, width, 3), i, np.uint8)
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, format="PNG")
    return Row(f"i{i}", sink.getvalue(), height, width, caption=None if i % 2 else f"no. {i}", attributes={"i": i})


def a_set(root: Path, count: int = 2 * GROUP + 3, wide: int | None = None, changed: int | None = None) -> Path:
    with replace_set(root) as folder, Writer(folder) as writer:
        for i in range(count):
            writer.add("clean", row(i, width=40 if i == wide else 16))
        if changed is not None:
            writer.add("pool", row(changed))
        writer.finish("dalle3-hq", {}, [SkippedImage("clean", "x", "gone")])
    return root


def test_rows_are_read_across_row_groups(tmp_path: Path) -> None:
    dataset = Dalle3HQ(root=str(a_set(tmp_path / "a")), size=16)
    wanted = [18, 0, GROUP, 3, 18]
    found = dataset.read("clean", wanted)
    assert [(s.id, int(s.image[0, 0, 0]), s.attributes["i"]) for s in found] == [(f"i{i}", i, i) for i in wanted]
    assert found[0].caption == "no. 18" and found[3].caption is None


def test_windows_are_counted_without_decoding(tmp_path: Path) -> None:
    dataset = Dalle3HQ(root=str(a_set(tmp_path / "a", count=4, wide=1)), size=16, fit="tile")
    assert dataset.splits() == {"clean": 1 + 3 + 1 + 1}
    assert [s.id for s in dataset.read("clean", range(6))] == ["i0", "i1-000", "i1-001", "i1-002", "i2", "i3"]


def test_the_fingerprint_follows_every_image(tmp_path: Path) -> None:
    prints = [
        Dalle3HQ(root=str(a_set(tmp_path / name, count=3, **more)), size=16).fingerprint()
        for name, more in (("a", {}), ("b", {}), ("c", {"wide": 0}), ("d", {"changed": 9}))
    ]
    assert prints[0] == prints[1] and len(set(prints)) == 3


def test_nothing_labelled_can_be_drawn_where_there_is_no_pool(tmp_path: Path) -> None:
    root = str(a_set(tmp_path / "a", count=3, changed=9))
    assert Dalle3HQ(root=root).labelled(1, 0) == [0]
    with pytest.raises(BenchkitError, match="more than the pool of 1"):
        Dalle3HQ(root=root).labelled(2, 0)
    with pytest.raises(BenchkitError, match="more than the pool of 0"):
        Dalle3HQ(root=str(a_set(tmp_path / "b", count=3))).labelled(1, 0)


def test_a_set_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), replace_set(tmp_path / "deep" / "set") as folder:
        (folder / "half").write_text("written")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with (
        pytest.raises(BenchkitError, match="every image of dalle3-hq was skipped"),
        replace_set(tmp_path / "x") as folder,
    ):
        Writer(folder).finish("dalle3-hq", {}, [])
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchkitError, match="is a file"), replace_set(tmp_path / "file"):
        pass
    with pytest.raises(BenchkitError, match="cannot write to"), replace_set(tmp_path / "file" / "set"):
        pass


def test_an_id_stands_once(tmp_path: Path) -> None:
    with Writer(tmp_path) as writer:
        writer.add("clean", row(1))
        with pytest.raises(ValueError, match="id 'i1' twice"):
            writer.add("pool", row(1))


def test_a_map_is_stretched_over_its_image() -> None:
    small = np.arange(6).reshape(2, 3)
    assert np.array_equal(resize_nearest(small, (4, 6)), small.repeat(2, axis=0).repeat(2, axis=1))
    assert np.array_equal(resize_nearest(resize_nearest(small, (6, 9)), (2, 3)), small)
    assert np.array_equal(resize_nearest(small, (2, 3)), small)


def test_inspecting_says_what_reading_gives_without_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = str(a_set(tmp_path / "a", count=4, wide=1))
    for fit in ("crop", "tile"):
        dataset = Dalle3HQ(root=root, size=16, fit=fit)  # type: ignore[arg-type]
        wanted = range(dataset.splits()["clean"])
        samples = dataset.read("clean", wanted)
        with monkeypatch.context() as patch:
            patch.setattr(prepared_dataset, "decode_image", None)
            facts = dataset.inspect("clean", wanted)
        assert [one.id for one in facts] == [one.id for one in samples]
        assert [one.size for one in facts] == [one.image.shape[:2] for one in samples]
        assert [one.captioned for one in facts] == [bool(one.caption) for one in samples]
        assert {one.labelled for one in facts} == {False} and all(one.mask is None for one in samples)
