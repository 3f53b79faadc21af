"""What large leaderboards cost: many rows shown, ranked and built into a site, and many submissions checked.

Prints CPU seconds and peak memory of each command, each in a process of its own. CPU time is what counts on a machine
that does other work; with two idle cores the time that passes is about the same. The data are made up: the rows of the
shipped board of `portraits`, repeated with other detectors, other figures and joint intervals, and submissions of a
small run, each with another seed.

Aims, on two cores: 100,000 rows are shown, ranked and built into a site within 10 s and 500 MB, 1,000 submissions are
checked in a minute. Measured on two idle cores:

| | CPU s | MB | aim |
|---|--:|--:|---|
| show 100,000 rows | 2.9 | 314 | met |
| rank 10,000 rows | 1.2 | 162 | met (busy machine) |
| rank 100,000 rows | 5.9 | 490 | met, barely: their influences per image and seed, which are the input, take 200 MB |
| build a site of 10,000 rows | 3.8 | 246 | met (busy machine) |
| build a site of 100,000 rows | 5.7 | 443 | met |
| 100,000 rows as CSV | 6.9 | 501 | no aim: 39 million numbers with all digits, whose columns take 300 MB |
| check 1,000 submissions | 82 | 623 | met: 42 s passed |

The last row counts all processes, and its memory is that of the largest one.

    python benchmarks/board.py                                   # 100,000 rows, a site of 100,000, 1,000 submissions
    python benchmarks/board.py --rows 10000 --site 1000 --submissions 100
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd

IMAGES, SEEDS, METHODS = 100, 5, ("blur:steps=10", "gaussian:steps=10")
COMMAND = [sys.executable, "-m", "benchkit.cli.main", "leaderboard"]


def measure(title: str, command: list[str]) -> None:
    """Run a command, and print its CPU seconds, the time that passed, and its peak memory."""
    began = time.perf_counter()
    child = os.posix_spawn(
        command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    )
    _, status, used = os.wait4(child, 0)
    passed = time.perf_counter() - began
    state = "" if status == 0 else f"   exit code {os.waitstatus_to_exitcode(status)}"
    cpu, memory = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    print(f"{title:52} {cpu:8.1f} CPU s {passed:8.1f} s {memory:8.0f} MB{state}", flush=True)


def rank_rows(number: int) -> None:
    """Rank made-up rows of one detector, with five seeds on 100 images: intervals, ranks, differences to a baseline."""
    from benchkit.statistics.jackknife import Jackknife
    from benchkit.statistics.many_methods import differences_of_many, intervals_of_many, joint_intervals, pool_many
    from benchkit.statistics.multiple_comparisons import adjust_holm

    rng = np.random.default_rng(0)
    shared = rng.normal(0, 0.4, (IMAGES, 1))
    rows = {}
    for i in range(number):
        influence = shared + rng.normal(0, 0.1, (IMAGES, SEEDS))
        figures = 0.3 + 0.1 * i / number + rng.normal(0, 0.01, SEEDS)
        rows[str(i)] = Jackknife(tuple(range(SEEDS)), figures, influence - influence.mean(axis=0)).compact()
    pool = pool_many(rows)
    intervals_of_many(rows, pool)
    joint_intervals(rows, pool).rank({name: row.estimate for name, row in rows.items()})
    found = differences_of_many(rows, [(name, "0") for name in rows if name != "0"], pool)
    adjust_holm([difference.p for difference in found.values()])


def write_board(folder: Path, rows: int) -> None:
    """Write a board of so many rows as a run's folder has it."""
    from benchkit.report.board_parquet import board_to_parquet, pairs_to_parquet
    from benchkit.report.columns import RANKINGS, joint_columns
    from benchkit.report.leaderboard_lines import PACKAGE, load_boards
    from benchkit.report.load_board import BOARD_PARQUET, PAIRS_PARQUET

    board = max(load_boards(None, PACKAGE, "portraits-frozen.jsonl"), key=lambda one: len(one.frame))
    base = board.frame[board.frame["group"] == "trained"]
    copies = -(-rows // len(base))
    frame = pd.concat([base] * copies, ignore_index=True).head(rows)
    rng = np.random.default_rng(0)
    for name in frame.select_dtypes(float):
        values = frame[name].to_numpy()
        if (np.nan_to_num(values) % 1).any():  # no count, no rank
            frame[name] = values * rng.normal(1, 0.01, len(frame))
    frame["detector"] = [f"frozen-convnext:copy={i // len(base)}" for i in range(len(frame))]
    joint = {
        name: frame[ranking] + shift
        for ranking in RANKINGS
        for name, shift in zip(joint_columns(ranking), (-0.01, 0.01), strict=True)
    }
    frame = pd.concat([frame, pd.DataFrame(joint)], axis=1)
    large = replace(board, frame=frame, pairs=(), resolution=(), across={})
    folder.mkdir(parents=True)
    (folder / BOARD_PARQUET).write_bytes(board_to_parquet(large))
    (folder / PAIRS_PARQUET).write_bytes(pairs_to_parquet(large))


def write_submissions(folder: Path, number: int) -> None:
    """Write submissions of one protocol. They differ in their names alone: one is made, the others are copies."""
    import shutil

    from benchkit.leaderboard.submission import FACTS, write_submission

    write_submission(make_submission(), folder / "lab-0")
    text = (folder / "lab-0" / FACTS).read_text("utf-8")
    for i in range(1, number):
        shutil.copytree(folder / "lab-0", folder / f"lab-{i}")
        (folder / f"lab-{i}" / FACTS).write_text(text.replace('"lab-0"', f'"lab-{i}"'), "utf-8")


def make_submission():  # type: ignore[no-untyped-def]  # imports nothing before it is needed
    """Return a submission of four rows with five seeds on 100 images of 32 × 32 pixels."""
    from benchkit.leaderboard.protocol import digest_protocol
    from benchkit.leaderboard.submission import normalise_rows
    from benchkit.leaderboard.submit import Declaration, reduce_records
    from benchkit.metrics import by_kind, coverage, summarise
    from benchkit.report.names import named_rows
    from benchkit.specs.keys import digest
    from benchkit.store.columns import ROW_COLUMNS

    rng = np.random.default_rng(0)
    labels = np.zeros((IMAGES, 32, 32), bool)
    labels[:, 8:20, 8:24] = True
    lines, records = [], {}
    for method in (None, *METHODS):
        for seed in range(SEEDS):
            measured = measured_of(rng, labels, 0.2 + 0.05 * len(method or ""))
            cell = digest([method, seed])
            records[cell] = measured
            role = "corrupted" if method else "human"
            lines.append(
                dict.fromkeys(ROW_COLUMNS)
                | {"cell": cell, "run": "r", "state": "done", "role": role, "method": method, "seed": seed}
                | {"corruptor": method and method.partition(":")[0], "selector": method and "random"}
                | {"detector": "upernet-swin", "test_set": f"shapes/test[{IMAGES}]", "test_images": IMAGES}
                | {"num_inference_steps": 50, "seconds": 1.0, "threshold": None, "uses": None}
                | {**summarise(measured), **by_kind(measured), **coverage(measured)}
            )
    grid = {"title": "Made up", "dataset": "shapes", "seeds": list(range(SEEDS)), "detectors": ["upernet-swin"]}
    grid |= {"selectors": ["random"], "baselines": ["human"], "corruptors": list(METHODS), "num_inference_steps": 50}
    environment = {"plugins": {}, "datasets": {"shapes": "d" * 64}, "packages": {}}
    rows = normalise_rows(named_rows(pd.DataFrame(lines), {}))
    protocol = digest_protocol(grid, environment, rows)
    facts = Declaration("lab-0", "https://example.org").checked(
        run="r", created="2026", grid=grid, environment=environment, protocol=protocol
    )
    names = [f"shapes/test/{i}" for i in range(IMAGES)]
    return reduce_records(facts, rows, lambda cell: (records[cell], names))


def measured_of(rng: np.random.Generator, labels: np.ndarray, quality: float):  # type: ignore[no-untyped-def]
    """Return the complete record of a made-up detector."""
    from benchkit.metrics import measure as measure_scores

    scores = np.clip(rng.normal(0.3 + quality * labels, 0.2), 0, 1).astype(np.float32)
    left = np.arange(labels.shape[2])[None, :] < 16
    return measure_scores(scores, labels, [{"left": one & left, "right": one & ~left} for one in labels])


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("rows", 100_000), ("ranked", 10_000), ("site", 100_000), ("submissions", 1000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--rank", type=int, default=0, help="rank so many rows in this process, and do nothing else")
    given = parser.parse_args()
    if given.rank:
        rank_rows(given.rank)
        return
    steps: list[tuple[str, Callable[[Path, int], None], int, list[str]]] = [
        ("show, as a table", write_board, given.rows, ["show"]),
        ("show, as CSV", write_board, given.rows, ["show", "--format", "csv"]),
        ("build a site", write_board, given.site, ["build", "--no-paper"]),
        ("check submissions", write_submissions, given.submissions, ["check"]),
    ]
    with tempfile.TemporaryDirectory() as place:
        for i, (title, write, number, words) in enumerate(steps):
            if number:
                folder = Path(place) / str(i)
                # In a process of its own: on Linux the peak memory of a child begins with that of its parent.
                writer = get_context("spawn").Process(target=write, args=(folder, number))
                writer.start()
                writer.join()
                out = ["--out", str(Path(place) / "site")] if words[0] == "build" else []
                measure(f"{title}: {number}", [*COMMAND, words[0], str(folder), *words[1:], *out])
    if given.ranked:
        measure(f"rank: {given.ranked}", [sys.executable, __file__, "--rank", str(given.ranked)])


if __name__ == "__main__":
    main()
