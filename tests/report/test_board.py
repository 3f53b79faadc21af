"""The board: seeds aggregated as by hand, intervals and differences from the records, order, states, JSON."""

import json
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from benchkit.errors import BenchkitError
from benchkit.metrics import COMPANION, METRICS, PRIMARY, Measured, metric
from benchkit.report.board import Board
from benchkit.report.columns import MARGIN
from benchkit.report.load_board import load_board
from benchkit.report.notes import foot_notes, head_notes
from benchkit.report.render_board import json_text
from benchkit.report.third_party import named_by
from benchkit.statistics.intervals import compute_differences, compute_intervals
from benchkit.statistics.jackknife import jackknife
from benchkit.statistics.multiple_comparisons import adjust_step_down, judge


def line(board: Board, training_set: str, **labels: str) -> pd.Series:
    found = board.frame[board.frame["training_set"] == training_set]
    for name, value in labels.items():
        found = found[found[name] == value]
    assert len(found) == 1
    return found.iloc[0]


def terms(run, training_set: str, name: str = PRIMARY) -> dict:
    cells = run.rows[(run.rows["training_set"] == training_set) & (run.rows["state"] == "done")]
    info = metric(name)
    pairs = zip(cells["seed"], cells["cell"], strict=True)
    return {seed: info.additive(Measured.from_arrays(run.records[key])) for seed, key in pairs}


# --- figures ----------------------------------------------------------------------------------------------------------


def test_seeds_become_mean_and_sample_deviation(make_standard):
    run = make_standard((0, 1, 2)).run()
    board = Board.of(run)
    own = run.rows[run.rows["training_set"] == "pseudo"]
    pseudo = line(board, "pseudo")
    assert pseudo["seeds"] == pseudo["planned_seeds"] == 3
    for name in METRICS:
        if name.endswith("_validation_threshold"):
            assert np.isnan(pseudo[name])
            continue
        values = own[name].to_list()
        assert pseudo[name] == pytest.approx(sum(values) / 3), name
        by_hand = (sum((v - sum(values) / 3) ** 2 for v in values) / 2) ** 0.5
        assert pseudo[f"{name}_std"] == pytest.approx(by_hand, abs=1e-12), name
    assert pseudo["seconds"] == 7.5
    assert line(board, "blur:steps=20")["dropped"] == 4


def test_remarks_of_a_run_follow_the_grids_note(make_standard):
    run = make_standard((0,)).run()
    words = replace(run, grid={**run.grid, "note": "A note.", "remarks": ["Other images.", "Other sizes."]})
    assert Board.of(words).note == "A note. Other images. Other sizes."
    assert Board.of(replace(run, grid={"remarks": ["Alone."]})).note == "Alone."


def test_a_metric_undefined_in_one_seed_is_undefined_in_the_mean(make_standard):
    maker = make_standard((0, 1))
    next(cell for cell in maker.lines if cell["role"] == "human")["precision"] = float("nan")
    human = line(Board.of(maker.run()), "human")
    assert np.isnan(human["precision"]) and np.isnan(human["precision_std"]) and np.isfinite(human["recall"])


@pytest.mark.parametrize("name", [PRIMARY, COMPANION])
def test_intervals_differences_and_means_are_those_of_the_statistics(make_standard, name):
    run = make_standard((0, 1, 2)).run()
    board = Board.of(run)
    trained = [row for row in run.rows["training_set"].unique() if not row.startswith(("all-", "imported"))]
    methods = jackknife({row: terms(run, row, name) for row in trained}, metric(name).pooled)
    prefix = "" if name == PRIMARY else f"{name}_"
    for row, expected in compute_intervals(methods).items():
        own = line(board, row)
        assert own[name] == pytest.approx(expected.estimate)
        assert (own[f"{name}_low"], own[f"{name}_high"]) == pytest.approx((expected.low, expected.high))
        assert own["seed_variance"] and not own["no_interval"]
    for base in ("pseudo", "human"):
        family = compute_differences(methods, [(row, base) for row in trained if row != base])
        adjusted = adjust_step_down(methods, family)
        for (row, _), expected in family.items():
            own = line(board, row)
            shown = [own[f"{prefix}delta_{base}{part}"] for part in ("", "_low", "_high")]
            assert shown == pytest.approx([expected.estimate, expected.low, expected.high])
            # Normal draws are given to the rows in another order here.
            assert own[f"{prefix}delta_{base}_p"] == pytest.approx(adjusted[row, base], abs=0.01)
            assert own[f"{prefix}delta_{base}_verdict"] == judge(expected, adjusted[row, base], MARGIN)
    assert np.isnan(line(board, "pseudo")[f"{prefix}delta_pseudo"])
    assert np.isfinite(line(board, "pseudo")[f"{prefix}delta_human"])


def test_a_baseline_is_that_of_the_same_selector_and_detector(maker):
    run = (
        maker()
        .cell("human", 0.4)
        .cell("pseudo", 0.5, selector="learned")
        .cell("pseudo", 0.3, selector="boxes")
        .corrupted("blur:steps=20", 0.6, selector="boxes")
        .corrupted("blur:steps=20", 0.6, selector="learned", detector="other")
        .run()
    )
    board = Board.of(run)
    blur = line(board, "blur:steps=20", selector="boxes")
    assert blur["delta_pseudo"] == pytest.approx(blur[PRIMARY] - line(board, "pseudo", selector="boxes")[PRIMARY])
    assert blur["delta_human"] == pytest.approx(blur[PRIMARY] - line(board, "human")[PRIMARY])
    assert np.isnan(line(board, "blur:steps=20", detector="other")["delta_pseudo"])
    assert np.isnan(line(board, "human")["delta_pseudo"]), "two pseudo rows: which one would be meant?"


def test_lines_of_different_seeds_are_compared_on_those_they_share(make_standard):
    maker = make_standard((0, 1, 2))
    for cell in maker.lines:
        if cell["method"] == "blur:steps=20" and cell["seed"] == 1:
            cell |= {"state": "failed", "reason": "out of memory"}
    run = maker.run()
    blur = line(Board.of(run), "blur:steps=20")
    values = [
        metric(PRIMARY).pooled(terms(run, name)[s].sum(0)) for name in ("blur:steps=20", "pseudo") for s in (0, 2)
    ]
    assert blur["delta_pseudo"] == pytest.approx((values[0] + values[1] - values[2] - values[3]) / 2)
    assert (blur["state"], blur["seeds"], blur["planned_seeds"]) == ("partial", 2, 3)
    assert blur["reason"] == "failed: out of memory"


def test_ranks_are_among_the_trained_rows_of_a_detector(maker):
    made = maker()
    for name, quality in (("pseudo", 0.3), ("blur:steps=20", 0.6), ("human", 0.9)):
        made.cell(name, quality).cell(name, 1.1 - quality, detector="other")
    board = Board.of(made.trivial().run())
    assert board.trained["rank"].to_list() == [1, 2, 3, 1, 2, 3]
    assert board.trained["training_set"].to_list()[::3] == ["human", "pseudo"]
    assert (board.frame["rank_low"].dropna() <= board.frame["rank"].dropna()).all()
    assert board.trivial["rank"].isna().all()


# --- order and states -------------------------------------------------------------------------------------------------


def test_order_is_by_detector_then_primary_then_trivial_then_missing(make_standard):
    maker = make_standard()
    maker.cell("human", 0.9, detector="another")
    board = Board.of(maker.run())
    assert board.frame["group"].to_list() == ["trained"] * 7 + ["trivial"] * 2 + ["missing"]
    first = board.trained[board.trained["detector"] == "upernet-swin:size=mini"]
    assert first.index.to_list() == [0, 1, 2, 3, 4, 5] and first[PRIMARY].is_monotonic_decreasing
    assert board.trained["detector"].iloc[-1] == "another"
    assert board.missing["reason"].item().startswith("skipped: corruptor 'imported': package 'diffusion-x'")


@pytest.mark.parametrize(("states", "expected"), [("fps", "failed"), ("ps", "pending"), ("s", "skipped")])
def test_a_line_without_figures_says_the_worst_of_its_cells(maker, states, expected):
    made = maker()
    for seed, letter in enumerate(states):
        state = {"f": "failed", "p": "pending", "s": "skipped"}[letter]
        made.cell("blur", None, seed=seed, state=state, reason="why")
    board = Board.of(made.run())
    assert board.frame["state"].item() == expected
    assert np.isnan(board.frame[PRIMARY].item()) and foot_notes(board) == ("No row of this board has figures.",)


def test_one_seed_says_that_no_seed_variance_is_covered(make_standard):
    one, three = (Board.of(make_standard(seeds).run()) for seeds in ((0,), (0, 1, 2)))
    assert "no seed variance is covered" in " ".join(foot_notes(one)) and not one.frame["seed_variance"].any()
    assert "no seed variance" not in " ".join(foot_notes(three)) and three.trained["seed_variance"].all()
    assert one.trained[f"{PRIMARY}_std"].isna().all()


def test_rows_whose_seeds_differ_by_more_than_2_points_are_named(maker):
    made = maker()
    for name, accuracies in {"human": (0.9, 0.9, 0.9), "pseudo": (0.2, 0.5, 0.8)}.items():
        for seed, accuracy in enumerate(accuracies):
            made.cell(name, accuracy, seed=seed)
    board = Board.of(made.run())
    (note,) = [text for text in foot_notes(board) if text.startswith("Seeds differ")]
    own = line(board, "pseudo")
    assert own[f"{PRIMARY}_std"] > 0.02 > line(board, "human")[f"{PRIMARY}_std"]
    assert f"pseudo ({100 * own[f'{PRIMARY}_std']:.2f}; AP {100 * own['average_precision_std']:.2f})" in note
    assert "human" not in note


def test_a_row_without_its_record_has_a_figure_but_no_interval(make_standard):
    maker = make_standard()
    blur = next(cell for cell in maker.lines if cell["method"] == "blur:steps=20")
    del maker.records[blur["cell"]]
    own = line(Board.of(maker.run()), "blur:steps=20")
    assert own[PRIMARY] == pytest.approx(blur[PRIMARY]) and own["images"] == 20
    assert np.isnan(own[f"{PRIMARY}_low"]) and np.isnan(own["rank"])


def test_bad_runs_are_refused(maker):
    made = maker(images=20).cell("human", 0.5)
    made.images = 10
    with pytest.raises(BenchkitError, match="same images"):
        Board.of(made.cell("pseudo", 0.5).run())
    with pytest.raises(BenchkitError, match="without cells"):
        Board.of(maker().cell("human", 0.5).run().__class__("r", {}, {}, made.run().rows.iloc[:0], {}))


# --- JSON -------------------------------------------------------------------------------------------------------------


def test_json_is_plain_and_reads_back_as_the_same_board(make_standard, tmp_path):
    board = Board.of(make_standard((0, 1)).run())
    text = json_text(board.as_json())
    assert "NaN" not in text
    (tmp_path / "board.json").write_text(text)
    for again in (load_board(tmp_path), load_board(tmp_path / "board.json")):
        pd.testing.assert_frame_equal(again.frame, board.frame)
        assert json_text(again.as_json()) == text and (head_notes(again), foot_notes(again)) == (
            head_notes(board),
            foot_notes(board),
        )
    assert all(row["schema"] == 2 and row["run"] == board.run for row in json.loads(text)["rows"])


BOARD = '{"schema":1,"run":"","note":"","replicates":1,%s}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "not a board"),
        ("[" * 100_000, "not JSON"),
        (BOARD % '"title":["t"],"level":0.9,"rows":[]', "title"),
        (BOARD % '"title":"","level":"high","rows":[]', "level"),
        (BOARD % '"title":"","level":0.9,"rows":[1]', "no list of records"),
        ('{"schema": 3}', "schema 3, but this version reads schemas 1 and 2"),
        ('{"schema": 1}', "'run' is missing"),
        ('{"schema":1,"run":"","title":"","note":"","level":0.9,"rows":[{}]}', "rows lack 'group'"),
    ],
)
def test_what_is_no_board_is_refused_in_one_line(tmp_path, text, message):
    (tmp_path / "board.json").write_text(text)
    with pytest.raises(BenchkitError, match=message) as caught:
        load_board(tmp_path)
    assert "\n" not in str(caught.value) and "board.json" in str(caught.value)


def test_a_folder_without_a_board_is_refused(tmp_path):
    with pytest.raises(BenchkitError, match="no board at"):
        load_board(tmp_path)


# --- cost -------------------------------------------------------------------------------------------------------------


def test_fifteen_rows_of_a_hundred_images_take_less_than_a_second(maker):
    made = maker(images=100)
    for i in range(15):
        made.cell(f"method-{i}", 0.3 + i / 30)
    run = made.run()
    Board.of(run)
    began = time.process_time()
    Board.of(run)
    assert time.process_time() - began < 1.0


def test_reports_load_neither_torch_nor_the_registry_nor_matplotlib():
    code = (
        "import sys, benchkit.report.write, benchkit.report.paper_comparison\n"
        "heavy = ('torch', 'matplotlib', 'benchkit.plugin.registry', 'benchkit_plugins')\n"
        "print(*(m for m in heavy if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_rows_name_the_plugins_that_do_not_ship(make_standard) -> None:
    run = make_standard().run()
    assert Board.of(run).frame["plugins"].isna().all()
    foreign = {"corruptor gaussian": {"origin": "mine.py", "version": None, "source": "cd" * 32}}
    foreign |= {"inverter odd": {"origin": "package benchkit-odd", "version": "0.3", "source": "ef" * 32}}
    run.environment["plugins"].update(foreign)  # type: ignore[attr-defined]
    board = Board.of(run)
    lines = board.frame.set_index("training_set")["plugins"]
    inverter = f"inverter odd: package benchkit-odd 0.3, sha256 {'ef' * 32}"
    assert lines["gaussian:steps=10"] == f"corruptor gaussian: mine.py, sha256 {'cd' * 32}; {inverter}"
    assert lines["blur:steps=20"] == inverter
    assert lines["human"] is None
    assert "gaussian: mine.py, sha256 cdcdcdcdcdcd; inverter odd" in foot_notes(board)[-1]
    again = Board.from_json(board.as_json(), "it")
    assert again.frame["plugins"].tolist() == board.frame["plugins"].tolist()
    assert (head_notes(again), foot_notes(again)) == (head_notes(board), foot_notes(board))


def test_a_row_rests_on_the_plugins_that_its_record_names() -> None:
    foreign = {"corruptor fade": "fade.py", "selector mine": "mine.py", "corruptor mine": "other.py"}
    assert named_by({"uses": "corruptor fade; corruptor mixture; selector mine"}, foreign) == (
        "corruptor fade: fade.py; selector mine: mine.py"
    )
    # What is printed says nothing of it.
    assert named_by({"uses": "corruptor mixture", "training_set": "mixture:of=fade+mine"}, foreign) is None
    assert named_by({"uses": None, "training_set": "fade"}, foreign) is None
