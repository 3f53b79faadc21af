"""Forged and damaged submissions: each is one clear line. What only a re-run can catch passes here, and says so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchkit.errors import BenchkitError
from benchkit.leaderboard import submission as files
from benchkit.leaderboard.check import Checked, check_folder, check_submission, check_together, find_submissions
from benchkit.leaderboard.check_all import check_all
from benchkit.leaderboard.merge import group_by_protocol, merge_submissions
from benchkit.leaderboard.protocol import digest_protocol
from benchkit.leaderboard.rules import check_rules
from benchkit.leaderboard.submission import Submission, normalise_rows, read_submission, write_submission
from benchkit.leaderboard.terms import Terms
from benchkit.report.board import Board
from benchkit.report.format_values import known
from benchkit.report.notes import foot_notes
from tests.leaderboard.conftest import make_data, submit_data

SHIPPED = dict.fromkeys(
    ("corruptor blur", "corruptor gaussian", "corruptor renoise-masked", "dataset portraits", "inverter odd"), "ab" * 32
)


def check(submission: Submission) -> Checked:
    """Check a submission with the board that it reports, or with its own where it reports none."""
    board = submission.board or Board.of(submission.data).as_json()
    return check_submission(replace(submission, board=json.loads(json.dumps(board))), SHIPPED)


def cell_of(submission: Submission, method: str, seed: int = 0) -> str:
    rows = submission.rows
    return str(rows.loc[(rows["method"] == method) & (rows["seed"] == seed), "cell"].iloc[0])


def with_terms(submission: Submission, cell: str, change: Callable[[Terms], Terms]) -> Submission:
    return replace(submission, terms={**submission.terms, cell: change(submission.terms[cell])})


def with_rows(submission: Submission, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Submission:
    return replace(submission, rows=change(submission.rows.copy()).reset_index(drop=True))


def with_facts(submission: Submission, **values: Any) -> Submission:
    return replace(submission, facts=submission.facts.model_copy(update=values))


def set_value(column: str, value: Any) -> Callable[[Submission], Submission]:
    """A forgery of one value of one seed of the row `blur:steps=20`."""

    def change(rows: pd.DataFrame) -> pd.DataFrame:
        place = (rows["method"] == "blur:steps=20") & (rows["seed"] == 0)
        values = [value if here else old for here, old in zip(place, rows[column], strict=True)]
        return rows.assign(**{column: pd.Series(values, dtype=object if isinstance(value, str) else None)})

    def forge(submission: Submission) -> Submission:
        return with_rows(submission, change)

    forge.__name__ = f"set_{column}"
    return forge


def one_digit_of_a_row(submission: Submission) -> Submission:
    old = submission.rows.loc[submission.rows["method"] == "blur:steps=20", "artifact_iou"].iloc[0]
    return set_value("artifact_iou", old + 1e-6)(submission)


def one_digit_of_the_board(submission: Submission) -> Submission:
    board = json.loads(json.dumps(Board.of(submission.data).as_json()))
    board["rows"][1]["artifact_iou_low"] += 1e-6
    return replace(submission, board=board)


def a_verdict_of_the_board(submission: Submission) -> Submission:
    board = json.loads(json.dumps(Board.of(submission.data).as_json()))
    pair = next(pair for pair in board["pairs"] if pair["verdict"] != "better")
    pair["verdict"] = "better"
    return replace(submission, board=board)


def one_image(submission: Submission) -> Submission:
    """One more pixel of one image is found, and the histogram says so too: only the figure does not follow."""

    def change(terms: Terms) -> Terms:
        tested = submission.images["portraits/test[12]"]
        image = int(np.flatnonzero(terms.tp < tested.artifact)[0])
        tp, artifact = terms.tp.copy(), terms.artifact.copy()
        below = int(np.flatnonzero((terms.edges < 0.5) & (artifact > 0))[-1])
        tp[image], artifact[below], artifact[-1] = tp[image] + 1, artifact[below] - 1, artifact[-1] + 1
        return replace(terms, tp=tp, artifact=artifact)

    return with_terms(submission, cell_of(submission, "blur:steps=20"), change)


def counts_without_their_histogram(submission: Submission) -> Submission:
    cell = cell_of(submission, "blur:steps=20")
    return with_terms(submission, cell, lambda terms: replace(terms, fp=np.maximum(terms.fp - 1, 0)))


def more_pixels_than_an_image_has(submission: Submission) -> Submission:
    cell = cell_of(submission, "blur:steps=20")
    return with_terms(submission, cell, lambda terms: replace(terms, tp=terms.tp + 500))


def a_seed_left_out(submission: Submission) -> Submission:
    cell = cell_of(submission, "blur:steps=20", 2)
    fewer = {key: own for key, own in submission.terms.items() if key != cell}
    return with_rows(replace(submission, terms=fewer), lambda rows: rows[rows["cell"] != cell])


def a_failed_row_left_out(submission: Submission) -> Submission:
    return with_rows(submission, lambda rows: rows[rows["method"] != "gaussian:steps=10"])


def lucky_seeds(submission: Submission) -> Submission:
    """The seeds 0 to 4 are called 3 to 7, as if the best of many had been taken."""
    grid = submission.facts.grid | {"seeds": [3, 4, 5, 6, 7]}
    rows = submission.rows.assign(seed=submission.rows["seed"] + 3)
    return with_facts(replace(submission, rows=rows), grid=grid, protocol=digest_protocol(grid, *rest(submission)))


def share_selection(submission: Submission, seed: int, of_rows: int | None = None) -> Submission:
    """The submission as of a grid whose rows share the selection of a seed; of_rows: what the rows say instead."""
    grid = submission.facts.grid | {"selection_seed": seed}
    shared = [
        float(seed if of_rows is None else of_rows) if known(one) else None for one in submission.rows["selector"]
    ]
    rows = normalise_rows(submission.rows.assign(selection_seed=shared))
    made = replace(submission, rows=rows, board=None)
    return with_facts(made, grid=grid, protocol=digest_protocol(grid, submission.facts.environment, rows))


def lucky_selection(submission: Submission) -> Submission:
    return share_selection(submission, 3)


def another_selection(submission: Submission) -> Submission:
    return share_selection(submission, 0, of_rows=2)


def unknown_selection(submission: Submission) -> Submission:
    made = share_selection(submission, 0)
    return replace(made, rows=made.rows.drop(columns="selection_seed"))


def too_few_seeds(submission: Submission) -> Submission:
    return submit_data(make_data({"blur:steps=20": 0.2}, seeds=range(4)))


def two_protocols(submission: Submission) -> Submission:
    return set_value("num_inference_steps", 20)(submission)


def two_trainings(submission: Submission) -> Submission:
    return set_value("training", '{"iterations": 9000}')(submission)


def two_selector_trainings(submission: Submission) -> Submission:
    return set_value("selector_training", '{"iterations": 9000}')(submission)


def another_grid(submission: Submission) -> Submission:
    return with_facts(submission, grid=submission.facts.grid | {"labelled": 50})


def other_images(submission: Submission) -> Submission:
    tested = submission.images["portraits/test[12]"]
    other = replace(tested, ids=tuple(f"portraits/test/{i + 1}" for i in range(len(tested))))
    return replace(submission, images={"portraits/test[12]": other})


def many_rows_of_one_name(submission: Submission) -> Submission:
    line = submission.rows[submission.rows["method"] == "gaussian:steps=10"].iloc[[0]]
    many = pd.concat([line] * 10_000, ignore_index=True).assign(cell=[f"f{i:063d}" for i in range(10_000)])
    return with_rows(submission, lambda rows: pd.concat([rows, many.astype(rows.dtypes)], ignore_index=True))


def a_plugin_from_nowhere(submission: Submission) -> Submission:
    plugins = dict(submission.facts.environment["plugins"])
    plugins["corruptor blur"] = plugins["corruptor blur"] | {"origin": "mine.py"}
    return with_facts(submission, environment=submission.facts.environment | {"plugins": plugins})


def a_plugin_without_source(submission: Submission) -> Submission:
    plugins = {key: own for key, own in submission.facts.environment["plugins"].items() if key != "corruptor blur"}
    return with_facts(submission, environment=submission.facts.environment | {"plugins": plugins})


def rest(submission: Submission) -> tuple[Any, pd.DataFrame]:
    return submission.facts.environment, submission.rows


FORGERIES: dict[Callable[[Submission], Submission], str] = {
    one_digit_of_a_row: "row 'blur:steps=20', seed 0 .*: 'artifact_iou' is 0.*, but its terms give 0",
    one_digit_of_the_board: "row '.*' of the board: 'artifact_iou_low' is .*, but the terms give",
    a_verdict_of_the_board: "'pairs' of the board: 'verdict' is 'better', but the terms give",
    one_image: "row 'blur:steps=20', seed 0 .*: 'artifact_iou' is",
    counts_without_their_histogram: "'fp' at 0.5 is .* pixels, its score histogram",
    more_pixels_than_an_image_has: "pixels in 'tp' of image 'portraits/test/0', which has",
    set_value("images", 11): "'images' is 11.0, but its terms give 12",
    set_value("recall", np.nan): "'recall' is unknown, but its terms give",
    a_seed_left_out: "the row 'blur:steps=20' has the seeds 0, 1, 3, 4, its protocol 0, 1, 2, 3, 4",
    a_failed_row_left_out: "the row 'gaussian:steps=10' of its grid is missing",
    set_value("state", "pending"): "not finished: a cell of the row 'blur:steps=20' is pending",
    set_value("seed", 7): "'blur:steps=20' has the seeds 1, 2, 3, 4, 7",
    lucky_seeds: "rows of 'upernet-swin' have the seeds 3, 4, 5, 6, 7: use 0 to 4",
    lucky_selection: "'selection_seed' is 3: use 0, so that nobody chooses",
    another_selection: "another protocol than its grid: 'selection_seed' differs",
    unknown_selection: "another protocol than its grid: 'selection_seed' differs",
    too_few_seeds: "rows of 'upernet-swin' have 4 seeds: on 'portraits' 5 are needed",
    two_protocols: "several protocols: 'num_inference_steps' is 50 and 20",
    two_trainings: "several protocols: 'upernet-swin' has two different 'training'",
    two_selector_trainings: "several protocols: 'upernet-swin' has two different 'selector_training'",
    set_value("variant", "steps=3"): "several protocols: an ablation has no ranking",
    another_grid: "'protocol' is not the digest of its grid",
    other_images: "the test images .* are not those whose digest it states",
    many_rows_of_one_name: "10001 lines are of the row 'gaussian:steps=10' and seed 0",
    set_value("method", "x\u202ereversed"): "a row's 'method' is not one line of text",
    a_plugin_from_nowhere: "'corruptor blur' does not ship with benchkit: say where to get it",
    a_plugin_without_source: "the source of the plugin 'corruptor blur' is unknown",
}


def test_the_oracle_may_train_longer(submission: Submission) -> None:
    rows = submission.rows
    longer = {"role": "oracle", "training": '{"iterations": 300}'}
    of_human = rows["role"] == "human"
    rows = rows.assign(**{name: rows[name].where(~of_human, value) for name, value in longer.items()})
    grid = {**submission.facts.grid, "baselines": ["pseudo", "oracle"]}
    facts = submission.facts.model_copy(
        update={"grid": grid, "protocol": digest_protocol(grid, submission.facts.environment, rows)}
    )
    check_rules(facts, rows)


@pytest.mark.parametrize(("forge", "message"), FORGERIES.items(), ids=lambda one: getattr(one, "__name__", ""))
def test_check_catches(submission: Submission, forge: Callable[[Submission], Submission], message: str) -> None:
    with pytest.raises(BenchkitError, match=message) as caught:
        check(forge(submission))
    assert "\n" not in str(caught.value)


def test_an_honest_submission_passes(submission: Submission) -> None:
    checked = check(submission)
    assert checked.notes == ()
    assert checked.board.as_json() == Board.of(submission.data).as_json()


def invented_terms(submission: Submission) -> Submission:
    """All terms and figures are those of a better detector: they contradict nothing."""
    return submit_data(make_data({"renoise-masked:steps=10": 0.9, "blur:steps=20": 0.2, "gaussian:steps=10": None}))


def narrower_intervals(submission: Submission) -> Submission:
    """The average precision without each image moves half as far as it did."""

    def change(terms: Terms) -> Terms:
        return replace(terms, without=(terms.without + terms.without.mean()) / 2)

    return with_terms(submission, cell_of(submission, "blur:steps=20"), change)


def a_seed_twice(submission: Submission) -> Submission:
    """The cell of one seed has the figures and the terms of another."""
    first, second = (cell_of(submission, "blur:steps=20", seed) for seed in (0, 1))
    rows = submission.rows.copy()
    labels = {"cell", "seed"}
    for name in rows.columns.difference([*labels]):
        rows.loc[rows["cell"] == second, name] = rows.loc[rows["cell"] == first, name].to_numpy()
    return replace(submission, rows=rows, terms={**submission.terms, second: submission.terms[first]})


def a_row_that_was_never_planned(submission: Submission) -> Submission:
    """A row is taken out of the grid as well as out of the files."""
    fewer = [name for name in submission.facts.grid["corruptors"] if not name.startswith("gaussian")]
    return with_facts(a_failed_row_left_out(submission), grid=submission.facts.grid | {"corruptors": fewer})


@pytest.mark.parametrize("forge", [invented_terms, narrower_intervals, a_seed_twice, a_row_that_was_never_planned])
def test_only_a_rerun_can_catch(submission: Submission, forge: Callable[[Submission], Submission]) -> None:
    """These contradict nothing: `check` passes them, which is what its badge says."""
    check(forge(submission))


def test_another_source_of_a_plugin_is_a_note(submission: Submission) -> None:
    board = json.loads(json.dumps(Board.of(submission.data).as_json()))
    shipped = SHIPPED | {"corruptor blur": "cd" * 32}
    (note,) = check_submission(replace(submission, board=board), shipped).notes
    assert note == "computed with another version of corruptor blur than this one has"


def other_version(submission: Submission) -> Submission:
    packages = {**submission.facts.environment["packages"], "artifact-benchkit": "0.0.1"}
    return with_facts(submission, environment={**submission.facts.environment, "packages": packages})


@pytest.mark.parametrize("forge", [one_digit_of_the_board, a_verdict_of_the_board])
def test_another_version_may_compute_intervals_otherwise(
    submission: Submission, forge: Callable[[Submission], Submission]
) -> None:
    (note,) = check(other_version(forge(submission))).notes
    assert note.startswith("its board is of another version of benchkit, which computed otherwise, and is not shown")


def test_no_version_computes_another_mean(submission: Submission) -> None:
    board = json.loads(json.dumps(Board.of(submission.data).as_json()))
    board["rows"][0]["recall_std"] += 1e-6
    with pytest.raises(BenchkitError, match="'recall_std' is"):
        check(other_version(replace(submission, board=board)))
    with pytest.raises(BenchkitError, match="'artifact_iou' is"):
        check(other_version(one_digit_of_a_row(submission)))


def test_a_link_makes_a_foreign_plugin_welcome(submission: Submission) -> None:
    foreign = a_plugin_from_nowhere(submission)
    check(with_facts(foreign, sources={"corruptor blur": "https://example.org/mine.py"}))


def test_images_of_two_submissions_are_the_same(submission: Submission) -> None:
    other = other_images(submission)
    digests = {name: own.digest for name, own in other.images.items()}
    changed = replace(with_facts(other, name="other", test_sets=digests), where="other")
    with pytest.raises(BenchkitError, match=r"other: its test images 'portraits/test.*' are others than those of mine"):
        check_together([check(submission), check(changed)])


def test_one_cell_has_one_result(submission: Submission) -> None:
    better = replace(invented_terms(submission), where="better")
    with pytest.raises(BenchkitError, match=r"better: the cell 0.* has other counts than in mine"):
        check_together([check(submission), check(better)])
    check_together([check(submission), check(submission)])


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    shutil.copytree(written, tmp_path / "mine")
    return tmp_path / "mine"


def test_a_folder_of_one_and_of_many(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "other")
    (tmp_path / "README.md").write_text("about them")
    assert find_submissions([tmp_path]) == [folder, tmp_path / "other"]
    assert find_submissions([folder, tmp_path]) == [folder, tmp_path / "other"]
    check_folder(folder, SHIPPED)
    with pytest.raises(BenchkitError, match="other: its name is 'mine': name the folder so"):
        check_folder(tmp_path / "other", SHIPPED)


@pytest.mark.parametrize("name", files.FILES)
@pytest.mark.parametrize("damage", ["missing", "cut", "other", "folder", "empty object"])
def test_damaged_files(folder: Path, name: str, damage: str) -> None:
    path = folder / name
    data = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "missing":
        path.write_bytes(
            {"cut": data[: len(data) // 2], "other": b"PK\x03\x04 an archive", "empty object": b"{}"}[damage]
        )
    with pytest.raises(BenchkitError, match="mine") as caught:
        check_folder(folder, SHIPPED)
    assert "\n" not in str(caught.value)


def test_an_archive_is_not_opened(folder: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", folder)
    with pytest.raises(BenchkitError, match="is a file: unpack an archive"):
        find_submissions([Path(archive)])
    with pytest.raises(BenchkitError, match="there is no folder"):
        find_submissions([tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(BenchkitError, match="is no submission and contains none"):
        find_submissions([tmp_path / "empty"])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("grid", {"seeds": 5, "on_detector": [1]}),
        ("grid", {"on_detector": {"upernet-swin": 3}}),
        ("grid", {"detectors": None, "seeds": [0, 1, "two"]}),
        ("environment", {"plugins": [], "datasets": {}}),
        ("environment", {"plugins": {"corruptor blur": "ab"}, "datasets": None}),
    ],
)
def test_records_of_another_shape(folder: Path, key: str, value: dict[str, Any]) -> None:
    facts = json.loads((folder / files.FACTS).read_text())
    facts[key] |= value
    (folder / files.FACTS).write_text(json.dumps(facts))
    with pytest.raises(BenchkitError, match="mine") as caught:
        check_folder(folder, SHIPPED)
    assert "\n" not in str(caught.value)


def test_written_again_is_checked_again(submission: Submission, tmp_path: Path) -> None:
    write_submission(submission, tmp_path / "mine")
    once = read_submission(tmp_path / "mine")
    write_submission(once, tmp_path / "mine", force=True)
    assert check_folder(tmp_path / "mine", SHIPPED).submission.facts == submission.facts


@pytest.mark.parametrize("schema", [1, 2])
def test_submissions_of_earlier_versions_stay_readable(schema: int) -> None:
    """A stored sample: its figures are recomputed by every later version, its board may be of an earlier one."""
    checked = check_folder(Path(__file__).parents[1] / "data" / f"submission-{schema}" / "sample", SHIPPED)
    frame = checked.board.frame
    assert list(frame["training_set"]) == ["pseudo", "human", "blur:steps=20", "gaussian:steps=10"]
    figures = [0.23968634079169093, 0.1922986503070534, 0.16633840052592425, np.nan]
    np.testing.assert_allclose(frame["artifact_iou"], figures, rtol=1e-12)
    assert checked.submission.rows["state"].value_counts().to_dict() == {"done": 15, "failed": 5}
    assert checked.submission.facts.contact == "nobody"


@pytest.mark.slow
def test_many_are_checked_by_several_processes_as_by_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processes give the same outcomes, in the order of the folders."""
    shutil.copytree(folder, tmp_path / "other")
    alone = list(check_all([folder, tmp_path / "other"], SHIPPED, []))
    monkeypatch.setattr("benchkit.leaderboard.check_all._FEW", 1)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    together = list(check_all([folder, tmp_path / "other"], SHIPPED, []))
    assert [one.fault for one in together] == [one.fault for one in alone]
    assert together[1].fault.startswith("other: its name is 'mine'")
    first, second = (one[0].checked for one in (alone, together))
    assert first is not None and second is not None
    assert first.board.as_json() == second.board.as_json()


def test_a_shared_selection_is_a_protocol_of_its_own(submission: Submission, tmp_path: Path) -> None:
    shared = share_selection(submission, 0)
    write_submission(shared, tmp_path / "mine")
    again = read_submission(tmp_path / "mine")
    check(again)
    assert len(group_by_protocol([submission, again])) == 2
    with pytest.raises(BenchkitError, match="several protocols"):
        merge_submissions([submission, again])
    note = next(text for text in foot_notes(Board.of(merge_submissions([again]))) if "Shared selection" in text)
    assert "of seed 0" in note
