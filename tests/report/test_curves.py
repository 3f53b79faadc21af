"""Learning curves on a board: means over seeds, marks of rows that climb, the order at smaller budgets, the page."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest

from benchkit.report.board import Board
from benchkit.report.board_table import board_sheet
from benchkit.report.curves import average_curves, climbing_seeds, curve_groups, mean_curve, order_of
from benchkit.report.leaderboard_lines import parse_lines, to_jsonl
from benchkit.report.notes import climbing_mark
from benchkit.report.render_board import render
from benchkit.report.site.page import page
from benchkit.statistics.ranks import rank_at_points
from tests.report.test_site import SCRIPT, Reader


def curve(*precision: float, iou: float = 0.1, climbing: bool | None = False) -> dict:
    """What a row stores of a training whose average precision at iterations 10, 20, … is this."""
    points = {
        "iterations": [10 * (i + 1) for i in range(len(precision))],
        "average_precision": list(precision),
        "artifact_iou": [iou] * len(precision),
    }
    return {"curve": json.dumps(points), "still_climbing": climbing}


@pytest.fixture
def made(maker):
    """Three rows of two seeds, of which one climbs in one seed and another in both; trivial rows."""
    rows = maker()
    for seed in (0, 1):
        rows.cell("human", 0.6, seed=seed, extra=curve(0.2, 0.4, 0.5 + 0.1 * seed, iou=0.1 + 0.2 * seed))
        rows.cell("pseudo", 0.5, seed=seed, extra=curve(0.3, 0.3, 0.3, climbing=seed == 1))
        rows.corrupted("blur:steps=20", 0.4, seed=seed, extra=curve(0.1, 0.2, 0.4, climbing=True))
    return rows.trivial()


# --- means and marks --------------------------------------------------------------------------------------------------


def test_the_mean_curve_has_the_range_of_the_seeds():
    text = average_curves([curve(0.2, 0.4)["curve"], None, np.nan, curve(0.4, 0.8, iou=0.3)["curve"]])
    assert json.loads(text) == {
        "iterations": [10, 20],
        "seeds": 2,
        "average_precision": [0.3, 0.6],
        "average_precision_min": [0.2, 0.4],
        "average_precision_max": [0.4, 0.8],
        "artifact_iou": [0.2, 0.2],
        "artifact_iou_min": [0.1, 0.1],
        "artifact_iou_max": [0.3, 0.3],
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "[" * 5000,
        json.dumps({"iterations": [], "average_precision": [], "artifact_iou": []}),
        json.dumps({"iterations": [2, 1], "average_precision": [0.1, 0.1], "artifact_iou": [0.1, 0.1]}),
        json.dumps({"iterations": [1, 2], "average_precision": [0.1], "artifact_iou": [0.1, 0.1]}),
        '{"iterations": [1], "average_precision": [NaN], "artifact_iou": [0.1]}',
        '{"iterations": [1], "average_precision": [1.5], "artifact_iou": [0.1]}',
    ],
)
def test_what_is_no_curve_is_none(text):
    assert average_curves([text]) is None
    assert average_curves([text, curve(0.2, 0.3)["curve"]]) == average_curves([curve(0.2, 0.3)["curve"]])
    assert mean_curve({"curve": text}) is None


def test_seeds_of_other_iterations_have_no_mean():
    assert average_curves([curve(0.1, 0.2)["curve"], curve(0.1, 0.2, 0.3)["curve"]]) is None


def test_a_row_that_climbs_is_marked_with_its_seeds(made):
    board = Board.of(made.run())
    lines = {line["training_set"]: line for line in board.frame.to_dict("records")}
    assert {name: climbing_seeds(line) for name, line in lines.items() if name in ("human", "pseudo")} == {
        "human": (0, 2),
        "pseudo": (1, 2),
    }
    marks = {name: climbing_mark(line) for name, line in lines.items()}
    assert (marks["human"], marks["pseudo"], marks["blur:steps=20"], marks["all-positive"]) == ("", "§1/2", "§", "")
    sheet = board_sheet(board)
    cells = {row[1].text: row[5].text for row in sheet.rows}
    assert cells["pseudo"].endswith(") §1/2") and cells["blur:steps=20"].endswith(") §") and "§" not in cells["human"]
    (note,) = (note for note in sheet.notes if note.startswith("§"))
    assert "2 of 3 trained rows" in note and note.endswith("§1/2: in 1 of 2 seeds.")


def test_without_a_row_that_climbs_there_is_no_mark(maker):
    board = Board.of(maker().cell("human", 0.6, extra=curve(0.1, 0.2, 0.2)).run())
    assert "§" not in render(board, "markdown")


def test_the_files_of_a_board_carry_the_mean_curves(made):
    board = Board.of(made.run())
    again = Board.from_json(json.loads(render(board, "json")), "board.json")
    pd.testing.assert_series_equal(again.frame["curve"], board.frame["curve"])
    (human,) = (line for line in parse_lines(to_jsonl(board), "board.jsonl") if line.role == "human")
    assert json.loads(human.curve)["average_precision"] == [0.2, 0.4, 0.55]
    assert human.still_climbing == 0.0


def test_a_board_of_an_earlier_version_has_no_curves(made):
    data = json.loads(render(Board.of(made.run()), "json"))
    for row in data["rows"]:
        del row["curve"], row["still_climbing"]
    board = Board.from_json(data, "board.json")
    assert curve_groups(board.trained) == [] and "§" not in render(board, "markdown")


# --- the order --------------------------------------------------------------------------------------------------------


def test_ranks_and_tau_of_made_up_curves():
    values = np.array([[0.1, 0.2, 0.4], [0.3, 0.3, 0.3], [0.2, 0.4, 0.2], [0.0, 0.1, 0.1]])
    ranks, tau = rank_at_points(values)
    assert ranks.tolist() == [[3, 3, 1], [1, 2, 2], [2, 1, 3], [4, 4, 4]]
    # Of six pairs 2 and 3 have changed places.
    np.testing.assert_allclose(tau, [(4 - 2) / 6, (3 - 3) / 6, 1])


def test_ties_share_the_better_rank_and_equal_values_have_no_tau():
    ranks, tau = rank_at_points(np.array([[0.1, 0.3], [0.1, 0.3], [0.1, 0.2]]))
    assert ranks.tolist() == [[1, 1], [1, 1], [1, 3]]
    assert np.isnan(tau[0]) and tau[1] == pytest.approx(1)
    assert np.isnan(rank_at_points(np.array([[0.1, 0.2], [0.2, 0.2]]))[1]).all()


def test_the_order_is_best_at_the_end_first(made):
    [(detector, lines)] = curve_groups(Board.of(made.run()).trained)
    order = order_of(lines)
    assert detector == "upernet-swin:size=mini"
    assert [one.line["training_set"] for one in order.lines] == ["human", "blur:steps=20", "pseudo"]
    assert order.ranks.tolist() == [[2, 1, 1], [3, 3, 2], [1, 2, 3]]
    np.testing.assert_allclose(order.fractions, [1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(order.tau, [-1 / 3, 1 / 3, 1])


def test_rows_with_another_number_of_points_are_not_in_the_order(made):
    made.corrupted("gaussian:steps=10", 0.3, extra=curve(0.1, 0.9))
    [(_, lines)] = curve_groups(Board.of(made.run()).trained)
    assert len(lines) == 4 and len(order_of(lines).lines) == 3
    assert order_of(lines[:1]) is None and order_of([]) is None


def test_detectors_have_their_own_order_and_test_sets_share_it(made):
    for line in [line for line in made.lines if line["role"] != "trivial"]:
        made.cell("human", 0.6, seed=line["seed"], detector="other", test_set="portraits/other[20]")
        made.lines[-1] |= {name: line[name] for name in ("role", "method", "corruptor", "curve", "still_climbing")}
        made.lines[-1] |= {"detector": "other", "selector": line["selector"]}
    run = made.run()
    groups = curve_groups(Board.of(run).trained)
    assert [(name, len(lines)) for name, lines in groups] == [("upernet-swin:size=mini", 3), ("other", 3)]
    twice = pd.concat([Board.of(run).trained.assign(test_set=name) for name in ("a", "b")])
    assert [len(lines) for _, lines in curve_groups(twice)] == [3, 3]


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_draws_a_panel_per_row_and_the_order(made):
    run = made.run()
    text = page(run, Board.of(run))
    section = text[text.index('<h2 id="curves">') :]
    section = section[: section.index("<h2", 5)]
    reader = Reader(section)
    assert [tag for tag, _ in reader.tags].count("polygon") == 3 * 2, "a band of AP and of IoU in every panel"
    assert "AP 55.00 IoU 20.00" in reader.text and "§ climbs in 1 of 2 seeds" in reader.text
    words = [a["aria-label"] for tag, a in reader.tags if tag == "svg"]
    assert words[0] == "human: AP 55.00 %, IoU 20.00 % at the end (first point: AP 20.00 %)"
    assert "human: rank 2, 1, 1" in reader.text and "§ blur:steps=20" in reader.text
    assert re.search(r"67 *0\.33", reader.text) and "−0.33" in reader.text
    assert "not what a shorter training would give" in reader.text
    # The plot is from 22 to 158, and from 80 (0 %) up to 5 (60 %).
    points = next(a["points"] for tag, a in reader.tags if tag == "polyline" and a["class"] == "ap")
    assert points == "67.3,55.0 112.7,30.0 158.0,11.2"


def test_rows_without_curves_have_no_section(make_standard):
    run = make_standard().run()
    assert 'id="curves"' not in page(run, Board.of(run)) and "§" not in page(run, Board.of(run))


def test_rows_without_a_curve_are_named_and_one_row_has_no_order(maker):
    rows = maker().cell("human", 0.6, extra=curve(0.1, 0.2, 0.3)).corrupted("blur:steps=20", 0.4)
    # A detector that is fitted at once has one point.
    run = rows.corrupted("gaussian:steps=10", 0.3, extra=curve(0.2)).run()
    shown = Reader(page(run, Board.of(run))).text
    assert "Without a learning curve: blur:steps=20, gaussian:steps=10." in shown
    assert "Learning curves" in shown and "Order at smaller budgets" not in shown


def test_names_in_the_section_are_text(maker):
    rows = maker().cell("human", 0.6, extra=curve(0.1, 0.2, 0.3))
    for name in (f'a"><img src=x onerror=1>{SCRIPT}', SCRIPT):
        rows.corrupted(name, 0.4, corruptor=name, selector=name, detector=SCRIPT, extra=curve(0.1, 0.2, 0.4))
    run = rows.run()
    reader = Reader(page(run, Board.of(run)))
    assert [tag for tag, _ in reader.tags].count("script") == 1
    assert not any(n.startswith("on") or n == "style" for _, attributes in reader.tags for n in attributes)
    assert reader.text.count(f"{SCRIPT}: rank") == 2


def test_a_curve_of_zeros_is_drawn(maker):
    run = maker().cell("human", 0.6, extra=curve(0.0, 0.0, iou=0.0)).cell("pseudo", 0.5, extra=curve(0.0, 0.0)).run()
    text = page(run, Board.of(run))
    assert "τ –" in text and "nan" not in text[text.index('<h2 id="curves">') : text.index('<h2 id="metrics">')]
