"""The leaderboard: the paper's rows as printed, lines checked one by one, boards beside the paper."""

import json
from pathlib import Path

import pytest

from benchkit.errors import BenchkitError
from benchkit.report.board import Board
from benchkit.report.leaderboard_lines import (
    PaperLine,
    RunLine,
    board_lines,
    load_leaderboard,
    paper_lines,
    parse_lines,
    to_jsonl,
)
from benchkit.report.old_schemas import upgraded
from benchkit.report.paper_comparison import NOT_RUN, compare_with_paper
from benchkit.report.render_board import json_text, render

FOLDER = Path(__file__).parents[2] / "leaderboard"


@pytest.fixture(scope="module")
def board(make_standard):
    return Board.of(make_standard((0, 1)).run())


def printed(table: int, **chosen) -> dict:
    """(label or dataset, detector's label) -> value of a table."""
    lines = [line for line in paper_lines() if line.table == table]
    lines = [line for line in lines if all(getattr(line, name) == value for name, value in chosen.items())]
    return {(line.label, line.detector_label): line.value for line in lines}


# --- the paper --------------------------------------------------------------------------------------------------------


def test_the_papers_tables_are_as_printed():
    lines = paper_lines()
    assert [sum(line.table == table for line in lines) for table in (1, 2, 3, 4)] == [10, 10, 24, 4]
    two = printed(2)
    assert [two[name, "ConvNeXt"] for name in ("Baseline", "Rotation", "Blur", "Gaussian", "Proposed")] == [
        *(23.27, 14.93, 3.03, 12.52, 26.35)
    ]
    assert [two[name, "Swin-T"] for name in ("Baseline", "Rotation", "Blur", "Gaussian", "Proposed")] == [
        *(26.23, 17.40, 1.73, 13.86, 27.30)
    ]
    depths = ("Corr. (45)", "Corr. (40)", "Corr. (35)", "Corr. (30)")
    three = printed(3, dataset="RichHF-7701")
    assert [three[name, "Swin-T"] for name in depths] == [28.48, 28.09, 27.70, 27.94]
    assert [three[name, "ConvNeXt"] for name in depths] == [26.71, 26.52, 25.63, 24.87]
    three = printed(3, dataset="HPS")
    assert [three[name, "Swin-T"] for name in depths] == [27.16, 27.30, 27.03, 26.44]
    assert [three[name, "ConvNeXt"] for name in depths] == [26.24, 26.35, 26.17, 25.91]
    assert set(printed(4).values()) == {0.22, 0.29, 13.86, 12.52}


def test_a_method_has_one_figure_in_all_tables():
    figures: dict = {}
    for line in paper_lines():
        key = (line.method, line.dataset if line.training_set != "human" else None)
        assert figures.setdefault(key, line.value) == line.value


def test_every_file_of_the_leaderboard_can_be_read():
    assert len(load_leaderboard([FOLDER])) >= 48
    assert len(load_leaderboard([FOLDER / "paper.jsonl"])) == 48


# --- lines ------------------------------------------------------------------------------------------------------------

PAPER = json.loads((FOLDER / "paper.jsonl").read_text().splitlines()[0])
RUN = {
    "schema": 1, "source": "run", "run": "r", "title": "t", "group": "trained", "state": "done", "selector": None,
    "training_set": "human", "detector": "dot", "test_set": "shapes/test", "corruptor_params": None, "seeds": 1,
    "planned_seeds": 1, "artifact_iou": 0.5, "artifact_iou_low": 0.4, "artifact_iou_high": 0.6,
}  # fmt: skip


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("[]", "no leaderboard line"),
        ("{}", "no leaderboard line"),
        (json.dumps(PAPER | {"schema": 3}), "schema 3, but this version of benchkit reads schemas 1 and 2"),
        (json.dumps(PAPER | {"schema": "1"}), "schema '1', but"),
        (json.dumps(PAPER | {"source": "friend"}), "source must be one of paper, run, not 'friend'"),
        (json.dumps(PAPER | {"source": ["paper"]}), "source must be one of"),
        (json.dumps(PAPER | {"value": 123.0}), "value: Input should be less than or equal to 100"),
        (json.dumps(PAPER | {"value": "23.27"}), "value: "),
        (json.dumps(PAPER | {"valeu": 1}), "valeu: "),
        (json.dumps(PAPER | {"value": float("nan")}), "value: "),
        (json.dumps({k: v for k, v in PAPER.items() if k != "detector"}), "detector: Field required"),
        (json.dumps(PAPER | {"unit": "cm"}), "unit: "),
        (json.dumps(RUN | {"artifact_iou": 1.5}), "artifact_iou: "),
        (json.dumps(RUN | {"artifact_iou": -0.1}), "artifact_iou: "),
        (json.dumps(RUN | {"artifact_iou_high": float("inf")}), "artifact_iou_high: "),
        (json.dumps(RUN | {"artifact_iou": "0.5"}), "artifact_iou: "),
        (json.dumps(RUN | {"seeds": -1}), "seeds: "),
        (json.dumps(RUN | {"seeds": 10**30}), "seeds: "),
        (json.dumps(RUN | {"training_set": ""}), "training_set: "),
        (json.dumps(RUN | {"title": ["t"]}), "title: "),
    ],
)
def test_a_bad_line_is_named_by_file_and_number(tmp_path, line, message):
    file = tmp_path / "mine.jsonl"
    file.write_text(f"{json.dumps(PAPER)}\n\n{line}\n")
    with pytest.raises(BenchkitError) as caught:
        load_leaderboard([file])
    assert str(caught.value).startswith(f"{file}, line 3: ") and message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [("none.jsonl", None, "cannot read"), ("latin.jsonl", b"\xff\xfe", "UTF-8"), ("board.json", b"{}", "not a board")],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, data, message):
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(BenchkitError, match=message) as caught:
        load_leaderboard([tmp_path / name])
    assert name in str(caught.value)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(BenchkitError, match="neither a board"):
        load_leaderboard([tmp_path])


def test_a_board_is_the_same_as_folder_file_and_lines(board, tmp_path):
    (tmp_path / "board.json").write_text(json_text(board.as_json()))
    (tmp_path / "lines").mkdir()
    (tmp_path / "lines" / "mine.jsonl").write_text(to_jsonl(board))
    ways = [load_leaderboard([tmp_path / name]) for name in (".", "board.json", "lines/mine.jsonl", "lines")]
    assert all(lines == board_lines(board) for lines in ways)
    assert all(isinstance(line, RunLine) for line in ways[0]) and len(ways[0]) == len(board.frame)


# --- side by side -----------------------------------------------------------------------------------------------------


def test_methods_are_matched_by_name_steps_selector_and_detector(board):
    frame = compare_with_paper(board_lines(board)).frame.set_index("training_set")
    assert frame.loc["renoise-masked:steps=10", "paper:HPS"] == pytest.approx(0.2730)
    assert frame.loc["renoise-masked:steps=10", "paper:RichHF-7701"] == pytest.approx(0.2809)
    assert frame.loc["human", ["paper:HPS", "paper:RichHF-7701"]].to_list() == pytest.approx([0.2623, 0.2623])
    assert frame.loc["pseudo", "paper:HPS"] == pytest.approx(0.2651)
    assert frame.loc["oracle", ["paper:HPS", "paper_steps"]].isna().all()
    assert frame.loc["rotation:steps=20", "state"] == NOT_RUN
    assert "upernet-convnext" not in set(frame["detector"])
    assert not {"all-positive", "all-negative"} & set(frame.index)


def test_a_method_at_other_steps_stands_beside_the_nearest_and_says_so(board):
    shown = compare_with_paper(board_lines(board))
    gaussian = shown.frame.set_index("training_set").loc["gaussian:steps=10"]
    assert gaussian["paper:HPS"] == pytest.approx(0.1386), "not the image latent at step 0, which is as near"
    assert (gaussian["steps"], gaussian["paper_steps"]) == (10, 20)
    written = render(shown, "table", 120)
    assert "13.86 (20)" in written and "In parentheses" in written
    assert "gaussian:steps=20" not in set(shown.frame["training_set"]), "it is there already"


def test_orders_are_counted_among_what_both_have(board):
    shown = compare_with_paper(board_lines(board))
    frame = shown.frame.set_index("training_set")
    names = ["renoise-masked:steps=10", "pseudo", "human", "gaussian:steps=10", "blur:steps=20"]
    assert frame.loc[names, "order:HPS"].to_list() == frame.loc[names, "paper_order:HPS"].to_list() == [1, 2, 3, 4, 5]
    assert any("10 of 10 pairs" in line for line in shown.agreement)


def test_disagreement_is_counted_too():
    lines = [line for line in paper_lines() if line.table == 2 and line.detector_label == "Swin-T"]
    values = {"human": 0.1, "rotation": 0.9, "blur": 0.05, "gaussian": 0.2, "renoise-masked": 0.3}
    own = [
        run_line(line.training_set, values[line.training_set], steps=line.steps, selector=line.selector)
        for line in lines
    ]
    (reported,) = compare_with_paper(own, lines).agreement
    # Paper: renoise, human, rotation, gaussian, blur; here: rotation, renoise, gaussian, human, blur.
    assert "7 of 10 pairs" in reported


def run_line(name: str, value: float | None, steps: int | None = None, **labels) -> RunLine:
    line = {"schema": 1, "source": "run", "run": "r", "title": "t", "group": "trained", "state": "done"}
    line |= {"training_set": name, "detector": "upernet-swin", "selector": None, "test_set": "portraits/test"}
    line |= {
        "corruptor_params": None if steps is None else json.dumps({"steps": steps}),
        "seeds": 1,
        "planned_seeds": 1,
    }
    line |= {"artifact_iou": value, "artifact_iou_low": value, "artifact_iou_high": value} | labels
    return RunLine.model_validate(upgraded(line))


@pytest.mark.parametrize(
    ("params", "name", "steps"),
    [('{"steps": 5}', "a:steps=9", 5), (None, "a:steps=9", 9), (None, "a", None), ("[", "a", None), ("[1]", "a", None)],
)
def test_steps_come_from_the_parameters_else_the_name(params, name, steps):
    assert run_line(name, 0.1, corruptor_params=params).inversion_steps == steps


def test_several_runs_stand_in_groups_of_their_own():
    lines = [run_line("human", 0.2), run_line("human", 0.3, run="other")]
    shown = compare_with_paper(lines)
    titles = [group.title for group in shown.sheet().groups]
    assert titles[:2] == ["upernet-swin, run r on portraits/test", "upernet-swin, run other on portraits/test"]


def test_the_caption_says_that_only_the_order_can_be_compared(board):
    shown = compare_with_paper(board_lines(board))
    for form in ("table", "markdown", "latex", "json"):
        written = " ".join(render(shown, form, 100).split())
        assert "Different data" in written and "never the values" in written
    assert "paper:HPS" in render(shown, "csv")


def test_the_paper_alone_can_be_shown_and_an_empty_board_too():
    shown = compare_with_paper(paper_lines())
    assert len(shown.frame) == 20 and set(shown.frame["state"]) == {NOT_RUN}
    assert "1.73" in render(shown, "table")
    assert isinstance(paper_lines()[0], PaperLine)
    assert (
        compare_with_paper([run_line("human", None, state="failed", group="missing", seeds=0)], ())
        .frame["state"]
        .item()
        == "failed"
    )


def test_lines_may_carry_further_figures_and_blank_lines_are_passed_over():
    line = run_line("human", 0.2, average_precision=0.5).model_dump(by_alias=True)
    (read,) = parse_lines(f"\n{json.dumps(line)}\n\n", "x")
    assert read.average_precision == 0.5
