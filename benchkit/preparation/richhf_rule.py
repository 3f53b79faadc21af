"""Rules that choose RichHF-18k examples and make their labels. A rule is needed, because the records give no masks.

The paper drops examples with fewer than three annotators, and labels pixels that two of three marked. The records hold
neither number. A map's level is taken as the fraction of annotators who marked the pixel. Three annotators can only be
excluded: by a level or a score that three cannot produce.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from benchkit.errors import BenchkitError, UnknownNameError
from benchkit.readers.votes import compute_majority
from benchkit.specs.spec import Spec

#: Rule -> what it checks.
RULES: Mapping[str, tuple[str, ...]] = {
    "three-annotators": ("scores", "levels"),
    "by-scores": ("scores",),
    "by-levels": ("levels",),
    "all": (),
}
#: Numbers of examples that the paper keeps, by split.
PAPER = {"train": 7801, "test": 500}
#: A score is the mean of answers from 1 to 5, scaled to 0 ... 1, so one annotator's answer moves it by quarters.
ANSWER_STEPS = 4
#: Largest value of a rule's parameter.
LARGEST = 255


@dataclass(frozen=True)
class Rule:
    """A rule by name, and its numbers.

    annotators: number that an example must have. needed: how many of them must annotate a pixel. tolerance: largest
    distance of a level from one that `annotators` can produce (JPEG shifts levels). fraction: the largest fraction of
    the pixels above `tolerance` that may be further away. score_tolerance: largest distance of a score from a value
    that `annotators` can produce, in steps.
    """

    name: str = "three-annotators"
    annotators: int = 3
    needed: int = 2
    tolerance: float = 12.0
    fraction: float = 0.25
    score_tolerance: float = 0.05

    @classmethod
    def parse(cls, text: str) -> Rule:
        """Parse NAME or NAME:key=value,key=value; raise BenchkitError that names the fault."""
        spec = Spec.parse("rule", text)
        if spec.name not in RULES:
            raise UnknownNameError("rule", spec.name, RULES)
        types = {f.name: type(f.default) for f in fields(cls) if f.name != "name"}
        values: dict[str, int | float] = {}
        for key, value in spec.values.items():
            if key not in types:
                raise BenchkitError(f"rule '{spec.name}': {UnknownNameError('parameter', key, types)}")
            number = isinstance(value, int if types[key] is int else int | float) and not isinstance(value, bool)
            if not number or not 0 <= (value or 0) <= LARGEST:  # type: ignore[operator]
                kind = "a whole number" if types[key] is int else "a number"
                raise BenchkitError(f"`rule`: {key}={value}: give {kind} from 0 to {LARGEST}")
            values[key] = value  # type: ignore[assignment]
        rule = cls(spec.name, **values)  # type: ignore[arg-type]
        if not 1 <= rule.needed <= rule.annotators <= 255:
            raise BenchkitError(
                f"`rule`: needed={rule.needed} of annotators={rule.annotators}: give 1 <= needed <= annotators"
            )
        return rule

    def __str__(self) -> str:
        values = asdict(self)
        return f"{values.pop('name')}:" + ",".join(f"{key}={value}" for key, value in values.items())

    @property
    def threshold(self) -> int:
        """The lowest level, 0 ... 255, of an annotated pixel: 128 for two of three."""
        return int(np.argmax(self.label(np.arange(256, dtype=np.uint8))))

    def label(self, levels: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return the pixels that enough annotators annotated, bool. levels: any shape; rounded to vote counts."""
        votes = np.rint(levels.astype(np.float64) * self.annotators / 255).astype(np.int64)
        return compute_majority(votes, self.annotators, self.needed)

    def objection(self, scores: Mapping[str, float], maps: list[NDArray[np.uint8]]) -> str | None:
        """Return why the example cannot have so many annotators, or None."""
        checked = RULES[self.name]
        last = ANSWER_STEPS * self.annotators
        if "scores" in checked:
            for name, score in scores.items():
                steps = score * ANSWER_STEPS * self.annotators
                possible = np.isfinite(score) and -self.score_tolerance <= steps <= last + self.score_tolerance
                if not possible or abs(steps - round(steps)) > self.score_tolerance:
                    return f"{name} {score:.4f} is not a mean of {self.annotators} answers"
        if "levels" in checked:
            for levels in maps:
                off = self.off_levels(levels)
                if off > self.fraction:
                    return (
                        f"{100 * off:.0f} % of a map's annotated pixels have no level of {self.annotators} annotators"
                    )
        return None

    def off_levels(self, levels: NDArray[np.uint8]) -> float:
        """Return, of the pixels above `tolerance`, the fraction that is further than `tolerance` from every level.

        The levels are those that the number of annotators can produce.
        """
        annotated = levels[levels > self.tolerance].astype(np.float64)
        if not annotated.size:
            return 0.0
        step = 255 / self.annotators
        return float(np.mean(np.abs(annotated - np.rint(annotated / step) * step) > self.tolerance))


def beside_paper(rule: Rule, kept: Mapping[str, int], read: Mapping[str, int]) -> str:
    """Return one line with the number of examples that the rule keeps, and the paper's numbers."""
    counts = ", ".join(
        f"{kept.get(split, 0):,} of {read.get(split, 0):,} {split} (the paper: {number:,})"
        for split, number in PAPER.items()
    )
    if all(kept.get(split, 0) == number for split, number in PAPER.items()):
        return f"rule {rule} keeps {counts}: the paper's numbers"
    return f"rule {rule} keeps {counts}: other examples than the paper's, so results do not replicate the paper"
