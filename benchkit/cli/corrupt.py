"""`benchkit corrupt`: corrupt one image by one corruptor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchkit.cli import options
from benchkit.cli.common import load_registry
from benchkit.cli.unused_options import refuse_unused
from benchkit.errors import BenchkitError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from benchkit.plugin.registry import Registry
    from benchkit.specs.spec import Spec


def corrupt(
    image: Annotated[
        Path, typer.Argument(metavar="IMAGE", help="The image. The model's factor, such as 8, must divide its sides.")
    ],
    mask: Annotated[
        Path, typer.Option(metavar="MASK", help="The mask, of the image's size: 0 and 255, or colours on black.")
    ],
    corruptor: Annotated[str, typer.Option(metavar="NAME[:k=v,…]", help="The corruptor, such as gaussian:steps=20.")],
    out: Annotated[Path, typer.Option(metavar="OUT.png", help="The file of the corrupted image.")],
    inverter: Annotated[str, typer.Option(metavar="NAME[:k=v,…]", help="The inverter.")] = "renoise",
    model: options.Checkpoint = "portraits",
    seed: Annotated[
        int,
        typer.Option(min=0, max=2**31 - 1, metavar="N", help="Seed of the noise, together with the image's file name."),
    ] = 0,
    caption: Annotated[str | None, typer.Option(metavar="TEXT", help="The caption of the image.")] = None,
    reference: Annotated[
        Path | None,
        typer.Option(metavar="IMAGE", help="The reference image, of the same size, for corruptors that need one."),
    ] = None,
    reference_caption: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The caption of the reference image.")
    ] = None,
    label: Annotated[
        str,
        typer.Option(
            metavar="image|latent",
            help="The mask drawn on the sheet: as given, or the latent pixels it selects. Changes only the sheet.",
        ),
    ] = "image",
    sheet: Annotated[
        Path | None,
        typer.Option(
            metavar="SHEET.png", help="Also write the image before, the mask and the image after, in one row."
        ),
    ] = None,
    force: options.Force = False,
    device: options.Device = "auto",
    plugin: options.PluginFiles = None,
    plugin_folder: options.PluginFolders = None,
    strict: options.Strict = False,
) -> None:
    """Corrupt one image inside a mask.

    Some corruptors use the latents or the caption of a second image; give it with --reference. The noise depends on the
    seed and on the image's file name without suffix, which is its id in a comparison.
    """
    from benchkit.cli.pictures import save_image, side_by_side

    if label not in ("image", "latent"):
        raise BenchkitError(f"--label '{label}': choose image or latent")
    if sheet is None:
        refuse_unused({"label"}, "it chooses the mask of the sheet; add --sheet SHEET.png")
    before, selected = _read_inputs(image, mask)
    _check_targets(image, mask, out, sheet, force)
    registry = load_registry(plugin, plugin_folder, strict)
    other = _reference(registry, corruptor, reference, reference_caption, before)
    work = _Work(before, selected, image.stem, caption, seed, other)
    after, replaced = work.run(registry, corruptor, inverter, (model, device))
    save_image(out, after, "--out")
    if sheet is not None:
        save_image(sheet, side_by_side(before, selected if label == "image" else replaced, after), "--sheet")
    print(f"{out}: {corruptor} inside {100 * selected.mean():.1f} % of the image")


def _read_inputs(image: Path, mask: Path) -> tuple[Image, NDArray[np.bool_]]:
    from benchkit.cli.pictures import read_image, read_mask

    before, selected = read_image(image), read_mask(mask)
    size = (selected.shape[1], selected.shape[0])
    if size != before.size:
        raise BenchkitError(
            f"mask '{mask}' is {size[0]}x{size[1]} pixels, image '{image}' is {before.size[0]}x{before.size[1]}: "
            "they must have the same size"
        )
    if not selected.any():
        raise BenchkitError(f"mask '{mask}' is empty: paint the region to corrupt in white")
    return before, selected


def _reference(
    registry: Registry, corruptor: str, file: Path | None, caption: str | None, before: Image
) -> tuple[Image, str | None] | None:
    """Return the reference image and its caption; raise BenchkitError if one is needed or given, but not both."""
    from benchkit.api import Corruptor, LatentCorruptor
    from benchkit.cli.pictures import read_image
    from benchkit.specs.spec import Spec

    whole = registry.complete(Spec.parse("corruptor", corruptor))
    made = [(spec, registry.make(spec, Corruptor)) for spec in registry.with_parts(whole)]
    needing = next((spec for spec, one in made if isinstance(one, LatentCorruptor) and one.needs_reference()), None)
    if needing is None and (file is not None or caption is not None):
        option = "--reference" if file is not None else "--reference-caption"
        raise BenchkitError(f"{option}: corruptor '{whole.short}' needs no reference image: omit it")
    if needing is None:
        return None
    if file is None:
        without = "".join(f", or set {setting}" for setting in _without_reference(registry, needing))
        raise BenchkitError(
            f"corruptor '{needing.short}' needs a reference image: give one with --reference IMAGE, and its "
            f"caption with --reference-caption TEXT{without}"
        )
    other = read_image(file)
    if other.size != before.size:
        sizes = [f"{one.size[0]}x{one.size[1]}" for one in (other, before)]
        raise BenchkitError(
            f"--reference '{file}' is {sizes[0]} pixels, the image {sizes[1]}: they must have the same size"
        )
    return other, caption


def _without_reference(registry: Registry, spec: Spec) -> list[str]:
    """Return settings `KEY=VALUE` of one parameter, with which the corruptor needs no reference image."""
    from contextlib import suppress

    from benchkit.api import LatentCorruptor
    from benchkit.plugin.registry import parameters
    from benchkit.specs.spec import Spec

    found = []
    for field in parameters(registry.entry(spec.kind, spec.name).cls):
        for value in (None, *(field.metadata.get("choices") or ())):
            changed = Spec.of(spec.kind, spec.name, **{**spec.values, field.name: value})
            with suppress(BenchkitError):  # not a value of this parameter
                if not registry.make(changed, LatentCorruptor).needs_reference():  # type: ignore[type-abstract]
                    found.append(f"{field.name}={'null' if value is None else value}")
    return found


def _check_targets(image: Path, mask: Path, out: Path, sheet: Path | None, force: bool) -> None:
    from benchkit.cli.pictures import check_target

    read = {image.resolve(): "the image", mask.resolve(): "the mask"}
    for option, path in (("--out", out), ("--sheet", sheet)):
        if path is not None and path.resolve() in read:
            raise BenchkitError(f"{option} '{path}' would replace {read[path.resolve()]}: name another file")
    if sheet is not None and sheet.resolve() == out.resolve():
        raise BenchkitError(f"--out and --sheet are the same file '{out}': name two")
    check_target(out, "--out", force=force)
    if sheet is not None:
        check_target(sheet, "--sheet", force=force)


@dataclass(frozen=True)
class _Work:
    """One image with its mask, caption, seed and reference image."""

    before: Image
    selected: NDArray[np.bool_]
    name: str
    caption: str | None
    seed: int
    reference: tuple[Image, str | None] | None

    def run(
        self, registry: Registry, corruptor: str, inverter: str, checkpoint: tuple[str, str]
    ) -> tuple[Image, NDArray[np.bool_]]:
        """Return the corrupted image, and a mask of the latent pixels that the mask selects, in image pixels."""
        import numpy as np
        from PIL import Image

        from benchkit.api import Corruptor, PixelCorruptor
        from benchkit.functions import steps
        from benchkit.inference.images import check_divisible
        from benchkit.specs.spec import Spec
        from benchkit.stages.images import to_uint8

        plugin = registry.make(Spec.parse("corruptor", corruptor), Corruptor)
        if isinstance(plugin, PixelCorruptor):
            refuse_unused({"inverter"}, f"'{plugin.name}' works on pixels and needs no inversion; omit it")
        model = steps.load_model(checkpoint[0], device=checkpoint[1])
        check_divisible("the image", self.before.size, model.factor)
        # The reference image is a second image with an empty mask.
        pictures, captions, ids = [self.before], [self.caption], [self.name]
        masks = self.selected[None]
        if self.reference is not None:
            pictures, captions = [*pictures, self.reference[0]], [*captions, self.reference[1]]
            ids, masks = [*ids, "reference"], np.stack([self.selected, np.zeros_like(self.selected)])
        made = steps.corrupt(
            plugin,
            pictures,
            masks,
            model=model,
            inverter=inverter,
            captions=captions,
            seed=self.seed,
            ids=ids,
            label="latent",
            plugins=registry,
        )
        return Image.fromarray(to_uint8(made.images[:1])[0]), made.labels[0].numpy()
