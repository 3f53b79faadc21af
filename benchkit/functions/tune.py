"""Search a corruptor's parameters on validation data, from Python and for `benchkit tune`."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchkit.errors import ArgumentTypeError, ArgumentValueError, describe_value, shortened
from benchkit.functions.arguments import check_flags, check_texts, check_whole
from benchkit.functions.grid_arguments import GridArguments, Plugins, Settings, list_settings, note, to_plain
from benchkit.functions.plugin_arguments import PluginLike, PluginSources, name_plugins
from benchkit.functions.progress import Progressing, shown
from benchkit.functions.session import Session, plan_and_check
from benchkit.specs.training_sets import SEEDS
from benchkit.system.fetching import forbid_downloads

if TYPE_CHECKING:
    import pandas as pd

    from benchkit.config.grid import Grid
    from benchkit.executors.batch import Executor
    from benchkit.functions.plugin_arguments import DatasetLike
    from benchkit.inference.models import ModelLike
    from benchkit.search.search_space import Space
    from benchkit.search.trials import Search
    from benchkit.search.tuning import Tuner
    from benchkit.specs.spec import Spec
    from benchkit.store.location import Location

#: What is searched: parameter -> (low, high), a list of choices, or text such as `0.1..2`; or texts `KEY=LOW..HIGH`.
SpaceLike = Mapping[str, Any] | Sequence[str] | None


@dataclass(frozen=True, eq=False, repr=False)
class Tuning:
    """The searches of one call, or with `dry_run` only what would be searched.

    base: the grid of the trials. spaces: corruptor -> what is searched. budget: of every corruptor. seed: of the
    sampler. searches: with all trials; empty for a dry run.

    Example:
        >>> import benchkit
        >>> benchkit.tune("gaussian", {"steps": (5, 20)}, trials=3, dry_run=True)
        <Tuning of gaussian: dry run>
    """

    base: Grid
    spaces: Mapping[Spec, Space]
    budget: Mapping[str, int | None]
    seed: int
    searches: tuple[Search, ...] = ()

    @property
    def best(self) -> Spec | None:
        """The Spec of the trial with the highest artifact IoU on validation data; None if there is none."""
        tried = [trial for search in self.searches if (trial := search.best) is not None]
        return max(tried, key=lambda trial: trial.value or 0.0).spec if tried else None

    @property
    def trials(self) -> pd.DataFrame:
        """One line for each trial: corruptor, parameters, state, artifact IoU in [0, 1], seconds."""
        import pandas as pd

        searches = self.as_json()["searches"]
        return pd.DataFrame([{"corruptor": one["corruptor"], **trial} for one in searches for trial in one["trials"]])

    def as_json(self) -> dict[str, Any]:
        """Return the searches as plain data; for a dry run with their spaces."""
        from benchkit.search.trials import as_json

        plain = as_json(self.searches, self.budget, self.base, self.seed)
        spaces = {str(spec): {key: str(part) for key, part in space.items()} for spec, space in self.spaces.items()}
        return plain if self.searches else {**plain, "spaces": spaces}

    def lines(self) -> list[str]:
        """Return budget, validation images, spaces and results, a line each."""
        budget = self.budget
        each, total = budget["training_iterations"], budget["total_training_iterations"]
        iterations = f" x {each} iterations" if each is not None else f", {total} iterations in total"
        assert self.base.validation is not None
        held = self.base.validation
        lines = [
            f"budget of each corruptor: {budget['trials']} trials x {budget['trainings_per_trial']} trainings"
            f"{iterations}, {budget['sources']} sources",
            f"scored on: split '{held.split}', {held.size} images; the test split is not read",
        ]
        for spec, space in self.spaces.items():
            lines.append(f"search space of {spec}: {', '.join(f'{key}={part}' for key, part in space.items())}")
        for search in self.searches:
            done = f"{len(search.trials)} trials, {search.resumed} of them from an earlier call"
            if search.best is None:
                lines.append(f"{search.corruptor}: {done}: all failed")
            else:
                value = 100 * (search.best.value or 0.0)
                best = f"best artifact IoU {value:.2f} % on validation data"
                lines.append(f"{search.corruptor}: {done}; {best}: {search.best.spec}")
        return lines

    def __repr__(self) -> str:
        names = ", ".join(spec.short for spec in self.spaces)
        done = sum(len(search.trials) for search in self.searches)
        return (
            f"<Tuning of {names}: {done} trials, best {self.best}>"
            if self.searches
            else f"<Tuning of {names}: dry run>"
        )

    def _repr_html_(self) -> str:
        """Return the lines for a notebook."""
        return f"<p>{'<br>'.join(map(html.escape, self.lines()))}</p>"


def tune(
    corruptor: PluginLike | Sequence[PluginLike],
    space: SpaceLike = None,
    *,
    grid: str | Path | Grid = "quick",
    trials: int = 20,
    sampler_seed: int = 0,
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
    device: str = "auto",
    executor: str | Executor = "inline",
    time_limit: float | None = None,
    plugins: PluginSources = (),
    strict: bool = False,
    dry_run: bool = False,
    retry_failed: bool = False,
    progress: Progressing = True,
) -> Tuning:
    """Search a corruptor's parameters on validation data. The test split is never read.

    corruptor: one, or several that are searched with the same budget each, in any form that `compare` takes.
    Parameters that are set here are not searched.
    space: parameter -> (low, high), or a list of choices; None searches every parameter that declares a range.
    grid: must have validation images.
    trials: number of trials of each corruptor; failed trials count.
    sampler_seed: of the sampler (TPE), which chooses the trials.
    out: keeps the trials; the same call resumes an interrupted search.
    dry_run: compute nothing, and return what would be searched.
    retry_failed: first repeat the trials in `out` that failed.
    The other arguments: see `compare`. Raises BenchkitError as `compare` does, and for a grid without validation
    images.

    Example:
        >>> import benchkit
        >>> benchkit.tune("gaussian", {"steps": (5, 20)}, trials=3, dry_run=True).lines()[-1]
        'search space of gaussian: steps=5..20'
    """
    from benchkit.search.tuning import STORAGE, budget
    from benchkit.system.output_files import check_folder

    check_flags(dry_run=dry_run, retry_failed=retry_failed)
    _check_settings(settings)
    arguments = GridArguments(dataset, model, seeds, selectors, None, detectors, inverters, settings, scale)
    where = (out, cache, None, device, executor, time_limit)
    with forbid_downloads(dry_run):
        session = Session.make(plugins, strict, *where, progress, model=model)
        tuner = _make_tuner(trials, sampler_seed, session.locations.out, retry_failed)
        base = session.settle_sampling(arguments.load(grid, session.registry), measure=not dry_run)
        several = [corruptor] if corruptor is None else corruptor
        texts = name_plugins(several, "corruptor", session.registry, "corruptor") or []
        folder = session.locations.out
        check_out = folder and partial(check_folder, folder, True, STORAGE, "the trials of a search")
        make = partial(_make_spaces, texts, list_spaces(space), base, session)
        spaces = plan_and_check(make, *session.checks(check_out or None))
        spent = budget(base, tuner.trials, session.registry)
        searches = () if dry_run else tuple(_search(spaces, base, session, tuner))
    return Tuning(base, spaces, spent, sampler_seed, searches)


def list_spaces(space: Any) -> list[str]:
    """Return a search space as texts `KEY=LOW..HIGH` or `KEY=A|B`; raise ArgumentTypeError for another form."""
    from benchkit.specs.grammar import print_value

    if space is None:
        return []
    if isinstance(space, str) or not isinstance(space, Mapping | Sequence):
        raise ArgumentTypeError(f"space: {describe_value(space)} is no dict: give one, such as {{'steps': (5, 20)}}")
    if not isinstance(space, Mapping):
        return check_texts("space", space, "steps=5..20")
    texts = []
    for key, part in space.items():
        if isinstance(part, str):
            text = part
        elif not isinstance(part, Sequence) or not part:
            raise ArgumentTypeError(
                f"space: {key} is {describe_value(part)}: give a range (low, high), or a list of one choice or more"
            )
        elif isinstance(part, tuple) and len(part) == 2:
            text = f"{to_plain(part[0])}..{to_plain(part[1])}"
        else:
            text = "|".join(print_value(to_plain(choice)) for choice in part)
        texts.append(f"{key}={text}")
    return texts


def _check_settings(settings: Settings | None) -> None:
    """Raise ArgumentValueError for a setting that every trial replaces."""
    from benchkit.search.tuning import REPLACED

    for text in list_settings(settings):
        if re.split(r"[.=]", text, maxsplit=1)[0].strip() in REPLACED:
            what = "a trial has one corruptor and validation images"
            raise ArgumentValueError(f"`settings` {shortened(text)}: not used here: {what}")


def _make_tuner(trials: int, seed: int, out: Path | None, retry_failed: bool) -> Tuner:
    from benchkit.search.tuning import Tuner

    trials, seed = check_whole("`trials`", trials, 1), check_whole("`sampler_seed`", seed, 0, SEEDS - 1)
    if retry_failed and out is None:
        raise ArgumentValueError("`retry_failed`: also give `out`, the folder of the failed trials")
    return Tuner(trials, seed, out, retry_failed)


def _make_spaces(texts: list[str], given: list[str], base: Grid, session: Session) -> dict[Spec, Space]:
    """Return the search space of each corruptor; find every fault before anything is computed or written."""
    from benchkit.planning.preflight.device_checks import check_precisions, check_sampling
    from benchkit.search.search_space import check_keys, corners, make_space, parse_space
    from benchkit.search.tuning import check_search, make_trial_plan
    from benchkit.specs.faults import Collector
    from benchkit.specs.spec import Spec

    registry = session.registry
    given_specs = [Spec.parse("corruptor", text) for text in texts]
    specs = list(dict.fromkeys(given_specs))
    for spec in specs:
        if given_specs.count(spec) > 1:
            note(f"corruptor '{spec}' is given twice: it is searched once")
    for spec in specs:
        registry.entry(spec.kind, spec.name)
    asked = parse_space(given)
    check_keys(asked, specs, registry)
    spaces: dict[Spec, Space] = {}
    faults = Collector()
    for spec in specs:
        with faults.collecting():
            spaces[spec] = make_space(spec, asked, registry, base.num_inference_steps)
    ends = [corner for spec, space in spaces.items() for corner in corners(spec, space)]
    with shown(session.progress) as screen, faults.collecting():
        check_search(base, ends, registry, screen.note)
    with faults.collecting():
        check_precisions([("", base)], registry, session.device)
    with faults.collecting():
        check_sampling([("", base)], registry, session.device)
    faults.check()
    for corner in ends:
        make_trial_plan(base, corner, registry)
    return spaces


def _search(spaces: Mapping[Spec, Space], base: Grid, session: Session, tuner: Tuner) -> list[Search]:
    """Search each corruptor and return the searches; write the trials to `out` as they end."""
    from benchkit.executors.choose import keep_workers
    from benchkit.runs.masked_resampling_check import check_masked_parity
    from benchkit.runs.precision_check import check_parity
    from benchkit.search.search_space import corners
    from benchkit.search.trials import as_json, write_trials
    from benchkit.search.tuning import Scorer, budget, describe_search, make_trial_plan
    from benchkit.stages.base import Env
    from benchkit.system.output_files import check_writable

    how, registry, out = session.run_options(), session.registry, session.locations.out
    how.executor.check()
    store = session.locations.artifacts()
    if out is not None:
        check_writable(out)
    searches: list[Search] = []
    with ExitStack() as stack:
        screen = stack.enter_context(shown(session.progress))
        tuner.report = screen.note
        screen.start(tuner.trials * len(spaces))
        env = Env(registry, store, how.device, screen.note, how.loaded)
        for spec, space in spaces.items():
            largest = make_trial_plan(base, corners(spec, space)[-1], registry)
            check_parity(largest, env)
            check_masked_parity(largest, env)
        scorer = Scorer(base, registry, env, stack.enter_context(keep_workers(how.executor, env)))
        for spec, space in spaces.items():  # open every study before the first search, which may take hours
            tuner.study(spec, space, describe_search(base, spec, registry))
        for spec, space in spaces.items():

            def scored(tried: Spec) -> float:
                try:
                    return scorer(tried)
                finally:
                    screen.advance()

            searches.append(tuner.search(spec, space, scored, describe_search(base, spec, registry)))
            if out is not None:
                spent = budget(base, tuner.trials, registry)
                write_trials(searches, as_json(searches, spent, base, tuner.seed), out)
    return searches
