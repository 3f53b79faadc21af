"""The settings of a board: one line that is true of the run, and where two runs differ."""

from __future__ import annotations

import json

import pytest

from benchkit.cli.sidebyside import SideBySide
from benchkit.report.board import Board
from benchkit.report.notes import foot_notes
from benchkit.report.render_board import render
from benchkit.report.settings import differing, settings_line
from benchkit.report.site.page import page

FULL, SHORT = "folder:autoencode=false,root=mine/clean[48]", "folder:root=mine/clean[48]"
SETTINGS = {
    "test_set": "folder:autoencode=false,root=mine/test[20]",
    "labelled": 100,
    "source_set": FULL,
    "source_images": 48,
    "test_images": 20,
    "validation_images": 32,
    "inverter": "renoise:iterations=1",
    "label": "image",
    "paste_background": False,
    "checkpoint": "portraits",
    "checkpoint_sha256": "ab" * 32,
    "dtype": "float32",
    "autoencoder": "whole",
    "num_inference_steps": 50,
}


def budget(**changes: object) -> str:
    settings = {"iterations": 140, "batch": 8, "lr": 1e-3, "betas": [0.9, 0.999], "crop": 64, "flip": True}
    return json.dumps(settings | changes)


def board(maker, seeds: tuple[int, ...] = (0,), run: str = "a", **changes: object) -> Board:
    made = maker()
    same = budget()
    settings = SETTINGS | {"training": same, "selector_training": same} | changes
    for seed in seeds:
        made.corrupted("gaussian:steps=5", 0.4, seed=seed, **settings)
        made.corrupted("blur:steps=5", 0.6, seed=seed, **settings)
    made.grid |= {"shown": {FULL: SHORT, SETTINGS["test_set"]: "folder:root=mine/test[20]"}}
    found = Board.of(made.run())
    return Board(run, found.title, found.note, found.frame, shown=found.shown)


def test_one_line_says_everything_that_decided_the_figures(maker) -> None:
    assert settings_line(board(maker)) == (
        "Settings: 1 seed; test folder:root=mine/test[20]; source folder:root=mine/clean[48]; labelled 100; "
        "validation 32; inverter renoise:iterations=1; label image; paste_background no; checkpoint portraits (sha256 "
        "abababababab); dtype float32; autoencoder whole; num_inference_steps 50; training and selector_training: "
        "iterations 140, batch 8, lr 0.001, crop 64."
    )
    assert "3 seeds; " in settings_line(board(maker, (0, 1, 2)))
    assert "training: iterations 5, batch 8" in settings_line(board(maker, training=budget(iterations=5)))


def test_every_form_of_a_board_has_the_line(maker) -> None:
    made = board(maker)
    for form in ("table", "markdown", "latex"):
        assert "num_inference_steps 50" in " ".join(render(made, form, 300).replace("\\", "").split()), form
    rows = maker().corrupted("gaussian:steps=5", 0.4, **SETTINGS, training=budget()).run()
    assert "num_inference_steps 50" in page(rows, Board.of(rows))


def test_a_board_read_back_shows_what_it_showed(maker) -> None:
    made = board(maker)
    again = Board.from_json(json.loads(json.dumps(made.as_json())), "it")
    assert again.shown == made.shown
    assert render(again, "table", 200) == render(made, "table", 200)
    assert FULL not in render(again, "markdown")


def test_an_older_board_has_no_line(maker) -> None:
    assert settings_line(Board.of(maker().corrupted("gaussian:steps=5", 0.4).run())) == ""


def test_runs_of_one_setting_are_compared_by_differences(maker) -> None:
    one, other = board(maker), board(maker, run="b")
    shown = SideBySide((one, other))
    assert shown.comparable
    assert shown.differing == {}
    text = render(shown, "table", 80)
    assert "B − A" in text
    assert "0.00" in text
    assert "differ" not in text.split("\n")[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inverter": "ddim"}, "inverter (renoise:iterations=1 | ddim)"),
        ({"training": budget(iterations=5)}, "training.iterations (140 | 5)"),
        ({"training": budget(precision="bfloat16")}, "training.precision (float32 | bfloat16)"),
        ({"source_set": "portraits/clean[16]"}, "source (folder:root=mine/clean[48] | portraits/clean[16])"),
        ({"dtype": "float16"}, "dtype (float32 | float16)"),
        ({"label": "latent"}, "label (image | latent)"),
        ({"paste_background": True}, "paste_background (no | yes)"),
        ({"num_inference_steps": 20}, "num_inference_steps (50 | 20)"),
        ({"checkpoint_sha256": "cd" * 32}, "checkpoint sha256 (abababababab | cdcdcdcdcdcd)"),
        ({"labelled": 10}, "labelled (100 | 10)"),
        ({"selection_seed": 0}, "selection (of each seed | shared, of seed 0)"),
        ({"test_set": "portraits/test[20]"}, "test (folder:root=mine/test[20] | portraits/test[20])"),
    ],
)
def test_runs_of_different_settings_are_not_put_under_one_legend(maker, changes: dict, message: str) -> None:
    shown = SideBySide((board(maker), board(maker, run="b", **changes)))
    text = " ".join(render(shown, "table", 160).split())
    assert f"These runs differ in {message}." in text
    assert "Side by side: different settings, not to be compared" in text
    assert "B − A" not in text
    # The same method of both still stands in one line.
    assert len(shown.sheet().rows) == 2


def test_a_record_without_a_later_setting_has_its_default(maker) -> None:
    spelled = budget(precision="float32", ema_decay=0.0)
    assert differing((board(maker), board(maker, training=spelled, selector_training=spelled))) == {}
    assert "precision" not in settings_line(board(maker, training=spelled))
    assert "crop 64, precision bfloat16" in settings_line(board(maker, training=budget(precision="bfloat16")))


def test_variants_of_two_precisions_have_two_protocols(maker) -> None:
    made = maker()
    for variant, training in ((None, budget()), ("training.precision=bfloat16", budget(precision="bfloat16"))):
        made.corrupted("gaussian:steps=5", 0.4, **SETTINGS, training=training, variant=variant)
    names = dict(zip(*(Board.of(made.run()).frame[key] for key in ("variant", "protocol")), strict=True))
    assert names["training.precision=bfloat16"] == "training.precision bfloat16"


def test_rows_of_a_shared_selection_are_not_ranked_with_others(maker) -> None:
    made = maker()
    for variant, shared in ((None, {}), ("selection_seed=0", {"selection_seed": 0})):
        made.corrupted("gaussian:steps=5", 0.4, **SETTINGS, training=budget(), variant=variant, **shared)
    names = dict(zip(*(Board.of(made.run()).frame[key] for key in ("variant", "protocol")), strict=True))
    assert names == {None: "", "selection_seed=0": "selection shared, of seed 0"}


def test_a_board_says_what_a_shared_selection_does_not_cover(maker) -> None:
    made, own = board(maker, (0, 1), selection_seed=0), board(maker, (0, 1))
    assert "; selection shared, of seed 0; " in settings_line(made)
    assert "selection" not in settings_line(own).replace("selector_training", "")
    (note,) = [text for text in foot_notes(made) if text.startswith("Shared selection: ")]
    assert "Intervals and verdicts do not cover another selection" in note
    assert "not ranked together" in note
    assert not any("Shared selection" in text for text in foot_notes(own))
    again = Board.from_json(json.loads(json.dumps(made.as_json())), "it")
    assert settings_line(again) == settings_line(made) and foot_notes(again) == foot_notes(made)


def test_seeds_alone_forbid_no_comparison(maker) -> None:
    shown = SideBySide((board(maker), board(maker, (0, 1), run="b")))
    assert shown.comparable
    assert differing(shown.boards) == {"seeds": ("1", "2")}


def test_one_checkpoint_under_two_names_is_no_difference(maker) -> None:
    assert differing((board(maker), board(maker, checkpoint="a-copy"))) == {}


def test_two_runs_fit_into_eighty_columns_without_broken_words(maker) -> None:
    text = render(SideBySide((board(maker), board(maker, run="b"))), "table", 80)
    table = text.split("A: a:")[0]
    assert max(map(len, table.splitlines())) <= 80
    assert "gaussian:steps=5 " in table
    assert "blur:steps=5 " in table
    # Intervals go together, or not at all.
    assert table.count("[interval]") in (0, 2)


def test_a_run_beside_itself_is_said(maker) -> None:
    one, other = board(maker), board(maker, run="b")
    assert "A and C are the same run." in render(SideBySide((one, other, one)), "markdown", 120)
    seeds = "different seeds alone may cause a difference"
    assert seeds in render(SideBySide((one, other)), "markdown", 120)
    assert seeds not in render(SideBySide((one, one)), "markdown", 120)
    assert "are the same run" not in render(SideBySide((one, other)), "markdown", 120)
