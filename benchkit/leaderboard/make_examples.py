"""Make the examples of a submission from the cache of its run: corrupted images, and heat maps of trained detectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from benchkit.leaderboard.examples import PER_ROW, SmallExample, make_example, paint_scores
from benchkit.leaderboard.submission import hide_paths
from benchkit.outputs.finished_run import FinishedRun
from benchkit.planning.plan import PlannedCell
from benchkit.runs.run import collect_gallery
from benchkit.specs.spec import Spec


def make_examples(run: FinishedRun, progress: Callable[[str], None] = lambda _: None) -> list[SmallExample]:
    """Return examples of every row whose images and weights the cache still holds.

    The images are the first ones with a selected or annotated region, so nobody chooses them by what they show. Heat
    maps are those of each row's first seed.
    """
    found = []
    for cell, shown in collect_gallery(run.plan, run.env).items():
        if run.states[cell].state == "done":
            for one in shown[:PER_ROW]:
                caption = f"{hide_paths(str(one.id))}, {100 * one.mask.mean():.1f} % selected"
                found.append(make_example(cell, "corrupted", caption, one.before, one.after, one.mask))
    seen: set[tuple[str, Spec | None, Spec | None]] = set()
    for planned in run.plan.cells:
        row = run.plan.names[planned.key], planned.cell.detector, planned.cell.training.selector
        if row not in seen and run.is_done(planned):
            heat = list(_draw_heat_maps(run, planned))
            if heat:
                seen.add(row)
                progress(f"heat maps of {run.name(planned)}")
            found += heat
    return found


def _draw_heat_maps(run: FinishedRun, planned: PlannedCell) -> Iterator[SmallExample]:
    """Yield the first annotated test images with the detector's scores; none where the cache lacks what it needs."""
    train, evaluate = planned.train, planned.evaluate
    if train is None or evaluate is None:
        return
    test = evaluate.test[0]
    features = tuple(one for one in evaluate.features if one.images.key == test.key)
    if not all(run.env.store.has(stage.key) for stage in (train, test, *features)):
        return
    arrays, ids = run.env.arrays(test), run.env.meta(test)["ids"]
    annotated = np.flatnonzero(arrays["masks"].any(axis=(1, 2)))[:PER_ROW]
    if len(annotated):
        scores = train.scorer(run.env, features)(test)
        for i in annotated:
            image, caption = arrays["images"][i], hide_paths(str(ids[i]))
            yield make_example(planned.key, "heat", caption, image, paint_scores(image, scores[i]), arrays["masks"][i])
