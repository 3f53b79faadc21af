"""The search: it finds a known optimum, resumes without repeating, outlives failures, and never sees the test split."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from benchkit.api import Sample
from benchkit.config.grid import Grid, parse_grid
from benchkit.errors import BenchkitError
from benchkit.plugin.registry import Registry
from benchkit.search.search_space import Choices, Range
from benchkit.search.trials import as_json, write_trials
from benchkit.search.tuning import CannotExecute, Scorer, Tuner, budget, check_search, make_trial_plan
from benchkit.specs.faults import FaultsError
from benchkit.specs.spec import Spec
from benchkit.stages.base import Env
from benchkit.stages.images import Images, Latents
from benchkit.store.artifacts import ArtifactStore
from tests.helpers.small_comparison import GRID as SMALL
from tests.helpers.small_comparison import PLUGINS

FAKE = Spec.of("corruptor", "fake", fixed=1)
SPACE = {"steps": Range(1, 50, whole=True), "fraction": Range(0.0, 1.0), "way": Choices(("a", "b", "c"))}


def score(spec: Spec) -> float:
    """Best, 1, at steps=17, fraction=0.3, way=b."""
    at = spec.values
    return 1 - ((at["steps"] - 17) / 50) ** 2 - (at["fraction"] - 0.3) ** 2 - 0.5 * (at["way"] != "b")


def counted(objective, calls: list[Spec]):
    def call(spec: Spec) -> float:
        calls.append(spec)
        return objective(spec)

    return call


def test_it_finds_the_optimum_of_a_known_objective() -> None:
    found = Tuner(60).search(FAKE, SPACE, score, {})
    assert len(found.trials) == 60
    best = found.best
    assert best is not None
    assert best.value == score(best.spec) == max(trial.value for trial in found.trials)
    assert best.spec.values["way"] == "b"
    assert best.value > 0.98
    assert best.spec.values["fixed"] == 1


def test_the_sampler_is_seeded() -> None:
    def specs(seed: int) -> list[Spec]:
        return [trial.spec for trial in Tuner(12, seed).search(FAKE, SPACE, score, {}).trials]

    assert specs(0) == specs(0) != specs(1)


def test_it_resumes_without_repeating_and_ends_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    calls: list[Spec] = []

    def interrupted(spec: Spec) -> float:
        if len(calls) == 8:
            raise KeyboardInterrupt
        return score(spec)

    with pytest.raises(KeyboardInterrupt):
        Tuner(15, 0, tmp_path).search(FAKE, SPACE, counted(interrupted, calls), {})
    cut = calls.pop()
    resumed = Tuner(15, 0, tmp_path).search(FAKE, SPACE, counted(score, calls), {})
    assert resumed.resumed == 7
    assert len(calls) == 15
    assert calls[7] == cut
    assert [trial.spec for trial in resumed.trials] == calls
    assert calls == [trial.spec for trial in Tuner(15).search(FAKE, SPACE, score, {}).trials]
    again = Tuner(15, 0, tmp_path).search(FAKE, SPACE, counted(score, calls), {})
    assert (len(calls), again.resumed, again.best) == (15, 15, resumed.best)


def test_another_search_does_not_mix_with_the_one_that_is_kept(tmp_path: Path) -> None:
    Tuner(2, 0, tmp_path).search(FAKE, SPACE, score, {"grid": 1})
    for tuner, config in ((Tuner(2, 0, tmp_path), {"grid": 2}), (Tuner(2, 1, tmp_path), {"grid": 1})):
        with pytest.raises(BenchkitError, match="holds another search"):
            tuner.search(FAKE, SPACE, score, config)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "trials.sqlite").write_text("no database")
    with pytest.raises(BenchkitError, match="name another folder"):
        Tuner(2, 0, tmp_path / "other").search(FAKE, SPACE, score, {})


def test_a_failing_trial_is_recorded_and_the_search_goes_on(tmp_path: Path) -> None:
    def brittle(spec: Spec) -> float:
        if spec.values["way"] == "c":
            raise ValueError("no way c")
        return math.nan if spec.values["way"] == "a" else score(spec)

    calls: list[Spec] = []
    found = Tuner(20, 0, tmp_path).search(FAKE, SPACE, counted(brittle, calls), {})
    assert len(found.trials) == len(calls) == 20
    reasons = {trial.spec.values["way"]: trial.reason for trial in found.trials}
    assert reasons == {"a": "the figure is not a finite number", "b": None, "c": "ValueError: no way c"}
    assert found.best is not None
    # A failed trial is finished too: it spent its fraction of the budget.
    Tuner(20, 0, tmp_path).search(FAKE, SPACE, counted(brittle, calls), {})
    assert len(calls) == 20
    nothing = Tuner(3).search(FAKE, {"way": Choices(("a", "c"))}, brittle, {})
    assert nothing.best is None


def test_retried_trials_stand_in_their_places(tmp_path: Path) -> None:
    calls: list[Spec] = []

    def failing(how: BaseException | None):
        def objective(spec: Spec) -> float:
            if how is not None and spec.values["way"] == "c":
                raise how
            return score(spec)

        return counted(objective, calls)

    def search(how: BaseException | None, retry: bool) -> list[tuple[Spec, str | None]]:
        calls.clear()
        found = Tuner(12, 0, tmp_path, retry_failed=retry).search(FAKE, SPACE, failing(how), {})
        return [(trial.spec, trial.reason) for trial in found.trials]

    first = search(ValueError("no way c"), False)
    failed = [spec for spec, reason in first if reason is not None]
    assert failed
    again = search(ValueError("still no way c"), True)
    assert calls == failed
    assert again == [(spec, reason and "ValueError: still no way c") for spec, reason in first]
    with pytest.raises(KeyboardInterrupt):
        search(KeyboardInterrupt(), True)
    with pytest.raises(CannotExecute):
        search(CannotExecute("no process starts"), True)
    assert search(None, False) == again and calls == []
    assert search(None, True) == [(spec, None) for spec, _ in first]
    assert calls == failed
    assert search(None, True) and calls == []


GRID = (
    SMALL.replace("baselines: [human, pseudo]\ntrivial: [all-negative]", "baselines: [human, pseudo, oracle]")
    .replace("selectors:", "validation: {{split: wild, size: 3}}\noracle: {{split: wild, size: 2}}\nselectors:")
    .replace(', "gaussian:steps=1"', "")
    .replace("seeds: [0]\n", "")
)


@pytest.fixture
def small(tiny_checkpoint: Path) -> Grid:
    return parse_grid(GRID.format(model=tiny_checkpoint), "small")


@pytest.fixture
def registry() -> Registry:
    return Registry.load(files=[PLUGINS])


def test_no_test_image_is_planned_or_read(
    small: Grid, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = registry.entry("dataset", "shapes").cls
    splits: list[str] = []
    read = dataset.read

    def watched(self, split, indices):
        splits.append(split)
        return read(self, split, indices)

    monkeypatch.setattr(dataset, "read", watched)
    plan = make_trial_plan(small, Spec.parse("corruptor", "gaussian:steps=3"), registry)
    planned = {s.source.split for s in plan.stages if isinstance(s, Images | Latents)}
    assert planned == {"clean", "wild"}
    scorer = Scorer(small, registry, Env(registry, ArtifactStore(tmp_path / "cache")))
    found = Tuner(3).search(Spec.of("corruptor", "gaussian"), {"steps": Range(1, 4, whole=True)}, scorer, {})
    assert all(trial.value is not None for trial in found.trials)
    assert set(splits) == {"clean", "wild"}


def test_splits_that_are_the_test_split_are_refused(small: Grid, registry: Registry) -> None:
    spec = Spec.parse("corruptor", "gaussian:steps=3")
    for changes, expected in (
        ({"validation": None}, "needs validation data"),
        ({"validation": {"split": "test", "size": 2}}, "validation.split is 'test', the test split"),
        ({"source": {"split": "test", "size": 2}}, "source.split is 'test', the test split"),
        ({"test": {"split": "pool", "size": 2}, "selectors": ["learned"]}, "reads the test split 'pool'"),
    ):
        with pytest.raises(BenchkitError, match=expected):
            make_trial_plan(small.replaced(**changes), spec, registry)


def test_all_faults_of_a_search_are_known_before_its_first_trial(
    small: Grid, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = [Spec.parse("corruptor", text) for text in ("gaussian:steps=3", "gaussian:steps=99")]
    short = small.replaced(validation={"split": "wild", "size": 99}, test={"split": "nowhere", "size": 1})
    with pytest.raises(FaultsError) as raised:
        check_search(short, ends, registry, lambda _: None)
    validation, depth = raised.value.faults
    assert "split 'wild' of dataset 'shapes' has 4 images, 99 were asked for" in validation.message
    assert "steps=99': steps must lie in" in depth.message
    monkeypatch.setattr(registry.entry("dataset", "shapes").cls, "_sample", unmarked)
    with pytest.raises(FaultsError) as raised:
        check_search(small, ends[:1], registry, lambda _: None)
    (fault,) = raised.value.faults
    assert "none of the" in fault.message and not fault.settings, "without validation images there is no search"


def test_what_the_datasets_remark_on_is_told_before_a_search(
    small: Grid, registry: Registry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shapes = registry.entry("dataset", "shapes").cls
    monkeypatch.setattr(shapes, "remarks", lambda self, splits: ["two splits are one"])
    check_search(small, [Spec.parse("corruptor", "gaussian:steps=3")], registry, lambda _: None)
    reported = [record.getMessage() for record in caplog.records if getattr(record, "tell", None) == "note"]
    assert "dataset 'shapes': two splits are one" in reported


def unmarked(self, split: str, index: int) -> Sample:
    return Sample(f"{split}-{index}", np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32), bool))


def test_the_budget_is_recorded_and_the_same_for_every_method(small: Grid, registry: Registry, tmp_path: Path) -> None:
    spent = budget(small.replaced(seeds=[0, 1], training={"iterations": 7}), 5, registry)
    assert spent == {
        "trials": 5,
        "trainings_per_trial": 2,
        "training_iterations": 7,
        "sources": 4,
        "total_training_iterations": 70,
    }
    searches = [Tuner(5).search(Spec.of("corruptor", name), SPACE, score, {}) for name in ("one", "two")]
    plain = as_json(searches, spent, small, 0)
    write_trials(searches, plain, tmp_path)
    kept = json.loads((tmp_path / "trials.json").read_text())
    assert kept == plain
    assert kept["budget"] == spent
    assert [len(search["trials"]) for search in kept["searches"]] == [5, 5]
    assert len((tmp_path / "trials.csv").read_text().splitlines()) == 1 + 10
