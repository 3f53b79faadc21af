"""The forgeries that leaderboard/README.md lists, each made in a folder: what catches it is what the table says."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchkit.cli.main import main
from benchkit.leaderboard.examples import examples_to_parquet, make_example
from benchkit.leaderboard.season import write_season
from benchkit.leaderboard.submission import (
    EXAMPLES,
    FACTS,
    ROWS,
    Submission,
    read_submission,
    rows_from_parquet,
    rows_to_parquet,
    write_submission,
)
from benchkit.leaderboard.terms_file import IMAGES, TEST_IMAGES
from benchkit.report.board_parquet import board_to_parquet
from benchkit.report.load_board import load_board
from benchkit.report.parquet_file import frame_to_table, read_parquet, table_to_frame, write_parquet
from tests.leaderboard.conftest import make_data, make_season, submit_data, write_score

METHODS = {"renoise-masked:steps=10": 0.62, "blur:steps=20": 0.2, "gaussian:steps=10": None}
README = Path(__file__).parents[2] / "leaderboard" / "README.md"
Forge = Callable[[Path], Path | None]


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of submissions with one that has examples and the score of a season; the season lies beside it."""
    root = tmp_path_factory.mktemp("honest")
    submission = submit_data(make_data(METHODS))
    folder = root / "submissions" / "mine"
    write_submission(submission, folder, examples=_examples(submission, 200))
    season = make_season()
    write_score(folder, METHODS, season)
    write_season(season, root / "seasons")
    return root


def _examples(submission: Submission, colour: int) -> bytes:
    cell, image, mask = next(iter(submission.terms)), np.full((16, 16, 3), colour, np.uint8), np.eye(16, dtype=bool)
    return examples_to_parquet([make_example(cell, "corrupted", "clean-0", image, image, mask)])


def _edit(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def _change_rows(folder: Path, column: str, change: Callable[[float], float]) -> None:
    rows = rows_from_parquet((folder / ROWS).read_bytes(), "rows")
    line = rows.index[(rows["method"] == "blur:steps=20") & (rows["seed"] == 0)][0]
    rows.loc[line, column] = change(rows.loc[line, column])
    (folder / ROWS).write_bytes(rows_to_parquet(rows))


def one_digit_of_a_row(folder: Path) -> None:
    _change_rows(folder, "artifact_iou", lambda value: value + 1e-4)


def one_digit_of_the_board(folder: Path) -> None:
    board = load_board(folder)
    board.frame.loc[0, "artifact_iou"] += 1e-4
    (folder / "board.parquet").write_bytes(board_to_parquet(board))


def one_image(folder: Path) -> None:
    frame = table_to_frame(read_parquet((folder / IMAGES).read_bytes(), "images", most_lines=10**6)[0])
    frame.loc[frame.index[frame["fp"] > 0][0], "fp"] -= 1
    (folder / IMAGES).write_bytes(write_parquet(frame_to_table(frame)))


def one_seed(folder: Path) -> None:
    rows = rows_from_parquet((folder / ROWS).read_bytes(), "rows")
    gone = rows.index[(rows["method"] == "gaussian:steps=10") & (rows["seed"] == 3)]
    (folder / ROWS).write_bytes(rows_to_parquet(rows.drop(index=gone)))


def a_failed_row_left_out(folder: Path) -> None:
    rows = rows_from_parquet((folder / ROWS).read_bytes(), "rows")
    (folder / ROWS).write_bytes(rows_to_parquet(rows[rows["method"] != "gaussian:steps=10"]))


def terms_of_other_images(folder: Path) -> None:
    frame = table_to_frame(read_parquet((folder / TEST_IMAGES).read_bytes(), "images", most_lines=10**6)[0])
    frame["image"] = [f"{name}-easy" for name in frame["image"]]
    (folder / TEST_IMAGES).write_bytes(write_parquet(frame_to_table(frame)))


def rows_of_two_protocols(folder: Path) -> None:
    _change_rows(folder, "num_inference_steps", lambda _: 20)


def another_protocol_digest(folder: Path) -> None:
    _edit(folder / FACTS, lambda facts: facts["grid"].update(labelled=5))  # type: ignore[attr-defined]


def name_with_markup(folder: Path) -> None:
    _edit(folder / FACTS, lambda facts: facts.update(name="<b>mine</b>"))


def name_that_is_a_path(folder: Path) -> None:
    _edit(folder / FACTS, lambda facts: facts.update(name="../mine"))


def name_that_is_a_formula(folder: Path) -> None:
    _edit(folder / FACTS, lambda facts: facts.update(name="=1+1"))


def archive_in_place_of_a_folder(folder: Path) -> Path:
    return Path(shutil.make_archive(str(folder.parents[1] / "mine"), "zip", folder))


def another_schema(folder: Path) -> None:
    _edit(folder / FACTS, lambda facts: facts.update(schema=9))


def swapped_example(folder: Path) -> None:
    (folder / EXAMPLES).write_bytes(_examples(read_submission(folder), 90))


def secret_of_another_season(folder: Path) -> None:
    _edit(
        folder.parents[1] / "seasons" / "spring.json", lambda season: season.update(secret="another secret, 16 letters")
    )


def beacon_that_was_not_announced(folder: Path) -> None:
    _edit(folder.parents[1] / "seasons" / "spring.json", lambda season: season.update(beacon="a chosen value"))


def score_on_other_images(folder: Path) -> None:
    _edit(folder / "season-spring" / FACTS, lambda facts: facts.update(season="0" * 64))


def many_rows_of_one_name(folder: Path) -> None:
    rows = rows_from_parquet((folder / ROWS).read_bytes(), "rows")
    line = rows[rows["method"] == "gaussian:steps=10"].iloc[0].to_dict()
    many = [line | {"cell": f"f{i:063d}"} for i in range(10_000)]
    more = rows.__class__([*rows.to_dict("records"), *many])
    (folder / ROWS).write_bytes(rows_to_parquet(more))


def changed_source_hash(folder: Path) -> None:
    _edit(
        folder / FACTS,
        lambda facts: facts["environment"]["plugins"]["corruptor blur"].update(source="cd" * 32),  # type: ignore[index]
    )


def invented_terms(folder: Path) -> None:
    _rewrite(folder, submit_data(make_data({**METHODS, "renoise-masked:steps=10": 0.9})))


def seed_under_another_number(folder: Path) -> None:
    submission = read_submission(folder)
    rows, cells = submission.rows.copy(), {}
    for seed in (0, 1):
        cells[seed] = rows.index[(rows["method"] == "blur:steps=20") & (rows["seed"] == seed)][0]
    for name in rows.columns.difference(["cell", "seed"]):
        rows.loc[cells[1], name] = rows.loc[cells[0], name]
    terms = {**submission.terms, rows.loc[cells[1], "cell"]: submission.terms[rows.loc[cells[0], "cell"]]}
    _rewrite(folder, replace(submission, rows=rows, terms=terms))


def narrowed_intervals(folder: Path) -> None:
    submission = read_submission(folder)
    terms = {
        cell: replace(own, without=(own.without + own.without.mean()) / 2) for cell, own in submission.terms.items()
    }
    _rewrite(folder, replace(submission, terms=terms))


def row_left_out_of_the_grid_too(folder: Path) -> None:
    _rewrite(folder, submit_data(make_data({name: value for name, value in METHODS.items() if value != 0.2})))


def _rewrite(folder: Path, submission: Submission) -> None:
    shutil.rmtree(folder / "season-spring")
    write_submission(submission, folder, force=True)


#: What the table in README calls a forgery -> how it is made, and the message of `check`, or nothing where it passes.
FORGERIES: dict[str, tuple[Forge, str]] = {
    "one digit of a figure": (one_digit_of_a_row, "'artifact_iou' is 0.*, but its terms give"),
    "one digit of the board": (one_digit_of_the_board, "of the board: 'artifact_iou' is .*, but the terms give"),
    "one pixel of one test image": (one_image, "mine: .*pixels"),
    "one seed left out": (one_seed, "has the seeds 0, 1, 2, 4, its protocol 0, 1, 2, 3, 4"),
    "a failed row left out": (a_failed_row_left_out, "the row 'gaussian:steps=10' of its grid is missing"),
    "terms of other images": (terms_of_other_images, "are not those whose digest it states"),
    "rows of two protocols": (rows_of_two_protocols, "several protocols: 'num_inference_steps'"),
    "another grid than the rows have": (another_protocol_digest, "'protocol' is not the digest of its grid"),
    "a name with markup": (name_with_markup, "'<b>mine</b>' is no name"),
    "a name that is a path": (name_that_is_a_path, "'../mine' is no name"),
    "a name that is a formula": (name_that_is_a_formula, "'=1[+]1' is no name"),
    "an archive in place of a folder": (archive_in_place_of_a_folder, "is a file: unpack an archive"),
    "a file of another schema": (another_schema, "schema 9, but this version of benchkit reads schema 1 and 2"),
    "a swapped example image": (swapped_example, "an image or a text was changed"),
    "a secret that was not committed to": (secret_of_another_season, "not the one that was committed to"),
    "a beacon that was not announced": (beacon_that_was_not_announced, "announces no beacon"),
    "a score on other images than the season's": (score_on_other_images, "its images are those of another season"),
    "10,000 rows of one name": (many_rows_of_one_name, "lines are of the row 'gaussian:steps=10'"),
    "another hash of a plugin's source": (changed_source_hash, ""),
    "figures invented together with their terms": (invented_terms, ""),
    "one seed's results under another seed's number": (seed_under_another_number, ""),
    "narrowed intervals of average precision": (narrowed_intervals, ""),
    "a row left out of the rows and of the grid": (row_left_out_of_the_grid_too, ""),
}


def _check(capsys: pytest.CaptureFixture[str], root: Path, target: Path) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["leaderboard", "check", str(target), "--seasons", str(root / "seasons")])
    return code, *capsys.readouterr()


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_honest_submission_passes(honest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _check(capsys, honest, honest / "submissions")
    assert code == 0 and "season spring: recomputed" in out


@pytest.mark.parametrize("name", FORGERIES)
def test_check_says_of_a_forgery_what_the_table_says(
    honest: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    forge, message = FORGERIES[name]
    root = Path(shutil.copytree(honest, tmp_path / "all"))
    target = forge(root / "submissions" / "mine") or root / "submissions"
    before = _contents(root)
    code, out, err = _check(capsys, root, target)
    assert _contents(root) == before
    if not message:
        assert code == 0, err
        return
    assert code == 2 and "season spring" not in out
    assert re.search(message, err) and err.count("\n") == 1


def test_the_table_lists_them_all_with_who_catches_them() -> None:
    lines = re.findall(r"^\| ([^|]+?) \| (`check`|`verify`|nothing) \|", README.read_text(), re.MULTILINE)
    assert dict(lines).keys() == FORGERIES.keys()
    assert {name for name, by in lines if by == "`check`"} == {
        name for name, (_, message) in FORGERIES.items() if message
    }
    assert [name for name, by in lines if by == "nothing"] == ["a row left out of the rows and of the grid"]
