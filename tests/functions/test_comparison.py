"""A comparison for people: board, rows, images, sentences, figures."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import benchkit
from benchkit.errors import BenchkitError
from benchkit.functions.comparison import Comparison
from benchkit.functions.paired_difference import PairedDifference
from benchkit.plugin.registry import Registry
from benchkit.report.board import Board
from benchkit.runs.run import Outcome, RunLocations
from tests.helpers.small_comparison import PLUGINS, Finished
from tests.report.conftest import Maker, standard


def made_up(maker: Maker) -> Comparison:
    """A comparison of made-up figures, without a cache."""
    return Comparison(Outcome("made-up", Board.of(maker.run()), {"run": 3}, 1.5), RunLocations(), Registry())


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return made_up(standard(range(3)))


@pytest.fixture(scope="module")
def opened(finished: Finished) -> Comparison:
    return benchkit.load_comparison(finished.out, cache=finished.cache, plugins=[PLUGINS])


@pytest.fixture(scope="module")
def pictured(shown: Finished) -> Comparison:
    return benchkit.load_comparison(shown.out, cache=shown.cache, plugins=[PLUGINS])


def test_the_board_is_tidy(comparison: Comparison) -> None:
    board = comparison.board.set_index("row")
    frame = comparison.metrics().set_index("training_set")
    assert list(board.columns) == [
        *("role", "detector", "selector", "corruptor", "inverter", "seeds", "iou", "iou_low", "iou_high"),
        *("ap", "ap_low", "ap_high", "rank", "to_pseudo", "verdict"),
    ]
    assert board["iou"]["oracle"] == pytest.approx(100 * frame["artifact_iou"]["oracle"])
    assert board["ap_high"]["oracle"] == pytest.approx(100 * frame["average_precision_high"]["oracle"])
    assert board["corruptor"].dropna().tolist()[0] == "renoise-masked:steps=10"
    assert board["to_pseudo"]["human"] == pytest.approx(100 * frame["delta_pseudo"]["human"])
    assert len(frame.columns) > 60


def test_two_rows_are_compared_in_a_sentence(comparison: Comparison) -> None:
    found = comparison.compare("renoise-masked", "blur:steps=20", metric="iou")
    assert (found.verdict, found.seeds, found.images) == ("better", 3, 20)
    board = comparison.board.set_index("row")["iou"]
    assert found.difference == pytest.approx(board["renoise-masked:steps=10"] - board["blur:steps=20"])
    assert found.low < found.difference < found.high
    assert re.fullmatch(
        r"renoise-masked:steps=10 is better than blur:steps=20 by \d+\.\d\d IoU points "
        r"\(95 % interval \d+\.\d\d to \d+\.\d\d, paired over 20 images and 3 seeds\)\.",
        repr(found),
    )


def test_the_other_way_round_says_the_same(comparison: Comparison) -> None:
    one, other = comparison.compare("renoise-masked", "blur"), comparison.compare("blur", "renoise-masked")
    assert (one.difference, one.low, one.high) == pytest.approx((-other.difference, -other.high, -other.low))
    assert (one.verdict, other.verdict) == ("better", "worse")
    assert one.p == other.p
    assert one.improvement == pytest.approx(1 - other.improvement)
    numbers = r"by \S+ AP points \(95 % interval \S+ to \S+, paired"
    assert re.search(numbers, str(one))[0] == re.search(numbers, str(other))[0]  # type: ignore[index]


def test_a_sentence_claims_no_more_than_the_verdict() -> None:
    found = PairedDifference("a", "b", "average_precision", 0.5, -1.0, 2.0, 0.4, 0.7, "unresolved", 100, 1, 0.95, "x")
    assert str(found) == (
        "a and b are not separable with detector x: the difference is +0.50 AP points (95 % interval -1.00 to 2.00, "
        "paired over 100 images and 1 seed; with one seed it does not cover what another seed would change)."
    )
    assert "a and b differ by less than one point" in str(replace(found, verdict="equivalent"))
    assert "It is not known whether a or b is better" in str(replace(found, verdict=None, low=np.nan))


@pytest.mark.parametrize(
    ("arguments", "message", "kind"),
    [
        (("bluer", "pseudo"), "unknown row 'bluer': did you mean 'blur", ValueError),
        (("human", "human"), "not ranked together", ValueError),
        (("human", "all-negative"), "not ranked together", ValueError),
        (("human", 1), "row: 1 is no row: give a name of the board", TypeError),
    ],
)
def test_rows_that_cannot_be_compared_are_refused(
    comparison: Comparison, arguments: Any, message: str, kind: type[Exception]
) -> None:
    with pytest.raises(BenchkitError, match=message) as raised:
        comparison.compare(*arguments)
    assert isinstance(raised.value, kind)


def test_of_several_detectors_one_is_chosen() -> None:
    maker = Maker()
    for detector in ("upernet-swin:size=mini", "segformer:size=b0"):
        for seed in (0, 1):
            maker.cell("human", 0.45, seed=seed, detector=detector).cell("oracle", 0.8, seed=seed, detector=detector)
    both = made_up(maker)
    with pytest.raises(ValueError, match=r"meet 2 times: choose with detector='segformer.*', detector='upernet"):
        both.compare("human", "oracle")
    found = both.compare("human", "oracle", detector="segformer")
    assert found.detector == "segformer:size=b0"
    assert "is worse than oracle by" in str(found)
    assert "with detector segformer:size=b0" in str(found)
    with pytest.raises(ValueError, match="detector='swin': row 'human' has"):
        both.compare("human", "oracle", detector="swin")


def test_a_row_of_several_parameters_is_named_in_full() -> None:
    maker = Maker()
    for seed in (0, 1):
        maker.cell("pseudo", 0.5, seed=seed, selector="learned:threshold=0.5")
        maker.corrupted("blur:steps=10", 0.3, seed=seed).corrupted("blur:steps=20", 0.2, seed=seed)
    with pytest.raises(ValueError, match=r"may mean several rows: name two of blur:steps=10, blur:steps=20, pseudo"):
        made_up(maker).compare("blur", "pseudo")


def test_the_text_is_one_line_and_the_html_is_escaped() -> None:
    hostile = "<script>alert(1)</script>"
    odd = made_up(standard(hostile=hostile))
    assert "\n" not in repr(odd)
    assert repr(odd).startswith("<Comparison 'Made up': 9 rows with figures, 1 detector, 1 seed, 1 without, run made")
    html = odd._repr_html_()
    assert hostile not in html
    assert "&lt;script&gt;" in html
    assert "A demonstration, not a ranking." in html
    assert "diffusion-x" in html


def test_figures_are_matplotlib_figures_that_a_notebook_shows(comparison: Comparison) -> None:
    figure = benchkit.plot_board(comparison, metric="ap")
    assert figure.axes[0].get_xlabel().startswith("average precision")
    assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]
    assert len(comparison.plot_board().axes) == 1
    with pytest.raises(TypeError, match=r"give what benchkit\.compare or benchkit\.load_comparison returned"):
        benchkit.plot_board("quick")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="choose 'ap' or 'iou'"):
        comparison.plot_board(metric="auroc")  # type: ignore[arg-type]


def test_depth_is_drawn_for_corruptors_with_several_steps(comparison: Comparison) -> None:
    with pytest.raises(ValueError, match=r"no corruptor with several numbers of steps: compare 'NAME:steps=5\|10"):
        comparison.plot_depth()
    maker = Maker().cell("pseudo", 0.5, selector="learned:threshold=0.5")
    for name, quality in (("blur:steps=5", 0.2), ("blur:steps=20", 0.6), ("gaussian:steps=10", 0.3)):
        maker.corrupted(name, quality)
    (panel,) = made_up(maker).plot_depth().axes
    assert [text.get_text() for text in panel.get_legend().get_texts()] == ["blur"]
    assert list(panel.get_xticks()) == [5, 20]


def test_a_finished_run_is_opened_from_its_folder(opened: Comparison, finished: Finished) -> None:
    assert opened.out == finished.out
    assert opened.stages == {}
    assert np.isnan(opened.seconds)
    assert opened.failures == ()
    assert set(opened.board["row"]) == {"human", "pseudo", "none:steps=1", "gaussian:steps=1", "all-negative"}
    assert set(opened.rows["row"]) == set(opened.board["row"])
    again = benchkit.load_comparison(opened.run, cache=finished.cache)
    assert again.out is None
    assert again.board.equals(opened.board)
    with pytest.raises(BenchkitError, match="unknown run 'nothing'"):
        benchkit.load_comparison("nothing", cache=finished.cache)


def test_figures_of_each_image_add_up_to_the_row(opened: Comparison) -> None:
    images = opened.per_image("pseudo")
    assert list(images) == ["image", "seed", "iou", "ap", "tp", "fp", "fn", "tn"]
    assert images["image"].nunique() == 4
    counts = images[["tp", "fp", "fn"]].sum()
    (row,) = opened.board.loc[opened.board["row"] == "pseudo", "iou"]
    assert 100 * counts["tp"] / counts.sum() == pytest.approx(row)
    assert len(opened.per_image("all-negative")) == 4


def test_images_of_a_row_before_and_after(pictured: Comparison) -> None:
    shown = pictured.images("gaussian:steps=1", count=2)
    assert len(shown) == 2
    assert all(one.mask.any() and one.before.shape == one.after.shape for one in shown)
    with pytest.raises(BenchkitError, match="unknown row 'human'"):
        pictured.images("human")
    assert len(pictured.gallery(count=2).axes) == 2 * 5
    assert len(pictured.gallery(row="gaussian:steps=1", count=3).axes) == 2 * 3
    assert [text.get_text() for text in pictured.plot_depth().axes[0].get_legend().get_texts()] == ["gaussian"]


def test_a_comparison_is_no_ablation(opened: Comparison) -> None:
    with pytest.raises(ValueError, match=r"is no ablation: use benchkit\.ablate"):
        benchkit.plot_ablation(opened)


def test_an_ablation_is_drawn_from_its_run(grid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchkit.cli.main import main

    monkeypatch.setenv("BENCHKIT_CACHE", str(tmp_path / "cache"))
    options = ["--vary", "corruptor.steps=1,2", "--plugin", str(PLUGINS), "--device", "cpu", "--json"]
    assert main(["ablate", str(grid), *options, "--out", str(tmp_path / "out")]) == 0
    made = benchkit.load_comparison(tmp_path / "out", plugins=[PLUGINS])
    assert set(made.ablation.frame["value"]) == {"1", "2"}
    assert [panel.get_title("left") for panel in made.plot_ablation().axes] == ["corruptor.steps"]
