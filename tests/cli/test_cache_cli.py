"""`benchkit cache`, damage met by a comparison, failed cells and other stores at the command line."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from benchkit.cli.cache import format_size, parse_age, parse_size
from benchkit.errors import BenchkitError
from benchkit.store.artifacts import ArtifactStore
from tests.cli.test_compare_cli import with_plugin
from tests.helpers.small_comparison import PLUGINS, Finished, Run

WITH_PLUGINS = ("--plugin", PLUGINS, "--device", "cpu")
STAGES = 22


@pytest.fixture
def warm(finished: Finished, cache: Path, tmp_path: Path) -> Path:
    """This test's own copy of the finished comparison; returns its --out."""
    shutil.copytree(finished.cache, cache)
    return Path(shutil.copytree(finished.out, tmp_path / "out"))


def rows(cache: Path) -> list[object]:
    with sqlite3.connect(cache / "results.sqlite") as raw:
        found = raw.execute("SELECT cell_key, metrics FROM rows ORDER BY cell_key").fetchall()
        found += raw.execute("SELECT cell_key, name, data FROM blobs ORDER BY cell_key, name").fetchall()
    raw.close()
    return found


def contents(cache: Path) -> dict[str, bytes]:
    return {str(p.relative_to(cache)): p.read_bytes() for p in (cache / "objects").rglob("*") if p.is_file()}


def flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def test_ls_names_every_stage(run: Run, warm: Path, cache: Path) -> None:
    listed = json.loads(run("cache", "ls", "--json").out)
    assert len(listed["artifacts"]) == STAGES
    assert listed["size"] == sum(one["size"] for one in listed["artifacts"]) > 10_000
    kinds = {one["stage"].split()[0] for one in listed["artifacts"]}
    assert {"encode", "images", "train", "select", "invert", "corrupt", "evaluate", "confinement"} <= kinds
    printed = run("cache", "ls")
    assert f"{STAGES} finished stages, {format_size(listed['size'])} in {cache}" in printed.out
    assert "train dot on labelled" in printed.out


def test_verify_names_what_is_damaged_and_says_what_to_do(run: Run, warm: Path, cache: Path) -> None:
    sound = run("cache", "verify")
    assert (sound.code, sound.err) == (0, "")
    assert f"{STAGES} finished stages checked, 0 damaged" in sound.out
    store = ArtifactStore(cache)
    keys = list(store.keys())
    flip(store.folder(keys[3]) / store.open(keys[3]).names[0], random.Random(0))
    (store.folder(keys[5]) / "stranger").write_text("")
    found = run("cache", "verify")
    assert found.code == 3
    assert found.out.count("damaged: ") == 2
    assert f"damaged: {keys[3][:12]}  " in found.out and "does not match its checksum" in found.out
    assert f"damaged: {keys[5][:12]}  " in found.out and "foreign file 'stranger'" in found.out
    assert "'benchkit cache verify --discard' removes" in found.err
    reported = json.loads(run("cache", "verify", "--discard", "--json").out)
    assert [one["key"] for one in reported["damaged"]] == [keys[3], keys[5]]
    assert run("cache", "verify").code == 0
    assert len(list(store.keys())) == STAGES - 2


def test_prune_spares_what_a_run_rests_on(run: Run, warm: Path, cache: Path) -> None:
    store = ArtifactStore(cache)
    stranger = store.write("ab" * 32, {"x": b"1" * 3000})
    everything = set(store.keys())
    (name,) = (path.stem for path in (cache / "runs").glob("*.json"))
    planned = json.loads(run("cache", "prune", "--keep-run", name[:10], "--dry-run", "--json").out)
    assert planned["keys"] == [stranger.key] and planned["size"] == 3000
    assert set(store.keys()) == everything
    pruned = run("cache", "prune", "--keep-run", warm)
    assert "1 finished stages deleted (2.9 KB)" in pruned.out, pruned.err
    assert set(store.keys()) == everything - {stranger.key}
    assert "0 finished stages deleted" in run("cache", "prune", "--older-than", "1h").out
    assert f"{STAGES} finished stages would be deleted" in run("cache", "prune", "--max-size", "0", "--dry-run").out
    assert "0 finished stages deleted" in run("cache", "prune", "--max-size", "0", "--keep-run", name).out
    assert f"{STAGES} finished stages deleted" in run("cache", "prune", "--max-size", "0").out
    assert run("cache", "prune", "--keep-run", "nobody").code == 2


def test_cache_commands_create_nothing_and_refuse_in_one_line(run: Run, cache: Path, tmp_path: Path) -> None:
    for command in (["ls"], ["verify"], ["prune", "--max-size", "1G"]):
        refused = run("cache", *command)
        assert refused.code == 2 and f"the cache {cache} does not exist" in refused.err
        assert len(refused.err.splitlines()) == 1
    assert not cache.exists()
    cache.mkdir()
    refused = run("cache", "ls")
    assert refused.code == 2 and f"the cache {cache} is not a cache" in refused.err
    assert not any(cache.iterdir())
    assert run("cache", "prune", "--older-than", "soon").code == 2


@pytest.mark.parametrize(("text", "value"), [("30d", 2_592_000), ("1.5h", 5400), ("90m", 5400), ("2w", 1_209_600)])
def test_ages(text: str, value: float) -> None:
    assert parse_age(text) == value


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1y", "1e3d", "٣d", "1 d x"])
def test_what_is_no_age(text: str) -> None:
    with pytest.raises(BenchkitError, match="--older-than"):
        parse_age(text)


def test_sizes() -> None:
    assert [parse_size(text) for text in ("0", "10G", "1.5k", "500MB", "2T")] == [
        *(0, 10 << 30, 1536, 500 << 20, 2 << 40),
    ]
    for text in ("", "G", "-1", "10 apples", "1P"):
        with pytest.raises(BenchkitError, match="--max-size"):
            parse_size(text)
    assert [format_size(n) for n in (0, 1023, 1024, 10 << 30)] == ["0 B", "1023 B", "1.0 KB", "10.0 GB"]


def damage_everything(cache: Path, seed: int) -> set[str]:
    """Damage one file of every artifact, in one of four ways; returns the kinds of files that were met."""
    rng, kinds = random.Random(seed), set()
    for folder in sorted(p.parent for p in cache.glob("objects/*/*/manifest.json")):
        victim = rng.choice(sorted(folder.iterdir()))
        kinds.add(victim.name)
        how = rng.choice(["bit", "bit", "truncated", "foreign"])
        if how == "bit":
            flip(victim, rng)
        elif how == "truncated":
            os.truncate(victim, rng.randrange(victim.stat().st_size))
        else:
            (folder / "stranger").write_bytes(b"?")
    return kinds


def test_a_cache_damaged_everywhere_is_reported_and_computed_again(
    run: Run, warm: Path, grid: Path, cache: Path, finished: Finished
) -> None:
    kinds = damage_everything(cache, 1)
    assert {"manifest.json", "arrays.safetensors"} < kinds
    for path in (cache / "results.sqlite", warm / "report.json", warm / "run.json"):
        path.unlink()  # as a new run, which reads what was measured
    result = run("compare", grid, *WITH_PLUGINS, "--out", warm, "--force")
    assert result.code == 0, result.err
    warnings = [line for line in result.err.splitlines() if "warning: cached artifact" in line]
    assert len(warnings) == len({line.split()[4] for line in warnings}) > STAGES / 2
    assert "Traceback" not in result.err
    assert rows(cache) == rows(finished.cache)
    run("cache", "verify", "--discard")  # what this run had no need to read
    assert contents(cache).items() <= contents(finished.cache).items()


def test_a_failed_cell_waits_for_retry_failed(run: Run, warm: Path, grid: Path, cache: Path, tmp_path: Path) -> None:
    flag, tries = tmp_path / "flag", tmp_path / "tries"
    body = (
        "    def corrupt(self, at):\n        import pathlib\n"
        f"        with open({str(tries)!r}, 'a') as file:\n            file.write('x')\n"
        f"        if not pathlib.Path({str(flag)!r}).exists():\n            raise MemoryError\n"
        "        return at.z_t"
    )
    options = (grid, *WITH_PLUGINS, *with_plugin(tmp_path, "greedy", body), "--out", tmp_path / "mine")
    first = run("compare", *options)
    assert first.code == 3
    assert "failed: corrupt greedy at 1: MemoryError: out of memory" in first.err
    log = tmp_path / "mine" / "log.txt"
    assert f"tracebacks are in {log}" in first.err
    assert "raise MemoryError" in log.read_text()
    once = len(tries.read_text())
    again = run("compare", *options)
    assert again.code == 3
    assert "failed in an earlier attempt: corrupt greedy at 1: MemoryError" in again.err
    assert "--retry-failed" in again.err
    assert len(tries.read_text()) == once, "not tried again"
    assert "0 run, " in again.out and " 0 failed" in again.out
    flag.touch()
    retried = run("compare", *options, "--retry-failed")
    assert retried.code == 0, retried.err
    assert len(tries.read_text()) == once + 3, "twice to see that it repeats itself, once for the row"


def test_rows_in_another_store(run: Run, warm: Path, grid: Path, cache: Path, tmp_path: Path) -> None:
    before = (cache / "results.sqlite").read_bytes()
    url = f"sqlite:///{tmp_path / 'elsewhere.sqlite'}"
    result = run("compare", grid, *WITH_PLUGINS, "--store", url, "--json")
    assert result.code == 0, result.err
    name = json.loads(result.out)["run"]
    assert (cache / "results.sqlite").read_bytes() == before
    assert [one["run"] for one in json.loads(run("leaderboard", "list", "--store", url, "--json").out)["runs"]] == [
        name
    ]
    assert run("leaderboard", "show", name, "--store", url).code == 0
    assert run("leaderboard", "show", name).code == 2
