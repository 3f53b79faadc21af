"""The Python API: shapes, agreement with the stages, one clear line for every unusable argument."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import benchkit
from benchkit.api import PixelContext, PixelCorruptor
from benchkit.diffusion.backend import DiffusionBackend
from benchkit.errors import BenchkitError
from benchkit.inference import functional
from benchkit.specs.spec import Spec
from benchkit.specs.training_sets import CHUNK

STEPS = 10


@pytest.fixture(scope="module")
def backend(tiny_checkpoint: Path) -> DiffusionBackend:
    return benchkit.load_backend(tiny_checkpoint, device="cpu", steps=STEPS)


def pictures(count: int, width: int = 40, height: int = 32) -> list[Image.Image]:
    pixels = np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    return [Image.fromarray(one) for one in pixels]


def boxes(count: int, width: int = 40, height: int = 32) -> Tensor:
    masks = torch.zeros(count, height, width, dtype=torch.bool)
    masks[:, 8:16, 8:24] = True
    return masks


@dataclass(frozen=True)
class Invert(PixelCorruptor):
    """The negative."""

    name = "negative"

    def corrupt(self, at: PixelContext) -> Tensor:
        return 1 - at.images


def test_importing_the_package_loads_no_torch() -> None:
    code = "import sys, benchkit; benchkit.compare; assert not {'torch', 'numpy', 'pandas'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_package_offers_six_functions_and_no_others() -> None:
    assert benchkit.__all__ == ["compare", "corrupt", "invert", "load_backend", "load_detector", "predict"]
    assert set(benchkit.__all__) <= set(dir(benchkit))
    assert benchkit.invert is functional.invert
    with pytest.raises(AttributeError, match="no attribute 'convert'"):
        benchkit.convert  # noqa: B018


def test_a_trajectory_has_a_level_a_step(backend: DiffusionBackend) -> None:
    levels = benchkit.invert(backend, pictures(2), steps=3, captions=["a hand", None])
    assert levels.shape == (4, 2, 4, 4, 5)
    assert torch.equal(levels[0], backend.encode(functional.image_tensor(pictures(2), 8)))
    assert torch.equal(
        levels,
        benchkit.invert(backend, functional.image_tensor(pictures(2), 8).contiguous(), 3, captions=["a hand", None]),
    )
    assert all(not torch.equal(levels[k], levels[k + 1]) for k in range(3))


def test_no_steps_are_the_clean_latents_alone(backend: DiffusionBackend) -> None:
    assert benchkit.invert(backend, pictures(1), steps=0).shape == (1, 1, 4, 4, 5)


def test_renoise_steps_are_the_inverters_iterations(backend: DiffusionBackend) -> None:
    images = pictures(1)
    plain = benchkit.invert(backend, images, 2, "ddim")
    assert torch.equal(benchkit.invert(backend, images, 2, renoise_steps=0), plain)
    spent = backend.network_evaluations
    benchkit.invert(backend, images, 2, renoise_steps=3)
    assert backend.network_evaluations - spent == 2 * 4


def test_images_do_not_depend_on_how_many_come_at_once(backend: DiffusionBackend) -> None:
    images, masks = pictures(CHUNK + 1), boxes(CHUNK + 1)
    together = benchkit.corrupt(backend, images, masks, "gaussian:steps=2", ids=[f"i{k}" for k in range(CHUNK + 1)])
    alone = benchkit.corrupt(backend, images[-1:], masks[-1:], "gaussian:steps=2", ids=[f"i{CHUNK}"])
    assert together.shape == (CHUNK + 1, 3, 32, 40)
    assert torch.equal(together[-1:], alone)


def test_corrupted_images_are_those_of_a_comparison(backend: DiffusionBackend) -> None:
    """The same latents, noise and blend as the stages use, written out."""
    from benchkit.diffusion.masks import blend, to_latent
    from benchkit.diffusion.noise import ImageNoise
    from benchkit.diffusion.resample import resample

    images, masks = functional.image_tensor(pictures(2), 8), boxes(2)
    made = benchkit.corrupt(backend, images, masks, "gaussian:steps=2", 7, "ddim", ["a sign", "a face"], ["x", "y"])
    condition = backend.embed(["a sign", "a face"])
    z = benchkit.invert(backend, images, 2, "ddim", captions=["a sign", "a face"])[2]
    noise = ImageNoise(7, ["x", "y"]).normal(z.shape[1:])
    z = blend(z, noise, to_latent(masks, 8))
    z = resample(lambda x, t: backend.predict(x, t, condition), backend.schedule, z, 2)
    assert torch.equal(made, backend.decode(z))


def test_an_empty_mask_makes_the_round_trip(backend: DiffusionBackend) -> None:
    empty = torch.zeros_like(boxes(1))
    made = benchkit.corrupt(backend, pictures(1), empty, "gaussian:steps=1")
    assert torch.equal(made, benchkit.corrupt(backend, pictures(1), boxes(1), "none:steps=1"))


def test_pixel_corruptors_pass_the_autoencoder_last(backend: DiffusionBackend) -> None:
    images, masks = functional.image_tensor(pictures(1), 8), boxes(1)
    made = benchkit.corrupt(backend, images, masks, Invert())
    blended = torch.where(masks[:, None], 1 - images, images)
    assert torch.equal(made, backend.autoencode(blended))


def test_specs_arrays_and_seeds(backend: DiffusionBackend) -> None:
    spec = Spec.of("corruptor", "gaussian", steps=1)
    first = benchkit.corrupt(backend, pictures(1), boxes(1).numpy(), spec)
    assert torch.equal(first, benchkit.corrupt(backend, pictures(1), boxes(1), "gaussian:steps=1"))
    assert not torch.equal(first, benchkit.corrupt(backend, pictures(1), boxes(1), spec, seed=1))
    assert float(first.min()) >= 0
    assert float(first.max()) <= 1


def test_grey_pictures_are_taken_as_colour() -> None:
    grey = [picture.convert("L") for picture in pictures(1)]
    tensor = functional.image_tensor(grey, 8)
    assert torch.equal(tensor[:, 0], tensor[:, 2])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_as_the_command_line_turns_it(orientation: int, tmp_path: Path) -> None:
    from benchkit.cli.pictures import read_image
    from benchkit.inference.detector import _pixels

    exif = Image.Exif()
    exif[0x0112] = orientation
    pictures(1, 40, 24)[0].save(tmp_path / "turned.png", exif=exif)
    shown = np.asarray(read_image(tmp_path / "turned.png"))
    with Image.open(tmp_path / "turned.png") as picture:
        assert np.array_equal(_pixels(picture), shown)
        upright = picture.convert("RGB")  # which keeps the orientation unapplied, as resize() does
        tensor = functional.image_tensor([picture, upright, Image.fromarray(shown)], 8)
    assert tensor.shape[2:] == shown.shape[:2]
    assert all(torch.equal(one, tensor[2]) for one in tensor)


def test_a_damaged_photograph_is_named_by_its_place(tmp_path: Path) -> None:
    file = tmp_path / "cut.png"
    pictures(1)[0].save(file)
    file.write_bytes(file.read_bytes()[:-60])
    with Image.open(file) as cut, pytest.raises(BenchkitError, match="image 1: cannot be decoded"):
        functional.image_tensor([*pictures(1), cut], 8)


Call = Callable[[DiffusionBackend], Any]
WRONG: list[tuple[str, Call]] = [
    ("a list of PIL images or a float tensor", lambda b: benchkit.invert(b, "a.png", 1)),  # type: ignore[arg-type]
    ("no images were given", lambda b: benchkit.invert(b, [], 1)),
    ("images of several sizes", lambda b: benchkit.invert(b, [*pictures(1), *pictures(1, 32)], 1)),
    (r"\(3, 32, 40\): give \(N, 3, H, W\)", lambda b: benchkit.invert(b, torch.rand(3, 32, 40), 1)),
    ("divide bytes by 255", lambda b: benchkit.invert(b, torch.ones(1, 3, 8, 8, dtype=torch.uint8), 1)),
    (
        r"from -1 to 1: give values in \[0, 1\]",
        lambda b: benchkit.invert(b, torch.linspace(-1, 1, 192).view(1, 3, 8, 8), 1),
    ),
    ("nan", lambda b: benchkit.invert(b, torch.full((1, 3, 8, 8), torch.nan), 1)),
    (r"41x30 pixels .* 40x24 or 48x32", lambda b: benchkit.invert(b, pictures(1, 41, 30), 1)),
    (r"choose 0 to 10", lambda b: benchkit.invert(b, pictures(1), 11)),
    (r"choose 0 to 10", lambda b: benchkit.invert(b, pictures(1), -1)),
    ("a whole number", lambda b: benchkit.invert(b, pictures(1), 1.5)),  # type: ignore[arg-type]
    ("has no renoise iterations", lambda b: benchkit.invert(b, pictures(1), 1, "ddim", renoise_steps=1)),
    ("greater than or equal to 0", lambda b: benchkit.invert(b, pictures(1), 1, renoise_steps=-1)),
    ("captions: 2 for 1 images", lambda b: benchkit.invert(b, pictures(1), 1, captions=["a", "b"])),
    ("captions: one text", lambda b: benchkit.invert(b, pictures(1), 1, captions="a")),
    (r"\(1, 32, 32\): .* need \(1, 32, 40\)", lambda b: benchkit.corrupt(b, pictures(1), boxes(1, 32), "none")),
    ("uint8: give bool", lambda b: benchkit.corrupt(b, pictures(1), boxes(1).byte(), "none")),
    ("not this list", lambda b: benchkit.corrupt(b, pictures(1), [[True]], "none")),  # type: ignore[arg-type]
    ("did you mean 'gaussian'", lambda b: benchkit.corrupt(b, pictures(1), boxes(1), "gausian")),
    ("choose 0 to 10", lambda b: benchkit.corrupt(b, pictures(1), boxes(1), "gaussian:steps=11")),
    ("is not a corruptor", lambda b: benchkit.corrupt(b, pictures(1), boxes(1), Spec.of("inverter", "ddim"))),
    ("not this float", lambda b: benchkit.corrupt(b, pictures(1), boxes(1), 1.0)),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("message", "call"), WRONG, ids=[message for message, _ in WRONG])
def test_unusable_arguments_are_named(backend: DiffusionBackend, message: str, call: Call) -> None:
    with pytest.raises(BenchkitError, match=message) as raised:
        call(backend)
    assert "\n" not in str(raised.value)


def test_a_device_is_checked_by_name_and_presence() -> None:
    assert functional.resolve_device("cpu") == "cpu"
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert functional.resolve_device() == expected
    with pytest.raises(BenchkitError, match="unknown device 'gpu'"):
        functional.resolve_device("gpu")
    with pytest.raises(BenchkitError, match="'cuda:99' is not available"):
        functional.resolve_device("cuda:99")


@pytest.mark.parametrize(
    ("text", "gpus"),
    [
        ("cuda: Optional[str] = None\nhip: Optional[str] = None\n", False),
        ("cuda: Optional[str] = '12.8'\nhip: Optional[str] = None\n", True),
        ("cuda: Optional[str] = None\nhip: Optional[str] = '6.3'\n", True),
        ("__version__ = '1.0'\n", True),
    ],
)
def test_a_torch_without_gpus_is_known_by_its_version_file(
    text: str, gpus: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "version.py").write_text(text)
    there = type("Found", (), {"origin": str(tmp_path / "__init__.py")})
    monkeypatch.setattr(functional, "find_spec", lambda name: there)
    assert functional._built_for_gpus() is gpus
