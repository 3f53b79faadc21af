"""Every mistake a user can make: one clear line on stderr, exit code 2, no traceback, nothing left behind."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.small_comparison import PLUGINS, Run

SIDE = 32


@dataclass(frozen=True)
class World:
    """Files a mistake is made with; `out` must stay empty."""

    folder: Path
    grid: Path
    checkpoint: Path
    cache: Path

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def picture(self, name: str, size: tuple[int, int] = (SIDE, SIDE), value: int = 255) -> Path:
        Image.new("L", size, value).save(self.folder / name)
        return self.folder / name

    def noisy(self, name: str = "image.png", size: tuple[int, int] = (SIDE, SIDE)) -> Path:
        pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(self.folder / name)
        return self.folder / name

    def yaml(self, old: str, new: str) -> Path:
        text = self.grid.read_text()
        assert old in text
        (self.folder / "mine.yaml").write_text(text.replace(old, new))
        return self.folder / "mine.yaml"

    def damaged_checkpoint(self, missing: str) -> Path:
        copy = Path(shutil.copytree(self.checkpoint, self.folder / "model"))
        (copy / missing).unlink()
        return copy

    def cut(self, path: Path) -> Path:
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        return path

    def note(self, name: str, text: str = "just words") -> Path:
        (self.folder / name).parent.mkdir(exist_ok=True)
        (self.folder / name).write_text(text)
        return self.folder / name


@pytest.fixture
def world(tmp_path: Path, grid: Path, tiny_checkpoint: Path, cache: Path) -> World:
    (tmp_path / "out").mkdir()
    return World(tmp_path, grid, tiny_checkpoint, cache)


Arguments = Callable[[World], tuple[object, ...]]


def compared(*options: object) -> Arguments:
    return lambda w: ("compare", w.grid, "--plugin", PLUGINS, "--out", w.out / "x", "--device", "cpu", *options)


def compared_file(old: str, new: str) -> Arguments:
    return lambda w: ("compare", w.yaml(old, new), "--plugin", PLUGINS, "--out", w.out / "x", "--device", "cpu")


def corrupted(corruptor: str = "gaussian:steps=1", *options: object) -> Arguments:
    return lambda w: corrupting(w, w.noisy(), w.picture("mask.png"), "--corruptor", corruptor, *options)


def corrupting(w: World, image: Path, mask: Path, *options: object) -> tuple[object, ...]:
    usual = ("--model", w.checkpoint, "--out", w.out / "x.png", "--device", "cpu")
    chosen = ("--corruptor", "gaussian:steps=1") if "--corruptor" not in options else ()
    return ("corrupt", image, "--mask", mask, *usual, *chosen, *options)


MISTAKES: dict[str, tuple[Arguments, str]] = {
    # Names and parameters
    "unknown preset": (lambda w: ("compare", "quik"), "unknown preset 'quik': did you mean 'quick'?"),
    "no such file": (lambda w: ("compare", w.folder / "no.yaml"), "no.yaml': "),
    "unknown corruptor": (compared("--corruptor", "gausian"), "unknown corruptor 'gausian': did you mean 'gaussian'?"),
    "unknown selector": (compared("--selector", "learnt"), "unknown selector 'learnt': did you mean 'learned'?"),
    "unknown detector": (compared("--detector", "dott"), "unknown detector 'dott': did you mean 'dot'?"),
    "unknown dataset": (compared("--dataset", "shape"), "unknown dataset 'shape': did you mean 'shapes'?"),
    "unknown model": (compared("--model", "sd"), "unknown checkpoint 'sd'"),
    "unknown parameter": (compared("--corruptor", "gaussian:step=1"), "'step': did you mean 'steps'?"),
    "ill-typed parameter": (compared("--corruptor", "gaussian:steps=many"), "parameter steps=many"),
    "parameter out of range": (compared("--corruptor", "blur:sigma=0"), "parameter sigma=0"),
    "no choice": (compared("--corruptor", "rotation:extent=all"), "choose from image, component"),
    "half a parameter": (compared("--corruptor", "gaussian:steps"), "'steps' is not key=value"),
    "empty sweep": (compared("--corruptor", "gaussian:steps=1|"), "has an empty alternative"),
    "sweep where one is wanted": (corrupted("gaussian:steps=1|2"), "names 2 of them where one is wanted"),
    "sweep of datasets": (compared("--dataset", "shapes:a=1|2"), "names 2 of them where one is wanted"),
    "no time": (compared("--time-limit", "0"), "--time-limit 0: give a number of seconds above 0"),
    "unknown inverter": (compared("--inverter", "renois"), "unknown inverter 'renois': did you mean 'renoise'?"),
    "negative steps": (compared("--corruptor", "gaussian:steps=-1"), "parameter steps=-1"),
    "too many steps": (compared("--corruptor", "gaussian:steps=11"), "steps must lie in 0"),
    "no seed": (compared("--seeds", "one"), "--seeds 'one'"),
    "unknown device": (compared("--device", "abacus"), "unknown device 'abacus'"),
    "no plugin file": (compared("--plugin", "none.py"), "plugin file 'none.py' does not exist"),
    "no plugin folder": (compared("--plugin-folder", "none"), "plugin folder 'none' does not exist"),
    # Grid files
    "wrong key": (
        compared_file("detectors:", "detektors:"),
        "line 13: unknown key 'detektors': did you mean 'detectors'?",
    ),
    "wrong key inside": (compared_file("{split: clean,", "{splitt: clean,"), "line 6: unknown key 'splitt'"),
    "wrong value": (compared_file("labelled: 4", "labelled: few"), "line 5: labelled: "),
    "wrong name in a list": (compared_file('"gaussian:steps=1"]', '"gaussian:steps"]'), "line 11: corruptors.1: "),
    "not YAML": (compared_file("[human, pseudo]", "[human, pseudo"), "not YAML"),
    "not a mapping": (lambda w: ("compare", w.note("words.yaml")), "found no mapping"),
    "unknown split": (compared_file("split: test", "split: tset"), "no split 'tset'"),
    "more than there is": (compared_file("split: test, size: 4", "split: test, size: 99"), "has 6 images"),
    # Places
    "unwritable out": (lambda w: compared("--out", w.note("file") / "x")(w), "cannot write to '"),
    "cache of another version": (
        lambda w: (w.note("cache/VERSION", "benchkit-cache 0\n"), *compared()(w))[1:],
        "was written by another version",
    ),
    "unwritable cache": (lambda w: (w.note("cache"), *compared()(w))[1:], "cannot write to the cache"),
    # Checkpoints
    "no checkpoint": (lambda w: corrupted("gaussian", "--model", w.out)(w), "is no diffusers checkpoint"),
    "no checkpoint to compare with": (lambda w: compared("--model", w.out)(w), "is no diffusers checkpoint"),
    "no model folder": (corrupted("gaussian", "--model", "./none"), "no checkpoint folder none"),
    "incomplete checkpoint": (
        lambda w: corrupted("gaussian", "--model", w.damaged_checkpoint("unet/config.json"))(w),
        "unet/config.json is missing",
    ),
    "checkpoint without weights": (
        lambda w: corrupted("gaussian", "--model", w.damaged_checkpoint("vae/diffusion_pytorch_model.safetensors"))(w),
        "has no safetensors weights in vae/",
    ),
    # Images and masks
    "mask of another size": (
        lambda w: corrupting(w, w.noisy(), w.picture("m.png", (16, SIDE))),
        "is 16x32 pixels, image",
    ),
    "empty mask": (lambda w: corrupting(w, w.noisy(), w.picture("m.png", value=0)), "m.png' is empty"),
    "no image": (lambda w: corrupting(w, w.folder / "none.png", w.picture("m.png")), "none.png': no such file"),
    "no mask": (lambda w: corrupting(w, w.noisy(), w.folder / "none.png"), "none.png': no such file"),
    "image that is none": (
        lambda w: corrupting(w, w.note("a.png"), w.picture("m.png")),
        "no PNG, JPEG, WebP, TIFF, BMP or PPM",
    ),
    "truncated PNG": (lambda w: corrupting(w, w.cut(w.noisy()), w.picture("m.png")), "cannot be decoded"),
    "truncated JPEG": (lambda w: corrupting(w, w.cut(w.noisy("a.jpg")), w.picture("m.png")), "cannot be decoded"),
    "truncated mask": (lambda w: corrupting(w, w.noisy(), w.cut(w.noisy("m.jpg"))), "cannot be decoded"),
    "image is a folder": (lambda w: corrupting(w, w.folder, w.picture("m.png")), "a folder, no picture"),
    "odd size": (
        lambda w: corrupting(w, w.noisy("a.png", (41, 30)), w.picture("m.png", (41, 30))),
        "41x30 pixels (width x height) do not divide by 8: crop or resize to 40x24 or 48x32",
    ),
    "corrupt: negative steps": (corrupted("gaussian:steps=-1"), "parameter steps=-1"),
    "corrupt: too many steps": (corrupted("gaussian:steps=51"), "choose 0 to 50"),
    "corrupt: unknown corruptor": (corrupted("gausian"), "did you mean 'gaussian'?"),
    "corrupt: unknown inverter": (corrupted("gaussian", "--inverter", "renois"), "did you mean 'renoise'?"),
    "corrupt: seed too large": (corrupted("gaussian", "--seed", "99999999999999999999"), "Invalid value for '--seed'"),
    "corrupt: seed below 0": (corrupted("gaussian", "--seed", "-1"), "Invalid value for '--seed'"),
    "corrupt: unknown label": (corrupted("gaussian", "--label", "pixels"), "choose image or latent"),
    "out without a format": (lambda w: corrupted("gaussian", "--out", w.out / "x.txt")(w), "name an image file"),
    "out in no folder": (lambda w: corrupted("gaussian", "--out", w.out / "no" / "x.png")(w), "there is no folder"),
    "out is a folder": (
        lambda w: corrupted("gaussian", "--out", w.note("d.png/words").parent)(w),
        "is a folder",
    ),
    "out is the image": (lambda w: corrupted("gaussian", "--out", w.folder / "image.png")(w), "is the image itself"),
    "sheet is the mask": (lambda w: corrupted("gaussian", "--sheet", w.folder / "mask.png")(w), "is the mask itself"),
    "sheet is out": (lambda w: corrupted("gaussian", "--sheet", w.out / "x.png")(w), "are the same file"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_clear_line(run: Run, world: World, mistake: str) -> None:
    arguments, message = MISTAKES[mistake]
    result = run(*arguments(world))
    assert result.code == 2, result.err
    assert result.out == ""
    lines = result.err.splitlines()
    assert len(lines) == 1, result.err
    assert lines[0].startswith("benchkit: error: ")
    assert message in lines[0]
    assert list(world.out.iterdir()) == []
    assert not (world.cache / "logs").exists()


def test_a_result_that_cannot_be_written_leaves_no_part_of_it(
    run: Run, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchkit.cli import pictures

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pictures, "write_atomic", full)
    result = run(*corrupted()(world))
    assert result.code == 2
    assert "--out" in result.err
    assert "No space left on device" in result.err
    assert list(world.out.iterdir()) == []


#: What a dry run refuses as the run would, and what it says.
KNOWN_BEFORE: dict[str, tuple[Arguments, str]] = {
    "no device": (compared("--device", "gpu"), "unknown device 'gpu'"),
    "out below a file": (lambda w: compared("--out", w.note("file") / "x")(w), "cannot write to '"),
    "a crop larger than the images": (
        compared_file("{iterations: 2, batch: 2}", "{iterations: 2, batch: 2, crop: 33}"),
        "2 faults, found before any work:\n  1. selector_training: crop 33 is more than the 32x32 pixels of the images "
        "of split 'pool' of dataset 'shapes': choose 32",
    ),
    "a crop of corrupted images": (
        compared_file("training: *budget", "training: {iterations: 2, crop: 40}"),
        "training: crop 40 is more than the 32x32 pixels of the images of split 'clean'",
    ),
    "a test set that nobody marked": (
        compared_file("split: test, size: 4", "split: clean, size: 4"),
        "test: split 'clean' of dataset 'shapes' has images without a mask, 'clean-0' is the first: mark them",
    ),
    "validation that nobody marked": (
        compared_file("labelled: 4", "labelled: 4\nvalidation: {split: clean, size: 4}"),
        "validation: split 'clean' of dataset 'shapes' has images without a mask, 'clean-0' is the first: mark them",
    ),
    "labels of what was pasted back": (compared("--set", "label=latent", "--set", "paste_background=true"), "--set: "),
    "weights below zero": (compared("--set", "training.class_weights=[-1,2]"), "--set: training.class_weights.0: "),
}


@pytest.mark.parametrize("dry", [True, False])
@pytest.mark.parametrize("mistake", KNOWN_BEFORE)
def test_a_dry_run_refuses_what_the_run_would(run: Run, world: World, mistake: str, dry: bool) -> None:
    arguments, message = KNOWN_BEFORE[mistake]
    result = run(*arguments(world), *(["--dry-run"] if dry else []))
    assert (result.code, result.out) == (2, ""), result.err
    assert result.err.startswith(f"benchkit: error: {message}")
    assert list(world.out.iterdir()) == []
    assert not world.cache.exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"gaussian:steps=1"]', "blurr]", "mine.yaml, line 11: unknown corruptor 'blurr': did you mean 'blur'?"),
        ("detectors: [dot]", "detectors: [dott]", "mine.yaml, line 13: unknown detector 'dott'"),
        ("selectors: [random-boxes]", "selectors: [boxes]", "mine.yaml, line 10: unknown selector 'boxes'"),
        ("inverter: ddim", "inverter: ddm", "mine.yaml, line 12: unknown inverter 'ddm'"),
        ("dataset: shapes", "dataset: shaped", "mine.yaml, line 2: unknown dataset 'shaped'"),
        (
            "split: test, size: 4",
            "split: tset, size: 4",
            "mine.yaml, line 7: test: dataset 'shapes' has no split 'tset'",
        ),
        (
            "split: clean, size: 4",
            "split: clean, size: 99",
            "mine.yaml, line 6: source: split 'clean' of dataset 'shapes' has 20",
        ),
        ('"gaussian:steps=1"]', '"gaussian:step=1"]', "line 11: corruptor 'gaussian': unknown parameter 'step': did"),
    ],
)
def test_what_a_file_asks_for_and_is_not_there_is_named_with_its_line(
    run: Run, world: World, old: str, new: str, message: str
) -> None:
    result = run(*compared_file(old, new)(world), "--dry-run")
    assert (result.code, result.out) == (2, ""), result.err
    assert message in result.err
    assert result.err.count("\n") == 1


def test_a_flag_is_not_the_files_mistake(run: Run, world: World) -> None:
    result = run(*compared("--corruptor", "blurr")(world))
    assert result.err.startswith("benchkit: error: unknown corruptor 'blurr'")
