"""What a board can tell apart, where its variance comes from, and what more seeds or more images would add."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from benchkit.statistics.distributions import t_quantile
from benchkit.statistics.intervals import Difference, Pair


@dataclass(frozen=True)
class Resolution:
    """The differences that a family of pairs can resolve: medians over the pairs; NaN if no pair has an interval.

    difference: half the width of the paired interval. In a typical pair, a difference of this size is just resolved.
    resolved, pairs: how many pairs were found different, of how many. images, seeds, interaction: fractions of a
    difference's variance, which add up to 1; with one seed all of it belongs to the images. more_seeds, more_images:
    the difference that would be resolved with so many more, as (number, difference); NaN for seeds if there is only
    one.
    """

    difference: float
    resolved: int
    pairs: int
    images: float
    seeds: float
    interaction: float
    more_seeds: tuple[int, float]
    more_images: tuple[int, float]


def measure_resolution(
    differences: Mapping[Pair, Difference],
    different: Collection[Pair],
    images: int,
    *,
    more_seeds: int = 5,
    more_images: int = 500,
) -> Resolution:
    """Return what the pairs of a board on `images` test images resolve."""
    known = [found for found in differences.values() if np.isfinite(found.error) and found.error > 0]
    if not known:
        nothing = float("nan")
        seeds_unknown, images_unknown = (more_seeds, nothing), (more_images, nothing)
        parts = (nothing, nothing, nothing)
        return Resolution(nothing, len(different), len(differences), *parts, seeds_unknown, images_unknown)
    seeds = [predict_width(found, images, more_seeds=more_seeds) for found in known if found.seed_variance]
    further = [predict_width(found, images, more_images=more_images) for found in known]
    shared, between, interaction = np.median([_shares(found) for found in known], axis=0)
    whole = shared + between + interaction
    return Resolution(
        difference=float(np.median([(found.high - found.low) / 2 for found in known])),
        resolved=len(different),
        pairs=len(differences),
        images=float(shared / whole),
        seeds=float(between / whole),
        interaction=float(interaction / whole),
        more_seeds=(more_seeds, float(np.median(seeds)) if seeds else float("nan")),
        more_images=(more_images, float(np.median(further))),
    )


def predict_width(difference: Difference, images: int, *, more_seeds: int = 0, more_images: int = 0) -> float:
    """Return half the width that a paired interval would have with more seeds or more test images.

    The image part falls as 1 / images, the seed part as 1 / seeds, their interaction as both.
    """
    parts, fewer = difference.components, images / (images + more_images)
    interaction = min(parts.interaction, parts.seeds) if difference.seed_variance else 0.0
    grown = replace(
        parts,
        images=parts.images * fewer,
        seeds=parts.seeds - interaction * (1 - fewer),
        number=parts.number + more_seeds,
        image_df=parts.image_df / fewer,
        seed_df=parts.seed_df + more_seeds,
    )
    return float(t_quantile((1 + difference.level) / 2, grown.total_df) * np.sqrt(grown.total))


def _shares(difference: Difference) -> tuple[float, float, float]:
    """Return the fractions of images, seeds and their interaction in a difference's variance."""
    parts = difference.components
    if not difference.seed_variance:
        return 1.0, 0.0, 0.0
    interaction = min(parts.interaction, parts.seeds)
    fractions = parts.images, (parts.seeds - interaction) / parts.number, interaction / parts.number
    return tuple(part / parts.total for part in fractions)  # type: ignore[return-value]
