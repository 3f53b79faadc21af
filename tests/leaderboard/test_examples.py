"""Examples of submissions: small images come back as they were written, and nothing but small images is accepted."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchkit.errors import BenchkitError
from benchkit.leaderboard.check import check_folder
from benchkit.leaderboard.examples import (
    MOST_BYTES,
    PER_ROW,
    SIDE,
    SmallExample,
    examples_to_parquet,
    make_example,
    paint_scores,
    read_examples,
)
from benchkit.leaderboard.site.build import make_site
from benchkit.leaderboard.site.sources import load_sources
from benchkit.leaderboard.submission import EXAMPLES, Submission, digest_submission, write_submission
from benchkit.plugin.registry import Registry


@pytest.fixture
def example(submission: Submission) -> SmallExample:
    rng = np.random.default_rng(0)
    before = rng.integers(0, 255, (300, 200, 3), dtype=np.uint8)
    mask = np.zeros((300, 200), bool)
    mask[10:60, 20:90] = True
    cell = submission.rows.loc[submission.rows["method"] == "blur:steps=20", "cell"].iloc[0]
    return make_example(cell, "heat", "portraits/test/3", before, paint_scores(before, mask.astype(float)), mask)


def read(folder: Path, submission: Submission, *examples: SmallExample) -> list[SmallExample]:
    folder.mkdir(exist_ok=True)
    (folder / EXAMPLES).write_bytes(examples_to_parquet(examples))
    return read_examples(folder, submission)


def test_examples_come_back(tmp_path: Path, submission: Submission, example: SmallExample) -> None:
    other = replace(example, kind="corrupted", caption="ä, 3 %")
    assert read(tmp_path, submission, example, other) == [example, other]
    assert (example.height, example.width) == (SIDE, 85)
    assert read_examples(tmp_path / "none", submission) == []


def test_images_that_repeat_cost_nothing(submission: Submission, example: SmallExample) -> None:
    one = len(examples_to_parquet([example]))
    assert len(examples_to_parquet([replace(example, caption=str(i)) for i in range(20)])) < 1.5 * one


def encoded(form: str, size: tuple[int, int] = (20, 20), **more: object) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", size).save(sink, form, **more)
    return sink.getvalue()


def with_image(data: bytes, width: int = 20, height: int = 20) -> Callable[[SmallExample], SmallExample]:
    return lambda one: replace(one, after=data, before=encoded("WEBP"), width=width, height=height)


ANIMATED = encoded("WEBP", save_all=True, append_images=[Image.new("RGB", (20, 20), "red")])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_image(encoded("PNG")), "no WebP image"),
        (with_image(b"<svg onload=alert(1)>"), "no WebP image"),
        (with_image(encoded("WEBP")[:-20]), "no WebP image"),
        (with_image(encoded("WEBP", (21, 20))), "no WebP image"),
        (with_image(encoded("WEBP", (SIDE + 1, 20)), SIDE + 1), "no WebP image"),
        (with_image(ANIMATED), "no WebP image"),
        (lambda one: replace(one, cell="f" * 64), "which is not finished"),
        (lambda one: replace(one, kind="script"), "no kind of example"),
        (lambda one: replace(one, caption="two\nlines"), "not one short line"),
        (lambda one: replace(one, caption="x" * 101), "not one short line"),
        (lambda one: replace(one, mask="M0 0 url(x)"), "not made of lines"),
        (lambda one: replace(one, scale="matrix(1 0)"), "not made of lines"),
    ],
)
def test_anything_else_is_refused(
    tmp_path: Path,
    submission: Submission,
    example: SmallExample,
    change: Callable[[SmallExample], SmallExample],
    message: str,
) -> None:
    assert with_image(encoded("WEBP"))(example) in read(tmp_path, submission, with_image(encoded("WEBP"))(example))
    with pytest.raises(BenchkitError) as error:
        read(tmp_path, submission, change(example))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_their_number_and_size_are_limited(tmp_path: Path, submission: Submission, example: SmallExample) -> None:
    with pytest.raises(BenchkitError, match="more than 2 examples of one kind"):
        read(tmp_path, submission, *[example] * (PER_ROW + 1))
    with pytest.raises(BenchkitError, match="examples of 25 cells"):
        read(tmp_path, submission, *[example] * 101)
    (tmp_path / EXAMPLES).write_bytes(b"0" * (MOST_BYTES + 1))
    with pytest.raises(BenchkitError, match="more than 1000000 bytes"):
        read_examples(tmp_path, submission)
    (tmp_path / EXAMPLES).write_bytes(b"something else")
    with pytest.raises(BenchkitError, match="not a readable Parquet file"):
        read_examples(tmp_path, submission)


def swap(example: SmallExample) -> bytes:
    return examples_to_parquet([replace(example, after=example.before)])


def test_a_swapped_image_is_found_and_another_digest(
    tmp_path: Path, submission: Submission, example: SmallExample
) -> None:
    folder = tmp_path / "mine"
    write_submission(submission, folder)
    without = digest_submission(folder)
    write_submission(submission, folder, force=True, examples=examples_to_parquet([example]))
    with_examples = digest_submission(folder)
    assert check_folder(folder, {}).examples == (example,)
    (folder / EXAMPLES).write_bytes(swap(example))
    with pytest.raises(BenchkitError, match=r"mine/examples\.parquet: an image or a text was changed"):
        check_folder(folder, {})
    (folder / EXAMPLES).unlink()
    with pytest.raises(BenchkitError, match=r"the file is missing, but submission\.json states its sha256"):
        check_folder(folder, {})
    write_submission(submission, folder, force=True, examples=swap(example))
    check_folder(folder, {})
    assert len({without, with_examples, digest_submission(folder)}) == 3


def test_images_whose_sha256_an_earlier_version_did_not_state_are_a_note(
    tmp_path: Path, submission: Submission, example: SmallExample
) -> None:
    write_submission(submission, tmp_path / "mine")
    assert not any("sha256" in note for note in check_folder(tmp_path / "mine", {}).notes)
    (tmp_path / "mine" / EXAMPLES).write_bytes(examples_to_parquet([example]))
    assert "states no sha256 of examples.parquet" in check_folder(tmp_path / "mine", {}).notes[-1]


def test_the_page_of_a_method_shows_them(tmp_path: Path, submission: Submission, example: SmallExample) -> None:
    write_submission(submission, tmp_path / "mine", examples=examples_to_parquet([example]))
    files = make_site(load_sources([tmp_path / "mine"], {}), (), Registry.load())
    page = files["methods/blur.html"].decode()
    assert "Where the trained detectors see artifacts" in page and "upernet-swin, portraits/test/3" in page
    assert sorted(data for path, data in files.items() if path.startswith("gallery/")) == sorted(
        {example.before, example.after}
    )
    assert "see artifacts" not in files["methods/renoise-masked.html"].decode()
