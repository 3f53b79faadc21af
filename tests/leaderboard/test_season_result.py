"""Scores of seasons: recomputed as submissions are, bound to submission and season, shown beside public figures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchkit.errors import BenchkitError
from benchkit.leaderboard.check import check_folder
from benchkit.leaderboard.season import Season, find_season, list_seasons, write_season
from benchkit.leaderboard.season_check import check_scores, check_scores_together, join_scores
from benchkit.leaderboard.season_result import SeasonResult
from benchkit.leaderboard.site.build import make_site, write_site
from benchkit.leaderboard.site.changes import load_earlier
from benchkit.leaderboard.site.sources import load_sources
from benchkit.leaderboard.submission import FACTS, write_submission
from benchkit.plugin.registry import Registry
from benchkit.report.board_parquet import board_to_parquet
from benchkit.report.load_board import load_board
from tests.leaderboard.conftest import make_data, make_season, submit_data, write_score

PUBLIC = {"renoise-masked:steps=10": 0.62, "blur:steps=20": 0.8}
FRESH = {"renoise-masked:steps=10": 0.62, "blur:steps=20": 0.3}


@pytest.fixture(scope="module")
def season() -> Season:
    return make_season()


@pytest.fixture(scope="module")
def scored(season: Season, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A submission of two methods, of which `blur` is far better on the public images, and its score."""
    folder = tmp_path_factory.mktemp("scored") / "mine"
    write_submission(submit_data(make_data(PUBLIC), "mine"), folder)
    write_score(folder, FRESH, season)
    return folder


@pytest.fixture
def folder(scored: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(scored, tmp_path / "mine"))


def result_of(folder: Path, season: Season) -> SeasonResult:
    return join_scores(check_scores(folder, check_folder(folder, {}), [season], {}))[0]


def test_a_fitted_row_loses_its_lead_and_its_rank(folder: Path, season: Season) -> None:
    result = result_of(folder, season)
    rows = {row.public["training_set"]: row for row in result.rows}
    blur, honest = rows["blur:steps=20"], rows["renoise-masked:steps=10"]
    fitted = result.lead_change(blur, "artifact_iou")
    assert fitted.change.estimate == pytest.approx(blur.fresh["delta_pseudo"] - blur.public["delta_pseudo"])
    assert fitted.change.high < 0 and fitted.adjusted <= 0.05 and fitted.verdict == "behind"
    kept = result.lead_change(honest, "artifact_iou")
    assert kept.change.low < 0 < kept.change.high and kept.verdict == "unresolved"
    assert result.lead_change(rows["pseudo"], "artifact_iou").verdict is None
    assert (blur.public["rank"], blur.fresh["rank"]) == (1, 4)
    line = next(own for own in result.as_json()["rows"] if own["training_set"] == "blur:steps=20")
    assert line["lead_change"]["artifact_iou"]["verdict"] == "behind"


def test_the_agreement_counts_confirmed_and_reversed_pairs(folder: Path, season: Season) -> None:
    found = result_of(folder, season)
    agreed = found.agreement(found.detectors[0])
    assert agreed.reversed >= 1 and agreed.confirmed >= 1
    assert agreed.confirmed + agreed.reversed <= agreed.pairs
    same = SeasonResult(season, found.public, found.public)
    own = same.agreement(found.detectors[0])
    assert (own.tau, own.confirmed, own.reversed) == (pytest.approx(1), own.pairs, 0)


def forge_a_count(where: Path, folder: Path, season: Season) -> None:
    board = load_board(where)
    board.frame.loc[0, "artifact_iou"] += 0.01
    (where / "board.parquet").write_bytes(board_to_parquet(board))


def score_other_rows(where: Path, folder: Path, season: Season) -> None:
    write_score(folder, {"renoise-masked:steps=10": 0.62, "blur:steps=10": 0.3}, season)


def score_as_another(where: Path, folder: Path, season: Season) -> None:
    state_in(where, name="another")


def score_in_another_season(where: Path, folder: Path, season: Season) -> None:
    state_in(where, season="0" * 64)


def state_in(where: Path, **changes: str) -> None:
    (where / FACTS).write_text(json.dumps(json.loads((where / FACTS).read_text()) | changes))


def rename_the_season(where: Path, folder: Path, season: Season) -> None:
    where.rename(folder / "season-autumn")


@pytest.mark.parametrize(
    ("forge", "message"),
    [
        (forge_a_count, "mine/season-spring: row 'renoise-masked:steps=10' of the board: 'artifact_iou'"),
        (score_other_rows, "is not the one of the submission"),
        (score_as_another, "is the score of 'another'"),
        (score_in_another_season, "its images are those of another season"),
        (rename_the_season, "mine/season-autumn: the season is unknown"),
    ],
)
def test_a_forged_score_is_refused(
    folder: Path, season: Season, forge: Callable[[Path, Path, Season], None], message: str
) -> None:
    forge(folder / "season-spring", folder, season)
    with pytest.raises(BenchkitError) as error:
        result_of(folder, season)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_nobody_is_scored_before_the_secret_is_out(folder: Path, season: Season) -> None:
    with pytest.raises(BenchkitError, match="not revealed yet"):
        result_of(folder, replace(season, secret=None))


def test_a_score_is_no_submission(folder: Path, season: Season, tmp_path: Path) -> None:
    (folder / "season-spring").rename(tmp_path / "mine2")
    facts = json.loads((tmp_path / "mine2" / FACTS).read_text()) | {"name": "mine2"}
    (tmp_path / "mine2" / FACTS).write_text(json.dumps(facts))
    with pytest.raises(BenchkitError, match="the score of a season"):
        check_folder(tmp_path / "mine2", {})


def test_all_are_scored_on_the_same_images(folder: Path, season: Season) -> None:
    (score,) = check_scores(folder, check_folder(folder, {}), [season], {})
    facts = score.fresh.submission.facts.model_copy(update={"test_sets": {"season spring": "0" * 64}})
    other = replace(score.fresh, submission=replace(score.fresh.submission, facts=facts))
    with pytest.raises(BenchkitError, match="was scored on other images than mine"):
        check_scores_together([score, score._replace(fresh=other)])


# --- the files of seasons ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"secret": "not the secret at all"}, "not the one that was committed to"),
        ({"first": -1}, "'first'"),
        ({"count": "20"}, "'count'"),
        ({"commitment": "<b>"}, "'commitment'"),
        ({"name": "../other"}, "'name'"),
        ({"name": "other"}, "name the file so"),
        ({"more": 1}, "not a season of this version"),
        ({"schema": 2}, "another schema"),
    ],
)
def test_a_file_that_is_no_season_is_refused(
    tmp_path: Path, season: Season, changes: dict[str, object], message: str
) -> None:
    path = write_season(season, tmp_path)
    assert find_season("spring", tmp_path) == season
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(BenchkitError) as error:
        list_seasons(tmp_path)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_seasons_are_listed_by_their_commitment(tmp_path: Path, season: Season) -> None:
    later = replace(make_season("autumn", None), committed="2026-06-01T00:00:00+00:00")
    write_season(later, tmp_path)
    write_season(season, tmp_path)
    assert [one.name for one in list_seasons(tmp_path)] == ["spring", "autumn"]
    assert list_seasons(tmp_path / "none") == []


# --- the site ---------------------------------------------------------------------------------------------------------


def test_the_site_has_a_page_for_every_season(folder: Path, season: Season) -> None:
    waiting = make_season("autumn", None)
    seasons = [season, waiting]
    files = make_site(load_sources([folder], {}, seasons), (), Registry.load(), seasons=seasons)
    page = files["seasons/spring.html"].decode()
    assert season.commitment in page and "a secret of 16 letters" in page and "indices 0 to 19" in page
    assert "../boards/mine.html" in page and "reverse" in page
    assert "not revealed yet" in files["seasons/autumn.html"].decode()
    assert "spring" in files["seasons.html"].decode() and "autumn" in files["seasons.html"].decode()
    assert "On the fresh images of season spring" in files["index.html"].decode()
    lines = json.loads(files["downloads/seasons.json"])["rows"]
    blur = next(line for line in lines if line["name"] == "blur:steps=20")
    assert blur["season"] == "spring" and blur["lead_high"] < 0 and blur["rank_fresh"] == 4


def test_without_seasons_nothing_speaks_of_fresh_figures(folder: Path) -> None:
    shutil.rmtree(folder / "season-spring")
    files = make_site(load_sources([folder], {}), (), Registry.load())
    assert "No season has been opened" in files["seasons.html"].decode()
    assert b'"rank_fresh"' not in files["data/board.js"].partition(b'"fields"')[0]
    assert "downloads/seasons.csv" not in files
    assert json.loads(files["downloads/seasons.json"]) == {"seasons": [], "rows": []}


def test_the_changes_report_a_season(folder: Path, season: Season, tmp_path: Path) -> None:
    sources, registry = load_sources([folder], {}, [season]), Registry.load()
    waiting = replace(season, secret=None)
    write_site(
        make_site(load_sources([copy_without_score(folder)], {}), (), registry, seasons=[waiting]), tmp_path / "site"
    )
    files = make_site(sources, (), registry, load_earlier(tmp_path / "site"), [season])
    page = files["changes.html"].decode()
    assert "committed → scored; 4 rows scored for the first time" in page
    write_site(files, tmp_path / "later")
    unchanged = make_site(sources, (), registry, load_earlier(tmp_path / "later"), [season])["changes.html"].decode()
    assert "No row, season, figure, place or badge changed" in unchanged


def copy_without_score(folder: Path) -> Path:
    copied = Path(shutil.copytree(folder, folder.parent / "before" / folder.name))
    shutil.rmtree(copied / "season-spring")
    return copied
