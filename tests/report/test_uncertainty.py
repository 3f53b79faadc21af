"""What a board says of its certainty: ranks, pairs, resolution, the two rankings, protocols, and what it cannot say."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchkit.metrics import COMPANION, PRIMARY
from benchkit.report.board import Board
from benchkit.report.board_table import board_sheet, kinds_sheet
from benchkit.report.columns import BASELINES, delta_columns
from benchkit.report.notes import REORDERED, UNSTABLE, foot_notes, head_notes
from benchkit.report.render_board import render
from benchkit.statistics.jackknife import Jackknife

Make = Callable[..., Any]


@pytest.fixture(scope="module")
def board(make_standard: Make) -> Board:
    return Board.of(make_standard((0, 1, 2)).run())


def test_rank_intervals_hold_the_place_and_come_from_the_pairs(board: Board) -> None:
    trained = board.trained
    assert len(board.pairs) == 2 * 15, "two rankings of six rows"
    for metric, prefix in ((PRIMARY, ""), (COMPANION, f"{COMPANION}_")):
        pairs = [pair for pair in board.pairs if pair["metric"] == metric]
        for place, line in trained.iterrows():
            beaten_by = beats = 0
            for pair in pairs:
                if place in (pair["first"], pair["second"]) and pair["verdict"] in ("better", "worse"):
                    won = (pair["verdict"] == "better") == (pair["first"] == place)
                    beats, beaten_by = beats + won, beaten_by + (not won)
            low, rank, high = (line[f"{prefix}rank{part}"] for part in ("_low", "", "_high"))
            assert (low, high) == (1 + beaten_by, len(trained) - beats)
            assert low <= rank <= high


def test_a_pair_in_json_is_the_difference_of_its_rows(board: Board) -> None:
    data = json.loads(json.dumps(board.as_json()))
    for pair in data["pairs"]:
        first, second = (data["rows"][pair[name]] for name in ("first", "second"))
        assert pair["difference"] == pytest.approx(first[pair["metric"]] - second[pair["metric"]])
        assert pair["p"] <= pair["p_adjusted"] <= 1
        assert pair["low"] <= pair["difference"] <= pair["high"]
        assert (pair["improvement"] > 0.5) == (pair["difference"] > 0)
        if pair["verdict"] in ("better", "worse"):
            assert pair["p_adjusted"] <= 0.05 and (pair["verdict"] == "better") == (pair["difference"] > 0)


@pytest.fixture
def unpaired(make_standard: Make, monkeypatch: pytest.MonkeyPatch) -> Board:
    """The same board, as if its six rows were more than can be compared pair by pair."""
    monkeypatch.setattr("benchkit.report.uncertainty.MOST_PAIRED", 5)
    return Board.of(make_standard((0, 1, 2)).run())


def test_a_long_ranking_has_ranks_from_joint_intervals_and_no_pairs(board: Board, unpaired: Board) -> None:
    assert not unpaired.pairs and not unpaired.frame["reordered"].any()
    trained = unpaired.trained
    for metric, prefix in ((PRIMARY, ""), (COMPANION, f"{COMPANION}_")):
        low, high = (trained[f"{metric}_joint_{end}"].to_numpy() for end in ("low", "high"))
        ahead, behind = (low[None, :] > high[:, None]).sum(axis=1), (high[None, :] < low[:, None]).sum(axis=1)
        assert behind.sum() > 0, "some rows differ"
        assert (trained[f"{prefix}rank_low"] == 1 + ahead).all()
        assert (trained[f"{prefix}rank_high"] == len(trained) - behind).all()
        found = next(one for one in unpaired.resolution if one["metric"] == metric)
        assert (found["resolved"], found["pairs"]) == (behind.sum(), 15)
    for name in (PRIMARY, f"{PRIMARY}_low", f"{PRIMARY}_high", "rank"):
        np.testing.assert_allclose(trained[name], board.trained[name], rtol=1e-6, err_msg=name)


def test_only_lines_of_long_rankings_keep_their_influences_as_float32(maker: Make, monkeypatch: Any) -> None:
    run = maker().cell("pseudo", 0.6).cell("human", 0.4).run()
    exact = Board.of(run).frame
    monkeypatch.setattr(Jackknife, "compact", lambda own: replace(own, influence=np.full_like(own.influence, np.nan)))
    np.testing.assert_array_equal(Board.of(run).frame[f"{PRIMARY}_low"], exact[f"{PRIMARY}_low"])
    monkeypatch.setattr("benchkit.report.uncertainty.MOST_PAIRED", 1)
    assert Board.of(run).trained[f"{PRIMARY}_low"].isna().all()


def test_baselines_of_a_long_ranking_are_adjusted_by_holm(board: Board, unpaired: Board) -> None:
    for base in BASELINES:
        delta, *_, p, verdict = delta_columns(PRIMARY, base)
        one, many = board.trained, unpaired.trained
        np.testing.assert_allclose(many[delta], one[delta], rtol=1e-9)
        assert (many[p].dropna() >= one[p].dropna() - 0.01).all()
        assert set(many[verdict].dropna()) <= {"better", "worse", "equivalent", "unresolved"}


def test_the_head_says_what_is_resolved_before_the_table(board: Board) -> None:
    one, other = board.resolution
    resolved = sum(pair["verdict"] in ("better", "worse") for pair in board.pairs if pair["metric"] == PRIMARY)
    assert (one["resolved"], one["pairs"], one["trained_seeds"], one["test_images"]) == (resolved, 15, 3, 20)
    text = head_notes(board)[0]
    assert (
        f"Artifact IoU at 0.5: resolves differences of {100 * one['difference']:.2f} points; {resolved} of 15" in text
    )
    assert f"5 more seeds would resolve {100 * one['more_seeds'][1]:.2f} points, or 500 more images" in text
    assert one["images"] + one["seeds"] + one["interaction"] == pytest.approx(1)
    assert other["metric"] == COMPANION
    best = f"Not worse than the best: by artifact IoU at 0.5 {board.trained['training_set'].iloc[0]}"
    assert best in " ".join(head_notes(board))
    for form in ("table", "markdown"):
        shown = " ".join(render(board, form, 200).replace("\\", "").split())
        assert shown.index("resolves differences of") < shown.index("renoise-masked:steps=10 ")


def test_one_seed_does_not_claim_to_know_the_seeds(make_standard: Make) -> None:
    board = Board.of(make_standard((0,)).run())
    assert (
        "as far as one seed shows" in head_notes(board)[0]
        and "more seeds would resolve is unknown" in head_notes(board)[0]
    )
    assert board.resolution[0]["more_seeds"] == [5, None]
    assert head_notes(board)[0].count("more seeds") == 1


def test_two_seeds_say_how_often_their_intervals_cover(make_standard: Make) -> None:
    two, three = (Board.of(make_standard(seeds).run()) for seeds in ((0, 1), (0, 1, 2)))
    assert "Two seeds: in simulation" in " ".join(foot_notes(two))
    assert "Two seeds" not in " ".join(foot_notes(three))


def test_rows_that_change_places_between_the_rankings_are_marked(maker: Make) -> None:
    made = maker()
    for seed in (0, 1, 2):
        made.cell("pseudo", 0.6, seed=seed).cell("human", 0.4, seed=seed).cell("oracle", 0.5, seed=seed)
        made.corrupted("shy:steps=5", 0.9, seed=seed, low=-0.2)  # the best scores, few of which exceed 0.5
    board = Board.of(made.run())
    lines = board.frame.set_index("training_set")
    assert lines.loc["shy:steps=5", "rank"] == 4 and lines.loc["shy:steps=5", "average_precision_rank"] == 1
    assert lines.index[lines["reordered"]].to_list() == ["shy:steps=5"], "and not those that it passes"
    assert "calibration moved them" in " ".join(foot_notes(board))
    assert f"(1) {REORDERED}" in render(board, "markdown")
    calm = Board.of(maker().cell("pseudo", 0.6).cell("human", 0.4).run())
    assert not calm.frame["reordered"].any()
    assert REORDERED not in render(calm, "markdown")


def test_a_row_of_unstable_seeds_is_marked(maker: Make) -> None:
    made = maker()
    for seed in range(4):
        for row in range(6):
            made.corrupted(f"steady:steps={row + 1}", 0.5, seed=seed)
        made.corrupted("wild:steps=9", (0.01, 0.8, 0.1, 0.6)[seed], seed=seed)
    board = Board.of(made.run())
    assert board.frame.loc[board.frame["unstable"], "training_set"].to_list() == ["wild:steps=9"]
    assert UNSTABLE in render(board, "markdown") and "its own seeds alone" in " ".join(foot_notes(board))


def test_the_floor_is_what_predicting_everything_gives(board: Board) -> None:
    everything = board.trivial[board.trivial["training_set"] == "all-positive"].iloc[0]
    assert everything["floor"] == pytest.approx(everything[PRIMARY]) == pytest.approx(everything[COMPANION])
    assert f"has IoU and AP of {100 * everything['floor']:.2f} %" in " ".join(foot_notes(board))


def test_iou_at_the_validation_threshold_comes_from_the_f1_of_the_same_counts(maker: Make) -> None:
    made = maker()
    for seed, f1 in enumerate((0.5, 0.8)):
        made.cell("pseudo", 0.5, seed=seed, extra={"f1_validation_threshold": f1})
    line = Board.of(made.run()).frame.iloc[0]
    assert line["artifact_iou_validation_threshold"] == pytest.approx((0.5 / 1.5 + 0.8 / 1.2) / 2)


def test_intervals_stay_within_0_and_1(maker: Make) -> None:
    made = maker()
    for seed in (0, 1):
        made.cell("human", 1.0, seed=seed).cell("pseudo", 0.02, seed=seed)
        made.corrupted("nothing:steps=1", 0.0, seed=seed, low=-0.3)
    frame = Board.of(made.run()).frame
    for metric in (PRIMARY, COMPANION):
        low, value, high = (frame[f"{metric}{end}"] for end in ("_low", "", "_high"))
        assert ((low >= 0) & (low <= value) & (value <= high) & (high <= 1)).all()


def test_figures_by_kind_have_intervals_and_a_table(board: Board) -> None:
    for _, line in board.trained.iterrows():
        assert line["kind_recall:melt_low"] <= line["kind_recall:melt"] <= line["kind_recall:melt_high"]
    assert "kind_recall:melt" in board.metrics and "kind_recall:melt_low" not in board.metrics
    sheet = kinds_sheet(board)
    assert sheet is not None and (sheet.title, sheet.columns[-1].header) == ("Recall by kind", "melt")
    first = board.trained.iloc[0]
    low, value, high = (100 * first[f"kind_recall:melt{end}"] for end in ("_low", "", "_high"))
    assert sheet.rows[0][-1].text == f"{value:.2f} [{low:.2f}, {high:.2f}]"
    assert kinds_sheet(replace(board, frame=board.frame.drop(columns=["kind_recall:melt_low"]))) is None


def test_variants_of_another_protocol_are_ranked_apart(maker: Make) -> None:
    made = maker()
    long, short = (json.dumps({"iterations": n, "batch": 8, "lr": 0.001}) for n in (140, 5))
    for variant, training in ((None, long), ("corruptor.steps=9", long), ("training.iterations=5", short)):
        made.cell("pseudo", 0.5, training=training, variant=variant, selector="learned")
        made.corrupted("blur:steps=5", 0.6, training=training, variant=variant, selector="learned")
    board = Board.of(made.run())
    protocols = board.frame.set_index("training_set")["protocol"]
    assert protocols["blur:steps=5"] == protocols["blur:steps=5 [corruptor.steps=9]"] == ""
    assert protocols["blur:steps=5 [training.iterations=5]"] == "training.iterations 5"
    assert board.frame["rank"].to_list() == [1, 1, 3, 3, 1, 2]
    apart = board.frame[board.frame["protocol"] != ""].set_index("role")
    expected = apart.loc["corrupted", PRIMARY] - apart.loc["pseudo", PRIMARY]
    assert apart.loc["corrupted", "delta_pseudo"] == pytest.approx(expected)
    assert [group.title for group in board_sheet(board).groups] == [
        "upernet-swin",
        "upernet-swin, training.iterations 5",
    ]
    assert board.frame["iterations"].to_list() == [140.0] * 4 + [5.0] * 2
    assert "iterations" in [column.header for column in board_sheet(board).columns]


def test_a_board_without_enough_images_says_why_it_has_no_interval(maker: Make) -> None:
    board = Board.of(maker(images=1).cell("human", 0.5).cell("pseudo", 0.6).run())
    line = board.frame.iloc[0]
    assert np.isnan(line[f"{PRIMARY}_low"])
    assert (line["rank_low"], line["rank_high"]) == (1, 2)
    assert "No interval for human, pseudo: the figure is undefined without one of the test images." in foot_notes(board)
    assert "nan" not in render(board, "markdown").lower()
    assert "nothing is resolved" in head_notes(board)[0]


def test_one_image_with_artifacts_gives_no_interval(maker: Make) -> None:
    """Of the two images that the maker draws, the second one alone has artifacts."""
    line = Board.of(maker(images=2).cell("human", 0.5).cell("human", 0.5, seed=1).run()).frame.iloc[0]
    assert np.isfinite(line[PRIMARY]) and np.isnan(line[f"{PRIMARY}_low"])
    assert "undefined without one of the test images" in line["no_interval"]


def test_a_board_of_an_earlier_version_says_that_its_intervals_do_not_cover(board: Board) -> None:
    data = json.loads(json.dumps(board.as_json())) | {"replicates": 1000}
    for row in data["rows"]:
        for name in [n for n in row if n.startswith("average_precision_") or n.endswith(("_p", "_verdict"))]:
            del row[name]
    del data["pairs"], data["resolution"]
    older = Board.from_json(data, "it")
    assert "1000 bootstrap draws by an earlier version" in " ".join(foot_notes(older))
    assert head_notes(older) == ()
    assert "–" in render(older, "markdown")
