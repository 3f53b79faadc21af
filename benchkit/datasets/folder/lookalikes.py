"""Label maps among images, whose names nobody told us: found by their channels, from headers alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from benchkit.datasets.folder.records import Stamped, stamped
from benchkit.errors import BenchkitError

#: Modes of pictures that have one channel, as label maps do.
_ONE_CHANNEL = ("1", "L", "P", "I", "F", "I;16", "I;16B", "I;16L")
#: How many pictures of a kind are looked at.
_PROBES = 4

Pair = tuple[str, str]


def label_maps_among(root: Path, images: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Faults, one line each, where pictures of one channel have the names of pictures in colour.

    images: split -> name -> path below `root`. Looked for: `hand_x.png` beside `hand.png`, and a folder whose names are
    all in the folder beside it.
    """
    faults = []
    for extra, pairs in _by_ending(images).items():
        if _one_sided(root, pairs):
            mask, image = pairs[0]
            name = f"{Path(image).stem}.mask.png"
            faults.append(
                f"{root / mask}: looks like a mask of '{image}' (one channel, `{extra}` after its name), one of "
                f"{len(pairs)}: call it {name}, or save it as RGB if it is an image"
            )
    for folder, other, pairs in _by_folder(root, images):
        if _one_sided(root, pairs):
            faults.append(
                f"{root / folder}: looks like the masks of '{other}' (one channel, the same names): call the folder "
                "masks and put it beside or into that of the images, or save them as RGB if they are images"
            )
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


def _by_folder(root: Path, images: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str, list[Pair]]]:
    """(folder of one channel, folder in colour beside it, pairs of one name), where every name has its other."""
    folders: dict[str, dict[str, str]] = {}
    for named in images.values():
        for path in named.values():
            folder, _, last = path.rpartition("/")
            folders.setdefault(folder, {})[last.rpartition(".")[0]] = path
    beside: dict[str, list[str]] = {}
    for folder in folders:
        if folder:
            beside.setdefault(folder.rpartition("/")[0], []).append(folder)
    for siblings in beside.values():
        if len(siblings) > 1:
            first = {folder: _one_channel(root / next(iter(folders[folder].values()))) for folder in siblings}
            for folder in (one for one in siblings if first[one]):
                for other in (one for one in siblings if first[one] is False):
                    if folders[folder].keys() <= folders[other].keys():
                        yield folder, other, [(path, folders[other][n]) for n, path in folders[folder].items()]


def _one_sided(root: Path, pairs: Sequence[Pair]) -> bool:
    """Whether the first of each pair has one channel and the second has not, of some that are looked at."""
    step = max(1, len(pairs) // _PROBES)
    looked = pairs[::step][:_PROBES]
    return _all(root, (mask for mask, _ in looked), True) and _all(root, (image for _, image in looked), False)


def _all(root: Path, paths: Iterable[str], wanted: bool) -> bool:
    return all(_one_channel(root / path) is wanted for path in paths)


def _one_channel(path: Path) -> bool | None:
    """Whether a picture has one channel; None where its header cannot be read, which is said when it is."""
    try:
        return _mode(stamped(path)) in _ONE_CHANNEL
    except BenchkitError:
        return None


@lru_cache(maxsize=1 << 16)
def _mode(file: Stamped) -> str:
    from PIL import Image

    from benchkit.datasets.pictures import FORMATS

    try:
        with Image.open(file.path, formats=FORMATS) as picture:
            return picture.mode
    except Exception:  # damaged bytes raise anything; reading the image says what is wrong
        raise BenchkitError(f"{file.path}: cannot be read") from None
