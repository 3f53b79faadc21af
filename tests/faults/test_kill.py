"""Kill -9 at any moment, then the same command: nothing finished runs again, and the rows are the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchkit.store.artifacts import ArtifactStore
from tests.helpers.cache_contents import artifacts, rows
from tests.helpers.small_comparison import PLUGINS

ROOT = Path(__file__).parents[2]
FROZEN_PLUGINS = PLUGINS.parent / "frozen_plugins.py"


@dataclass(frozen=True)
class ForkResults:
    """What forks.py did: its folder, and its results for the training, the features stage and the comparison."""

    folder: Path
    training: dict[str, Any]
    features: dict[str, Any]
    comparison: dict[str, Any]


def killed_in(folder: Path, kills: int, seed: int, grid: Path) -> ForkResults:
    """Let forks.py do its work."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    frozen = folder / "frozen.yaml"
    frozen.write_text(grid.read_text().replace("[dot]", "[pyramid]").replace("title: A", "title: A frozen, a"))
    arguments = (folder, kills, seed, grid, PLUGINS, frozen, FROZEN_PLUGINS)
    command = [sys.executable, "-m", "tests.faults.forks", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return ForkResults(folder, **json.loads((folder / "results.json").read_text()))


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory, grid: Path) -> ForkResults:
    """Three kills."""
    return killed_in(tmp_path_factory.mktemp("three"), 3, 5, grid)


def check(results: ForkResults, kills: int) -> None:
    found, folder = results.comparison, results.folder
    attempts = found["attempts"]
    assert sum(attempt["killed"] for attempt in attempts) == kills
    for attempt in attempts:
        again = set(attempt["before"]) & set(attempt["computed"])
        assert not again, "a finished stage was run again"
        assert len(set(attempt["computed"])) == len(attempt["computed"])
    expected, files = rows(folder / "whole" / "cache"), artifacts(folder / "whole" / "cache")
    assert len(files) > 40
    ended = {attempt["series"] for attempt in attempts if not attempt["killed"]}
    for series in ended:
        cache = folder / f"series-{series}" / "cache"
        assert rows(cache) == expected
        assert artifacts(cache) == files
    resumed = sum(bool(attempt["before"] and attempt["computed"]) for attempt in attempts)
    assert resumed >= kills // 5, "the kills came where there was nothing to go on with"
    print(
        f"{kills} kills in {len(ended)} comparisons of {found['whole_seconds']:.1f} s, {resumed} times gone on part-way"
    )


def test_killed_at_three_moments(three: ForkResults) -> None:
    check(three, 3)


@pytest.mark.slow
def test_killed_at_fifty_moments(tmp_path: Path, grid: Path) -> None:
    check(killed_in(tmp_path, 50, 6, grid), 50)


@dataclass(frozen=True)
class NoisePairs:
    """Training pairs out of nothing."""

    count: int = 6

    def load(self, env: Any) -> Any:
        from benchkit.stages.pairs import Pairs

        rng = np.random.default_rng(0)
        return Pairs(rng.integers(0, 256, (self.count, 16, 16, 3), np.uint8), rng.random((self.count, 16, 16)) > 0.5)


def training_stage(cache: Path, plugins: str, stop: int | None) -> Callable[[], int]:
    """Train for eight iterations in `cache`, a checkpoint every second one; killed after iteration `stop`."""

    def work() -> int:
        from benchkit.executors.inline import Inline
        from benchkit.plugin.registry import Registry
        from benchkit.specs.spec import Spec
        from benchkit.specs.training_config import TrainingConfig
        from benchkit.stages.base import Env
        from benchkit.stages.train import Train

        (cache / "iterations").unlink(missing_ok=True)

        def note(text: str) -> None:
            done, slash, _ = text.rpartition(" ")[2].partition("/")
            if slash:
                with (cache / "iterations").open("a") as file:
                    file.write(f"{done}\n")
                if stop == int(done):
                    os.kill(os.getpid(), signal.SIGKILL)

        config = TrainingConfig(iterations=8, batch=2, lr=0.01, checkpoint_every=2)
        stage = Train(NoisePairs(), Spec.parse("detector", "dot"), "1", config, 0)  # type: ignore[arg-type]
        states: list[str] = []
        env = Env(Registry.load(files=[Path(plugins)]), ArtifactStore(cache), "cpu", note)
        Inline().execute([stage], env, lambda done: states.append(done.state))
        return 0 if states == ["run"] else 1

    return work


def test_a_killed_training_goes_on_to_the_same_weights(three: ForkResults) -> None:
    seen, folder = three.training, three.folder / "training"
    assert seen["whole"]["iterations"] == list("12345678")
    assert seen["killed"] == {"killed": True, "iterations": list("12345"), "scratch": ["checkpoint.safetensors"]}
    assert seen["resumed"]["iterations"] == list("5678"), "from the checkpoint after the fourth"
    assert artifacts(folder / "killed") == artifacts(folder / "whole")
    assert not list((folder / "killed" / "work").rglob("*.safetensors"))


def test_a_comparison_killed_inside_a_features_stage_goes_on_to_the_same_rows(three: ForkResults) -> None:
    seen, folder = three.features, three.folder / "features"
    assert seen["killed"]["killed"], "it was killed in the second features stage"
    assert seen["killed"]["computed"], "stages before it were finished"
    assert not set(seen["resumed"]["before"]) & set(seen["resumed"]["computed"]), "a finished stage was run again"
    assert seen["resumed"]["before"] and seen["resumed"]["computed"]
    assert rows(folder / "killed" / "cache") == rows(folder / "whole" / "cache")
    assert artifacts(folder / "killed" / "cache") == artifacts(folder / "whole" / "cache")
