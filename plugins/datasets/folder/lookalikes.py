"""Find label maps without a mask word in their names, by their channels and colours."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from benchkit.api import BenchkitError
from benchkit.readers.images import decode_image
from benchkit_plugins.datasets.folder.records import Stamped, stamp

#: Modes of images that have one channel, as label maps do.
_ONE_CHANNEL = ("1", "L", "P", "I", "F", "I;16", "I;16B", "I;16L")
#: Number of images of a kind that are decoded, and of sibling folders.
_PROBES, _SIBLINGS = 4, 50
#: Number of endings of names that are checked, the most frequent first; rare ones can be chance.
_ENDINGS = 16
#: Largest number of colours of a label map.
_FEW = 16
FEW_WORDS = "one channel or few colours"
REMEDY = "name the folder masks and put it beside or into the folder of the images"

Pair = tuple[str, str]


def find_label_maps(root: Path, images: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return a fault, one line each, for files that seem to be label maps but would count as images.

    images: split -> name -> path below `root`. Three patterns are checked: `hand_x.png` beside `hand.png`, and a folder
    with the same names as the folder beside it, if the former has one channel or few colours and the latter has not;
    and a folder with one channel and few colours in a split of colour images. Only a few images are decoded.
    """
    faults = []
    endings = sorted(_group_by_ending(images).items(), key=lambda item: -len(item[1]))
    for extra, pairs in endings[:_ENDINGS]:
        if _are_masks_of(root, pairs):
            mask, image = pairs[0]
            name = f"{Path(image).stem}.mask.png"
            faults.append(
                f"{root / mask}: looks like a mask of '{image}' ({FEW_WORDS}, `{extra}` after its name), one of "
                f"{len(pairs)}: name it {name}, or give it another name if it is an image"
            )
    folders = _group_by_folder(images)
    suspects = {folder: other for folder, other, pairs in _find_pairs(root, folders) if _are_masks_of(root, pairs)}
    for folder, other in suspects.items():
        what = f"looks like the masks of '{other}' ({FEW_WORDS}, the same names)"
        faults.append(f"{root / folder}: {what}: {REMEDY}, or give them other names if they are images")
    for folder in () if faults else _find_flat_folders(root, folders):
        what = "looks like masks (one channel, few values) among images in colour"
        faults.append(f"{root / folder}: {what}: {REMEDY}, or save them as RGB if they are images")
    return faults


def _group_by_ending(images: Mapping[str, Mapping[str, str]]) -> dict[str, list[Pair]]:
    """Return ending -> pairs of files (with the ending, without it)."""
    found: dict[str, list[Pair]] = {}
    for named in images.values():
        shorter: list[str] = []
        for name in sorted(named):
            while shorter and not name.startswith(shorter[-1]):
                shorter.pop()
            extra = name[len(shorter[-1]) :] if shorter else ""
            if any(map(str.isalpha, extra)) and "/" not in extra and not shorter[-1].endswith("/"):
                found.setdefault(extra, []).append((named[name], named[shorter[-1]]))
            shorter.append(name)
    return found


def _group_by_folder(images: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Return folder -> name without suffix -> path."""
    folders: dict[str, dict[str, str]] = {}
    for named in images.values():
        for path in named.values():
            folder, _, last = path.rpartition("/")
            folders.setdefault(folder, {})[last.rpartition(".")[0]] = path
    return folders


def _find_pairs(root: Path, folders: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str, list[Pair]]]:
    """Yield (possible folder of masks, folder beside it, pairs of one name) if all names match."""
    beside: dict[str, list[str]] = {}
    for folder in folders:
        if folder:
            beside.setdefault(folder.rpartition("/")[0], []).append(folder)
    for siblings in (some for some in beside.values() if len(some) > 1):
        # Two splits may use the same names, one of them with few colours; so only one channel is a sign there.
        sign = _may_be_mask if "/" in siblings[0] else _one_channel
        flat = {folder: sign(root / next(iter(folders[folder].values()))) for folder in siblings[:_SIBLINGS]}
        for folder in (one for one in flat if flat[one]):
            for other in (one for one in flat if not flat[one]):
                if folders[folder].keys() <= folders[other].keys():
                    yield folder, other, [(path, folders[other][n]) for n, path in folders[folder].items()]


def _find_flat_folders(root: Path, folders: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Yield folders with one channel and few values whose sibling folders have colour images."""
    tops: dict[str, list[str]] = {}
    for folder in folders:
        tops.setdefault(folder.partition("/")[0], []).append(folder)
    for some in (some for some in tops.values() if 1 < len(some) <= _SIBLINGS):
        grey = [folder for folder in some if _one_channel(root / next(iter(folders[folder].values())))]
        if grey and len(grey) < len(some):
            for folder in grey:
                if all(_one_channel(path) and _is_flat(path) for path in _pick_some(root, folders[folder].values())):
                    yield folder


def _are_masks_of(root: Path, pairs: Sequence[Pair]) -> bool:
    """Return whether in some pairs the first file looks like a label map and the second does not."""
    masks, images = _pick_some(root, [mask for mask, _ in pairs]), _pick_some(root, [image for _, image in pairs])
    flat = all(map(_one_channel, masks)) or (all(map(_is_flat, masks)) and any(map(_may_be_mask, masks)))
    return flat and not any(map(_may_be_mask, images))


def _pick_some(root: Path, paths: Collection[str]) -> list[Path]:
    """Return a few paths, evenly spaced."""
    return [root / path for path in list(paths)[:: max(1, len(paths) // _PROBES)][:_PROBES]]


def _may_be_mask(path: Path) -> bool:
    """Return whether an image has one channel, or few colours on black."""
    return _one_channel(path) or (_is_flat(path) and len(_colours(stamp(path))) > 1)


def _one_channel(path: Path) -> bool:
    """Return whether an image has one channel; False if its header cannot be read, which is reported elsewhere."""
    try:
        return _mode(stamp(path)) in _ONE_CHANNEL
    except BenchkitError:
        return False


def _is_flat(path: Path) -> bool:
    """Return whether an image has few colours, with black; False if it cannot be decoded (reported elsewhere)."""
    try:
        colours = _colours(stamp(path))
    except BenchkitError:
        return False
    return 0 in colours and len(colours) <= _FEW


@lru_cache(maxsize=1 << 16)
def _colours(file: Stamped) -> tuple[int, ...]:
    """Return the colours of an image as numbers (black is 0), at most _FEW + 1 of them."""
    pixels = decode_image(file.path, str(file.path)).astype(np.uint32)
    return tuple(np.unique(pixels @ np.array([1 << 16, 1 << 8, 1], np.uint32))[: _FEW + 1].tolist())


@lru_cache(maxsize=1 << 16)
def _mode(file: Stamped) -> str:
    from PIL import Image

    from benchkit.readers.images import FORMATS

    try:
        with Image.open(file.path, formats=FORMATS) as picture:
            return picture.mode
    except Exception:  # damaged bytes raise anything; reading the image says what is wrong
        raise BenchkitError(f"{file.path}: cannot be read") from None
