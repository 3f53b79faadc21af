"""What the names of files and folders say: which are masks, and of which image."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from benchkit.readers.pictures import SUFFIXES
from benchkit.readers.walk import suffix_of

_MASK = r"(?:masks?|labels?|gts?|segs?|segmentations?|annotations?|annots?|annos?|ground[ _-]?truths?)"
#: Of folders alone: short for annotations, and what Pascal VOC and Cityscapes call theirs.
_MASK_FOLDER = rf"(?:{_MASK}|anns?|segmentationclass|segmentationobject|gtfine|gtcoarse)"
_IMAGE = r"(?:images?|imgs?)"
_IMAGE_FOLDER = rf"(?:{_IMAGE}|jpegimages|leftimg8bit|photos?|pictures?|rgb)"
_MORE = r"(?:[._ -](?:dir|folder|png|artifacts?|binary))*"
_BETWEEN = r"[._ -]+"
_MASKS = re.compile(rf"(?:artifacts?[._ -])?{_MASK_FOLDER}{_MORE}", re.IGNORECASE)
_IMAGES = re.compile(rf"{_IMAGE_FOLDER}{_MORE}", re.IGNORECASE)
_OF_MASKS = (
    re.compile(rf"(?P<base>.+?){_BETWEEN}{_MASK_FOLDER}", re.IGNORECASE),
    re.compile(rf"{_MASK_FOLDER}{_BETWEEN}(?P<base>.+)", re.IGNORECASE),
)
_OF_IMAGES = (
    re.compile(rf"(?P<base>.+?){_BETWEEN}{_IMAGE_FOLDER}", re.IGNORECASE),
    re.compile(rf"{_IMAGE_FOLDER}{_BETWEEN}(?P<base>.+)", re.IGNORECASE),
)
_PLURAL = re.compile(
    rf"(?:.*{_BETWEEN})?(?:masks|labels|annotations|segmentations|gts?)(?:{_BETWEEN}.*)?", re.IGNORECASE
)
_MASK_NAME = (
    re.compile(rf"(?P<base>.+?){_BETWEEN}{_MASK}", re.IGNORECASE),
    re.compile(rf"{_MASK}{_BETWEEN}(?P<base>.+)", re.IGNORECASE),
)
_NUMBERED = re.compile(rf"(?P<base>.+?){_BETWEEN}{_MASK}[._ -]*\d+", re.IGNORECASE)
_IMAGE_NAME = (
    re.compile(rf"(?P<base>.+?){_BETWEEN}(?:{_IMAGE}|rgb)", re.IGNORECASE),
    re.compile(rf"(?:{_IMAGE}|rgb){_BETWEEN}(?P<base>.+)", re.IGNORECASE),
)
#: For messages.
UNDERSTOOD = (
    "NAME.mask.png, NAME_mask.png or NAME-label.png beside NAME.jpg, or in a folder masks, labels, annotations or gt "
    "in or beside that of the images"
)


def is_mask_folder(name: str) -> bool:
    """Whether a folder's whole name says masks: `masks`, `labels`, `ann_dir`, `gt`, ..."""
    return _MASKS.fullmatch(name) is not None


def is_image_folder(name: str) -> bool:
    """Whether a folder's whole name says images: `images`, `img_dir`, `JPEGImages`, ..."""
    return _IMAGES.fullmatch(name) is not None


def sounds_like_masks(name: str) -> bool:
    """Whether a word for several masks is part of a folder's name: `photo_masks`; not `with_mask`."""
    return _PLURAL.fullmatch(name) is not None


def mask_folder_base(name: str) -> str | None:
    """`train` of `train_masks` and of `labels-train`; None for other names."""
    return _base(_OF_MASKS, name)


def image_folder_base(name: str) -> str | None:
    """`train` of `train_images`; None for other names."""
    return _base(_OF_IMAGES, name)


def mask_base(name: str) -> str | None:
    """The image that a mask's name (a path without suffix) points at: `a/hand` of `a/hand_mask` and `a/mask-hand`."""
    return _last(_MASK_NAME, name)


def images_of_mask(name: str) -> list[str]:
    """What an image may be called whose mask has this name: the same, and without what makes it a mask's.

    `hand_seg_mask` may be of `hand_seg` and of `hand`, `hand.jpg_mask` and `hand.jpg` of `hand`.
    """
    found = [name]
    while (base := mask_base(found[-1])) is not None:
        found.append(base)
    suffix = suffix_of(found[-1])
    if suffix in SUFFIXES:
        found.append(found[-1][: -len(suffix)])
    return found


def numbered_mask_base(name: str) -> str | None:
    """`hand` of `hand_mask_2`, one of several masks of an image."""
    return _last((_NUMBERED,), name)


def image_base(name: str) -> str | None:
    """`007` of an image called `img_007` or `007_image`, whose mask may be called `mask_007`."""
    return _last(_IMAGE_NAME, name)


def folded(name: str) -> str:
    """A name without the differences that file systems make: capitals, and how accents are composed."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _base(patterns: Sequence[re.Pattern[str]], name: str) -> str | None:
    found = (pattern.fullmatch(name) for pattern in patterns)
    return next((match["base"] for match in found if match), None)


def _last(patterns: Sequence[re.Pattern[str]], name: str) -> str | None:
    folder, slash, last = name.rpartition("/")
    base = _base(patterns, last)
    return None if base is None else f"{folder}{slash}{base}"
