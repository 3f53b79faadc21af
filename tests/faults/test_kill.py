"""Kill -9 at any moment, then the same command: nothing finished runs again, and the rows are the same bytes."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchkit.store.artifacts import ArtifactStore

FORKS = Path(__file__).with_name("forks.py")


def told(*arguments: object, folder: Path) -> dict[str, Any]:
    """What forks.py tells after doing this."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(FORKS), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads((folder / "told.json").read_text())
    return found


def rows(cache: Path) -> list[tuple[Any, ...]]:
    """All rows and their parts, as the bytes that the database holds."""
    with sqlite3.connect(cache / "results.sqlite") as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        found = raw.execute(
            "SELECT cell_key, schema_version, metrics, provenance FROM rows ORDER BY cell_key"
        ).fetchall()
        parts = raw.execute("SELECT cell_key, name, sha256, data FROM blobs ORDER BY cell_key, name").fetchall()
        states = raw.execute("SELECT cell_key, state, reason FROM cells ORDER BY cell_key").fetchall()
        runs = raw.execute("SELECT status FROM runs").fetchall()
    raw.close()
    assert runs == [("done",)], "the same command goes on with the same run"
    return [*found, *parts, *states]


def artifacts(cache: Path) -> dict[str, bytes]:
    """Every committed file."""
    return {str(p.relative_to(cache)): p.read_bytes() for p in (cache / "objects").rglob("*") if p.is_file()}


def check(folder: Path, kills: int, seed: int, grid: Path, plugins: Path) -> None:
    found = told("compare", folder, kills, seed, grid, plugins, folder=folder)
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
    resumed = [a for a in attempts if a["before"] and a["computed"]]
    print(
        f"{kills} kills, {len(ended)} comparisons, {len(resumed)} resumed part-way; {found['whole_seconds']:.1f} s whole"
    )


def test_killed_at_three_moments(tmp_path: Path, small_grid: Path, plugins: Path) -> None:
    check(tmp_path, 3, 5, small_grid, plugins)


@pytest.mark.slow
def test_killed_at_fifty_moments(tmp_path: Path, small_grid: Path, plugins: Path) -> None:
    check(tmp_path, 50, 6, small_grid, plugins)


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
        from benchkit.registry import Registry
        from benchkit.specs import Spec, TrainingConfig
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


def test_a_killed_training_goes_on_to_the_same_weights(tmp_path: Path, plugins: Path) -> None:
    seen = told("train", tmp_path, plugins, folder=tmp_path)
    assert seen["whole"]["iterations"] == list("12345678")
    assert seen["killed"] == {"killed": True, "iterations": list("12345"), "scratch": ["checkpoint.safetensors"]}
    assert seen["resumed"]["iterations"] == list("5678"), "from the checkpoint after the fourth"
    assert artifacts(tmp_path / "killed") == artifacts(tmp_path / "whole")
    assert not list((tmp_path / "killed" / "work").rglob("*.safetensors"))
