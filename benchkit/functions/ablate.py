"""Vary settings of a comparison, from Python and for `benchkit ablate`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from benchkit.errors import ArgumentTypeError, describe_value
from benchkit.functions.arguments import check_flags, check_texts
from benchkit.functions.compare import RunArguments
from benchkit.functions.grid_arguments import GridArguments, Plugins, Settings, to_plain
from benchkit.functions.plugin_arguments import PluginSources, name_plugin
from benchkit.functions.progress import Progressing, run_with_progress, shown
from benchkit.functions.session import Session, plan_and_check
from benchkit.inference.models import check_schedule, name_model
from benchkit.system.fetching import forbid_downloads

if TYPE_CHECKING:
    from benchkit.config.grid import Grid
    from benchkit.executors.batch import Executor
    from benchkit.functions.comparison import Comparison
    from benchkit.functions.dry_run import DryRun
    from benchkit.functions.plugin_arguments import DatasetLike
    from benchkit.inference.models import ModelLike
    from benchkit.plugin.registry import Registry
    from benchkit.search.ablation import Ablation
    from benchkit.search.variants import Axis
    from benchkit.store.location import Location

#: What is varied: axis -> its values, or texts `AXIS=VALUE,VALUE`.
Vary = Mapping[str, Sequence[Any]] | Sequence[str]


@overload
def ablate(
    grid: str | Path | Grid,
    vary: Vary,
    *,
    crossed: bool = ...,
    dry_run: Literal[True],
    **arguments: Unpack[RunArguments],
) -> DryRun: ...


@overload
def ablate(
    grid: str | Path | Grid,
    vary: Vary,
    *,
    crossed: bool = ...,
    dry_run: Literal[False] = ...,
    **arguments: Unpack[RunArguments],
) -> Comparison: ...


@overload
def ablate(
    grid: str | Path | Grid, vary: Vary, *, crossed: bool = ..., dry_run: bool, **arguments: Unpack[RunArguments]
) -> Comparison | DryRun: ...


def ablate(
    grid: str | Path | Grid,
    vary: Vary,
    *,
    crossed: bool = False,
    corruptors: Plugins = None,
    selectors: Plugins = None,
    detectors: Plugins = None,
    inverters: Plugins = None,
    dataset: DatasetLike | None = None,
    model: ModelLike | None = None,
    seeds: Iterable[int] | None = None,
    settings: Settings | None = None,
    scale: float | None = None,
    out: str | Path | None = None,
    cache: str | Path | Location | None = None,
    store: str | None = None,
    device: str = "auto",
    executor: str | Executor = "inline",
    time_limit: float | None = None,
    plugins: PluginSources = (),
    strict: bool = False,
    dry_run: bool = False,
    force: bool = False,
    retry_failed: bool = False,
    progress: Progressing = True,
) -> Comparison | DryRun:
    """Vary one setting of a comparison at a time, and compare each value with the base.

    All variants are computed in one plan, so what several of them need is computed once.

    vary: axis -> values, such as `{"corruptor.steps": [5, 10]}`, or texts `corruptor.steps=5,10`. An axis is
    corruptor, selector, inverter or detector (its values are plugins in any form that `compare` takes),
    KIND.PARAMETER, or a setting of the grid such as `source.size`.
    crossed: run all combinations of the values, not one axis at a time.
    The other arguments: see `compare`. The comparison's `ablation` has the differences to the base, and
    `plot_ablation` draws them. Raises BenchkitError as `compare` does, and for an axis that changes no row.

    Example:
        >>> import benchkit
        >>> benchkit.ablate("quick", {"corruptor.steps": [5, 10]}, corruptors="gaussian", dry_run=True)
        <DryRun of 'Ablation: Quick tour of the paper's methods': ... cells, ... stages to run, ... cached>
    """
    check_flags(crossed=crossed, dry_run=dry_run)
    arguments = GridArguments(dataset, model, seeds, selectors, corruptors, detectors, inverters, settings, scale)
    where = (out, cache, store, device, executor, time_limit)
    with forbid_downloads(dry_run):
        session = Session.make(plugins, strict, *where, progress, retry_failed, force, model)
        base = session.settle_sampling(arguments.load(grid, session.registry), measure=not dry_run)
        axes = partial(_list_axes, vary, base, session.registry)
        if dry_run:
            return _dry_run(partial(_plan, base, axes, crossed, session), session)
        return _run(partial(_plan, base, axes, crossed, session), session)


def _list_axes(vary: Any, base: Grid, registry: Registry) -> list[Axis]:
    """Return the axes of the argument `vary`; classes among their values are added to the registry."""
    from benchkit.search.variants import Axis

    if isinstance(vary, str) or not isinstance(vary, Mapping | Sequence):
        raise ArgumentTypeError(
            f"vary: {describe_value(vary)} is no dict: give one, such as {{'corruptor.steps': [5, 10]}}"
        )
    if not isinstance(vary, Mapping):
        return [Axis.parse(text) for text in check_texts("vary", vary, "corruptor.steps=5,10")]
    return [
        Axis.parse(f"{name}={','.join(_list_values(name, values, base, registry))}") for name, values in vary.items()
    ]


def _list_values(axis: str, values: Any, base: Grid, registry: Registry) -> list[str]:
    from benchkit.search.variants import FIELDS
    from benchkit.specs.grammar import print_value, split

    if isinstance(values, str) or not isinstance(values, Sequence):
        raise ArgumentTypeError(f"vary: {axis} is {describe_value(values)}, no list: give its values, such as [5, 10]")
    if axis in FIELDS:
        texts = [name_plugin(value, axis, registry, "vary") for value in values]
    elif axis == "model":
        for value in values:
            check_schedule(value, base.num_inference_steps)
        texts = [name_model(value) for value in values]
    else:
        texts = [print_value(to_plain(value)) for value in values]
    return [f"({text})" if len(split(text, ",")) > 1 else text for text in texts]


def _plan(base: Grid, axes: Any, crossed: bool, session: Session) -> Ablation:
    """Return the base with its variants, after all checks."""
    from benchkit.runs.run import check_pending
    from benchkit.search.ablation import make_ablation

    ablation = make_ablation(base, axes(), session.registry, crossed)
    with shown(session.progress) as screen:
        check_pending(ablation.grids, ablation.plan, session.registry, session.locations, screen.note, session.device)
    return ablation


def _dry_run(plan: Any, session: Session) -> DryRun:
    from benchkit.functions.dry_run import make_dry_run, preview_plan
    from benchkit.runs.run import check_out

    ablation: Ablation = plan_and_check(plan, *session.checks(session.check_writable))
    check_out(session.locations, ablation.config, session.force)
    preview = preview_plan(ablation.plan, ablation.base, session)
    return make_dry_run(str(ablation.config["title"]), ablation.base, ablation.plan, session.registry, preview)


def _run(plan: Any, session: Session) -> Comparison:
    from benchkit.functions.comparison import Comparison
    from benchkit.search.ablation import run_ablation

    how = session.check_then_make(session.check_writable, plan)
    work = partial(run_ablation, plan(), session.registry, session.locations)
    ended = run_with_progress(work, session.locations, how, session.progress)
    outcome = replace(ended.outcome, skipped_plugins=session.list_skipped())
    made = Comparison(outcome, session.locations, session.registry)
    vars(made)["ablation"] = ended.board  # a cached property, which is known already
    return made
