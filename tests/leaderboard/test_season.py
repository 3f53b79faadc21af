"""Seasons: a commitment binds, the secret opens it, and stored detectors are scored on images nobody knew."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchkit.api import Sample
from benchkit.cli.main import main
from benchkit.errors import BenchkitError
from benchkit.executors.inline import Inline
from benchkit.leaderboard import season as seasons
from benchkit.leaderboard.check import check_folder
from benchkit.leaderboard.season_check import check_scores, join_scores
from benchkit.leaderboard.season_score import score_season
from benchkit.leaderboard.submission import FILES, write_submission
from benchkit.leaderboard.submit import Declaration, make_submission
from benchkit.outputs.finished_run import FinishedRun
from benchkit.plugin.registry import Registry
from benchkit.readers.season import read_season, season_to_bytes
from benchkit.runs.execution import load_run_data
from benchkit.runs.find_run import open_results
from benchkit.runs.run import RunLocations
from tests.helpers.small_comparison import GRID, PLUGINS, compare_once

FRESH = Path(__file__).parent / "fresh_plugins.py"
SECRET = "correct horse battery"
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def scored(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with the cache of a small run of three seeds and its submission `mine`; and the run's id."""
    folder = tmp_path_factory.mktemp("season")
    (folder / "grid.yaml").write_text(GRID.format(model=tiny_checkpoint).replace("seeds: [0]", "seeds: [0, 1, 2]"))
    run = json.loads(compare_once(folder, folder / "grid.yaml", "--json", "--device", "cpu").result.out)["run"]
    results = open_results(RunLocations(cache=folder / "cache"), run)
    sources = dict.fromkeys(("dataset shapes", "detector dot"), "https://example.org/plugin")
    submission = make_submission(run, results, Declaration("mine", "https://example.org", sources=sources))
    write_submission(submission, folder / "mine")
    return folder, run


@pytest.fixture
def season(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    def command(word: str, *arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        given = [*arguments, "--dir", tmp_path / "seasons", "--plugin", FRESH]
        code = main(["leaderboard", "season", word, *map(str, given)])
        return code, *capsys.readouterr()

    return command


def opened(season: Command, tmp_path: Path, tiny_checkpoint: Path) -> Path:
    """Commit to a season of five images and reveal it; return the file of its images."""
    images = tmp_path / "first.npz"
    assert season("commit", "first", "--dataset", "shapes-fresh", "--count", 5, "--secret", SECRET)[0] == 0
    assert season("reveal", "first", "--secret", SECRET, "--images", images, "--model", tiny_checkpoint)[0] == 0
    return images


def test_the_commitment_tells_nothing_and_binds(season: Command, tmp_path: Path) -> None:
    code, out, _ = season("commit", "first", "--dataset", "shapes-fresh", "--count", 5, "--secret", SECRET)
    file = tmp_path / "seasons" / "first.json"
    assert code == 0
    assert SECRET not in file.read_text()
    assert seasons.find_season("first", file.parent).commitment in out
    assert "exists already" in season("commit", "first", "--dataset", "shapes-fresh", "--secret", SECRET)[2]
    before = file.read_bytes()
    code, _, err = season("reveal", "first", "--secret", "another horse battery")
    assert code == 2
    assert "this secret is not the one that was committed to" in err
    assert file.read_bytes() == before
    changed = json.loads(before) | {"count": 4}
    file.write_text(json.dumps(changed))
    assert season("reveal", "first", "--secret", SECRET)[0] == 2


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["../x", "--dataset", "shapes-fresh", "--secret", SECRET], "no name of a season"),
        (["x", "--dataset", "shapes-fresh", "--secret", "short"], "has 5 characters"),
        (["x", "--secret", SECRET, "--dataset", "portraits"], "has fixed images"),
    ],
)
def test_faults_of_a_commitment(season: Command, tmp_path: Path, arguments: list[str], fault: str) -> None:
    code, _, err = season("commit", *arguments)
    assert code == 2
    assert fault in err
    assert not (tmp_path / "seasons").exists()


def test_a_run_is_scored_on_images_that_it_never_saw(
    season: Command,
    scored: tuple[Path, str],
    tmp_path: Path,
    tiny_checkpoint: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, run = scored
    images = opened(season, tmp_path, tiny_checkpoint)
    shutil.copytree(folder / "mine", tmp_path / "mine")
    given = ["first", "--images", images, "--cache", folder / "cache", "--plugin", PLUGINS]
    code, out, err = season("score", tmp_path / "mine", *given)
    assert code == 0, err
    assert "Kendall's tau" in out and "differ beyond chance on the public images" in out
    where = tmp_path / "mine" / "season-first"
    written = {path.name: path.read_bytes() for path in where.iterdir()}
    assert written.keys() == set(FILES)
    opened_seasons = seasons.list_seasons(tmp_path / "seasons")
    (score,) = check_scores(tmp_path / "mine", check_folder(tmp_path / "mine", {}), opened_seasons, {})
    (result,) = join_scores([score])
    assert {row.public["training_set"] for row in result.rows} == {
        "human",
        "pseudo",
        "none:steps=1",
        "gaussian:steps=1",
    }
    assert {line["images"] for line in result.fresh.rows()} == {5}
    assert any(row.public["artifact_iou"] != row.fresh["artifact_iou"] for row in result.rows)
    assert main(["leaderboard", "check", str(tmp_path / "mine"), "--seasons", str(tmp_path / "seasons")]) == 0
    assert "season first: recomputed" in capsys.readouterr().out
    assert season("score", tmp_path / "mine", *given)[0] == 0
    assert {path.name: path.read_bytes() for path in where.iterdir()} == written
    code, out, _ = season("score", run, *given, "--json")
    assert len(json.loads(out)["rows"]) == 4 and json.loads(out)["submissions"] == []


def test_records_of_a_score_are_read_when_they_are_used(
    season: Command, scored: tuple[Path, str], tmp_path: Path, tiny_checkpoint: Path
) -> None:
    """All records of a large run together do not fit in memory."""
    folder, run = scored
    images = opened(season, tmp_path, tiny_checkpoint)
    shutil.copytree(folder / "cache", tmp_path / "cache")
    locations = RunLocations(cache=tmp_path / "cache")
    finished = FinishedRun.open(run, locations, Registry.load(files=[FRESH, PLUGINS]), "cpu")
    public = load_run_data(run, open_results(locations, run), {}, finished.info.config)
    made = seasons.find_season("first", tmp_path / "seasons")
    fresh = score_season(finished, public, made, str(images), Inline()).data
    cell = next(iter(fresh.records))
    assert len(fresh.records[cell]["histograms"]) == 5
    shutil.rmtree(tmp_path / "cache" / "objects")
    with pytest.raises(BenchkitError):
        fresh.records[cell]


def test_only_a_revealed_season_with_its_own_images_and_weights_is_scored(
    season: Command, scored: tuple[Path, str], tmp_path: Path, tiny_checkpoint: Path
) -> None:
    folder, run = scored
    images = opened(season, tmp_path, tiny_checkpoint)
    season("commit", "second", "--dataset", "shapes-fresh", "--count", 5, "--secret", SECRET + "2")
    given = ["--cache", folder / "cache", "--plugin", PLUGINS]
    code, _, err = season("score", run, "second", "--images", images, *given)
    assert (code, "is not revealed yet" in err) == (2, True)
    season("reveal", "second", "--secret", SECRET + "2", "--images", tmp_path / "b.npz", "--model", tiny_checkpoint)
    code, _, err = season("score", run, "second", "--images", images, *given)
    assert (code, "does not hold the images of season 'second'" in err) == (2, True)
    bare = tmp_path / "bare"
    shutil.copytree(folder / "cache", bare)
    shutil.rmtree(bare / "objects")
    code, _, err = season("score", run, "first", "--images", images, "--cache", bare, "--plugin", PLUGINS)
    assert (code, "are not in the cache" in err) == (2, True)


def test_a_beacon_decides_the_images_together_with_the_secret(season: Command, tmp_path: Path) -> None:
    registry = Registry.load(files=[FRESH])
    season(
        "commit", "first", "--dataset", "shapes-fresh", "--secret", SECRET, "--beacon-source", "round 7", "--count", 2
    )
    made = seasons.find_season("first", tmp_path / "seasons")
    plain = seasons.commit("first", "shapes-fresh", 0, 2, SECRET, registry)
    assert made.commitment != plain.commitment

    def draw(opened: seasons.Season) -> bytes:
        return seasons.draw_season(opened, registry, lambda images: images, lambda _: None)

    one, same, other = (draw(seasons.reveal(made, SECRET, beacon)) for beacon in ("b7", "b7", "b8"))
    assert one == same
    assert len({one, other, draw(seasons.reveal(plain, SECRET))}) == 3
    assert season("reveal", "first", "--secret", SECRET, "--beacon", "b7")[0] == 0
    assert seasons.find_season("first", tmp_path / "seasons").beacon == "b7"


def test_a_beacon_is_given_exactly_where_it_was_announced(season: Command, tmp_path: Path) -> None:
    code, _, err = season("commit", "none", "--dataset", "shapes-fresh", "--secret", SECRET, "--beacon-source", " ")
    assert (code, "is empty: name the public value" in err) == (2, True)
    season("commit", "plain", "--dataset", "shapes-fresh", "--secret", SECRET)
    code, _, err = season("reveal", "plain", "--secret", SECRET, "--beacon", "b7")
    assert (code, "announces no beacon" in err) == (2, True)
    season("commit", "first", "--dataset", "shapes-fresh", "--secret", SECRET, "--beacon-source", "round 7")
    code, _, err = season("reveal", "first", "--secret", SECRET)
    assert (code, "give the value of 'round 7'" in err) == (2, True)
    assert season("reveal", "first", "--secret", SECRET, "--beacon", "b7")[0] == 0
    code, _, err = season("reveal", "first", "--secret", SECRET, "--beacon", "b8")
    assert (code, "was revealed with another beacon: 'b7'" in err) == (2, True)
    file = tmp_path / "seasons" / "first.json"
    for change, fault in (({"beacon": None}, "`beacon` is missing"), ({"beacon_source": "round 8"}, "not the one")):
        forged = tmp_path / "forged" / "first.json"
        forged.parent.mkdir(exist_ok=True)
        forged.write_text(json.dumps(json.loads(file.read_text()) | change))
        with pytest.raises(BenchkitError, match=fault):
            seasons.find_season("first", forged.parent)


def test_the_dataset_must_be_the_one_of_the_commitment(tmp_path: Path) -> None:
    registry = Registry.load(files=[FRESH])
    made = seasons.commit("first", "shapes-fresh", 0, 2, SECRET, registry)
    other = tmp_path / "fresh_plugins.py"
    other.write_text(FRESH.read_text().replace('f"1 ', 'f"2 '))
    with pytest.raises(BenchkitError, match="another one than when it was committed to"):
        seasons.draw_season(
            seasons.reveal(made, SECRET), Registry.load(files=[other]), lambda images: images, lambda _: None
        )


def test_images_come_back_from_their_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    masks = rng.random((3, 5, 7)) < 0.5
    kinds: list[dict[str, Any]] = [{"a, b": masks[1], "ä": masks[2]}, {}, {"ä": masks[0]}]
    samples = [
        Sample(f"s-{i}", rng.integers(0, 256, (5, 7, 3), dtype=np.uint8), masks[i], "text" if i else None, kinds[i])
        for i in range(3)
    ]
    (tmp_path / "x.npz").write_bytes(season_to_bytes(samples))
    for one, back in zip(samples, read_season(str(tmp_path / "x.npz")), strict=True):
        assert (one.id, one.caption) == (back.id, back.caption)
        np.testing.assert_array_equal(one.image, back.image)
        np.testing.assert_array_equal(one.mask, back.mask)
        assert one.kinds.keys() == back.kinds.keys()
        assert all(np.array_equal(mask, back.kinds[kind]) for kind, mask in one.kinds.items())
    (tmp_path / "x.npz").write_bytes(b"something else")
    with pytest.raises(BenchkitError, match="does not hold a season's images"):
        read_season(str(tmp_path / "x.npz"))
