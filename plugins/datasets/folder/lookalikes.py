"""Label maps among images, whose names say nothing: found by their channels and colours, from a few of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from benchkit.api import BenchkitError
from benchkit.readers.pictures import decode_image
from benchkit_plugins.datasets.folder.records import Stamped, stamped

#: Modes of pictures that have one channel, as label maps do.
_ONE_CHANNEL = ("1", "L", "P", "I", "F", "I;16", "I;16B", "I;16L")
#: How many pictures of a kind are looked at, and of how many folders that lie side by side.
_PROBES, _SIBLINGS = 4, 50
#: How many endings are looked at, the most frequent: names in words begin with one another by chance.
_ENDINGS = 16
#: Colours of a label map, at most.
_FEW = 16
FEW_WORDS = "one channel or few colours"
REMEDY = "call the folder masks and put it beside or into that of the images"

Pair = tuple[str, str]


def label_maps_among(root: Path, images: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Faults, one line each, where pictures that seem to be label maps would be taken for images.

    images: split -> name -> path below `root`. Looked for: `hand_x.png` beside `hand.png`, and a folder whose names are
    all in the folder beside it, where the former has one channel or few colours and the latter has not; and a folder of
    one channel and few colours in a split that has colour. Of each kind some pictures are decoded, no more.
    """
    faults = []
    endings = sorted(_by_ending(images).items(), key=lambda item: -len(item[1]))
    for extra, pairs in endings[:_ENDINGS]:
        if _one_sided(root, pairs):
            mask, image = pairs[0]
            name = f"{Path(image).stem}.mask.png"
            faults.append(
                f"{root / mask}: looks like a mask of '{image}' ({FEW_WORDS}, `{extra}` after its name), one of "
                f"{len(pairs)}: call it {name}, or give it a name of its own if it is an image"
            )
    folders = _by_folder(images)
    suspects = {folder: other for folder, other, pairs in _pairs_of(root, folders) if _one_sided(root, pairs)}
    for folder, other in suspects.items():
        what = f"looks like the masks of '{other}' ({FEW_WORDS}, the same names)"
        faults.append(f"{root / folder}: {what}: {REMEDY}, or give them names of their own if they are images")
    for folder in () if faults else _flat_among(root, folders):
        what = "looks like masks (one channel, few values) among images in colour"
        faults.append(f"{root / folder}: {what}: {REMEDY}, or save them as RGB if they are images")
    return faults


def _by_ending(images: Mapping[str, Mapping[str, str]]) -> dict[str, list[Pair]]:
    """What comes after an image's name -> (the longer named picture, the shorter named one)."""
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


def _by_folder(images: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Folder -> name without suffix -> path."""
    folders: dict[str, dict[str, str]] = {}
    for named in images.values():
        for path in named.values():
            folder, _, last = path.rpartition("/")
            folders.setdefault(folder, {})[last.rpartition(".")[0]] = path
    return folders


def _pairs_of(root: Path, folders: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str, list[Pair]]]:
    """(folder that may be of masks, folder beside it, pairs of one name), where every name has its other."""
    beside: dict[str, list[str]] = {}
    for folder in folders:
        if folder:
            beside.setdefault(folder.rpartition("/")[0], []).append(folder)
    for siblings in (some for some in beside.values() if len(some) > 1):
        # Of two splits of one naming scheme one may be drawn in few colours: there, one channel alone is a sign.
        sign = _may_be_mask if "/" in siblings[0] else _one_channel
        flat = {folder: sign(root / next(iter(folders[folder].values()))) for folder in siblings[:_SIBLINGS]}
        for folder in (one for one in flat if flat[one]):
            for other in (one for one in flat if not flat[one]):
                if folders[folder].keys() <= folders[other].keys():
                    yield folder, other, [(path, folders[other][n]) for n, path in folders[folder].items()]


def _flat_among(root: Path, folders: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Folders whose pictures have one channel and few values, below the same folder as others in colour."""
    tops: dict[str, list[str]] = {}
    for folder in folders:
        tops.setdefault(folder.partition("/")[0], []).append(folder)
    for some in (some for some in tops.values() if 1 < len(some) <= _SIBLINGS):
        grey = [folder for folder in some if _one_channel(root / next(iter(folders[folder].values())))]
        if grey and len(grey) < len(some):
            for folder in grey:
                if all(_one_channel(path) and _is_flat(path) for path in _some(root, folders[folder].values())):
                    yield folder


def _one_sided(root: Path, pairs: Sequence[Pair]) -> bool:
    """Whether the first of each pair looks like a label map and the second does not, of some that are looked at."""
    masks, images = _some(root, [mask for mask, _ in pairs]), _some(root, [image for _, image in pairs])
    flat = all(map(_one_channel, masks)) or (all(map(_is_flat, masks)) and any(map(_may_be_mask, masks)))
    return flat and not any(map(_may_be_mask, images))


def _some(root: Path, paths: Collection[str]) -> list[Path]:
    """A few of them, from all over."""
    return [root / path for path in list(paths)[:: max(1, len(paths) // _PROBES)][:_PROBES]]


def _may_be_mask(path: Path) -> bool:
    """Whether a picture has one channel, or something in few colours on black."""
    return _one_channel(path) or (_is_flat(path) and len(_colours(stamped(path))) > 1)


def _one_channel(path: Path) -> bool:
    """Whether a picture has one channel; not where its header cannot be read, which is said when it is."""
    try:
        return _mode(stamped(path)) in _ONE_CHANNEL
    except BenchkitError:
        return False


def _is_flat(path: Path) -> bool:
    """Whether a picture has few colours, black among them; not where it cannot be decoded, which is said when it is."""
    try:
        colours = _colours(stamped(path))
    except BenchkitError:
        return False
    return 0 in colours and len(colours) <= _FEW


@lru_cache(maxsize=1 << 16)
def _colours(file: Stamped) -> tuple[int, ...]:
    """The colours of a picture as numbers, black being 0; one more than _FEW where there are more."""
    pixels = decode_image(file.path, str(file.path)).astype(np.uint32)
    return tuple(np.unique(pixels @ np.array([1 << 16, 1 << 8, 1], np.uint32))[: _FEW + 1].tolist())


@lru_cache(maxsize=1 << 16)
def _mode(file: Stamped) -> str:
    from PIL import Image

    from benchkit.readers.pictures import FORMATS

    try:
        with Image.open(file.path, formats=FORMATS) as picture:
            return picture.mode
    except Exception:  # damaged bytes raise anything; reading the image says what is wrong
        raise BenchkitError(f"{file.path}: cannot be read") from None
