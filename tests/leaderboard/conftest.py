"""A made-up run of five seeds as a submission, on twelve test images of 16 × 16 pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from benchkit.leaderboard.protocol import digest_protocol
from benchkit.leaderboard.season import Season, _commitment, reveal
from benchkit.leaderboard.season_score import Scored
from benchkit.leaderboard.submission import Submission, find_facts, normalise_rows, write_submission
from benchkit.leaderboard.submit import Declaration, reduce_records
from benchkit.metrics import Measured, by_kind
from benchkit.report.run_data import RunData
from benchkit.report.third_party import OWN
from tests.report.conftest import Maker

IMAGES, SEEDS = 12, range(5)
SELECTOR, DETECTOR = "learned:threshold=0.5", "upernet-swin:size=mini"
COMMON = {
    "test_set": f"portraits/test[{IMAGES}]",
    "test_images": IMAGES,
    "checkpoint_sha256": "c" * 64,
    "num_inference_steps": 50,
    "label": "image",
    "training": '{"iterations": 100}',
}


def grid_of(methods: Iterable[str], seeds: Iterable[int] = SEEDS) -> dict[str, Any]:
    return {
        "title": "Made up",
        "dataset": "portraits",
        "model": "portraits",
        "seeds": list(seeds),
        "detectors": ["upernet-swin"],
        "selectors": [SELECTOR],
        "baselines": ["human", "pseudo"],
        "corruptors": list(methods),
        "trivial": [],
        "num_inference_steps": 50,
        "labelled": 100,
    }


def make_data(methods: dict[str, float | None], seeds: Iterable[int] = SEEDS, images: int = IMAGES) -> RunData:
    """The rows human, pseudo and those of `methods`, name -> quality; None is a row that failed."""
    maker = Maker(images=images, grid=grid_of(methods, seeds))
    for seed in seeds:
        maker.cell("human", 0.45, seed=seed, uses="dataset portraits")
        maker.cell("pseudo", 0.5, seed=seed, selector=SELECTOR, uses="dataset portraits")
        for name, quality in methods.items():
            state = {} if quality is not None else {"state": "failed", "reason": "RuntimeError: out of luck"}
            maker.corrupted(name, quality, seed=seed, selector=SELECTOR, **state)
    for line in maker.lines:
        line |= {"detector": DETECTOR, **COMMON, "test_images": images}
        # That of `human` is the detector's own, that of the others is the selector's network's.
        line["selector_training"] = '{"iterations": 90}' if line["role"] == "human" else '{"iterations": 60}'
        if line["cell"] in maker.records:
            line |= by_kind(Measured.from_arrays(maker.records[line["cell"]]))
    bare = {name.partition(":")[0] for name in methods}
    names = [*(f"corruptor {name}" for name in sorted(bare)), "dataset portraits", "inverter odd"]
    data = maker.run()
    plugins = {name: {"origin": OWN, "version": "0.1.0", "source": "ab" * 32} for name in names}
    environment = {**data.environment, "plugins": plugins, "datasets": {"portraits": "d" * 64}}
    return RunData(data.run, data.grid, environment, data.rows, data.records)


def submit_data(data: RunData, name: str = "mine", **declared: Any) -> Submission:
    """The data as a submission, without keeping the rules."""
    rows = normalise_rows(data.rows)
    described = {"grid": data.grid, "environment": data.environment}
    described["protocol"] = digest_protocol(data.grid, data.environment, rows)
    declaration = Declaration(name, "https://example.org/paper", **declared)
    facts = declaration.checked(run=data.run, created="2025-01-01T00:00:00+00:00", **described)
    names = [f"portraits/test/{i}" for i in range(int(rows["test_images"].iloc[0]))]
    return reduce_records(facts, rows, lambda cell: (Measured.from_arrays(data.records[cell]), names))


def make_season(name: str = "spring", secret: str | None = "a secret of 16 letters") -> Season:
    """A season of 20 images, revealed if there is a secret."""
    found = (name, "portraits-fresh", "f" * 64, 0, 20)
    season = Season(*found, _commitment(*found, secret or "another secret"), "2026-01-01T00:00:00+00:00")
    return season if secret is None else reveal(season, secret)


def write_score(folder: Path, methods: dict[str, float | None], season: Season, **changes: Any) -> Path:
    """Score the submission in a folder, which has these methods, in a season: with other figures, on other images."""
    facts = find_facts(folder)
    data = make_data(methods, images=season.count)
    rows = data.rows.assign(test_set=f"season {season.name}")
    names = [f"fresh/{i}" for i in range(season.count)]
    own = RunData(data.run, data.grid, data.environment, rows, data.records)
    score = Scored(own, dict.fromkeys(data.records, names)).as_submission(facts.model_copy(update=changes), season)
    write_submission(score, folder / f"season-{season.name}", force=True)
    return folder / f"season-{season.name}"


@pytest.fixture(scope="session")
def full_data() -> RunData:
    return make_data({"renoise-masked:steps=10": 0.62, "blur:steps=20": 0.2, "gaussian:steps=10": None})


@pytest.fixture(scope="session")
def submission(full_data: RunData) -> Submission:
    return submit_data(full_data, contact="me at example.org", tuned_on="validation", seen="nothing")


@pytest.fixture(scope="session")
def written(submission: Submission, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the submission; to be copied where a test changes it."""
    folder = tmp_path_factory.mktemp("submissions") / submission.facts.name
    write_submission(submission, folder)
    return folder


@pytest.fixture(scope="session")
def make() -> Callable[..., Submission]:
    return lambda methods, name="mine", seeds=SEEDS: submit_data(make_data(methods, seeds), name)
