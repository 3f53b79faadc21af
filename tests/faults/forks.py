"""Runs in forks of one process that has imported everything once, so that a fresh process costs no import of torch.

    python -m tests.faults.forks FOLDER KILLS SEED GRID PLUGINS FROZEN_GRID FROZEN_PLUGINS

Writes FOLDER/results.json. It is a program of its own: torch cannot be used in a fork of a process that has trained.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchkit.store.artifacts import ArtifactStore

LONGEST = 600.0
LINE = 65  # a key and a line break
IN_A_SERIES = 3


@dataclass(frozen=True)
class Kill:
    """When a fork is killed: so many seconds after it has noted so many keys (see `comparison`)."""

    seconds: float
    keys: int = 0

    def is_due(self, noted: Path) -> bool:
        """Whether the keys have been noted."""
        return not self.keys or (noted.exists() and noted.stat().st_size >= self.keys * LINE)


def forked(work: Callable[[], int], folder: Path, kill: Kill | None = None) -> tuple[bool, float]:
    """Run `work` in a fork; whether it was killed, and after how many seconds it ended. Raises if it failed."""
    began = time.monotonic()
    child = os.fork()
    if not child:
        try:
            os.setpgid(0, 0)
            output = os.open(folder / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(output, 1)
            os.dup2(output, 2)
            code = work()
            sys.stdout.flush()
        except BaseException as error:
            print("in the fork:", repr(error), flush=True)
            code = 70
        os._exit(code)
    os.setpgid(child, child)  # here too: a kill may come before the child has had its turn
    deadline = began + LONGEST
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        if kill and deadline == began + LONGEST and kill.is_due(folder / "computed"):
            deadline = time.monotonic() + kill.seconds
        if time.monotonic() >= deadline:
            os.killpg(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            break
        time.sleep(0.002)
    killed = os.WIFSIGNALED(status)
    if (killed and kill is None) or (not killed and os.WEXITSTATUS(status)):
        raise RuntimeError(f"status {status}:\n" + (folder / "output.txt").read_text()[-3000:])
    return killed, time.monotonic() - began


def comparison(folder: Path, grid: str, *plugins: str) -> Callable[[], int]:
    """`benchkit compare` with cache and report in `folder`, noting there each key that is computed."""

    def work() -> int:
        from benchkit.cli.main import main

        noted = os.open(folder / "computed", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        real = ArtifactStore.write

        def write(self: ArtifactStore, key: str, files: Any, meta: Any = None) -> Any:
            os.write(noted, f"{key}\n".encode())
            return real(self, key, files, meta)

        ArtifactStore.write = write  # type: ignore[method-assign]
        places = ["--out", str(folder / "out"), "--cache", str(folder / "cache")]
        files = [word for file in plugins for word in ("--plugin", file)]
        return main(["compare", grid, "--device", "cpu", *places, *files])

    return work


def compared(folder: Path, kills: int, seed: int, grid: str, plugins: str) -> dict[str, Any]:
    """One uninterrupted comparison, then others that are killed at random moments until there were `kills`.

    After IN_A_SERIES kills one is let end: more would only meet it writing its report.
    """
    rng, attempts, killed_so_far, series, in_series = random.Random(seed), [], 0, 0, 0
    whole = folder / "whole"
    whole.mkdir()
    _, length = forked(comparison(whole, grid, plugins), whole)
    stages = len(committed(whole / "cache"))
    while True:
        run = folder / f"series-{series}"
        run.mkdir(exist_ok=True)
        before = committed(run / "cache")
        (run / "computed").unlink(missing_ok=True)
        kill = None
        if killed_so_far < kills and in_series < IN_A_SERIES:
            # By what it has done and not by the clock alone: on a busy machine a plan takes as long as all stages else.
            keys = rng.randint(0, stages - len(before))
            kill = Kill(rng.uniform(0, 2 * length / stages if keys else length), keys)
        killed, seconds = forked(comparison(run, grid, plugins), run, kill)
        computed = (run / "computed").read_text().split() if (run / "computed").exists() else []
        killed_so_far += killed
        attempts.append(
            {"series": series, "killed": killed, "seconds": seconds, "before": before, "computed": computed}
        )
        if not killed and killed_so_far == kills:
            return {"attempts": attempts, "whole_seconds": length}
        series, in_series = (series, in_series + 1) if killed else (series + 1, 0)


def committed(cache: Path) -> list[str]:
    """The keys that are there, after reading every byte; a damaged one is an error."""
    store = ArtifactStore(cache, create=False)
    found = dict(store.verify()) if cache.exists() else {}
    damaged = {key: str(damage) for key, damage in found.items() if damage}
    if damaged:
        raise RuntimeError(f"damaged after a kill: {damaged}")
    return sorted(found)


def trained(folder: Path, plugins: str) -> dict[str, Any]:
    """A training stage run whole, and another killed after iteration 5 of 8 and begun again: iterations of each."""
    from tests.faults.test_kill import training_stage

    seen: dict[str, Any] = {}
    for name, stop in (("whole", None), ("killed", 5), ("resumed", None)):
        cache = folder / ("whole" if name == "whole" else "killed")
        cache.mkdir(exist_ok=True)
        work = training_stage(cache, plugins, stop)
        killed, _ = forked(work, cache, None if stop is None else Kill(LONGEST / 2))
        seen[name] = {"killed": killed, "iterations": (cache / "iterations").read_text().split()}
        if killed:
            seen[name]["scratch"] = sorted(p.name for p in (cache / "work").rglob("*.safetensors"))
    return seen


def killed_in_features(folder: Path, grid: str, *plugins: str) -> dict[str, Any]:
    """A comparison of a frozen detector run whole, and another killed inside its second features stage and resumed."""

    def work_until(run: Path, stop: int | None) -> Callable[[], int]:
        def work() -> int:
            import benchkit.training.features as features

            calls, real = 0, features.trunk_maps

            def trunk_maps(*arguments: Any) -> Any:
                nonlocal calls
                calls += 1
                # The first stage asks twice: its second answer shows whether the trunk is deterministic.
                if calls == stop:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*arguments)

            features.trunk_maps = trunk_maps
            return comparison(run, grid, *plugins)()

        return work

    seen: dict[str, Any] = {}
    for name, stop in (("whole", None), ("killed", 3), ("resumed", None)):
        run = folder / ("whole" if name == "whole" else "killed")
        run.mkdir(parents=True, exist_ok=True)
        before = committed(run / "cache")
        (run / "computed").unlink(missing_ok=True)
        killed, _ = forked(work_until(run, stop), run, None if stop is None else Kill(LONGEST / 2))
        seen[name] = {"killed": killed, "before": before, "computed": (run / "computed").read_text().split()}
    return seen


def import_everything() -> None:
    """What a comparison imports, once for all forks; nothing is computed here."""
    import diffusers
    import matplotlib.pyplot
    import torch
    import transformers

    import benchkit.cli.main
    import benchkit.diffusion.backend
    import benchkit.report.write
    import benchkit.runs.provenance
    import benchkit.runs.run
    import benchkit.training.loop

    for lazy in (diffusers.StableDiffusionPipeline, transformers.CLIPTextModel, transformers.CLIPTokenizer):
        assert lazy
    assert matplotlib.pyplot
    assert torch.get_num_threads() == 1
    # All forks are of the code that was imported here, also where somebody edits the checkout meanwhile.
    revision = benchkit.runs.provenance.read_git_revision()
    benchkit.runs.provenance.read_git_revision = lambda: revision


def main() -> None:
    """Do what the command line says."""
    name, kills, seed, grid, plugins, frozen_grid, frozen_plugins = sys.argv[1:]
    folder = Path(name)
    import_everything()
    (folder / "training").mkdir()
    results = {"training": trained(folder / "training", plugins)}
    results["features"] = killed_in_features(folder / "features", frozen_grid, plugins, frozen_plugins)
    results["comparison"] = compared(folder, int(kills), int(seed), grid, plugins)
    (folder / "results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
