"""Mask files to arrays, only where their values leave no doubt which pixels are marked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchkit.errors import BenchkitError
from benchkit.readers.headers import Turned
from benchkit.readers.pictures import PIXEL_LIMIT, opened, reading, turned

if TYPE_CHECKING:
    from PIL.Image import Image

    Mask = NDArray[np.bool_]

#: Formats that change values a little when they are written; a WebP does not say whether it is lossless.
LOSSY = ("JPEG", "MPO", "WEBP")
#: In a lossy mask, values up to the first are background and values from the second are artifact.
NEAR_0, NEAR_255 = 63, 192
#: A mask of more labels or colours than this beside the background is a photograph, or has smoothed edges.
MASK_LABELS = 64
#: Values that mean `artifact` beside 0.
TOPS = (1, 255, 65535)
BLACK, WHITE = 0, 0xFFFFFF
#: The value of `ignore` in most label maps.
USUAL_IGNORE = 255
#: Pillow's names of what it reads as eight bits although the file holds 16.
_DEEP = re.compile(r"(RGB|RGBA|RGBX|LA);16[BLN]")
REMEDY = "save masks as PNG with 0 and 1, or 0 and 255"


@dataclass(frozen=True)
class MaskRule:
    """What the values of a mask file mean: of a palette the index, in a colour file a grey of that value.

    ignore: pixels of this value count in nothing. background: the file is a label map, in which this value is the
    background and every other one an artifact. None: no value is ignored; two values, or black, tell. turned: on what
    the masks of photographs lie that EXIF turns, see Turned.
    """

    ignore: int | None = None
    background: int | None = None
    turned: Turned = "auto"


def decode_mask(data: bytes | Path, where: str, *, limit: int = PIXEL_LIMIT) -> Mask:
    """Decode one mask file to (H, W) bool, EXIF orientation applied.

    Accepted: 1-bit; one channel of 8, 16 or 32 bits with the values 0 and 1, 0 and 255, or 0 and 65535; a palette of
    black and white (white is marked), or whose index 0 is black (every other is marked); RGB with up to 64 colours
    beside black (black is background). In JPEG and WebP every channel must keep away from the middle: up to 63 is 0,
    from 192 is 255, and some pixel must reach 192 unless all are 0.
    Raises BenchkitError, beginning with `where`, for any other values, for transparency, and as `decode_image` does.
    """
    with reading(where, limit), opened(data, where, limit) as picture:
        return _Decoding(where, None).label(picture)[0]


def decode_label(
    data: bytes | Path, where: str, rule: MaskRule, *, limit: int = PIXEL_LIMIT
) -> tuple[Mask, Mask | None]:
    """Decode one mask file to (H, W) bool, and the pixels that count in nothing, or None where all count.

    Raises BenchkitError as `decode_mask` does, naming the settings of a dataset that would help.
    """
    with reading(where, limit), opened(data, where, limit) as picture:
        return _Decoding(where, rule).label(picture)


@dataclass(frozen=True)
class _Decoding:
    """One file under a rule; None: there are no settings that a message could name."""

    where: str
    settings: MaskRule | None

    @property
    def rule(self) -> MaskRule:
        return self.settings or MaskRule()

    def label(self, picture: Image) -> tuple[Mask, Mask | None]:
        pages: int = getattr(picture, "n_frames", 1)
        if pages > 1 and picture.format != "MPO":
            raise self.refused(f"a mask of {pages} pages: keep one")
        deep_colour = not picture.mode.startswith("I;16") and _is_deep(picture)
        picture.load()
        lossy = picture.format in LOSSY
        picture = turned(picture)
        self._check_opaque(picture)
        if deep_colour:
            raise self.refused("16 bits a channel, of which only eight can be read")
        if lossy and (self.rule.ignore is not None or self.rule.background is not None):
            raise self.refused(f"a lossy mask ({picture.format}), whose values cannot be told apart as labels")
        if picture.mode == "P":
            return self._of_palette(np.array(picture), _palette(picture))
        if picture.mode == "1":
            one = USUAL_IGNORE if self.rule.background == USUAL_IGNORE else 1  # its white may be meant by either
            return self._of_values(np.array(picture, np.uint8) * np.uint8(one), False)
        if picture.mode in ("L", "I", "F", "LA", "La") or picture.mode.startswith("I;16"):
            values = np.array(picture.convert("L") if picture.mode in ("LA", "La") else picture)
            return self._of_values(values, lossy)
        return self._of_colours(np.array(picture.convert("RGB")), lossy)

    def refused(self, what: str, hint: str = "") -> BenchkitError:
        return BenchkitError(f"{self.where}: {what}: {hint if self.settings is not None else ''}{REMEDY}")

    def _check_opaque(self, picture: Image) -> None:
        if picture.has_transparency_data and picture.convert("RGBA").getchannel("A").getextrema() != (255, 255):
            raise self.refused("a mask with transparency has two meanings")

    def _of_values(self, values: NDArray[Any], lossy: bool) -> tuple[Mask, Mask | None]:
        """One channel: 0 and 1, 0 and 255, 0 and 65535; or clearly near 0 and 255 where the format is lossy."""
        found = _values_in(values)
        if lossy:
            if not _two_heaps(found):
                raise self.refused(f"a lossy mask with the values {_listed(found)}")
            return np.asarray(values >= NEAR_255), None
        ignored = self._ignored(values)
        counted = found[found != self.rule.ignore]
        if self.rule.background is not None:
            return self._of_labels(values, counted, ignored)
        if not _is_two_valued(counted):
            raise self.refused(f"a mask with the values {_listed(found)}", _hint(counted))
        marked = values > 0
        return (marked if ignored is None else marked & ~ignored), ignored

    def _ignored(self, values: NDArray[Any]) -> Mask | None:
        found = None if self.rule.ignore is None else values == self.rule.ignore
        return found if found is not None and found.any() else None

    def _of_labels(self, values: NDArray[Any], counted: NDArray[Any], ignored: Mask | None) -> tuple[Mask, Mask | None]:
        """A label map: every value but the named background is marked."""
        if len(counted) > MASK_LABELS + 1:
            raise self.refused(f"a label map of {len(counted)} values (at most {MASK_LABELS} beside the background)")
        marked = values != self.rule.background
        return (marked if ignored is None else marked & ~ignored), ignored

    def _of_palette(self, indices: NDArray[np.uint8], palette: NDArray[np.int64]) -> tuple[Mask, Mask | None]:
        """Colours decide in black and white, and where index 0 is black; elsewhere the user must name a background.

        palette: the packed colour of each of 256 indices.
        """
        found = _values_in(indices)
        counted = found[found != self.rule.ignore]
        colours = palette[counted]
        if self.rule.background is not None or (colours == counted * 0x010101).all():
            return self._of_values(indices, False)  # grey steps: an image of one channel, saved with a palette
        ignored = self._ignored(indices)
        two_valued = palette[USUAL_IGNORE] == WHITE and set(counted.tolist()) <= {0, USUAL_IGNORE}
        if USUAL_IGNORE in counted and not two_valued:
            raise self.refused(
                f"a palette mask with the indices {_listed(found)}, 255 being `ignore` in most label maps",
                f"set ignore={USUAL_IGNORE} if these pixels count in nothing, background=0 if they are artifacts, or ",
            )
        if len(set(colours.tolist())) == len(colours):
            if set(colours.tolist()) <= {BLACK, WHITE}:
                marked = palette[indices] == WHITE
                return (marked if ignored is None else marked & ~ignored), ignored
            if palette[0] == BLACK and BLACK not in palette[counted[counted > 0]]:
                marked = indices > 0
                return (marked if ignored is None else marked & ~ignored), ignored
        raise self.refused(
            f"a palette mask whose index 0 is {_colour(palette[0])}, with the indices {_listed(found)}: its colours do "
            "not tell the background",
            "set background=0 if index 0 is it, or ",
        )

    def _of_colours(self, colours: NDArray[np.uint8], lossy: bool) -> tuple[Mask, Mask | None]:
        if (colours == colours[..., :1]).all():
            return self._of_values(colours[..., 0], lossy)
        if lossy:
            if not _two_heaps(np.unique(colours)):
                raise self.refused(f"a lossy mask with the values {_listed(np.unique(colours))}")
            return np.asarray((colours >= NEAR_255).any(axis=2)), None
        packed = _packed(colours)
        background = BLACK if self.rule.background is None else _grey(self.rule.background)
        ignored = None if self.rule.ignore is None else packed == _grey(self.rule.ignore)
        found = np.unique(packed)
        if background not in found:
            shown = "black" if self.rule.background is None else _colour(background)
            raise self.refused(
                f"a mask of {len(found)} colours without {shown}, the background",
                "set background=255 if white is it, or " if WHITE in found and self.rule.background is None else "",
            )
        if len(found) > MASK_LABELS + 1:
            raise self.refused(
                f"a mask of {len(found) - 1} colours beside {_colour(background)} (at most {MASK_LABELS})"
            )
        marked = packed != background
        return (marked, None) if ignored is None or not ignored.any() else (marked & ~ignored, ignored)


def _is_deep(picture: Image) -> bool:
    """Whether Pillow would drop the lower eight of 16 bits, in which a label may stand."""
    for codec, _, _, args in getattr(picture, "tile", ()):
        mode, *rest = args if isinstance(args, tuple) else (args,)
        if (codec.startswith("ppm") and picture.mode == "RGB" and rest[0] > 255) or _DEEP.fullmatch(str(mode)):
            return True
    return False


def _values_in(array: NDArray[Any]) -> NDArray[Any]:
    """The different values, rising; of bytes by counting, which is ten times faster than sorting."""
    return np.flatnonzero(np.bincount(array.ravel())) if array.dtype == np.uint8 else np.unique(array)


def _is_two_valued(counted: NDArray[Any]) -> bool:
    values = counted.tolist()  # rising
    return len(values) == 0 or (values[-1] in (0, *TOPS) and set(values) <= {0, values[-1]})


def _hint(counted: NDArray[Any]) -> str:
    """The settings under which these values would be read, with `or` behind them."""
    if len(counted) > MASK_LABELS + 1 or not np.equal(np.mod(counted, 1), 0).all() or counted[0] < 0:
        return ""
    likely = [int(value) for value in counted[counted > 1][::-1] if _is_two_valued(counted[counted != value])]
    first = f"set ignore={likely[0]} if these pixels count in nothing, or " if likely else ""
    return f"{first}set background=0 if every other value is an artifact, or "


def _palette(picture: Image) -> NDArray[np.int64]:
    entries = np.zeros((256, 3), np.uint8)
    given = np.array(picture.getpalette("RGB") or [], np.uint8)[:768]
    entries[: len(given) // 3] = given[: len(given) // 3 * 3].reshape(-1, 3)
    return _packed(entries)


def _packed(colours: NDArray[np.uint8]) -> NDArray[np.int64]:
    return colours.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1], np.int64)


def _grey(value: int) -> int:
    return value * 0x010101


def _colour(packed: int) -> str:
    return {BLACK: "black", WHITE: "white"}.get(int(packed), f"#{int(packed):06x}")


def _two_heaps(found: NDArray[Any]) -> bool:
    """Whether the values of a lossy mask lie near 0 and 255 alone; a faint one (0 and 1, say) does not count as 0."""
    middle = (found > NEAR_0) & (found < NEAR_255)
    return not middle.any() and bool(found[-1] >= NEAR_255 or found[-1] == 0)


def _listed(found: NDArray[Any]) -> str:
    texts = [f"{value:g}" if isinstance(value, float) else str(value) for value in found[:5].tolist()]
    return ", ".join(texts) if len(found) <= 5 else f"{', '.join(texts)} … {found[-1]} ({len(found)} of them)"
