"""The Python API: shapes, agreement with the stages, one clear line for every unusable argument."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import benchkit
from benchkit.api import Corruptor, LatentCorruptor, PixelContext, PixelCorruptor, Sample
from benchkit.diffusion.backend import DiffusionBackend
from benchkit.errors import BenchkitError
from benchkit.functions.plugin_arguments import make_plugin
from benchkit.inference.image_batch import ImageBatch
from benchkit.inference.images import image_tensor, pixel_arrays
from benchkit.plugin.registry import Registry
from benchkit.specs.spec import Spec
from benchkit.specs.training_sets import CHUNK

STEPS = 10


@pytest.fixture(scope="module")
def backend(tiny_checkpoint: Path) -> DiffusionBackend:
    return benchkit.load_model(tiny_checkpoint, device="cpu", num_inference_steps=STEPS)


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


def test_a_trajectory_has_a_level_a_step(backend: DiffusionBackend) -> None:
    captions = ["a hand", None]
    levels = benchkit.invert(pictures(2), 3, model=backend, captions=captions)
    assert levels.shape == (4, 2, 4, 4, 5)
    tensor = image_tensor(pictures(2), 8)
    assert torch.equal(levels[0], backend.encode(tensor))
    assert torch.equal(levels, benchkit.invert(tensor.contiguous(), 3, model=backend, captions=captions))
    assert all(not torch.equal(levels[k], levels[k + 1]) for k in range(3))


def test_no_steps_are_the_clean_latents_alone(backend: DiffusionBackend) -> None:
    assert benchkit.invert(pictures(1), 0, model=backend).shape == (1, 1, 4, 4, 5)


def test_an_inverter_is_text_or_a_plugin_or_its_class(backend: DiffusionBackend) -> None:
    from benchkit.plugin.registry import Registry

    images = pictures(1)
    plain = benchkit.invert(images, 2, model=backend, inverter="ddim")
    cls = Registry.load().entry("inverter", "ddim").cls
    assert torch.equal(benchkit.invert(images, 2, model=backend, inverter=cls), plain)  # type: ignore[arg-type]
    assert torch.equal(benchkit.invert(images, 2, model=backend, inverter=cls()), plain)  # type: ignore[arg-type]
    spent = backend.network_evaluations
    benchkit.invert(images, 2, model=backend, inverter="renoise:iterations=3")
    assert backend.network_evaluations - spent == 2 * 4


def test_images_do_not_depend_on_how_many_come_at_once(backend: DiffusionBackend) -> None:
    images, masks, ids = pictures(CHUNK + 1), boxes(CHUNK + 1), [f"i{k}" for k in range(CHUNK + 1)]
    together = benchkit.corrupt("gaussian:steps=2", images, masks, model=backend, ids=ids)
    alone = benchkit.corrupt("gaussian:steps=2", images[-1:], masks[-1:], model=backend, ids=ids[-1:])
    assert together.images.shape == (CHUNK + 1, 3, 32, 40)
    assert torch.equal(together.images[-1:], alone.images)


def test_corrupted_images_are_those_of_a_comparison(backend: DiffusionBackend) -> None:
    """The same latents, noise and blend as the stages use, written out."""
    from benchkit.diffusion.masks import blend, to_latent
    from benchkit.diffusion.noise import ImageNoise
    from benchkit.diffusion.resample import resample

    images, masks, captions = image_tensor(pictures(2), 8), boxes(2), ["a sign", "a face"]
    made = benchkit.corrupt(
        "gaussian:steps=2",
        images,
        masks,
        model=backend,
        inverter="ddim",
        captions=captions,
        seed=7,
        ids=["x", "y"],
    )
    condition = backend.embed(captions)
    z = benchkit.invert(images, 2, model=backend, inverter="ddim", captions=captions)[2]
    noise = ImageNoise(7, ["x", "y"]).normal(z.shape[1:])
    z = blend(z, noise, to_latent(masks, 8))
    z = resample(lambda x, t: backend.predict(x, t, condition), backend.schedule, z, 2)
    assert torch.equal(made.images, backend.decode(z))


def test_an_empty_mask_makes_the_round_trip(backend: DiffusionBackend) -> None:
    empty = torch.zeros_like(boxes(1))
    made = benchkit.corrupt("gaussian:steps=1", pictures(1), empty, model=backend)
    assert torch.equal(made.images, benchkit.corrupt("none:steps=1", pictures(1), boxes(1), model=backend).images)


def test_pixel_corruptors_pass_the_autoencoder_last(backend: DiffusionBackend) -> None:
    images, masks = image_tensor(pictures(1), 8), boxes(1)
    blended = torch.where(masks[:, None], 1 - images, images)
    for corruptor in (Invert(), Invert):
        made = benchkit.corrupt(corruptor, images, masks, model=backend)
        assert torch.equal(made.images, backend.autoencode(blended))


def test_a_class_of_a_notebook_needs_no_name(backend: DiffusionBackend) -> None:
    @dataclass(frozen=True)
    class GreyOut(PixelCorruptor):
        """Grey, or what breaks the contract."""

        fails: bool = False

        def corrupt(self, at: PixelContext) -> Tensor:
            return at.images[:0] if self.fails else torch.full_like(at.images, 0.5)

    images, masks = image_tensor(pictures(1), 8), boxes(1)
    made = benchkit.corrupt(GreyOut, images, masks, model=backend).images
    grey = torch.where(masks[:, None], torch.tensor(0.5), images)
    assert torch.equal(made, backend.autoencode(grey.contiguous(memory_format=torch.channels_last)))
    with pytest.raises(BenchkitError, match="corruptor 'grey-out' returned shape"):
        benchkit.corrupt(GreyOut(fails=True), images, masks, model=backend)


def test_specs_arrays_and_seeds(backend: DiffusionBackend) -> None:
    spec = Spec.of("corruptor", "gaussian", steps=1)
    first, _ = benchkit.corrupt(spec, pictures(1), boxes(1).numpy(), model=backend)
    assert torch.equal(first, benchkit.corrupt("gaussian:steps=1", pictures(1), boxes(1), model=backend).images)
    assert not torch.equal(first, benchkit.corrupt(spec, pictures(1), boxes(1), model=backend, seed=1).images)
    assert float(first.min()) >= 0
    assert float(first.max()) <= 1


def test_labels_are_the_masks_as_used(backend: DiffusionBackend) -> None:
    masks = boxes(1)
    masks[0, 17, 1] = True
    images, labels = benchkit.corrupt("none:steps=0", pictures(1), masks, model=backend)
    assert torch.equal(labels, masks)
    whole = benchkit.corrupt("none:steps=0", pictures(1), masks, model=backend, label="latent")
    assert whole.labels[0, 16:24, 0:8].all()
    assert whole.labels.sum() == masks.sum() + 63
    pasted = benchkit.corrupt("none:steps=0", pictures(1), masks, model=backend, paste_background=True).images
    outside = ~masks[:, None].expand_as(images)
    assert torch.equal(pasted[outside], image_tensor(pictures(1))[outside])
    assert not torch.equal(images[outside], pasted[outside])


def test_every_form_of_images_gives_one_tensor() -> None:
    listed = pictures(2)
    expected = image_tensor(listed)
    arrays = np.stack([np.asarray(one) for one in listed])
    batch = ImageBatch(tuple(Sample(str(i), array) for i, array in enumerate(arrays)), "made up")
    for form in (tuple(listed), arrays, list(arrays), batch, expected, expected.double()):
        assert torch.equal(image_tensor(form), expected)


def test_a_batch_brings_its_own_captions_and_ids(backend: DiffusionBackend) -> None:
    arrays = np.stack([np.asarray(one) for one in pictures(2)])
    samples = tuple(Sample(name, array, caption="a hand") for name, array in zip("xy", arrays, strict=True))
    own = benchkit.corrupt("gaussian:steps=1", ImageBatch(samples), boxes(2), model=backend)
    named = benchkit.corrupt(
        "gaussian:steps=1", arrays, boxes(2), model=backend, captions=["a hand"] * 2, ids=["x", "y"]
    )
    assert torch.equal(own.images, named.images)
    assert own.ids == ("x", "y")


def test_a_notebook_shows_images_before_and_after(backend: DiffusionBackend) -> None:
    made = benchkit.corrupt("none:steps=0", pictures(1), boxes(1), model=backend, ids=["<b>one"])
    assert repr(made) == "<Corrupted: 1 images of 40x32 pixels, 10.0 % of their pixels in the labels>"
    assert made._repr_html_().startswith('<img style="max-width:100%;height:auto" alt="Images before and after: Corrup')
    assert made._repr_png_().startswith(b"\x89PNG")


def test_grey_pictures_are_taken_as_colour() -> None:
    grey = [picture.convert("L") for picture in pictures(1)]
    tensor = image_tensor(grey, 8)
    assert torch.equal(tensor[:, 0], tensor[:, 2])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_as_the_command_line_turns_it(orientation: int, tmp_path: Path) -> None:
    from benchkit.cli.pictures import read_image

    exif = Image.Exif()
    exif[0x0112] = orientation
    pictures(1, 40, 24)[0].save(tmp_path / "turned.png", exif=exif)
    shown = np.asarray(read_image(tmp_path / "turned.png"))
    with Image.open(tmp_path / "turned.png") as picture:
        assert np.array_equal(pixel_arrays([picture])[0], shown)
        upright = picture.convert("RGB")  # which keeps the orientation unapplied, as resize() does
        tensor = image_tensor([picture, upright, Image.fromarray(shown)], 8)
    assert tensor.shape[2:] == shown.shape[:2]
    assert all(torch.equal(one, tensor[2]) for one in tensor)


def test_a_damaged_photograph_is_named_by_its_place(tmp_path: Path) -> None:
    file = tmp_path / "cut.png"
    pictures(1)[0].save(file)
    file.write_bytes(file.read_bytes()[:-60])
    with Image.open(file) as cut, pytest.raises(BenchkitError, match=r"images\[1\]: cannot be decoded"):
        image_tensor([*pictures(1), cut], 8)


Call = Callable[[DiffusionBackend], Any]


def corrupted(b: DiffusionBackend, corruptor: Any = "none", masks: Any = None, **options: Any) -> Any:
    return benchkit.corrupt(corruptor, pictures(1), boxes(1) if masks is None else masks, model=b, **options)


def inverted(b: DiffusionBackend, images: Any = None, steps: Any = 1, **options: Any) -> Any:
    return benchkit.invert(pictures(1) if images is None else images, steps, model=b, **options)


@dataclass(frozen=True)
class NeedsStrength(PixelCorruptor):
    """A class without defaults."""

    strength: float
    name = "needs-strength"

    def corrupt(self, at: PixelContext) -> Tensor:
        return at.images


class Unwritten(PixelCorruptor):
    """A class without its method."""

    name = "unwritten"


#: Message, kind of error, call.
WRONG: list[tuple[str, type[Exception], Call]] = [
    ("not the name of a file: open it", TypeError, lambda b: inverted(b, "a.png")),
    ("not the name of a file: open it", TypeError, lambda b: inverted(b, Path("a.png"))),
    (r"not this generator, .* give list\(images\)", TypeError, lambda b: inverted(b, (one for one in pictures(1)))),
    (r"into a list, \[images\]", TypeError, lambda b: inverted(b, pictures(1)[0])),
    (r"images\[0\] is a PIL image .* not 1", TypeError, lambda b: inverted(b, [1])),
    ("images are .* not 1", TypeError, lambda b: inverted(b, 1)),
    ("images: the list is empty", ValueError, lambda b: inverted(b, [])),
    ("images of several sizes", ValueError, lambda b: inverted(b, [*pictures(1), *pictures(1, 32)])),
    (r"\(3, 32, 40\): give \(N, 3, H, W\) .* images\[None\]", ValueError, lambda b: inverted(b, torch.rand(3, 32, 40))),
    (r"move the channels with images.permute", ValueError, lambda b: inverted(b, torch.rand(1, 8, 8, 3))),
    ("divide bytes by 255", TypeError, lambda b: inverted(b, torch.ones(1, 3, 8, 8, dtype=torch.uint8))),
    (
        r"from -1 to 1: give values in \[0, 1\]",
        ValueError,
        lambda b: inverted(b, torch.linspace(-1, 1, 192).view(1, 3, 8, 8)),
    ),
    ("255: give .* divide by 255", ValueError, lambda b: inverted(b, torch.full((1, 3, 8, 8), 255.0))),
    ("nan", ValueError, lambda b: inverted(b, torch.full((1, 3, 8, 8), torch.nan))),
    ("'meta', which holds no values", ValueError, lambda b: inverted(b, torch.empty(1, 3, 8, 8, device="meta"))),
    (
        r"array of images is \(N, H, W, 3\); for one image",
        ValueError,
        lambda b: inverted(b, np.zeros((8, 8, 3), np.uint8)),
    ),
    (r"transpose\(0, 2, 3, 1\)", ValueError, lambda b: inverted(b, np.zeros((1, 3, 8, 8), np.uint8))),
    (r"of float64: give an array of uint8.*from_numpy", TypeError, lambda b: inverted(b, np.zeros((1, 8, 8, 3)))),
    (r"shape \(0, 8, 8, 3\): give one image", ValueError, lambda b: inverted(b, np.zeros((0, 8, 8, 3), np.uint8))),
    (r"41x30 pixels .* 40x24 or 48x32", ValueError, lambda b: inverted(b, pictures(1, 41, 30))),
    ("steps=11: .* from 0 to 10", ValueError, lambda b: inverted(b, steps=11)),
    ("steps=-1: .* from 0 to 10", ValueError, lambda b: inverted(b, steps=-1)),
    ("steps: 1.5 is no whole number: give one", TypeError, lambda b: inverted(b, steps=1.5)),
    ("seed=-1: .* from 0 to 2147483647", ValueError, lambda b: inverted(b, seed=-1)),
    ("seed: True is no whole number: give one", TypeError, lambda b: inverted(b, seed=True)),
    ("greater than or equal to 0", BenchkitError, lambda b: inverted(b, inverter="renoise:iterations=-1")),
    ("captions: 2 for 1 images", ValueError, lambda b: inverted(b, captions=["a", "b"])),
    ("captions: one text", TypeError, lambda b: inverted(b, captions="a")),
    ("captions are .* not this generator", TypeError, lambda b: inverted(b, captions=(c for c in "a"))),
    ("captions: 1 is not text", TypeError, lambda b: inverted(b, captions=[1])),
    ("ids: an id is a text", TypeError, lambda b: inverted(b, ids=[None])),
    ("model: 1 is no checkpoint", TypeError, lambda b: benchkit.invert(pictures(1), 1, model=1)),  # type: ignore[arg-type]
    (
        "plugins: 'mine.py' is no list: give a list of files, folders or classes",
        TypeError,
        lambda b: inverted(b, inverter="ddim", plugins="mine.py"),
    ),
    ("num_inference_steps=0", ValueError, lambda b: benchkit.load_model(num_inference_steps=0)),
    ("device=0: give the device's name", TypeError, lambda b: benchkit.load_model(device=0)),  # type: ignore[arg-type]
    (r"\(1, 32, 32\): .* need \(1, 32, 40\)", ValueError, lambda b: corrupted(b, masks=boxes(1, 32))),
    (r"\(2, 32, 40\): .* need \(1, 32, 40\)", ValueError, lambda b: corrupted(b, masks=boxes(2))),
    (r"for one image write masks\[None\]", ValueError, lambda b: corrupted(b, masks=boxes(1)[0])),
    ("masks of uint8: give bool", TypeError, lambda b: corrupted(b, masks=boxes(1).byte())),
    ("masks of float64: give bool", TypeError, lambda b: corrupted(b, masks=boxes(1).numpy().astype(float))),
    ("not this list: join them with np.stack", TypeError, lambda b: corrupted(b, masks=[[True]])),
    (
        "label='both': choose 'image' or 'latent'",
        ValueError,
        lambda b: corrupted(b, label="both"),
    ),
    ("did you mean 'gaussian'", ValueError, lambda b: corrupted(b, "gausian")),
    ("choose 0 to 10", ValueError, lambda b: corrupted(b, "gaussian:steps=11")),
    ("'ddim' is an inverter, not a corruptor", TypeError, lambda b: corrupted(b, Spec.of("inverter", "ddim"))),
    ("corruptor: 1.0 is no corruptor", TypeError, lambda b: corrupted(b, 1.0)),
    ("needs strength: give a plugin, NeedsStrength", TypeError, lambda b: corrupted(b, NeedsStrength)),
    ("class Unwritten lacks corrupt", TypeError, lambda b: corrupted(b, Unwritten)),
    ("Invert is a corruptor, not an inverter", TypeError, lambda b: inverted(b, inverter=Invert)),
]


@pytest.mark.parametrize(("message", "kind", "call"), WRONG, ids=[message for message, *_ in WRONG])
def test_unusable_arguments_are_named(
    backend: DiffusionBackend, message: str, kind: type[Exception], call: Call
) -> None:
    with pytest.raises(BenchkitError, match=message) as raised:
        call(backend)
    assert isinstance(raised.value, kind)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("base", [Corruptor, LatentCorruptor])
def test_a_base_class_gets_no_name(base: Any) -> None:
    """All its subclasses would inherit the name, and plugin files would show them as plugins."""
    for make in (lambda: make_plugin("corruptor", base, Corruptor), lambda: Registry.load().add_class(base)):
        with suppress(BenchkitError):
            make()
        assert not hasattr(base, "name")
