"""Parse the names of files and folders: which are masks, and of which image."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from benchkit.readers.images import SUFFIXES
from benchkit.readers.walk import get_suffix

_MASK = r"(?:masks?|labels?|gts?|segs?|segmentations?|annotations?|annots?|annos?|ground[ _-]?truths?)"
#: For folders only: short for annotations, and the names of Pascal VOC and Cityscapes.
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
    """Whether a folder's whole name means masks: `masks`, `labels`, `ann_dir`, `gt`, ..."""
    return _MASKS.fullmatch(name) is not None


def is_image_folder(name: str) -> bool:
    """Whether a folder's whole name means images: `images`, `img_dir`, `JPEGImages`, ..."""
    return _IMAGES.fullmatch(name) is not None


def has_plural_mask_word(name: str) -> bool:
    """Whether a folder's name contains a mask word in the plural: `photo_masks`, but not `with_mask`."""
    return _PLURAL.fullmatch(name) is not None


def mask_folder_base(name: str) -> str | None:
    """Return `train` for `train_masks` and for `labels-train`; None for other names."""
    return _base(_OF_MASKS, name)


def image_folder_base(name: str) -> str | None:
    """Return `train` for `train_images`; None for other names."""
    return _base(_OF_IMAGES, name)


def mask_base(name: str) -> str | None:
    """Return the image of a mask's name (a path without suffix): `a/hand` for `a/hand_mask` and `a/mask-hand`."""
    return _last(_MASK_NAME, name)


def list_image_names(name: str) -> list[str]:
    """Return the possible names of the image of a mask: its own name, and the name without mask words.

    `hand_seg_mask` may belong to `hand_seg` and to `hand`; `hand.jpg_mask` and `hand.jpg` to `hand`.
    """
    found = [name]
    while (base := mask_base(found[-1])) is not None:
        found.append(base)
    suffix = get_suffix(found[-1])
    if suffix in SUFFIXES:
        found.append(found[-1][: -len(suffix)])
    return found


def numbered_mask_base(name: str) -> str | None:
    """Return `hand` for `hand_mask_2`, one of several masks of an image."""
    return _last((_NUMBERED,), name)


def image_base(name: str) -> str | None:
    """Return `007` for an image `img_007` or `007_image`, whose mask may be `mask_007`."""
    return _last(_IMAGE_NAME, name)


def fold_name(name: str) -> str:
    """Return a name without differences between file systems: capitals, and the composition of accents."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _base(patterns: Sequence[re.Pattern[str]], name: str) -> str | None:
    found = (pattern.fullmatch(name) for pattern in patterns)
    return next((match["base"] for match in found if match), None)


def _last(patterns: Sequence[re.Pattern[str]], name: str) -> str | None:
    folder, slash, last = name.rpartition("/")
    base = _base(patterns, last)
    return None if base is None else f"{folder}{slash}{base}"
