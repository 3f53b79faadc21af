"""Re-run cells of a submission in a fresh cache, and compare what they give with what was submitted.

On the same kind of processor with the same number of threads, a cell gives the same bits. Elsewhere sums are rounded in
another order, training amplifies this, and the figures move a little: TOLERANCE says how far they may.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchkit.config.grid import Grid
from benchkit.errors import BenchkitError
from benchkit.executors.batch import Executor, StageResult
from benchkit.leaderboard.check import check_folder
from benchkit.leaderboard.rerun import CannotRun, Row, choose_cells, plan_cell, redirect_datasets
from benchkit.leaderboard.submission import Submission, digest_submission, hide_paths
from benchkit.leaderboard.terms import ScoredImages, Terms
from benchkit.leaderboard.verified import CellOutcome, Verified
from benchkit.metrics import COMPANION, PRIMARY, Measured
from benchkit.planning.dry_run import Preview, preview
from benchkit.planning.plan import Plan, PlannedCell
from benchkit.plugin.registry import Registry
from benchkit.report.format_values import known
from benchkit.runs.cell_recorder import read_row
from benchkit.runs.provenance import count_threads, get_package_versions, read_git_revision, read_processor_name
from benchkit.runs.run import find_model
from benchkit.specs.spec import Spec
from benchkit.stages.base import Env
from benchkit.store.columns import ROW_COLUMNS
from benchkit.store.opening import open_store

#: Figures are equal up to this.
EXACT = 1e-9
#: The largest accepted differences. points: of artifact IoU and average precision, in per cent, where the trunk is
#: frozen; whole_points: where the network is trained whole, which amplifies rounding more. pixels: the fraction of the
#: predicted pixels that differ. other: of every other figure, relative to it, beside the points.
#: Measured with one thread and with two, in six rows of a frozen detector: 0.001 points, and a fraction of 0.00003 of
#: the pixels. Other processors and networks trained whole have not been measured.
TOLERANCE = {"points": 0.1, "whole_points": 0.5, "pixels": 0.1, "other": 0.1}


@dataclass
class Rerun:
    """The chosen cells of a submission, planned again. impossible: cell -> why it cannot run here."""

    submission: Submission
    digest: str
    salt: str
    chosen: Sequence[Row]
    planned: dict[str, PlannedCell] = field(default_factory=dict)
    grids: dict[str, Grid] = field(default_factory=dict)
    impossible: dict[str, str] = field(default_factory=dict)

    @property
    def plan(self) -> Plan:
        """The stages that the cells need, each once."""
        return Plan(tuple(self.planned.values()))


def plan_rerun(
    folder: Path,
    registry: Registry,
    number: int,
    salt: str = "",
    model: str | None = None,
    datasets: Sequence[Spec] = (),
) -> Rerun:
    """Choose cells of a submission and plan them; raise BenchkitError if `check` finds a fault in it.

    model: where the checkpoint lies here, if not where the grid says. datasets: see `redirect_datasets`.
    """
    shipped = {f"{one.kind} {one.name}": one.source_hash for one in registry.entries() if one.is_built_in}
    submission, digest = check_folder(folder, shipped).submission, digest_submission(folder)
    rerun = Rerun(submission, digest, salt, choose_cells(submission, digest, number, salt))
    if not rerun.chosen:
        raise BenchkitError(f"{submission.where}: no row is finished, so there is nothing to run again")
    here = redirect_datasets(submission, datasets)
    for row in rerun.chosen:
        try:
            rerun.grids[row["cell"]], rerun.planned[row["cell"]] = plan_cell(here, row, registry, model)
        except CannotRun as reason:
            rerun.impossible[row["cell"]] = str(reason)
    return rerun


def preview_rerun(rerun: Rerun, registry: Registry) -> Preview | None:
    """Return what the cells would cost in a fresh cache; None if none of them can run."""
    if not rerun.planned:
        return None
    with tempfile.TemporaryDirectory() as empty:
        grid = next(iter(rerun.grids.values()))
        return preview(rerun.plan, registry, find_model(grid), open_store(Path(empty) / "none", create=False))


def verify(
    rerun: Rerun, registry: Registry, executor: Executor, device: str, progress: Callable[[str], None], cache: Path
) -> Verified:
    """Run the chosen cells in `cache`, which is empty, and compare them with the submission."""
    env = Env(registry, open_store(cache), device, progress)
    results: dict[str, StageResult] = {}
    executor.execute(rerun.plan.stages, env, lambda result: results.__setitem__(result.stage.key, result))
    outcomes = [_outcome(rerun, row, env, results) for row in rerun.chosen]
    git = read_git_revision() or {}
    version = get_package_versions()["artifact-benchkit"]
    return Verified(
        submission=rerun.digest,
        tool=f"artifact-benchkit {version}, commit {str(git.get('commit'))[:12]}{' changed' * bool(git.get('dirty'))}",
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        salt=rerun.salt,
        machine={"processor": read_processor_name(), "device": device, "threads": count_threads()},
        tolerance=TOLERANCE,
        cells=tuple(outcomes),
    )


def _outcome(rerun: Rerun, row: Row, env: Env, results: Mapping[str, StageResult]) -> CellOutcome:
    base = CellOutcome(
        row["cell"], row["training_set"], row["detector"] if known(row["detector"]) else None, row["seed"], "cannot run"
    )
    planned = rerun.planned.get(row["cell"])
    if planned is None:
        return replace(base, reason=rerun.impossible[row["cell"]])
    for stage in planned.stages:
        if (result := results.get(stage.key)) is None or result.state in ("failed", "skipped"):
            return replace(base, reason=(result.reason if result else None) or f"{stage.describe()} did not end")
    figures, counts, record = read_row(planned, env)
    stages = Plan((planned,)).stages
    seconds = sum(results[stage.key].seconds for stage in stages if stage.key in results)
    measured, names = Measured.from_arrays(record), [hide_paths(str(name)) for name in counts["image"]]
    whole = planned.train is not None and not planned.train.features
    # A group of score bins begins at the threshold of the validation images, as in the submission.
    terms, images = Terms.of(measured, figures["threshold"]), ScoredImages.of(measured, names)
    outcome = compare_cell(rerun.submission, row, figures, terms, images, whole=whole)
    return replace(outcome, seconds=round(seconds, 1))


def compare_cell(
    submission: Submission,
    row: Row,
    figures: Mapping[str, Any],
    terms: Terms,
    images: ScoredImages,
    *,
    whole: bool = False,
) -> CellOutcome:
    """Compare a row of a submission with what re-running it gave: figures, terms and test images.

    whole: whether its network is trained whole.
    """
    cell, own = row["cell"], submission.images[row["test_set"]]
    base = CellOutcome(
        cell, row["training_set"], row["detector"] if known(row["detector"]) else None, row["seed"], "differs"
    )
    if images.digest != own.digest:
        return replace(base, reason="its test images, or their annotations, are others")
    reported = submission.terms[cell]
    if len(reported.groups) < len(reported.edges):  # its row states what its groups of bins give
        figures = {**figures, **{name: v for name, v in terms.figures_from_groups().items() if name in figures}}
    differing = {
        name: (_number(row.get(name)), _number(value))
        for name, value in figures.items()
        if name not in ROW_COLUMNS and _is_number(value) and not _equal(_number(row.get(name)), _number(value))
    }
    # The intervals and ranks of average precision follow from its values without each image.
    errors = _jackknife_error(reported), _jackknife_error(terms)
    if not _equal(*errors):
        differing["standard_error_of_average_precision"] = errors
    changed = np.abs(reported.tp - terms.tp) + np.abs(reported.fp - terms.fp)
    predicted = max(1, int(reported.tp.sum() + reported.fp.sum()), int(terms.tp.sum() + terms.fp.sum()))
    base = replace(base, figures=differing, pixels=float(changed.sum()) / predicted)
    if not differing and not base.pixels:
        return replace(base, state="verified", exact=True)
    excess = _find_excess(base, TOLERANCE["whole_points" if whole else "points"] / 100)
    return replace(base, state="differs" if excess else "verified", reason=_describe_difference(base, excess))


def _find_excess(outcome: CellOutcome, least: float) -> str | None:
    """Return the first figure that differs by more than the tolerance, ranked ones first; `pixels` for the counts."""
    for name in sorted(outcome.figures, key=lambda name: name not in (PRIMARY, COMPANION)):
        reported, right = outcome.figures[name]
        if reported is None or right is None:
            return name
        limit = least + (0 if name in (PRIMARY, COMPANION) else TOLERANCE["other"] * abs(right))
        if abs(reported - right) > limit:
            return name
    return "pixels" if (outcome.pixels or 0) > TOLERANCE["pixels"] else None


def _describe_difference(outcome: CellOutcome, excess: str | None) -> str:
    """Return in one line what differs: the ranked figures and the one beyond the tolerance, else the first one."""
    names = [name for name in dict.fromkeys((PRIMARY, COMPANION, excess or "")) if name in outcome.figures]
    names = names or list(outcome.figures)[:1]
    parts = []
    for name in names:
        reported, right = outcome.figures[name]
        shown = [
            "unknown" if value is None else f"{100 * value:.3f} %" if name in (PRIMARY, COMPANION) else f"{value:.6g}"
            for value in (reported, right)
        ]
        parts.append(f"{name.replace('_', ' ')} {shown[0]} reported, {shown[1]} here")
    if outcome.pixels:
        parts.append(f"{100 * outcome.pixels:.2g} % of the predicted pixels differ")
    return "; ".join(parts)


def _jackknife_error(terms: Terms) -> float | None:
    """Return the standard error of average precision over the images; None where it is undefined."""
    number = len(terms.without)
    error = float(np.sqrt((number - 1) / number * ((terms.without - terms.without.mean()) ** 2).sum()))
    return error if math.isfinite(error) else None


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float | np.number) and not isinstance(value, bool))


def _number(value: Any) -> float | None:
    return float(value) if known(value) and _is_number(value) else None


def _equal(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=EXACT, abs_tol=EXACT)
