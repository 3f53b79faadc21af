"""A sheet of a dataset's images with their labels."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchkit.report.format_values import one_line
from benchkit.report.pictures import SELECTED, Picture, PictureSheet

if TYPE_CHECKING:
    from benchkit.api import Sample

#: Images in a row of a full sheet, and characters of a line under an image.
_ACROSS, _CHARACTERS = 6, 27


def contact_sheet(title: str, samples: Sequence[Sample]) -> PictureSheet:
    """Return the samples in rows, with their labels as text under each."""
    across = min(len(samples), max(4, min(_ACROSS, round(len(samples) ** 0.5))))
    pictures: list[Picture | None] = [_picture(sample) for sample in samples]
    pictures += [None] * (-len(samples) % across)
    rows = tuple(tuple(pictures[i : i + across]) for i in range(0, len(pictures), across))
    foot = "Outlined: annotated as artifact."
    if any(sample.ignored is not None for sample in samples):
        foot += " Hatched: ignored."
    return PictureSheet(title, ("",) * across, ("",) * len(rows), rows, foot)


def _picture(sample: Sample) -> Picture:
    label, kinds = "no mask", ""
    if sample.mask is not None:
        label = f"{100 * np.mean(sample.mask):.1f} % annotated" if np.any(sample.mask) else "no artifact"
        kinds = ", ".join(kind for kind, mask in sample.kinds.items() if np.any(mask))
    lines = [middle_cut(sample.id), label, *_wrapped(kinds), *_wrapped(f"“{sample.caption}”" if sample.caption else "")]
    outlines = () if sample.mask is None else ((SELECTED, np.asarray(sample.mask)),)
    return Picture(sample.image, outlines, "\n".join(lines), sample.ignored)


def middle_cut(text: str) -> str:
    """Return an id that fits on a line under an image: both ends of a long id."""
    shown, half = one_line(text), _CHARACTERS // 2
    return shown if len(shown) <= _CHARACTERS else f"{shown[: half - 1]}…{shown[-half:]}"


def _wrapped(text: str) -> list[str]:
    """Return text on at most two lines that fit under an image."""
    return textwrap.wrap(one_line(text), _CHARACTERS, max_lines=2, placeholder=" …")
