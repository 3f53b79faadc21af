"""Datasets: they give images, annotations and captions by split and index."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from benchkit.api.plugin import Plugin
from benchkit.errors import BenchkitError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence


@dataclass(frozen=True)
class Sample:
    """One image of a dataset.

    id: unique and stable within the dataset. image: (H, W, 3) uint8. mask: (H, W) bool, the annotated artifact pixels,
    or None if the image is not annotated. kinds: artifact kind -> (H, W) bool, if the dataset knows kinds. attributes:
    plain data. ignored: (H, W) bool, pixels that count neither in the loss nor in any metric nor in the prevalence, or
    None if all pixels count; the mask is False there.
    """

    id: str
    image: Any
    mask: Any | None = None
    caption: str | None = None
    kinds: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    ignored: Any | None = None


@dataclass(frozen=True)
class ImageFacts:
    """What a dataset knows of one image without decoding its pixels; None where it does not know.

    id: the Sample's, empty if unknown. size: (height, width) in pixels of the Sample's image. labelled: whether the
    Sample has a mask. fault: why `read` would fail on this image, in one line that names the file and the remedy.
    captioned: whether the Sample has a caption. positive: whether its mask contains an artifact pixel.
    """

    id: str = ""
    size: tuple[int, int] | None = None
    labelled: bool | None = None
    fault: str | None = None
    captioned: bool | None = None
    positive: bool | None = None


class Dataset(Plugin):
    """Base class of datasets: index -> Sample, by split."""

    kind: ClassVar[str] = "dataset"
    #: True if no generator has decoded the images yet; benchkit then passes them through the autoencoder once.
    autoencode: ClassVar[bool] = False

    @abstractmethod
    def splits(self) -> Mapping[str, int]:
        """Return the number of samples of each split, by name."""

    @abstractmethod
    def read(self, split: str, indices: Sequence[int]) -> list[Sample]:
        """Return the samples at these indices, in order; raise BenchkitError for an unknown split or index."""

    def inspect(self, split: str, indices: Sequence[int]) -> Sequence[ImageFacts]:
        """Return what is known of the samples at these indices before they are read, one ImageFacts each, in order.

        Read headers, tables and listings only: 10,000 images must take seconds. By default nothing is known.
        """
        return [ImageFacts()] * len(indices)

    def remedy(self, split: str) -> str | None:
        """Return how a user adds a split that this dataset lacks, in a few words, such as the option that maps one."""
        return None

    def file_sizes(self, split: str) -> Sequence[tuple[int, int]]:
        """Return (height, width) of a split's image files, before framing, in any order; empty if unknown.

        Read headers and tables only.
        """
        return ()

    def passed_over(self) -> Mapping[str, str]:
        """Return the files that are not read: path below the dataset's folder -> reason, in a few words."""
        return {}

    def remarks(self, splits: Collection[str]) -> Sequence[str]:
        """Return what a user of these splits should know, one line each; for example, that two splits are equal."""
        return ()

    def provenance(self) -> Mapping[str, str | int | float | bool | None]:
        """Return how the samples were made, beyond the parameters, for the protocol; by default nothing.

        For example, the rule, draw and filter by which a set was prepared. Values are plain and must not depend on
        where the files lie.
        """
        return {}

    def draw_fresh(self, secret: str, indices: Sequence[int], autoencode: Callable[[Any], Any]) -> list[Sample]:
        """Return new annotated images, as those of the split `test` are, that follow from `secret` and the index alone.

        autoencode: images (N, H, W, 3) uint8 -> the same after one pass through the checkpoint's autoencoder. They are
        the images of a season (leaderboard/README.md). A dataset that draws some also has a parameter `season`, the
        path of a file that `benchkit.readers.season` reads, whose images are its split `season`. By default it raises
        BenchkitError, because a dataset of fixed images has no others.
        """
        raise BenchkitError(f"dataset '{self.name}' has fixed images: it cannot draw fresh ones")

    @abstractmethod
    def labelled(self, count: int, seed: int) -> list[int]:
        """Return `count` indices into the split `pool`: the labelled set that this seed draws."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a digest that changes whenever any field of any Sample would change.

        benchkit calls it after every reading, to see whether files changed meanwhile: make it cheap.
        """
