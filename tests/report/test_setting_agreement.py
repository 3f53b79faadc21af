"""Several settings on one board: shares and agreement on the page, in text and in JSON, and what is left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from benchkit.errors import BenchkitError
from benchkit.metrics import COMPANION, PRIMARY
from benchkit.report.across_table import across_section
from benchkit.report.board import Board
from benchkit.report.render_board import render
from benchkit.report.site.page import page

Make = Callable[..., Any]
SWIN, CONVNEXT = "frozen-swin", "frozen-convnext"


@pytest.fixture(scope="module")
def made(maker: Make) -> Any:
    """Two detectors that resolve `blur` and `renoise` in opposite directions; a third whose `human` is no better."""
    run = maker()
    found = {SWIN: (0.5, 0.9, 0.85, 0.6), CONVNEXT: (0.4, 0.9, 0.5, 0.8), "flat": (0.6, 0.6, 0.7, 0.3)}
    for detector, (pseudo, human, blur, renoise) in found.items():
        for seed in range(3):
            run.cell("human", human, seed=seed, detector=detector).cell("oracle", 0.95, seed=seed, detector=detector)
            run.cell("pseudo", pseudo, seed=seed, detector=detector, selector="learned")
            own = {"seed": seed, "detector": detector, "selector": "learned"}
            run.corrupted("blur:steps=5", blur, **own).corrupted("renoise:steps=5", renoise, **own)
            if detector != SWIN:
                run.corrupted("only:steps=5", 0.5, **own)
    return run.run()


@pytest.fixture(scope="module")
def board(made: Any) -> Board:
    return Board.of(made)


def test_a_share_is_the_rows_part_of_the_distance(board: Board) -> None:
    shares = {(r["metric"], r["reference"], r["method"]): r for r in board.across["shares"]}
    lines = board.trained.set_index(["detector", "method"])[PRIMARY].to_dict()
    roles = board.trained.set_index(["detector", "role"])[PRIMARY].to_dict()
    for ranking in (PRIMARY, COMPANION):
        record = shares[ranking, "human", "blur:steps=5"]
        assert record["settings"] == [0, 1] and record["trained_seeds"] == 3
        assert record["low"] < record["share"] < record["high"]
        assert min(record["means"]) <= record["share"] <= max(record["means"])
    for mean, detector in zip(shares[PRIMARY, "human", "blur:steps=5"]["means"], (SWIN, CONVNEXT), strict=True):
        lower, upper = roles[detector, "pseudo"], roles[detector, "human"]
        assert mean == pytest.approx((lines[detector, "blur:steps=5"] - lower) / (upper - lower))
    assert shares[PRIMARY, "oracle", "blur:steps=5"]["settings"] == [0, 1, 2], "oracle is better in all"
    assert shares[PRIMARY, "human", "oracle"]["share"] > 1 > shares[PRIMARY, "oracle", "human"]["share"]
    assert shares[PRIMARY, "human", "only:steps=5"]["settings"] == [1]


def test_a_setting_without_a_distance_is_left_out_and_named(board: Board) -> None:
    reasons = {(r["metric"], r["reference"], r["setting"]): r["reason"] for r in board.across["distances"]}
    assert reasons[PRIMARY, "human", 2] == "'human' is not far enough above 'pseudo'"
    assert reasons[PRIMARY, "human", 0] is None is reasons[PRIMARY, "oracle", 2]
    section = across_section(board)
    assert section is not None
    assert any(
        "No fraction in flat by artifact IoU at 0.5: 'human' is not far enough above" in note for note in section.notes
    )


def test_one_common_seed_covers_no_other_and_says_so(maker: Make) -> None:
    run = maker()
    for detector, seeds in (("a", (0, 1, 2)), ("b", (0,))):
        for seed in seeds:
            own = {"seed": seed, "detector": detector, "selector": "learned"}
            run.cell("human", 0.9, **(own | {"selector": None}))
            run.cell("pseudo", 0.5, **own).corrupted("blur:steps=5", 0.6, **own)
    board = Board.of(run.run())
    assert {r["trained_seeds"] for r in board.across["shares"]} == {1}
    assert "their intervals cover test images alone" in " ".join(render(board, "markdown").split())


def test_a_reference_below_pseudo_is_called_worse_and_two_seeds_warn(maker: Make) -> None:
    run = maker()
    for detector, human in (("a", 0.9), ("b", 0.1)):
        for seed in (0, 1):
            own = {"seed": seed, "detector": detector, "selector": "learned"}
            run.cell("human", human, **(own | {"selector": None}))
            run.cell("pseudo", 0.5, **own).corrupted("blur:steps=5", 0.6, **own)
    board = Board.of(run.run())
    reasons = [r["reason"] for r in board.across["distances"] if r["metric"] == PRIMARY]
    section = across_section(board)
    assert section is not None
    assert any(note.startswith("Two seeds: nominal 95 % intervals of fractions") for note in section.notes)
    assert reasons == [None, "'human' is worse than 'pseudo'"]


def test_pairs_that_are_resolved_in_opposite_directions_are_listed(board: Board) -> None:
    between = next(r for r in board.across["agreement"] if (r["metric"], r["first"], r["second"]) == (PRIMARY, 0, 1))
    assert (between["methods"], between["tau"]) == (3, pytest.approx(1 / 3))
    assert between["opposite"] == 1 <= between["same"]
    opposite = [r for r in board.across["opposite"] if (r["metric"], r["first"], r["second"]) == (PRIMARY, 0, 1)]
    assert [(r["better_in_first"], r["better_in_second"]) for r in opposite] == [("blur:steps=5", "renoise:steps=5")]
    section = across_section(board)
    assert section is not None
    text = f"in {SWIN}, and the reverse in {CONVNEXT}: blur:steps=5 above renoise:steps=5."
    assert any(text in line for line in section.opposite)


def test_page_and_text_show_it(made: Any, board: Board) -> None:
    shown = page(made, board)
    assert '<h2 id="across">Across settings</h2>' in shown and "Kendall" in shown
    text = " ".join(render(board, "markdown").replace("\\", "").split())
    assert "Across 3 settings by artifact IoU at 0.5: Kendall's τ of their orders is" in text
    assert "nan" not in text.lower()


def test_json_is_read_back_and_anything_else_refused(board: Board) -> None:
    data = json.loads(json.dumps(board.as_json()))
    again = Board.from_json(data, "it")
    assert again.across == data["across"]
    assert repr(across_section(again)) == repr(across_section(board)), "as text, because NaN equals nothing"
    for name, wrong in (("settings", []), ("shares", [{"metric": "x"}]), ("agreement", 3)):
        with pytest.raises(BenchkitError, match="'across'"):
            Board.from_json(data | {"across": data["across"] | {name: wrong}}, "it")


def test_selectors_and_sources_are_settings_and_share_the_reference(maker: Make) -> None:
    run = maker()
    for seed in (0, 1):
        run.cell("human", 0.9, seed=seed)
        for selector, source in (("boxes", "a"), ("boxes", "b"), ("learned", "a")):
            own = {"seed": seed, "selector": selector, "source_name": source}
            run.cell("pseudo", 0.4, **own).corrupted("blur:steps=5", 0.6, **own)
    board = Board.of(run.run())
    assert len(board.across["settings"]) == 3
    record = next(r for r in board.across["shares"] if r["metric"] == PRIMARY)
    assert (record["method"], record["settings"]) == ("blur:steps=5", [0, 1, 2]), "named without its source"
    assert "boxes · b" in render(board, "markdown") or across_section(board).agreement.rows[0][1].text == "boxes · b"


def test_one_setting_or_variants_of_an_ablation_have_no_section(maker: Make, make_standard: Make) -> None:
    assert Board.of(make_standard((0, 1)).run()).across == {}
    run = maker()
    for variant, detector in ((None, "a"), ("detector=b", "b")):
        run.cell("pseudo", 0.5, detector=detector, variant=variant)
        run.corrupted("blur:steps=5", 0.6, detector=detector, variant=variant)
    board = Board.of(run.run())
    assert board.across == {} and across_section(board) is None
    assert '"across"' not in render(board, "json")
