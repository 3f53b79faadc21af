"""Confinement (background preservation): the corrupted image against its own round trip, per image.

The reference is the round trip: the same image through autoencoder, inversion and resampling with nothing corrupted.
So a corruptor is not charged for what the autoencoder alone does to an image. Colours are compared in [0, 1].
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchkit.errors import BenchkitError

#: A change counts as visible from here: mean over R, G, B of the absolute difference, about 10 of 255 levels. People
#: see two or three levels between plain patches and miss more in texture; the number is our choice, not the paper's.
VISIBLE = 0.04
#: PSNR is capped where two regions are the same to rounding (mean squared error 1e-10), so that it stays a number.
PSNR_CAP = 100.0

Floats = NDArray[np.float64]


def psnr(squared_error: Any) -> Floats:
    """Return PSNR in dB of a mean squared error of colours in [0, 1]; at most PSNR_CAP, NaN of NaN."""
    return np.asarray(-10 * np.log10(np.maximum(np.asarray(squared_error, np.float64), 10 ** (-PSNR_CAP / 10))))


def confinement(corrupted: Any, round_trip: Any, masks: Any, visible: float = VISIBLE) -> pd.DataFrame:
    """Return how far each corrupted image differs from its round trip, inside its mask and outside: one row per image.

    corrupted, round_trip: (N, H, W, 3) uint8, or floats in [0, 1]. masks: (N, H, W) bool, what was selected, at image
    resolution. visible: the change of a pixel, or a region's mean change, that counts as visible. A value that
    would divide by 0 (an empty mask, a full one, no change at all) is NaN. Columns:

    - mask_area: fraction of the image selected.
    - change_inside, change_outside: mean absolute change, in [0, 1]; mse_inside, mse_outside: mean squared change.
    - psnr_inside, psnr_outside: dB, capped at 100 for regions that did not change.
    - change_ratio: change_inside / change_outside; NaN where nothing at all changed outside.
    - inside_changed, outside_changed: fraction of the pixels inside (outside) that visibly changed.
    - changed_inside: of the visibly changed pixels, the fraction that lies inside.
    - regions: connected parts (8 neighbours) of the mask; regions_changed: the fraction whose mean change is visible.

    Raises BenchkitError for arrays that do not fit each other.
    """
    a, b, inside = _checked(corrupted, round_trip, masks)
    rows = [_row(_colours(x), _colours(y), m, visible) for x, y, m in zip(a, b, inside, strict=True)]
    return pd.DataFrame(rows, columns=list(_COLUMNS))


_COLUMNS = (
    "mask_area",
    "change_inside",
    "change_outside",
    "mse_inside",
    "mse_outside",
    "psnr_inside",
    "psnr_outside",
    "change_ratio",
    "inside_changed",
    "outside_changed",
    "changed_inside",
    "regions",
    "regions_changed",
)


def summarise_confinement(rows: pd.DataFrame) -> dict[str, float]:
    """Return one flat row for a corruptor: `images`, `regions`, and every column of `confinement` over all images.

    A column is the mean over the images where it is defined, except: PSNR is that of the mean squared error (a mean
    of decibels would let one unchanged image decide); change_ratio is the ratio of the mean changes; regions_changed
    is the fraction of all images' regions, and regions their number.
    """
    means = {str(name): float(column.mean()) for name, column in rows.items()}
    means["psnr_inside"] = float(psnr(means["mse_inside"]))
    means["psnr_outside"] = float(psnr(means["mse_outside"]))
    means["change_ratio"] = _over(means["change_inside"], means["change_outside"])
    means["regions"] = float(rows["regions"].sum())
    means["regions_changed"] = _over(float((rows["regions_changed"] * rows["regions"]).sum()), means["regions"])
    return {"images": float(len(rows)), **means}


def _row(corrupted: Floats, round_trip: Floats, inside: NDArray[np.bool_], visible: float) -> dict[str, float]:
    difference = corrupted - round_trip
    change = np.abs(difference).mean(axis=-1)
    squares = (difference**2).mean(axis=-1)
    changed = change >= visible
    from scipy import ndimage  # here, because importing it takes half a second

    regions, number = ndimage.label(inside, structure=np.ones((3, 3)))
    region_changes = np.atleast_1d(ndimage.mean(change, regions, np.arange(1, number + 1)))
    row = {
        "mask_area": float(inside.mean()),
        "change_inside": _mean(change[inside]),
        "change_outside": _mean(change[~inside]),
        "mse_inside": _mean(squares[inside]),
        "mse_outside": _mean(squares[~inside]),
        "inside_changed": _mean(changed[inside]),
        "outside_changed": _mean(changed[~inside]),
        "changed_inside": _mean(inside[changed]),
        "regions": float(number),
        "regions_changed": _mean(region_changes >= visible),
    }
    row["psnr_inside"], row["psnr_outside"] = float(psnr(row["mse_inside"])), float(psnr(row["mse_outside"]))
    row["change_ratio"] = _over(row["change_inside"], row["change_outside"])
    return row


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if values.size else float("nan")


def _over(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def _colours(image: NDArray[Any]) -> Floats:
    return image / 255.0 if image.dtype == np.uint8 else image.astype(np.float64)


def _checked(corrupted: Any, round_trip: Any, masks: Any) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
    a, b, inside = np.asarray(corrupted), np.asarray(round_trip), np.asarray(masks)
    if a.ndim != 4 or a.shape != b.shape or a.shape[-1] != 3:
        raise BenchkitError(f"images must be (N, H, W, 3) and of one shape, not {a.shape} and {b.shape}")
    if inside.shape != a.shape[:3] or inside.dtype != np.bool_:
        raise BenchkitError(f"masks must be booleans of shape {a.shape[:3]}, not {inside.dtype} {inside.shape}")
    for images in (a, b):
        is_float = np.issubdtype(images.dtype, np.floating)
        if images.dtype != np.uint8 and not (is_float and np.all((images >= 0) & (images <= 1))):
            raise BenchkitError("images must be uint8, or floats in [0, 1] without NaN")
    return a, b, inside
