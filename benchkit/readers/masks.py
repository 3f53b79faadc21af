"""Read mask files as bool arrays: `decode_mask`, or `decode_label` for label maps and ignored pixels.

A file whose values do not clearly separate background and artifact is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchkit.errors import BenchkitError
from benchkit.readers.image_headers import Turned
from benchkit.readers.images import PIXEL_LIMIT, SUFFIXES, apply_orientation, explain_image_errors, open_image

if TYPE_CHECKING:
    from PIL.Image import Image

    Mask = NDArray[np.bool_]

#: Lower-case suffixes of mask files. To read another format, add its suffix here, and its decoding to `decode_mask` and
#: `decode_label`.
MASK_SUFFIXES = SUFFIXES
#: Suffixes of files among masks, or with a mask's name, that are not masks: texts, tables, archives, weights.
NO_MASKS = frozenset(
    (
        *("", ".txt", ".md", ".rst", ".json", ".jsonl", ".csv", ".tsv", ".xml", ".yaml", ".yml", ".html", ".pdf"),
        *(".py", ".ipynb", ".sh", ".cache", ".db", ".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".parquet", ".arrow"),
        *(".pkl", ".pt", ".pth", ".ckpt", ".safetensors", ".onnx", ".log"),
    )
)
#: Formats whose compression changes values. A WebP does not say whether it is lossless.
LOSSY = ("JPEG", "MPO", "WEBP")
#: In a lossy mask, values up to the first are background and values from the second are artifact.
NEAR_0, NEAR_255 = 63, 192
#: More labels or colours than this, beside the background, mean a photograph or smoothed edges.
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
    """The meaning of a mask file's values: in a palette file the index, in a colour file a grey of that value.

    ignore: pixels of this value are excluded from training and scores; None for no such value. background: the file is
    a label map, in which this value is the background and all others are artifacts; None to decide by two values or
    black. turned: what masks of images with an EXIF orientation are aligned to, see Turned.
    """

    ignore: int | None = None
    background: int | None = None
    turned: Turned = "auto"


def decode_mask(data: bytes | Path, where: str, *, limit: int = PIXEL_LIMIT) -> Mask:
    """Decode one mask file to (H, W) bool, EXIF orientation applied.

    Accepted: 1-bit; one channel of 8, 16 or 32 bits with the values 0 and 1, 0 and 255, or 0 and 65535; a palette of
    black and white (white is True), or whose index 0 is black (all others are True); RGB with up to 64 colours
    beside black (black is background). In JPEG and WebP values up to 63 are 0 and from 192 are 255; values
    between are refused, and some pixel must reach 192 unless all are 0.
    Raises BenchkitError, beginning with `where`, for any other values, for transparency, and as `decode_image` does.
    """
    with explain_image_errors(where, limit), open_image(data, where, limit) as picture:
        return _Decoding(where, None).label(picture)[0]


def decode_label(
    data: bytes | Path, where: str, rule: MaskRule, *, limit: int = PIXEL_LIMIT
) -> tuple[Mask, Mask | None]:
    """Decode one mask file to (H, W) bool, and its ignored pixels, (H, W) bool, or None if there are none.

    Raises BenchkitError as `decode_mask`, naming the dataset's settings that would help.
    """
    with explain_image_errors(where, limit), open_image(data, where, limit) as picture:
        return _Decoding(where, rule).label(picture)


@dataclass(frozen=True)
class _Decoding:
    """Decodes one file by a rule. settings: None if messages must not name settings."""

    where: str
    settings: MaskRule | None

    @property
    def rule(self) -> MaskRule:
        return self.settings or MaskRule()

    def label(self, picture: Image) -> tuple[Mask, Mask | None]:
        pages: int = getattr(picture, "n_frames", 1)
        if pages > 1 and picture.format != "MPO":
            raise self.error(f"a mask of {pages} pages: keep one")
        deep_colour = not picture.mode.startswith("I;16") and _is_deep(picture)
        picture.load()
        lossy = picture.format in LOSSY
        picture = apply_orientation(picture)
        self._check_opaque(picture)
        if deep_colour:
            raise self.error("16 bits a channel, of which only eight can be read")
        if lossy and (self.rule.ignore is not None or self.rule.background is not None):
            raise self.error(f"a lossy mask ({picture.format}), whose values cannot be separated into labels")
        if picture.mode == "P":
            return self._of_palette(np.array(picture), _palette(picture))
        if picture.mode == "1":
            one = USUAL_IGNORE if self.rule.background == USUAL_IGNORE else 1  # its white may be 1 or 255
            return self._of_values(np.array(picture, np.uint8) * np.uint8(one), False)
        if picture.mode in ("L", "I", "F", "LA", "La") or picture.mode.startswith("I;16"):
            values = np.array(picture.convert("L") if picture.mode in ("LA", "La") else picture)
            return self._of_values(values, lossy)
        return self._of_colours(np.array(picture.convert("RGB")), lossy)

    def error(self, what: str, hint: str = "") -> BenchkitError:
        return BenchkitError(f"{self.where}: {what}: {hint if self.settings is not None else ''}{REMEDY}")

    def _check_opaque(self, picture: Image) -> None:
        if picture.has_transparency_data and picture.convert("RGBA").getchannel("A").getextrema() != (255, 255):
            raise self.error("a mask with transparency has two meanings")

    def _of_values(self, values: NDArray[Any], lossy: bool) -> tuple[Mask, Mask | None]:
        """Decode one channel: 0 and 1, 0 and 255, 0 and 65535; in a lossy format values near 0 and 255."""
        found = _find_values(values)
        if lossy:
            if not _is_lossy_mask(found):
                raise self.error(f"a lossy mask with the values {_format_values(found)}")
            return np.asarray(values >= NEAR_255), None
        ignored = self._ignored(values)
        counted = found[found != self.rule.ignore]
        if self.rule.background is not None:
            return self._of_labels(values, counted, ignored)
        if not _is_two_valued(counted):
            raise self.error(f"a mask with the values {_format_values(found)}", _hint(counted))
        mask = values > 0
        return _exclude(mask, ignored)

    def _ignored(self, values: NDArray[Any]) -> Mask | None:
        found = None if self.rule.ignore is None else values == self.rule.ignore
        return found if found is not None and found.any() else None

    def _of_labels(self, values: NDArray[Any], counted: NDArray[Any], ignored: Mask | None) -> tuple[Mask, Mask | None]:
        """Decode a label map: every value except the background is an artifact."""
        if len(counted) > MASK_LABELS + 1:
            raise self.error(f"a label map of {len(counted)} values (at most {MASK_LABELS} beside the background)")
        mask = values != self.rule.background
        return _exclude(mask, ignored)

    def _of_palette(self, indices: NDArray[np.uint8], palette: NDArray[np.int64]) -> tuple[Mask, Mask | None]:
        """Decode by colours in black and white, or if index 0 is black; otherwise the user must name a background.

        palette: the packed colour of each of 256 indices.
        """
        found = _find_values(indices)
        counted = found[found != self.rule.ignore]
        colours = palette[counted]
        if self.rule.background is not None or (colours == counted * 0x010101).all():
            return self._of_values(indices, False)  # grey steps: an image of one channel, saved with a palette
        ignored = self._ignored(indices)
        two_valued = palette[USUAL_IGNORE] == WHITE and set(counted.tolist()) <= {0, USUAL_IGNORE}
        if USUAL_IGNORE in counted and not two_valued:
            raise self.error(
                f"a palette mask with the indices {_format_values(found)}, where 255 means `ignore` in most label maps",
                f"set ignore={USUAL_IGNORE} to exclude these pixels, background=0 if they are artifacts, or ",
            )
        if len(set(colours.tolist())) == len(colours):
            if set(colours.tolist()) <= {BLACK, WHITE}:
                mask = palette[indices] == WHITE
                return _exclude(mask, ignored)
            if palette[0] == BLACK and BLACK not in palette[counted[counted > 0]]:
                mask = indices > 0
                return _exclude(mask, ignored)
        raise self.error(
            f"a palette mask whose index 0 is {_colour(palette[0])}, with the indices {_format_values(found)}: its "
            "colours do not show the background",
            "set background=0 if index 0 is it, or ",
        )

    def _of_colours(self, colours: NDArray[np.uint8], lossy: bool) -> tuple[Mask, Mask | None]:
        if (colours == colours[..., :1]).all():
            return self._of_values(colours[..., 0], lossy)
        if lossy:
            if not _is_lossy_mask(np.unique(colours)):
                raise self.error(f"a lossy mask with the values {_format_values(np.unique(colours))}")
            return np.asarray((colours >= NEAR_255).any(axis=2)), None
        packed = _packed(colours)
        background = BLACK if self.rule.background is None else _grey(self.rule.background)
        ignored = None if self.rule.ignore is None else packed == _grey(self.rule.ignore)
        found = np.unique(packed)
        if background not in found:
            shown = "black" if self.rule.background is None else _colour(background)
            raise self.error(
                f"a mask of {len(found)} colours without {shown}, the background",
                "set background=255 if white is it, or " if WHITE in found and self.rule.background is None else "",
            )
        if len(found) > MASK_LABELS + 1:
            raise self.error(f"a mask of {len(found) - 1} colours beside {_colour(background)} (at most {MASK_LABELS})")
        mask = packed != background
        return _exclude(mask, ignored if ignored is not None and ignored.any() else None)


def _exclude(mask: Mask, ignored: Mask | None) -> tuple[Mask, Mask | None]:
    return (mask if ignored is None else mask & ~ignored), ignored


def _is_deep(picture: Image) -> bool:
    """Return whether Pillow would drop the lower eight of 16 bits, which may contain a label."""
    for codec, _, _, args in getattr(picture, "tile", ()):
        mode, *rest = args if isinstance(args, tuple) else (args,)
        if (codec.startswith("ppm") and picture.mode == "RGB" and rest[0] > 255) or _DEEP.fullmatch(str(mode)):
            return True
    return False


def _find_values(array: NDArray[Any]) -> NDArray[Any]:
    """Return the different values, rising; count bytes, which is ten times faster than sorting them."""
    return np.flatnonzero(np.bincount(array.ravel())) if array.dtype == np.uint8 else np.unique(array)


def _is_two_valued(counted: NDArray[Any]) -> bool:
    values = counted.tolist()  # rising
    return len(values) == 0 or (values[-1] in (0, *TOPS) and set(values) <= {0, values[-1]})


def _hint(counted: NDArray[Any]) -> str:
    """Return the settings that would read these values, followed by `or`."""
    if len(counted) > MASK_LABELS + 1 or not np.equal(np.mod(counted, 1), 0).all() or counted[0] < 0:
        return ""
    likely = [int(value) for value in counted[counted > 1][::-1] if _is_two_valued(counted[counted != value])]
    first = f"set ignore={likely[0]} to exclude these pixels, or " if likely else ""
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


def _is_lossy_mask(found: NDArray[Any]) -> bool:
    """Return whether a lossy mask has only values near 0 and 255; a faint mask (0 and 1) does not count as 0."""
    middle = (found > NEAR_0) & (found < NEAR_255)
    return not middle.any() and bool(found[-1] >= NEAR_255 or found[-1] == 0)


def _format_values(found: NDArray[Any]) -> str:
    texts = [f"{value:g}" if isinstance(value, float) else str(value) for value in found[:5].tolist()]
    return ", ".join(texts) if len(found) <= 5 else f"{', '.join(texts)} … {found[-1]} ({len(found)} of them)"
