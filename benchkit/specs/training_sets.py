"""Sets of images and the training sets made of them: frozen descriptions that cross process borders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from benchkit.specs.spec import Spec

#: Images are processed in chunks of this many, so that a result does not depend on who computed it. A grid may name
#: another number (`sampling.chunk`).
CHUNK = 16
#: Images of a larger chunk that a CPU decodes at once. Decoding one of 128 x 128 took 24 ms in batches of 8, 46 ms in
#: batches of 64, because a level's arrays then no longer fit into the processor's caches.
DECODED_AT_ONCE = 8
#: Seeds are whole numbers from 0 on and below this.
SEEDS = 2**31

Label = Literal["image", "latent"]
#: How eq. 6 is computed: exactly, or by evaluations of the denoiser inside compact masks only.
Resampling = Literal["exact", "masked"]


@dataclass(frozen=True)
class ImageSet:
    """Images of a dataset: a split and indices into it."""

    dataset: Spec
    split: str
    indices: tuple[int, ...]

    def chunks(self, size: int = CHUNK) -> tuple[ImageSet, ...]:
        """Return the same images in pieces of `size`, in order; the last one may be smaller."""
        starts = range(0, len(self.indices), size)
        return tuple(ImageSet(self.dataset, self.split, self.indices[i : i + size]) for i in starts)


class _Whole:
    """Methods of every training set. A set is the union of its `parts`."""

    parts: Any  # a property or a field: tuple[Labelled | Pseudo | Corrupted, ...]

    def image_sets(self) -> tuple[ImageSet, ...]:
        """Return the images of every part."""
        return tuple(part.images for part in self.parts)

    def corrupted(self) -> tuple[Corrupted, ...]:
        """Return the parts that are corrupted images."""
        return tuple(part for part in self.parts if isinstance(part, Corrupted))

    def plugins(self) -> tuple[Spec, ...]:
        """Return the Specs of all its plugins: datasets, selectors, corruptors, inverters."""
        own = ((p.images.dataset, p.selector, p.corruptor, p.inverter) for p in self.parts)
        return tuple(dict.fromkeys(spec for specs in own for spec in specs if spec is not None))


class _Part(_Whole):
    """A training set that is its own only part."""

    @property
    def parts(self) -> tuple[Any, ...]:
        """The set itself."""
        return (self,)


@dataclass(frozen=True)
class Labelled(_Part):
    """Images with their datasets' own labels: the `human` rows and the oracle."""

    images: ImageSet
    selector: ClassVar[None] = None
    corruptor: ClassVar[None] = None
    inverter: ClassVar[None] = None


@dataclass(frozen=True)
class Pseudo(_Part):
    """Unlabelled images as they are, with a region selector's masks for labels."""

    images: ImageSet
    selector: Spec
    corruptor: ClassVar[None] = None
    inverter: ClassVar[None] = None


@dataclass(frozen=True)
class Corrupted(_Part):
    """Images corrupted inside a region selector's masks, with those masks for labels.

    label: `image` is the mask as selected, `latent` the latent pixels that were replaced. paste_background: paste the
    original pixels outside the mask after decoding.
    """

    images: ImageSet
    selector: Spec
    corruptor: Spec
    inverter: Spec
    label: Label = "image"
    paste_background: bool = False


@dataclass(frozen=True)
class Mix(_Whole):
    """The union of other training sets. Its selector, corruptor and inverter are those of the last part."""

    parts: tuple[Labelled | Pseudo | Corrupted, ...]

    @property
    def selector(self) -> Spec | None:
        """The last part's selector."""
        return self.parts[-1].selector

    @property
    def corruptor(self) -> Spec | None:
        """The last part's corruptor."""
        return self.parts[-1].corruptor

    @property
    def inverter(self) -> Spec | None:
        """The last part's inverter."""
        return self.parts[-1].inverter


@dataclass(frozen=True)
class Trivial(_Whole):
    """No training: a constant or prior prediction, the floor of every board."""

    rule: Literal["all-negative", "all-positive", "mean-mask"]
    RULES: ClassVar[tuple[str, ...]] = ("all-negative", "all-positive", "mean-mask")
    selector: ClassVar[None] = None
    corruptor: ClassVar[None] = None
    inverter: ClassVar[None] = None

    @property
    def parts(self) -> tuple[Labelled | Pseudo | Corrupted, ...]:
        """Nothing: nothing is trained."""
        return ()


TrainingSet = Labelled | Pseudo | Corrupted | Mix | Trivial
